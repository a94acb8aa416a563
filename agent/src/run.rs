//! Puts the parts of the agent together and runs them until it is told to stop.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use evenkeel_common::{
    files::{FolderLock, create_private_folder},
    limits::INSTANCES_PER_NODE_MAX,
    names::InstanceName,
    service,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet, spawn_blocking},
    time::sleep,
};

use crate::{
    clock,
    config::{InstanceSettings, Settings},
    configuration,
    driver::{self, Driver, Subject},
    instance::{self, Surroundings},
    measures::Measures,
    probes::PROGRAMS_MAX,
    rebuild::Rebuilds,
    releases::{Prefetcher, Store, StoreError, Trust},
    report::{Reports, sentence},
    session::Session,
    supervisor::{Bus, ExitWatcher, Supervisor},
    vitals,
};

/// How often the files that belong to instances' configurations are looked at.
const CONFIGURATION_LOOK: Duration = Duration::from_secs(15);

/// How often the files that processes write to are looked at.
const OUTPUT_LOOK: Duration = Duration::from_secs(10);

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another agent runs on the same folder.
    #[error("another agent runs on {data_dir}; only one may")]
    Locked {
        /// The folder.
        data_dir: Utf8PathBuf,
    },
    /// The folder cannot be used.
    #[error("cannot use the data folder {data_dir}")]
    DataDir {
        /// The folder.
        data_dir: Utf8PathBuf,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
    /// The releases cannot be used.
    #[error("cannot open the release store")]
    Store(#[from] StoreError),
    /// The system does not give what is needed.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A part of the agent is gone; nobody does its work any more.
    #[error("a part of the agent ended, which never happens but by a defect")]
    PartEnded(#[source] Option<JoinError>),
}

fn system(what: &'static str) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::System { what, source }
}

/// Runs the agent until SIGTERM or SIGINT. The storage processes are left as they are then.
///
/// # Errors
/// When it cannot begin, or when a part of it ends. Another start goes on where the journals say.
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let (_lock, data_dir) = take_data_dir(&settings)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listen for SIGINT"))?;
    let boot = clock::boot_id().map_err(system("read the boot id"))?;
    let watcher = Arc::new(ExitWatcher::start().map_err(system("watch for processes that end"))?);
    let store = Arc::new(Store::open(data_dir.join("releases"), &trust(&settings))?);
    let reports = Arc::new(Reports::of(settings.instances.iter()));
    for instance in &settings.instances {
        store.expect(&instance.name, &instance.component);
    }

    let measures = Arc::new(Measures::default());
    let mut tasks = JoinSet::new();
    let mut inboxes = BTreeMap::new();
    let mut supervisors = Vec::new();
    let units = settings.instances.iter();
    let units = units.filter_map(|instance| instance.supervisor.unit().map(str::to_owned));
    let bus = Arc::new(Bus::new(units));
    if bus.is_needed() {
        tasks.spawn(Arc::clone(&bus).run());
    }
    let mut rebuilt = Vec::new();
    let programs = Arc::new(Semaphore::new(PROGRAMS_MAX));
    let driver_calls = Arc::new(Semaphore::new(driver::CALLS_MAX));
    for instance in &settings.instances {
        let (inbox, desired) = watch::channel(None);
        inboxes.insert(instance.name.clone(), inbox);
        let instance = Arc::new(instance.clone());
        let folder = data_dir.join("instances").join(instance.name.as_str());
        let around = (
            Arc::clone(&instance),
            folder.clone(),
            boot,
            Arc::clone(&store),
            Arc::clone(&watcher),
        );
        let supervisor = Supervisor::new(around, &bus);
        supervisors.push(supervisor.clone());
        let driver = instance.driver.clone().map(|driver| {
            let subject = Subject {
                node: settings.node.clone(),
                instance: instance.name.clone(),
                component: instance.component.clone(),
                data_dirs: instance.data_dirs.clone(),
            };
            let (calls, watcher) = (Arc::clone(&driver_calls), Arc::clone(&watcher));
            Arc::new(Driver::new(driver, subject, calls, watcher))
        });
        if let Some(driver) = &driver {
            let measures = Arc::clone(&measures);
            tasks.spawn(measures.ask(instance.name.clone(), Arc::clone(driver)));
        }
        let rebuilds = Rebuilds::new(&folder, instance.rebuild.clone(), boot);
        rebuilt.push(rebuilds.clone());
        let surroundings = Surroundings {
            folder,
            boot,
            store: Arc::clone(&store),
            supervisor,
            driver,
            watcher: Arc::clone(&watcher),
            programs: Arc::clone(&programs),
            rebuilds,
            reports: Arc::clone(&reports),
            measures: Arc::clone(&measures),
        };
        tasks.spawn(instance::run(instance, surroundings, desired));
    }
    let (watched, watched_for) = (settings.instances.clone(), Arc::clone(&reports));
    let (wanted, wanted_too) = watch::channel(BTreeMap::new());
    let (channel, channel_too) = watch::channel(None);
    let vitals = Arc::new(vitals::Latest::default());
    let folders = data_folders(&settings);
    let reported = Arc::clone(&reports);
    let at_work = move |instance: &InstanceName| reported.is_at_work(instance);
    tasks.spawn(vitals::watch(
        settings.vitals,
        folders,
        at_work,
        Arc::clone(&vitals),
    ));
    let keys = settings.trusted_release_keys.clone();
    let prefetcher = Prefetcher::new(store, keys, Arc::clone(&reports), wanted_too, channel_too);
    tasks.spawn(prefetcher.run());
    tasks.spawn(
        Session::new(
            Arc::new(settings),
            (reports, measures, vitals),
            inboxes,
            wanted,
            channel,
        )
        .run(),
    );
    tasks.spawn(trim_outputs(supervisors));
    tasks.spawn(watch_configurations(watched, watched_for));
    tasks.spawn(collect_data(rebuilt));
    tasks.spawn(service::keep_alive());
    service::ready();

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = part_ended(&mut tasks) => return Err(ended),
    }
    service::stopping();
    tracing::info!("the agent stops; the storage processes go on");
    Ok(())
}

