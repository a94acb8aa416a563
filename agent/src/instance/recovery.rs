//! What an instance begins with after the agent's start: its journal, its current release and its process.

use std::sync::{Arc, Mutex};

use camino::Utf8PathBuf;
use evenkeel_agent_core::{BootId, Event, Purpose, Record, Release, Settings};
use evenkeel_common::files::create_private_folder;
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::sleep,
};

use super::{DOUBT_RETRY, Desired, Instance, halted, note_end};
use crate::{
    config::InstanceSettings,
    driver::Driver,
    journal::{Journal, JournalError},
    measures::Measures,
    probes::{Prober, Probes},
    rebuild::Rebuilds,
    releases::{Store, StoreError, current},
    report::{Reports, sentence},
    supervisor::{ExitWatcher, StorageProcess, Supervisor, SupervisorError},
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
    /// Who sees programs end.
    pub watcher: Arc<ExitWatcher>,
    /// What all programs of the host that are probes share.
    pub programs: Arc<Semaphore>,
    /// What is set aside of its data.
    pub rebuilds: Rebuilds,
    /// Where what is true is written down.
    pub reports: Arc<Reports>,
    /// Where what is measured is written down.
    pub measures: Arc<Measures>,
}

impl Surroundings {
    /// The probes of the instance.
    pub(super) fn probes(&self, settings: &InstanceSettings) -> Probes {
        Probes {
            settings: settings.probes.clone().into(),
            driver: self.driver.clone(),
            watcher: Arc::clone(&self.watcher),
            programs: Arc::clone(&self.programs),
        }
    }
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
    Find(#[source] SupervisorError),
    /// The agent cannot answer for what runs.
    #[error("it is not run as the agent needs it to be")]
    Unfit(#[source] SupervisorError),
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
    let changes = surroundings.supervisor.changes();
    let process = match find(&settings, &surroundings).await {
        Ok(process) => process,
        Err(error) => return halted::run(settings, surroundings, sentence(&error)).await,
    };
    let Kept { journal, current } = kept;
    let probes = surroundings.probes(&settings);
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
        doubt: None,
        changes,
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

/// Looks what runs, and whether the agent can answer for it. As long as that cannot be told it is asked again, and the
/// coordinator told why nothing is known.
async fn find(
    settings: &InstanceSettings,
    around: &Surroundings,
) -> Result<Option<StorageProcess>, RecoveryError> {
    loop {
        let doubt = match around.supervisor.find().await {
            Ok(process) => match around.supervisor.check().await {
                Ok(()) => return Ok(process),
                // What runs is known by the kernel's word; it is checked again before anything is done to it.
                Err(error) if error.is_doubt() && process.is_some() => return Ok(process),
                Err(error) if error.is_doubt() => error,
                Err(error) => return Err(RecoveryError::Unfit(error)),
            },
            Err(error) if error.is_doubt() => error,
            Err(error) => return Err(RecoveryError::Find(error)),
        };
        let reason = sentence(&RecoveryError::Find(doubt));
        around
            .reports
            .update(&settings.name, |facts| facts.reason = reason);
        around.reports.looked_at(&settings.name);
        sleep(DOUBT_RETRY).await;
    }
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
