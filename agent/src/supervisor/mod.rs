//! How storage processes are run: one interface, and behind it who does it for an instance.
//!
//! [`Supervisor`] is chosen by the agent's configuration, an instance at a time. [`exec`] runs them as the agent's own
//! children, each in a session of its own, [`systemd`] as units. Whoever runs it, a [`StorageProcess`] is known by the same marks: boot,
//! number, start time and executable, so that what is above does not need to know who does.

pub mod exec;
mod kept_down;
mod lock;
mod output;
mod proc;
mod process;
mod record;
pub mod systemd;
mod watcher;

use std::{io, sync::Arc};

use camino::Utf8PathBuf;
use evenkeel_agent_core::{BootId, Release};
use tokio::{
    sync::watch,
    task::{JoinError, spawn_blocking},
};

pub use exec::ExecSupervisor;
pub use kept_down::KeptDown;
pub use process::{FindError, StorageProcess};
pub use systemd::{Bus, SystemdSupervisor};
pub use watcher::ExitWatcher;

use systemd::BusError;

use crate::{
    config::{InstanceSettings, SupervisorSettings},
    releases::Store,
};

/// Runs the storage process of one instance. Copies of it are the same supervisor.
#[derive(Debug, Clone)]
pub enum Supervisor {
    /// The agent itself, with children in sessions of their own.
    Exec(ExecSupervisor),
    /// Systemd, with a unit.
    Systemd(SystemdSupervisor),
}

