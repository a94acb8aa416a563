//! A storage process that runs: found or started, and never taken for another.

use std::{
    io,
    os::fd::OwnedFd,
    process::Child,
    sync::Arc,
    time::{Duration, Instant},
};

use camino::Utf8PathBuf;
use evenkeel_agent_core::Release;
use evenkeel_common::{clock::Timestamp, digest::Digest};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::oneshot;

use super::{ExitWatcher, output, proc, systemd::UnitProcess};
use crate::releases::Store;

/// How long a process may take from being there to executing its release.
const EXECUTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked at meanwhile.
const EXECUTION_LOOK: Duration = Duration::from_millis(2);

/// A storage process. Dropping this does nothing to it.
#[derive(Debug)]
pub struct StorageProcess {
    pub(super) pid: Pid,
    pub(super) start_ticks: u64,
    pub(super) started_at: Timestamp,
    release: Release,
    pub(super) configuration: Option<Digest>,
    pidfd: Arc<OwnedFd>,
    ended: oneshot::Receiver<()>,
    by: By,
}

/// Who runs a process, and what only that one knows of it.
#[derive(Debug)]
pub(super) enum By {
    /// The agent, or one before it.
    Exec {
        /// The instance's folder.
        folder: Utf8PathBuf,
        /// Set if this very agent started it.
        child: Option<Child>,
    },
    /// Systemd.
    Unit(UnitProcess),
}

/// What a process is said to be, before it was looked at.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) pid: Pid,
    /// When it was started, in clock ticks since boot; none: whoever has the number now is meant.
    pub(super) start_ticks: Option<u64>,
    pub(super) started_at: Timestamp,
    pub(super) configuration: Option<Digest>,
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
    /// Another supervisor than the configured one has it.
    #[error(
        "process {pid} of this instance was started by {by}, and the configuration names another supervisor; stop it first"
    )]
    OtherSupervisor {
        /// The process.
        pid: i32,
        /// Who started it.
        by: String,
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
    /// The living process that these marks are of, if there is one. Blocks.
    ///
    /// # Errors
    /// When that cannot be told for sure.
    pub(super) fn identify(
        marks: Marks,
        by: By,
        store: &Store,
        watcher: &ExitWatcher,
    ) -> Result<Option<Self>, FindError> {
        let pid = marks.pid;
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
        let now = proc::stat(pid).map(|stat| stat.start_ticks);
        let Some(start_ticks) = marks.start_ticks.or(now) else {
            return Ok(None);
        };
        let is_it = || proc::stat(pid).is_some_and(|s| s.alive && s.start_ticks == start_ticks);
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
            pid,
            start_ticks,
            started_at: marks.started_at,
            release,
            configuration: marks.configuration,
            pidfd,
            ended,
            by,
        }))
    }

    /// Which life of a unit it is; none if it is none of systemd's.
    pub(super) fn unit(&self) -> Option<&UnitProcess> {
        match &self.by {
            By::Exec { .. } => None,
            By::Unit(unit) => Some(unit),
        }
    }

    /// The same process, known to be this child.
    pub(super) fn with_child(mut self, child: Child) -> Self {
        if let By::Exec { child: known, .. } = &mut self.by {
            *known = Some(child);
        }
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

    /// Waits until it has ended, and its unit with it if it has one. May be dropped and called again.
    pub async fn ended(&mut self) {
        match &mut self.by {
            By::Exec { .. } => {
                // The watcher goes only with the program.
                let _ = (&mut self.ended).await;
            }
            By::Unit(unit) => {
                if !unit.main_has_ended() {
                    let _ = (&mut self.ended).await;
                    unit.note_main_ended();
                }
                unit.settled(self.pid).await;
            }
        }
    }

    /// How it ended, in a few words, with the last lines that it wrote. To be called once it has.
    #[must_use]
    pub fn how_it_ended(self) -> String {
        let (folder, child) = match self.by {
            By::Exec { folder, child } => (folder, child),
            By::Unit(unit) => return unit.how_it_ended(),
        };
        let how = match child.map(|mut child| child.wait()) {
            Some(Ok(status)) => status.to_string(),
            Some(Err(_)) | None => {
                "it ended; another agent had started it, so how is not known".to_owned()
            }
        };
        output::with_last_lines(how, &folder)
    }
}
