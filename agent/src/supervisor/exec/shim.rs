//! What stands between the agent and a storage process: the agent's own program in another mode, which
//! becomes the storage process.
//!
//! It begins a session of its own, takes the instance's lock, sets limits, writes down who it is, and only then executes
//! the storage process in its own place. Its standard input is a pipe to the agent: an end without a word
//! means that it became the storage process, a word says why not.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    process::{Command, ExitCode, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{getpid, setsid};

use super::{
    super::{lock, output, proc, record},
    limits,
};
use crate::clock;

/// The first argument of the agent's program in this mode.
pub const SHIM_MODE: &str = "exec-instance";

/// The word that says that another process holds the lock.
pub(super) const LOCK_IS_HELD: &str = "locked";

/// Becomes the storage process that the arguments say: the instance's folder, the folder to start it in, the
/// digest of its configuration, its limits, the program and its arguments. Comes back only if that is not possible.
#[must_use]
pub fn become_instance(arguments: Vec<OsString>) -> ExitCode {
    // Closed by the execution of the storage process.
    let report = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let problem = match prepare_and_execute(arguments) {
        Ok(never) => match never {},
        Err(problem) => problem,
    };
    if let Ok(mut report) = report {
        // With nobody left to tell, the exit status says it all.
        let _ = report.write_all(problem.as_bytes());
    }
    ExitCode::FAILURE
}

fn prepare_and_execute(arguments: Vec<OsString>) -> Result<std::convert::Infallible, String> {
    let mut arguments = arguments.into_iter();
    let mut path =
        || -> Option<Utf8PathBuf> { arguments.next()?.into_string().ok().map(Into::into) };
    let (Some(folder), Some(working_dir), Some(configuration), Some(limits), Some(program)) =
        (path(), path(), path(), path(), path())
    else {
        return Err(format!("{SHIM_MODE} is a mode for the agent's own use"));
    };
    // Refused only to the leader of a process group, which a process is that was started by hand.
    setsid().map_err(|error| format!("cannot begin a session: {error}"))?;
    let lock =
        lock::take_for_life(&folder).map_err(|error| format!("cannot take the lock: {error}"))?;
    let Some(_held_for_life) = lock else {
        return Err(LOCK_IS_HELD.to_owned());
    };
    limits::set(limits.as_str())?;
    write_record(&folder, configuration.as_str())
        .map_err(|error| format!("cannot write down which process this is: {error}"))?;
    let error = Command::new(&program)
        .args(arguments)
        .current_dir(&working_dir)
        .stdin(Stdio::null())
        .exec();
    Err(format!(
        "cannot execute {program} in {working_dir}: {error}"
    ))
}

fn write_record(folder: &Utf8Path, configuration: &str) -> io::Result<()> {
    let pid = getpid();
    let stat = proc::stat(pid).ok_or_else(|| io::Error::other("there is nothing in /proc"))?;
    let record = record::ProcessRecord {
        boot: clock::boot_id()?,
        pid,
        start_ticks: stat.start_ticks,
        started_at: evenkeel_common::clock::now(),
        output_from: output::length(folder),
        configuration: configuration.parse().ok(),
        unit: None,
    };
    record::write(folder, &record)
}
