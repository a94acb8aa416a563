//! Whether a program says that a process is well, by its exit status.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

use super::Probes;
use crate::program::{Limits, Program, User};

/// How many programs run for probes at a time on one host: they are other people's, and the storage needs the host.
pub const PROGRAMS_MAX: usize = 8;

/// The most that it may write on either of its outputs, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// A program that ends with status 0 where all is well. There is no shell in between.
#[derive(Debug, Clone)]
pub struct ExecProbe {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whom it runs as; the agent's own user where this is not set.
    pub user: Option<User>,
    /// Whose turn it is: of its runs one at a time, each until it has ended.
    pub(super) turn: Arc<Semaphore>,
}

impl ExecProbe {
    /// A probe by a program and its arguments, as this user; as the agent's own where there is none.
    #[must_use]
    pub fn new(command: Vec<String>, user: Option<User>) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        Self {
            command,
            user,
            turn,
        }
    }

    /// Runs it once; `time` is how long it may take, once it is its turn among those of the host, for which it waits for
    /// `patience`. Dropped before its end, it ends with all that it started.
    pub(super) async fn ask(
        &self,
        probes: &Probes,
        time: Duration,
        patience: Duration,
    ) -> Result<(), String> {
        let until = Instant::now() + patience;
        // One that was given up a moment ago ends at once, unless it hangs.
        let turn = timeout(time, Arc::clone(&self.turn).acquire_owned()).await;
        let turn = turn.map_err(|_| "its last run has not ended".to_owned())?;
        // For as long as it is waited for. What does not end then is in nobody else's way.
        let place = timeout_at(until, probes.programs.acquire()).await;
        let _place = place.map_err(|_| format!("no turn within {patience:?}"))?;
        let program = Program {
            command: &self.command,
            last_argument: None,
            user: self.user,
            input: Vec::new(),
            limits: Limits {
                time,
                output_bytes: OUTPUT_BYTES_MAX,
            },
            // They are closed by nobody.
            turn: turn.ok(),
        };
        let ran = program
            .run(&probes.watcher)
            .await
            .map_err(|error| crate::report::sentence(&error))?;
        match (ran.status.success(), ran.last_line.as_str()) {
            (true, _) => Ok(()),
            (false, "") => Err(format!("{}", ran.status)),
            (false, line) => Err(format!("{}: {line}", ran.status)),
        }
    }
}

impl fmt::Display for ExecProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.command.first().map_or("", String::as_str);
        write!(f, "exec {program}")
    }
}
