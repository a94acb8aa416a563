//! Starts storage processes.

use std::{
    env,
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use camino::Utf8Path;
use evenkeel_agent_core::Release;
use evenkeel_common::failpoint;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::{PipeFlags, pipe_with},
    process::Pid,
};

use super::{
    super::{KeptDown, folders_are_there, lock, output, proc, record, system},
    ExecSupervisor, StorageProcess, SupervisorError, limits,
    shim::{LOCK_IS_HELD, SHIM_MODE},
};
use crate::{config::RELEASE_PLACEHOLDER, configuration, failpoints};

/// How long it may take from the agent's call to the execution of the storage process.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a process that holds the lock may take to let go of it after it was killed.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is looked at meanwhile.
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// The longest report of the shim, in bytes.
const REPORT_BYTES_MAX: u64 = 2048;

/// What of the agent's own environment a storage process gets.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER"];

pub(super) fn start(
    supervisor: &ExecSupervisor,
    release: &Release,
) -> Result<StorageProcess, SupervisorError> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        let locked = match attempt(supervisor, release)? {
            Some(process) => return Ok(process),
            None => SupervisorError::Locked,
        };
        if let Some(process) = supervisor.find()? {
            return Ok(process);
        }
        free_lock(supervisor);
        if Instant::now() >= deadline {
            return Err(locked);
        }
        std::thread::sleep(LOCK_LOOK);
    }
}

/// Kills what holds the instance's lock without being its process: children of one that has ended, or one that a
/// former agent had begun to start.
fn free_lock(supervisor: &ExecSupervisor) {
    let record = record::read(&supervisor.folder);
    if let Some(record) = record.filter(|record| record.boot == supervisor.boot) {
        let lock = lock::path(&supervisor.folder);
        proc::kill_session(record.pid, |pid| proc::has_open(pid, &lock));
    }
}

pub(super) fn keep_down(supervisor: &ExecSupervisor) -> Result<KeptDown, SupervisorError> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        if let Some(process) = supervisor.find()? {
            return Err(SupervisorError::Runs(process.pid()));
        }
        let lock =
            lock::take_for_now(&supervisor.folder).map_err(system("take the instance's lock"))?;
        if let Some(lock) = lock {
            // One that holds no lock is none that an agent started; it is not touched, and nothing under it.
            return match supervisor.find()? {
                None => Ok(KeptDown::new(lock, None)),
                Some(process) => Err(SupervisorError::Runs(process.pid())),
            };
        }
        free_lock(supervisor);
        if Instant::now() >= deadline {
            return Err(SupervisorError::Locked);
        }
        std::thread::sleep(LOCK_LOOK);
    }
}

/// Starts the release; none if another process holds the lock.
fn attempt(
    supervisor: &ExecSupervisor,
    release: &Release,
) -> Result<Option<StorageProcess>, SupervisorError> {
    let settings = &supervisor.settings;
    let working_dir = settings.working_dir.as_ref().unwrap_or(&supervisor.folder);
    folders_are_there(settings.data_dirs.iter().chain([working_dir]))?;
    failpoint::hit(failpoints::START[0]);
    let (report, child) = begin(supervisor, release, working_dir)?;
    failpoint::hit(failpoints::START[1]);
    let process = await_execution(supervisor, report, child)?;
    failpoint::hit(failpoints::START[2]);
    Ok(process)
}

fn begin(
    supervisor: &ExecSupervisor,
    release: &Release,
    working_dir: &Utf8Path,
) -> Result<(OwnedFd, Child), SupervisorError> {
    let settings = &supervisor.settings;
    let release_dir = supervisor.store.folder_of(&settings.component, release);
    let words = settings
        .command
        .iter()
        .map(|word| word.replace(RELEASE_PLACEHOLDER, release_dir.as_str()));
    let log = output::open(&supervisor.folder).map_err(system("open the output file"))?;
    let log_too = log.try_clone().map_err(system("open the output file"))?;
    let (report, report_writer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| system("make a pipe")(error.into()))?;
    let inherited = INHERITED
        .into_iter()
        .filter_map(|name| Some((name, env::var_os(name)?)));
    let child = Command::new("/proc/self/exe")
        .arg(SHIM_MODE)
        .arg(&supervisor.folder)
        .arg(working_dir)
        .arg(configuration::digest_of(settings).to_string())
        .arg(limits::written(&settings.limits))
        .args(words)
        .env_clear()
        .envs(inherited)
        .envs(&settings.env)
        .stdin(Stdio::from(report_writer))
        .stdout(log)
        .stderr(log_too)
        .spawn()
        .map_err(system("start a process"))?;
    Ok((report, child))
}

fn await_execution(
    supervisor: &ExecSupervisor,
    report: OwnedFd,
    mut child: Child,
) -> Result<Option<StorageProcess>, SupervisorError> {
    let timeout = Timespec {
        tv_sec: START_TIMEOUT.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    let ready = poll(&mut [PollFd::new(&report, PollFlags::IN)], Some(&timeout));
    if !matches!(ready, Ok(1..)) {
        let _ = end(child);
        return Err(SupervisorError::Timeout(START_TIMEOUT.as_secs()));
    }
    let mut said = String::new();
    let heard = File::from(report)
        .take(REPORT_BYTES_MAX)
        .read_to_string(&mut said);
    if let Err(error) = heard {
        let _ = end(child);
        return Err(system("hear what became of a process")(error));
    }
    if !said.is_empty() {
        let _ = child.wait();
        return if said == LOCK_IS_HELD {
            Ok(None)
        } else {
            Err(SupervisorError::Refused(said))
        };
    }
    match supervisor.find() {
        Ok(Some(process)) if process.pid() == child.id() => Ok(Some(process.with_child(child))),
        // It did not live until it was looked at.
        Ok(Some(_) | None) => {
            let how = match end(child) {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            Err(SupervisorError::Ended(output::with_last_lines(
                how,
                &supervisor.folder,
            )))
        }
        // What cannot be told apart later must not be left behind: the caller takes it that nothing runs.
        Err(error) => {
            let _ = end(child);
            Err(error.into())
        }
    }
}

/// Ends a child with all that it started in its session, and says how it ended.
fn end(mut child: Child) -> io::Result<ExitStatus> {
    // It is an unreaped child of ours: neither its number nor that of its session is anybody else's.
    proc::kill_session(Pid::from_child(&child), |_| true);
    let _ = child.kill();
    child.wait()
}
