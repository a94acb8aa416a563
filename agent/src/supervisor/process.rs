//! A storage process that runs: found or started, and never taken for another.

use std::{
    io,
    os::fd::OwnedFd,
    process::Child,
    sync::Arc,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::{BootId, Release};
use evenkeel_common::{clock::Timestamp, digest::Digest};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::oneshot;

use super::{ExitWatcher, output, proc, record};
use crate::releases::Store;

/// How long a process may take from being there to executing its release.
const EXECUTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked at meanwhile.
const EXECUTION_LOOK: Duration = Duration::from_millis(2);

/// A storage process. Dropping this does nothing to it.
#[derive(Debug)]
pub struct StorageProcess {
    folder: Utf8PathBuf,
    pid: Pid,
    start_ticks: u64,
    started_at: Timestamp,
    release: Release,
    configuration: Option<Digest>,
    pidfd: Arc<OwnedFd>,
    ended: oneshot::Receiver<()>,
    /// Set if this very agent started it.
    child: Option<Child>,
}

/// Why it is not known whether an instance has a process, or which.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The system does not say.
    #[error("cannot look at process {pid}")]
    Look {
        /// The process.
        pid: i32,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It runs something that is no release.
    #[error("process {pid} of this instance executes {executable}, which is no release")]
    Foreign {
        /// The process.
        pid: i32,
        /// What it executes.
        executable: Utf8PathBuf,
    },
}

impl StorageProcess {
    /// The living process of the instance in this folder, if there is one.
    ///
    /// # Errors
    /// When that cannot be told for sure.
    pub(super) fn find(
        folder: &Utf8Path,
        boot: BootId,
        store: &Store,
        watcher: &ExitWatcher,
    ) -> Result<Option<Self>, FindError> {
        let Some(record) = record::read(folder).filter(|record| record.boot == boot) else {
            return Ok(None);
        };
        let pid = record.pid;
        let look = |source| FindError::Look {
            pid: pid.as_raw_pid(),
            source,
        };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Arc::new(pidfd),
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(look(error.into())),
        };
        // Only now can the number no longer pass to another process unnoticed.
        let is_it =
            || proc::stat(pid).is_some_and(|s| s.alive && s.start_ticks == record.start_ticks);
        let deadline = Instant::now() + EXECUTION_TIMEOUT;
        let release = loop {
            if !is_it() {
                return Ok(None);
            }
            let executable = match proc::executable(pid) {
                Ok(executable) => executable,
                // It is ending, and has let go of its program already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Utf8PathBuf::new(),
                Err(error) => return Err(look(error)),
            };
            match store.release_of_executable(&executable) {
                Some(release) => break release,
                None if Instant::now() >= deadline => {
                    return Err(FindError::Foreign {
                        pid: pid.as_raw_pid(),
                        executable,
                    });
                }
                // The one that starts it may not have executed it yet.
                None => std::thread::sleep(EXECUTION_LOOK),
            }
        };
        let ended = watcher.watch(&pidfd).map_err(look)?;
        Ok(Some(Self {
            folder: folder.to_owned(),
            pid,
            start_ticks: record.start_ticks,
            started_at: record.started_at,
            release,
            configuration: record.configuration,
            pidfd,
            ended,
            child: None,
        }))
    }

    /// The same process, known to be this child.
    pub(super) fn with_child(mut self, child: Child) -> Self {
        self.child = Some(child);
        self
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// When it was started, by the host's clock.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// The release that it executes.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The digest of the configuration that it was started with, if that is known.
    #[must_use]
    pub fn configuration(&self) -> Option<Digest> {
        self.configuration
    }

    /// The release that it executes, read from the process anew; none if it has ended.
    #[must_use]
    pub fn release_now(&self, store: &Store) -> Option<Release> {
        let executable = proc::executable(self.pid).ok()?;
        let release = store.release_of_executable(&executable)?;
        self.is_alive().then_some(release)
    }

    fn is_alive(&self) -> bool {
        proc::stat(self.pid).is_some_and(|s| s.alive && s.start_ticks == self.start_ticks)
    }

    /// Sends it a signal, once it is sure that it is still the same process.
    ///
    /// # Errors
    /// When the kernel refuses. That it has ended is not an error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&*self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills all that it started in its session, other than itself: while it lives, the session is its own.
    pub(super) fn kill_session(&self) {
        proc::kill_session(self.pid, |_| self.is_alive());
    }

    /// Waits until it has ended. May be dropped and called again.
    pub async fn ended(&mut self) {
        // The watcher goes only with the program.
        let _ = (&mut self.ended).await;
    }

    /// How it ended, in a few words, with the last line that it wrote. To be called once it has.
    #[must_use]
    pub fn how_it_ended(mut self) -> String {
        let how = match self.child.as_mut().map(Child::wait) {
            Some(Ok(status)) => status.to_string(),
            Some(Err(_)) | None => {
                "it ended; another agent had started it, so how is not known".to_owned()
            }
        };
        output::with_last_line(how, &self.folder)
    }
}