/// The data folders of all instances, as many as may be spoken of.
fn data_folders(settings: &Settings) -> Vec<(InstanceName, u32, Utf8PathBuf)> {
    let folders = settings.instances.iter().flat_map(|instance| {
        let numbered = (0..).zip(&instance.data_dirs);
        numbered.map(|(index, folder)| (instance.name.clone(), index, folder.clone()))
    });
    folders.take(INSTANCES_PER_NODE_MAX).collect()
}

fn trust(settings: &Settings) -> Trust {
    let initial = settings.instances.iter().filter_map(|instance| {
        let initial = instance.initial.as_ref()?;
        Some((instance.component.clone(), initial.version.clone()))
    });
    Trust {
        keys: settings.trusted_release_keys.clone(),
        initial: initial.collect(),
    }
}

/// Waits until any part of the agent has ended: all of them run as long as the program.
async fn part_ended(tasks: &mut JoinSet<()>) -> RunError {
    RunError::PartEnded(tasks.join_next().await.and_then(Result::err))
}

/// Takes the data folder for this agent alone.
fn take_data_dir(settings: &Settings) -> Result<(FolderLock, Utf8PathBuf), RunError> {
    let data_dir = &settings.data_dir;
    let unusable = |source| RunError::DataDir {
        data_dir: data_dir.clone(),
        source,
    };
    create_private_folder(data_dir).map_err(unusable)?;
    let lock = FolderLock::take(data_dir).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => RunError::Locked {
            data_dir: data_dir.clone(),
        },
        _ => unusable(source),
    })?;
    // Executables are known by the paths that the kernel gives them.
    let data_dir = data_dir.canonicalize_utf8().map_err(unusable)?;
    Ok((lock, data_dir))
}

/// Looks whether the files that belong to an instance's configuration have changed.
async fn watch_configurations(instances: Vec<InstanceSettings>, reports: Arc<Reports>) {
    let instances = Arc::new(instances);
    loop {
        sleep(CONFIGURATION_LOOK).await;
        let (instances, reports) = (Arc::clone(&instances), Arc::clone(&reports));
        let looked = spawn_blocking(move || {
            for instance in instances.iter() {
                let now = configuration::digest_of(instance);
                reports.update(&instance.name, |facts| facts.configuration = now);
            }
        });
        if looked.await.is_err() {
            return;
        }
    }
}

async fn trim_outputs(supervisors: Vec<Supervisor>) {
    let supervisors = Arc::new(supervisors);
    loop {
        sleep(OUTPUT_LOOK).await;
        let supervisors = Arc::clone(&supervisors);
        let trimmed = spawn_blocking(move || {
            for error in supervisors
                .iter()
                .filter_map(|supervisor| supervisor.trim_output().err())
            {
                tracing::warn!(%error, "cannot bound the file that a process writes to");
            }
        });
        if trimmed.await.is_err() {
            return;
        }
    }
}

/// Removes data that was set aside and kept long enough, and looks what else is in the way of a rebuild.
async fn collect_data(rebuilt: Vec<Rebuilds>) {
    let often = rebuilt.iter().filter_map(Rebuilds::look_every).min();
    let Some(often) = often else {
        return std::future::pending().await;
    };
    let rebuilt = Arc::new(rebuilt);
    loop {
        let rebuilt_too = Arc::clone(&rebuilt);
        let collected = spawn_blocking(move || {
            for rebuilds in rebuilt_too.iter() {
                rebuilds.measure();
                if let Err(error) = rebuilds.collect() {
                    tracing::warn!(error = %sentence(&error), "data that was set aside is kept longer");
                }
                rebuilds.look();
            }
        });
        if collected.await.is_err() {
            return;
        }
        sleep(often).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_or_returns_ends_the_agent_while_the_others_run() {
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        tasks.spawn(async { panic!("a defect") });
        let RunError::PartEnded(Some(defect)) = part_ended(&mut tasks).await else {
            panic!("it is not said that a part panicked")
        };
        assert!(defect.is_panic());
        tasks.spawn(async {});
        let ended = part_ended(&mut tasks).await;
        assert!(matches!(ended, RunError::PartEnded(None)), "{ended:?}");
    }
}
