//! What an instance begins with after the agent's start: its journal, its current release and its process.

use std::sync::{Arc, Mutex};

use camino::Utf8PathBuf;
use evenkeel_agent_core::{BootId, Event, Purpose, Record, Release, Settings};
use evenkeel_common::files::create_private_folder;
use tokio::{sync::watch, task::spawn_blocking};

use super::{Desired, Instance, halted, note_end};
use crate::{
    config::InstanceSettings,
    driver::Driver,
    journal::{Journal, JournalError},
    measures::Measures,
    probes::{ProbeSettings, Prober},
    rebuild::Rebuilds,
    releases::{Store, StoreError, current},
    report::{Reports, sentence},
    supervisor::{Supervisor, SupervisorError},
};

/// What an instance has around it.
#[derive(Clone)]
pub struct Surroundings {
    /// Where it keeps what it has to remember.
    pub folder: Utf8PathBuf,
    /// Which boot of the host this is.
    pub boot: BootId,
    /// The releases.
    pub store: Arc<Store>,
    /// Who runs its process.
    pub supervisor: Supervisor,
    /// Who knows its storage system.
    pub driver: Option<Arc<Driver>>,
    /// What is set aside of its data.
    pub rebuilds: Rebuilds,
    /// Where what is true is written down.
    pub reports: Arc<Reports>,
    /// Where what is measured is written down.
    pub measures: Arc<Measures>,
}

/// Why an instance cannot be looked after.
#[derive(Debug, thiserror::Error)]
enum RecoveryError {
    /// Its folder cannot be made.
    #[error("cannot make the folder {path}")]
    Folder {
        path: Utf8PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Its journal does not say what was done.
    #[error("what was done last is not known")]
    Journal(#[from] JournalError),
    /// Its first release cannot be put in place.
    #[error("the initial release cannot be put in place")]
    Initial(#[from] StoreError),
    /// It is not known which release is current.
    #[error("which release is current is not known")]
    Current(#[from] current::CurrentError),
    /// It is not known what runs.
    #[error("what runs is not known")]
    Find(#[from] SupervisorError),
}

/// What the agent before has left in files.
struct Kept {
    journal: Journal,
    current: Option<Release>,
}

/// Looks after one instance until the program ends.
pub async fn run(
    settings: Arc<InstanceSettings>,
    surroundings: Surroundings,
    inbox: watch::Receiver<Option<Desired>>,
) {
    let (for_look, around) = (Arc::clone(&settings), surroundings.clone());
    let kept = match spawn_blocking(move || look(&for_look, &around)).await {
        Ok(Ok(kept)) => kept,
        Ok(Err(error)) => return halted::run(settings, surroundings, sentence(&error)).await,
        // The program is being stopped.
        Err(_) => return,
    };
    let process = match surroundings.supervisor.find().await {
        Ok(process) => process,
        Err(error) => {
            let reason = sentence(&RecoveryError::Find(error));
            return halted::run(settings, surroundings, reason).await;
        }
    };
    let Kept { journal, current } = kept;
    let probes: Arc<[ProbeSettings]> = settings.probes.clone().into();
    let event = Event::Recovered {
        boot: surroundings.boot,
        process: process.as_ref().map(|process| process.release().clone()),
        current,
    };
    if let Some(process) = &process {
        let (pid, release) = (process.pid(), process.release());
        tracing::info!(instance = %settings.name, pid, %release, "found its process");
    }
    let instance = Instance {
        folder: surroundings.folder,
        store: surroundings.store,
        supervisor: surroundings.supervisor,
        reports: surroundings.reports,
        measures: surroundings.measures,
        state: journal.last().clone().revive(core_settings(&settings)),
        journal: Arc::new(Mutex::new(journal)),
        inbox,
        prober: process.as_ref().map(|_| Prober::start(&probes)),
        probes,
        process,
        stopping: None,
        driver: surroundings.driver,
        asking: None,
        finalizing: None,
        leave: surroundings.rebuilds.leave(),
        rebuilds: surroundings.rebuilds,
        stop_signalled: None,
        journal_trouble: None,
        settings,
    };
    instance.run(event).await;
}

/// What of the configuration decides what is done.
fn core_settings(settings: &InstanceSettings) -> Settings {
    let start_alone_after = settings.start_alone_after.as_millis();
    Settings {
        restart: settings.restart,
        driver: settings.driver.is_some(),
        start_alone_after_ms: u64::try_from(start_alone_after).unwrap_or(u64::MAX),
    }
}

/// Looks at what is there. Blocks.
fn look(settings: &InstanceSettings, around: &Surroundings) -> Result<Kept, RecoveryError> {
    let Surroundings { folder, store, .. } = around;
    create_private_folder(folder).map_err(|source| RecoveryError::Folder {
        path: folder.clone(),
        source,
    })?;
    let journal = Journal::open(folder.join("journal"))?;
    // The agent before may not have come to it.
    note_end(&around.rebuilds, journal.last(), &settings.name);
    if let Some(release) = way_back(journal.last()) {
        store.keep_usable(&settings.component, release);
    }
    let mut current = current::read(folder, store, &settings.component)?;
    if let (None, Some(initial)) = (&current, &settings.initial) {
        let release = store.adopt(
            &settings.component,
            &settings.binary,
            &initial.version,
            &initial.path,
        )?;
        current::swap(folder, store, &settings.component, &release)?;
        tracing::info!(instance = %settings.name, %release, "took over its initial release");
        current = Some(release);
    }
    Ok(Kept { journal, current })
}

/// The release that a journey under way leads back to, or may have to.
fn way_back(record: &Record) -> Option<&Release> {
    let journey = record.standing.journey()?;
    match &journey.purpose {
        Purpose::Forward { fallback } => fallback.as_ref().map(|fallback| &fallback.release),
        Purpose::Back { .. } => Some(&journey.target),
    }
}
