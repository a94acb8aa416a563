//! What `/proc` says of a process.

use std::{fs, io};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What tells a process from any other that ever had its number, and whether it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// Whether it is more than a zombie.
    pub(super) alive: bool,
    /// The session it is in: the number of the process that began it.
    pub(super) session: i32,
    /// When it was started, in clock ticks since boot.
    pub(super) start_ticks: u64,
}

/// What is known of a process; none if there is none of this number.
pub(super) fn stat(pid: Pid) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
}

/// Reads a line of `/proc/<pid>/stat` (proc_pid_stat(5)).
fn parse(line: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, and may contain anything.
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Fields are numbered from 1, and the first here is the third.
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        alive: !matches!(field(3)?, "Z" | "X" | "x"),
        session: field(6)?.parse().ok()?,
        start_ticks: field(22)?.parse().ok()?,
    })
}

/// The file that a process executes, also when that was deleted meanwhile.
pub(super) fn executable(pid: Pid) -> io::Result<Utf8PathBuf> {
    let path = fs::read_link(format!("/proc/{}/exe", pid.as_raw_pid()))?;
    let path = Utf8PathBuf::try_from(path)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    match path.as_str().strip_suffix(" (deleted)") {
        Some(deleted) => Ok(deleted.into()),
        None => Ok(path),
    }
}

/// Kills the processes of the session that process `leader` began, other than that one itself.
///
/// The number of a session passes to another only when its last process has ended, so `is_meant` is asked about
/// each once it cannot be mistaken for another any more.
pub(super) fn kill_session(leader: Pid, is_meant: impl Fn(Pid) -> bool) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    let in_session =
        |pid| stat(pid).is_some_and(|stat| stat.alive && stat.session == leader.as_raw_pid());
    processes
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .parse()
                .ok()
                .and_then(Pid::from_raw)
        })
        .filter(|pid| *pid != leader && in_session(*pid))
        .filter_map(|pid| Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?)))
        .filter(|(pid, _)| in_session(*pid) && is_meant(*pid))
        .for_each(|(_, pidfd)| {
            // It may just have ended by itself.
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        });
}

/// Whether a process has a file open.
pub(super) fn has_open(pid: Pid, file: &Utf8Path) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid())) else {
        return false;
    };
    open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|path| path == file.as_std_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_misleads_nobody() {
        let line = "7 (a) R 1 (b) S 1 7 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 1\n";
        let expected = Stat {
            alive: true,
            session: 5,
            start_ticks: 4242,
        };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(
            parse(&line.replace(") S", ") Z")).map(|stat| stat.alive),
            Some(false)
        );
        assert_eq!(parse("7 (a"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn this_process_is_found_alive_with_its_executable() {
        let me = rustix::process::getpid();
        assert!(stat(me).unwrap().alive);
        assert_eq!(executable(me).unwrap(), std::env::current_exe().unwrap());
    }
}
