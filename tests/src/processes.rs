//! Finding and ending every process of a fleet, by the folder that it lives in: storage processes outlive their
//! agents on purpose, and agents outlive whoever started them.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};

/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// The agent's program. While one runs it may start storage processes.
const AGENT: &str = "evenkeel-agent";

/// Ours whose arguments say which folder they live in.
const OUR_PROGRAMS: [&str; 2] = ["evenkeel-coordinator", AGENT];

/// A process that belongs to a folder.
#[derive(Debug)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// The name of its program.
    pub program: String,
}

/// The processes that belong to `folder`: storage processes whose program is below it, coordinators and agents that
/// were started with something below it. `folder` is an absolute path without symbolic links.
#[must_use]
pub fn below(folder: &Utf8Path) -> Vec<Process> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let processes = processes.flatten();
    processes
        .filter_map(|process| belonging(folder, &process.path()))
        .collect()
}

fn belonging(folder: &Utf8Path, process: &Path) -> Option<Process> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    // A program that was replaced since is told with ` (deleted)` behind its name.
    let exe = std::fs::read_link(process.join("exe")).ok()?;
    let exe = Utf8PathBuf::from_path_buf(exe).ok()?;
    let name = exe.file_name()?.trim_end_matches(" (deleted)");
    let belongs = exe.starts_with(folder)
        || (OUR_PROGRAMS.contains(&name) && names_something_below(folder, process));
    belongs.then_some(Process {
        pid: Pid::from_raw(pid)?,
        program: name.to_owned(),
    })
}

fn names_something_below(folder: &Utf8Path, process: &Path) -> bool {
    let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let mut arguments = arguments.split(|byte| *byte == 0);
    arguments.any(|argument| {
        str::from_utf8(argument).is_ok_and(|argument| Utf8Path::new(argument).starts_with(folder))
    })
}

/// Kills every process of `folder`, also those that are only just being started.
pub fn kill_below(folder: &Utf8Path) {
    let _ = end_all(Signal::KILL, GONE_WITHIN, || below(folder));
}

/// Asks every process of `folder` to stop, agents first, and kills what has not stopped `within`. Says how many
/// there were.
///
/// # Errors
/// When one is there even then.
pub fn stop_below(folder: &Utf8Path, within: Duration) -> anyhow::Result<usize> {
    let count = below(folder).len();
    let agents = || {
        let mut agents = below(folder);
        agents.retain(|process| process.program == AGENT);
        agents
    };
    // What does not stop is killed in the end.
    let _ = end_all(Signal::TERM, within, agents);
    let _ = end_all(Signal::TERM, within, || below(folder));
    end_all(Signal::KILL, GONE_WITHIN, || below(folder))?;
    Ok(count)
}

/// Signals what `find` finds until it finds nothing.
fn end_all(
    signal: Signal,
    within: Duration,
    find: impl Fn() -> Vec<Process>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    let mut signalled = Vec::new();
    loop {
        let found = find();
        let Some(first) = found.first() else {
            return Ok(());
        };
        ensure!(
            Instant::now() < deadline,
            "{} ({}) has not ended within {within:?}",
            first.program,
            first.pid.as_raw_nonzero()
        );
        for process in &found {
            if !signalled.contains(&process.pid) {
                // Gone already is what is wanted.
                let _ = kill_process(process.pid, signal);
                signalled.push(process.pid);
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_below_the_folder_belongs_to_it_and_no_other_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path())
            .unwrap()
            .canonicalize_utf8()
            .unwrap();
        let sleep = path.join("a/sleep");
        std::fs::create_dir(path.join("a")).unwrap();
        std::fs::copy("/bin/sleep", &sleep).unwrap();
        let mut inside = Command::new(&sleep).arg("60").spawn().unwrap();
        let mut outside = Command::new("/bin/sleep").arg("60").spawn().unwrap();

        let found = below(&path);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found.first().map(|process| process.pid),
            Pid::from_raw(inside.id().cast_signed())
        );
        assert!(below(&path.join("b")).is_empty());
        // Whoever started it reaps it.
        let reaper = thread::spawn(move || inside.wait());
        assert_eq!(stop_below(&path, GONE_WITHIN).unwrap(), 1);
        reaper.join().unwrap().unwrap();
        assert!(below(&path).is_empty());
        assert!(outside.try_wait().unwrap().is_none());
        outside.kill().unwrap();
        outside.wait().unwrap();
    }
}
