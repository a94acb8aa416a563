//! A program of somebody else's, run within limits: of time, of output, and in a process group that ends with it.
//!
//! One that is on a disk that hangs, or uses one, may not even end when it is killed. Nothing waits for it but a thread
//! of its own, while it is started, and then a task that looks now and then whether it has ended, and keeps its turn
//! from the next one until it has.

use std::{
    env, io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
    runtime::Handle,
    sync::{OwnedSemaphorePermit, oneshot},
    time::{sleep, timeout},
    try_join,
};

use crate::supervisor::ExitWatcher;

/// What of the agent's own environment it gets.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ"];

/// What is kept of the last line of its standard error, in characters.
const LAST_LINE_CHARS_MAX: usize = 500;

/// How soon, and how often at the least, it is looked whether one that was killed has ended.
const REAP_WAIT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// What the thread that starts one may use, in bytes.
const STACK_BYTES: usize = 256 << 10;

/// What it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// From its start to its end.
    pub(crate) time: Duration,
    /// On each of its standard output and its standard error.
    pub(crate) output_bytes: usize,
}

/// A user and a group, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// Its one group.
    pub gid: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            output_bytes: 64 << 10,
        }
    }
}

/// Why it did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be told anything.
    #[error("what it has to be told cannot be written as JSON")]
    Input(#[from] serde_json::Error),
    /// It cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It cannot be talked to.
    #[error("cannot talk to it")]
    Talk(#[from] io::Error),
    /// It took too long.
    #[error("it did not end within {0:?}")]
    Timeout(Duration),
    /// It said too much.
    #[error("it wrote more than {0} bytes")]
    Output(usize),
}

/// A program to run.
pub(crate) struct Program<'a> {
    pub(crate) command: &'a [String],
    /// What follows the command's own arguments.
    pub(crate) last_argument: Option<&'a str>,
    /// Whom it runs as; the agent's own user where this is not set.
    pub(crate) user: Option<User>,
    /// What it gets on its standard input.
    pub(crate) input: Vec<u8>,
    pub(crate) limits: Limits,
    /// What is not given back before it has ended, which may be long after it was killed.
    pub(crate) turn: Option<OwnedSemaphorePermit>,
}

/// A program that ran.
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) output: Vec<u8>,
    /// The last line on its standard error.
    pub(crate) last_line: String,
}

impl Program<'_> {
    /// Runs it. Dropped before its end, it ends with all that is in its process group.
    pub(crate) async fn run(mut self, watcher: &ExitWatcher) -> Result<Ran, ProgramError> {
        let Limits { time, output_bytes } = self.limits;
        let run = async {
            let mut group = self.start().await?;
            let (output, errors) = group.talk(&self.input, output_bytes, watcher).await?;
            Ok(Ran {
                status: group.end()?,
                output,
                last_line: last_line(&errors),
            })
        };
        let ran = timeout(time, run).await;
        ran.map_err(|_| ProgramError::Timeout(time))?
    }

    /// Starts it, on a thread of its own: that takes until its file is read.
    async fn start(&mut self) -> Result<Group, ProgramError> {
        let (program, arguments) = match self.command.split_first() {
            Some((program, arguments)) => (program.as_str(), arguments),
            None => ("", [].as_slice()),
        };
        let inherited = INHERITED
            .into_iter()
            .filter_map(|name| Some((name, env::var_os(name)?)));
        let mut command = Command::new(program);
        if let Some(User { uid, gid }) = self.user {
            // With the user go the other groups that root is in.
            command.uid(uid).gid(gid);
        }
        command
            .args(arguments)
            .args(self.last_argument)
            .env_clear()
            .envs(inherited)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let failed = |source| ProgramError::Start {
            program: program.to_owned(),
            source,
        };
        let (turn, runtime) = (self.turn.take(), Handle::current());
        let (started, group) = oneshot::channel();
        thread::Builder::new()
            .name("program".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _entered = runtime.enter();
                let child = command.spawn();
                let group = child.map(|child| Group {
                    child: Some(child),
                    turn,
                });
                // One that nobody waits for any more ends here.
                drop(started.send(group));
            })
            .map_err(failed)?;
        let group = group.await.map_err(io::Error::other);
        group.flatten().map_err(failed)
    }
}