/// Why no process runs, or what is to be done to one cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// A folder that has to be there is not; perhaps a disk that is not mounted.
    #[error("the folder {0} is not there")]
    Folder(Utf8PathBuf),
    /// The system refused.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It got as far as this.
    #[error("{0}")]
    Refused(String),
    /// It ended at once.
    #[error("it ended as soon as it was started: {0}")]
    Ended(String),
    /// It took too long.
    #[error("it did not begin to execute within {0} s")]
    Timeout(u64),
    /// A process that nobody can identify is in the way.
    #[error("another process of this instance holds its lock")]
    Locked,
    /// A process of the instance is there where there must be none.
    #[error("process {0} of this instance runs")]
    Runs(u32),
    /// What runs cannot be told.
    #[error("cannot tell what runs")]
    Find(#[from] FindError),
    /// Systemd does not do what it was asked.
    #[error("systemd does not do it")]
    Systemd(#[from] BusError),
    /// The unit is not one that the agent can answer for.
    #[error("the unit {unit} cannot be used: {problems}")]
    Unit {
        /// Its name.
        unit: String,
        /// What is wrong with it.
        problems: String,
    },
    /// Whether the unit has a process cannot be told yet.
    #[error("the unit {unit} is still {state}")]
    Unsettled {
        /// Its name.
        unit: String,
        /// What systemd says of it.
        state: String,
    },
    /// It was given up half way, by a defect or because the program ends.
    #[error("it was given up half way")]
    GivenUp(#[from] JoinError),
}

impl SupervisorError {
    /// Whether it says nothing of the process, and may pass: what runs is unknown then, which is not down.
    #[must_use]
    pub fn is_doubt(&self) -> bool {
        match self {
            Self::Systemd(BusError::Unreachable(_)) | Self::Unsettled { .. } => true,
            Self::Systemd(BusError::Refused { .. })
            | Self::Folder(_)
            | Self::System { .. }
            | Self::Refused(_)
            | Self::Ended(_)
            | Self::Timeout(_)
            | Self::Locked
            | Self::Runs(_)
            | Self::Find(_)
            | Self::Unit { .. }
            | Self::GivenUp(_) => false,
        }
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> SupervisorError {
    move |source| SupervisorError::System { what, source }
}

/// Sees to it that folders are there, which may be disks that are not mounted yet. Blocks.
fn folders_are_there<'a>(
    folders: impl IntoIterator<Item = &'a Utf8PathBuf>,
) -> Result<(), SupervisorError> {
    match folders.into_iter().find(|folder| !folder.is_dir()) {
        Some(folder) => Err(SupervisorError::Folder(folder.clone())),
        None => Ok(()),
    }
}

/// What a supervisor is made with: the instance's settings and folder, the boot, the releases, and who notices ends.
pub type Around = (
    Arc<InstanceSettings>,
    Utf8PathBuf,
    BootId,
    Arc<Store>,
    Arc<ExitWatcher>,
);

impl Supervisor {
    /// The supervisor that the settings name; of systemd's, one that talks to it with this.
    #[must_use]
    pub fn new((settings, folder, boot, store, watcher): Around, bus: &Arc<Bus>) -> Self {
        match &settings.supervisor {
            SupervisorSettings::Exec => {
                Self::Exec(ExecSupervisor::new(settings, folder, boot, store, watcher))
            }
            SupervisorSettings::Systemd { unit } => {
                let unit = (unit.clone(), Arc::clone(bus));
                Self::Systemd(SystemdSupervisor::new(
                    unit, settings, folder, boot, store, watcher,
                ))
            }
        }
    }

    /// Whether the one who runs it has been set up so that the agent can answer for it.
    ///
    /// # Errors
    /// When not, with what to change, or when that cannot be told.
    pub async fn check(&self) -> Result<(), SupervisorError> {
        match self {
            Self::Exec(_) => Ok(()),
            Self::Systemd(systemd) => systemd.check().await,
        }
    }

    /// The living process, if there is one.
    ///
    /// # Errors
    /// When that cannot be told for sure.
    pub async fn find(&self) -> Result<Option<StorageProcess>, SupervisorError> {
        match self {
            Self::Exec(exec) => {
                let exec = exec.clone();
                Ok(spawn_blocking(move || exec.find()).await??)
            }
            Self::Systemd(systemd) => systemd.find().await,
        }
    }

    /// Starts a release, which has to be current, and waits until it executes; the process that is there, if one
    /// already is.
    ///
    /// # Errors
    /// When no process runs, and why.
    pub async fn start(&self, release: &Release) -> Result<StorageProcess, SupervisorError> {
        match self {
            Self::Exec(exec) => {
                let (exec, release) = (exec.clone(), release.clone());
                spawn_blocking(move || exec.start(&release)).await?
            }
            Self::Systemd(systemd) => systemd.start(release).await,
        }
    }

    /// Asks the process to stop, in the way that is configured. That it has ended is not an error.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn ask_to_stop(&self, process: &StorageProcess) -> Result<(), SupervisorError> {
        match (self, process.unit()) {
            (Self::Systemd(systemd), Some(unit)) => systemd.ask_to_stop(unit).await,
            (Self::Exec(exec), _) => exec
                .ask_to_stop(process)
                .map_err(system("send it the stop signal")),
            (Self::Systemd(_), None) => Err(SupervisorError::Runs(process.pid())),
        }
    }

    /// Kills the process with all that it has started.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&self, process: &StorageProcess) -> Result<(), SupervisorError> {
        match (self, process.unit()) {
            (Self::Systemd(systemd), Some(unit)) => systemd.kill(process, unit).await,
            (Self::Exec(exec), _) => exec.kill(process).map_err(system("kill it")),
            (Self::Systemd(_), None) => Err(SupervisorError::Runs(process.pid())),
        }
    }

    /// Makes sure that no process of the instance lives, and that none comes to be while the answer is held.
    ///
    /// # Errors
    /// When one lives, or that cannot be told for sure.
    pub async fn keep_down(&self) -> Result<KeptDown, SupervisorError> {
        match self {
            Self::Exec(exec) => {
                let exec = exec.clone();
                spawn_blocking(move || exec.keep_down()).await?
            }
            Self::Systemd(systemd) => systemd.keep_down().await,
        }
    }

    /// The living process of an instance that was taken to have none, if there is one; only where others than the
    /// agent may start it.
    ///
    /// # Errors
    /// When that cannot be told for sure.
    pub async fn find_started(&self) -> Result<Option<StorageProcess>, SupervisorError> {
        match self {
            Self::Exec(_) => Ok(None),
            Self::Systemd(systemd) => systemd.find().await,
        }
    }

    /// What tells that something of the process may have changed that the agent did not do; none if nobody else can.
    #[must_use]
    pub fn changes(&self) -> Option<watch::Receiver<u64>> {
        match self {
            Self::Exec(_) => None,
            Self::Systemd(systemd) => Some(systemd.changes()),
        }
    }

    /// What keeps the one who runs it from being asked, if something does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Exec(_) => None,
            Self::Systemd(systemd) => {
                let why = systemd.trouble()?;
                Some(format!("systemd cannot be reached: {why}"))
            }
        }
    }

    /// Keeps the file that the process writes to from growing without bounds. Blocks.
    ///
    /// # Errors
    /// What the file system says.
    pub fn trim_output(&self) -> io::Result<()> {
        match self {
            Self::Exec(exec) => exec.trim_output(),
            Self::Systemd(systemd) => systemd.trim_output(),
        }
    }
}
