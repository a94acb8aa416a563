//! Whether a program says that a process is well, by its exit status.

use std::{fmt, time::Duration};

use crate::{
    program::{Limits, Program, User},
    supervisor::ExitWatcher,
};

/// The most that it may write on either of its outputs, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// A program that ends with status 0 where all is well. There is no shell in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecProbe {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whom it runs as; the agent's own user where this is not set.
    pub user: Option<User>,
}

impl ExecProbe {
    /// Runs it once; `time` is how long it may take. Dropped before its end, it ends with all that it started.
    pub(super) async fn ask(&self, time: Duration, watcher: &ExitWatcher) -> Result<(), String> {
        let program = Program {
            command: &self.command,
            last_argument: None,
            user: self.user,
            input: Vec::new(),
            limits: Limits {
                time,
                output_bytes: OUTPUT_BYTES_MAX,
            },
        };
        let ran = program
            .run(watcher)
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
