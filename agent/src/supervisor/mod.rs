//! How storage processes are run: one interface, and behind it who does it for an instance.
//!
//! [`Supervisor`] is chosen by the agent's configuration, an instance at a time. [`exec`] runs them as the agent's own
//! children, each in a session of its own. Whoever runs it, a [`StorageProcess`] is known by the same marks: boot,
//! number, start time and executable, so that what is above does not need to know who does.

pub mod exec;
mod lock;
mod output;
mod proc;
mod process;
mod record;
mod watcher;

use std::io;

use camino::Utf8PathBuf;
use evenkeel_agent_core::Release;
use tokio::task::{JoinError, spawn_blocking};

pub use exec::{ExecSupervisor, KeptDown};
pub use process::{FindError, StorageProcess};
pub use watcher::ExitWatcher;

/// Runs the storage process of one instance. Copies of it are the same supervisor.
#[derive(Debug, Clone)]
pub enum Supervisor {
    /// The agent itself, with children in sessions of their own.
    Exec(ExecSupervisor),
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
    /// It was given up half way, by a defect or because the program ends.
    #[error("it was given up half way")]
    GivenUp(#[from] JoinError),
}

fn system(what: &'static str) -> impl Fn(io::Error) -> SupervisorError {
    move |source| SupervisorError::System { what, source }
}

impl Supervisor {
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
        }
    }

    /// Asks the process to stop, in the way that is configured. That it has ended is not an error.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn ask_to_stop(&self, process: &StorageProcess) -> Result<(), SupervisorError> {
        match self {
            Self::Exec(exec) => exec
                .ask_to_stop(process)
                .map_err(system("send it the stop signal")),
        }
    }

    /// Kills the process with all that it has started.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&self, process: &StorageProcess) -> Result<(), SupervisorError> {
        match self {
            Self::Exec(exec) => exec.kill(process).map_err(system("kill it")),
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
        }
    }

    /// Keeps the file that the process writes to from growing without bounds. Blocks.
    ///
    /// # Errors
    /// What the file system says.
    pub fn trim_output(&self) -> io::Result<()> {
        match self {
            Self::Exec(exec) => exec.trim_output(),
        }
    }
}

impl From<ExecSupervisor> for Supervisor {
    fn from(exec: ExecSupervisor) -> Self {
        Self::Exec(exec)
    }
}