/// A process group that ends with this. Its leader is not waited for before that, so the number is nobody else's.
struct Group {
    child: Option<Child>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Group {
    /// Tells it what it has to be told, hears what it says, and waits until its leader has ended. Then nothing of the
    /// group is left.
    async fn talk(
        &mut self,
        input: &[u8],
        output_bytes: usize,
        watcher: &ExitWatcher,
    ) -> Result<(Vec<u8>, Vec<u8>), ProgramError> {
        let gone = || io::Error::other("it is gone");
        let child = self.child.as_mut().ok_or_else(gone)?;
        let pid = Pid::from_child(child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)?;
        let ended = watcher.watch(&Arc::new(pidfd))?;
        let fd = |stream: Option<OwnedFd>| stream.ok_or_else(gone);
        let told = pipe::Sender::from_owned_fd(fd(child.stdin.take().map(OwnedFd::from))?)?;
        let output = pipe::Receiver::from_owned_fd(fd(child.stdout.take().map(OwnedFd::from))?)?;
        let errors = pipe::Receiver::from_owned_fd(fd(child.stderr.take().map(OwnedFd::from))?)?;
        let ended = async {
            // The watcher goes only with the program.
            let _ = ended.await;
            kill(pid);
            Ok(())
        };
        let (output, errors, (), ()) = try_join!(
            read(output, output_bytes),
            read(errors, output_bytes),
            tell(told, input),
            ended,
        )?;
        Ok((output, errors))
    }

    /// How its leader ended, which it has.
    fn end(mut self) -> io::Result<ExitStatus> {
        match self.child.take() {
            Some(mut child) => child.wait(),
            None => Err(io::Error::other("it is gone")),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else {
            return;
        };
        kill(Pid::from_child(&child));
        // Without a runtime the agent is about to end, and the system takes the rest.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(reap(child, self.turn.take()));
        }
    }
}

/// Takes the end of a program that was killed, whenever that is, and then gives its turn back.
async fn reap(mut child: Child, turn: Option<OwnedSemaphorePermit>) {
    let (mut wait, longest) = REAP_WAIT;
    while let Ok(None) = child.try_wait() {
        sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
    drop(turn);
}

/// Kills a process group whose leader was not waited for.
fn kill(leader: Pid) {
    // It may have ended by itself.
    let _ = kill_process_group(leader, Signal::KILL);
}

async fn tell(mut to: pipe::Sender, input: &[u8]) -> Result<(), ProgramError> {
    match to.write_all(input).await {
        // It need not listen.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn read(from: impl AsyncRead + Unpin, bytes_max: usize) -> Result<Vec<u8>, ProgramError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    from.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .await?;
    if bytes.len() > bytes_max {
        return Err(ProgramError::Output(bytes_max));
    }
    Ok(bytes)
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    let line = line.unwrap_or_default().trim().chars();
    line.take(LAST_LINE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::sync::Semaphore;

    use super::*;

    async fn run(script: &str, limits: Limits) -> Result<Ran, ProgramError> {
        let command = ["/bin/sh", "-c", script, "sh"].map(str::to_owned);
        let program = Program {
            command: &command,
            last_argument: Some("verb"),
            user: None,
            input: b"{\"told\":1}".to_vec(),
            limits,
            turn: None,
        };
        program.run(&ExitWatcher::start().unwrap()).await
    }

    /// Whether this process, written into a file, has ended.
    async fn has_ended(file: &std::path::Path) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let pid = std::fs::read_to_string(file).unwrap_or_default();
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            if !pid.is_empty() && stat.map_or(true, |stat| stat.contains(") Z ")) {
                return;
            }
            assert!(Instant::now() < deadline, "process {pid} lives");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn it_is_told_and_heard() {
        let script = r#"cat; echo "$1 $#" ; echo first >&2; echo last >&2; exit 7"#;
        let ran = run(script, Limits::default()).await.unwrap();
        assert_eq!(ran.status.code(), Some(7));
        assert_eq!(ran.output, b"{\"told\":1}verb 1\n");
        assert_eq!(ran.last_line, "last");
    }

    #[tokio::test]
    async fn it_need_not_listen() {
        let limits = Limits::default();
        let ran = run("exec <&-; sleep 0.05; exit 0", limits).await.unwrap();
        assert!(ran.status.success());
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let child = dir.path().join("child");
        let script = format!("sleep 1000 & echo $! > {}; wait", child.display());
        let limits = Limits {
            time: Duration::from_millis(300),
            ..Limits::default()
        };
        let error = run(&script, limits).await.err().unwrap();
        assert!(matches!(error, ProgramError::Timeout(_)), "{error}");
        has_ended(&child).await;
    }

    /// A turn, and whose it is.
    async fn turn() -> (Arc<Semaphore>, Option<OwnedSemaphorePermit>) {
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns).acquire_owned().await.unwrap();
        (turns, Some(turn))
    }

    #[tokio::test]
    async fn what_left_its_group_holds_its_turn_no_longer_than_it_runs_itself() {
        let dir = tempfile::tempdir().unwrap();
        let child = dir.path().join("child");
        let script = format!(
            "setsid sh -c 'echo $$ > {0}; exec sleep 1000' & while ! test -s {0}; do sleep 0.01; done",
            child.display()
        );
        let command = ["/bin/sh", "-c", &script].map(str::to_owned);
        let (turns, turn) = turn().await;
        let program = Program {
            command: &command,
            last_argument: None,
            user: None,
            input: Vec::new(),
            limits: Limits {
                time: Duration::from_secs(2),
                ..Limits::default()
            },
            turn,
        };
        // It has its output still.
        let error = program.run(&ExitWatcher::start().unwrap()).await;
        assert!(matches!(error.err(), Some(ProgramError::Timeout(_))));
        let next = timeout(Duration::from_secs(10), turns.acquire()).await;
        drop(next.unwrap().unwrap());
        let pid = std::fs::read_to_string(&child).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[test]
    fn one_that_does_not_end_keeps_its_turn_and_no_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            // It ends with its input, as nobody kills it here.
            let child = Command::new("cat").stdin(Stdio::piped()).spawn();
            let mut child = child.unwrap();
            let input = child.stdin.take();
            let (turns, turn) = turn().await;
            let reaping = tokio::spawn(reap(child, turn));
            let others = tokio::task::spawn_blocking(|| ());
            let others = timeout(Duration::from_secs(10), others).await;
            others.unwrap().unwrap();
            let next = timeout(Duration::from_millis(50), turns.acquire()).await;
            assert!(next.is_err(), "its turn is given to another");
            drop(input);
            let next = timeout(Duration::from_secs(10), turns.acquire()).await;
            drop(next.unwrap().unwrap());
            reaping.await.unwrap();
        });
    }

    #[tokio::test]
    async fn what_it_leaves_behind_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let child = dir.path().join("child");
        let script = format!("sleep 1000 & echo $! > {}", child.display());
        let ran = run(&script, Limits::default()).await.unwrap();
        assert!(ran.status.success());
        has_ended(&child).await;
    }

    #[tokio::test]
    async fn one_that_talks_without_end_is_ended() {
        for script in ["yes", "yes >&2"] {
            let error = run(script, Limits::default()).await.err().unwrap();
            assert!(matches!(error, ProgramError::Output(65_536)), "{error}");
        }
    }

    #[tokio::test]
    async fn its_environment_is_what_it_needs() {
        let ran = run("env", Limits::default()).await.unwrap();
        let output = String::from_utf8(ran.output).unwrap();
        let foreign = output.lines().find(|line| {
            let name = line.split('=').next().unwrap_or_default();
            // What a shell sets by itself.
            !INHERITED.contains(&name) && !["PWD", "OLDPWD", "SHLVL", "_"].contains(&name)
        });
        assert_eq!(foreign, None);
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_an_error() {
        let command = ["/nowhere/driver".to_owned()];
        let program = Program {
            command: &command,
            last_argument: Some("verb"),
            user: None,
            input: Vec::new(),
            limits: Limits::default(),
            turn: None,
        };
        let error = program.run(&ExitWatcher::start().unwrap()).await;
        let error = error.err().unwrap();
        assert_eq!(error.to_string(), "cannot start /nowhere/driver");
    }
}
