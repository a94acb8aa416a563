//! Storage processes as the agent's own children, each in a session of its own, with its output in a file.
//!
//! They outlive the agent: a new one finds them again by what they wrote down about themselves, and looks at
//! boot, number, start time and executable before it believes that.

mod launch;
mod limits;
mod shim;

use std::{io, sync::Arc};

use camino::Utf8PathBuf;
use evenkeel_agent_core::{BootId, Release};
use rustix::process::Signal;

use super::{
    ExitWatcher, FindError, KeptDown, StorageProcess, SupervisorError, output, process::By, record,
};
use crate::{config::InstanceSettings, releases::Store};

pub use shim::{SHIM_MODE, become_instance};

/// Runs the storage process of one instance.
#[derive(Debug, Clone)]
pub struct ExecSupervisor {
    settings: Arc<InstanceSettings>,
    folder: Utf8PathBuf,
    boot: BootId,
    store: Arc<Store>,
    watcher: Arc<ExitWatcher>,
}

impl ExecSupervisor {
    /// A supervisor of the instance that lives in this folder.
    #[must_use]
    pub fn new(
        settings: Arc<InstanceSettings>,
        folder: Utf8PathBuf,
        boot: BootId,
        store: Arc<Store>,
        watcher: Arc<ExitWatcher>,
    ) -> Self {
        Self {
            settings,
            folder,
            boot,
            store,
            watcher,
        }
    }

    /// The living process, if there is one. Blocks.
    ///
    /// # Errors
    /// When that cannot be told for sure.
    pub fn find(&self) -> Result<Option<StorageProcess>, FindError> {
        let Some(record) = record::read(&self.folder).filter(|record| record.boot == self.boot)
        else {
            return Ok(None);
        };
        if let Some(life) = &record.unit {
            return match record.is_alive() {
                true => Err(FindError::OtherSupervisor {
                    pid: record.pid.as_raw_pid(),
                    by: format!("the unit {}", life.unit),
                }),
                false => Ok(None),
            };
        }
        let by = By::Exec {
            folder: self.folder.clone(),
            child: None,
        };
        StorageProcess::identify(record.marks(), by, &self.store, &self.watcher)
    }

    /// Starts a release and waits until it executes; the process that is there, if one already is. Blocks.
    ///
    /// # Errors
    /// When no process runs, and why.
    pub fn start(&self, release: &Release) -> Result<StorageProcess, SupervisorError> {
        launch::start(self, release)
    }

    /// Makes sure that no process of the instance lives, and that none comes to be while the answer is held. Blocks.
    ///
    /// # Errors
    /// When one lives, or that cannot be told for sure.
    pub fn keep_down(&self) -> Result<KeptDown, SupervisorError> {
        launch::keep_down(self)
    }

    /// Sends the process the stop signal, once it is sure that it is still the same.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ask_to_stop(&self, process: &StorageProcess) -> io::Result<()> {
        process.signal(self.settings.stop_signal)
    }

    /// Kills all that the process started in its session, and then itself: while it lives, the session is its own.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self, process: &StorageProcess) -> io::Result<()> {
        process.kill_session();
        process.signal(Signal::KILL)
    }

    /// Keeps the file that the process writes to from growing without bounds. Blocks.
    ///
    /// # Errors
    /// What the file system says.
    pub fn trim_output(&self) -> io::Result<()> {
        output::trim(&self.folder)
    }
}
