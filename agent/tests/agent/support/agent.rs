//! The agent as a process of its own.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process};

use super::{Place, wait_for};

/// Which process it is: its number and its start time, in clock ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    start_ticks: u64,
}

impl ProcessId {
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let alive = !matches!(fields[0], "Z" | "X");
        alive.then(|| Self {
            pid,
            start_ticks: fields[19].parse().unwrap(),
        })
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// The processes that it has started.
    pub(crate) fn children(self) -> Vec<Self> {
        let path = format!("/proc/{pid}/task/{pid}/children", pid = self.pid);
        let children = fs::read_to_string(path).unwrap();
        let pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
        pids.filter_map(Self::of).collect()
    }

    pub(crate) fn signal(self, signal: Signal) {
        assert!(self.is_alive());
        kill_process(Pid::from_raw(self.pid).unwrap(), signal).unwrap();
    }

    /// From now on it takes no signal but SIGKILL. Before it stands still, another signal might be faster.
    pub(crate) fn freeze(self) {
        self.signal(Signal::STOP);
        wait_for("it to stand still", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
            stat.rsplit_once(')')?.1.starts_with(" T").then_some(())
        });
    }
}

/// An agent, and what it leaves behind; all of it ends with this.
pub(crate) struct Agent<'a> {
    place: &'a Place,
    child: Child,
}

impl<'a> Agent<'a> {
    pub(crate) fn start(place: &'a Place) -> Self {
        Self {
            place,
            child: spawn(place, ""),
        }
    }

    /// The agent ends as if the power went, and its place is taken by a new one.
    pub(crate) fn restart(&mut self) {
        self.restart_with("");
    }

    /// As [`Agent::restart`], with one that dies at a failpoint.
    pub(crate) fn restart_with(&mut self, failpoint: &str) {
        self.kill();
        self.child = spawn(self.place, failpoint);
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the agent's end", || self.child.try_wait().unwrap())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.place.root.join("agent.log")).unwrap()
    }

    /// The instance's process, if it lives.
    pub(crate) fn storage(&self) -> Option<ProcessId> {
        storage_of(self.place)
    }

    /// Waits until the instance answers, and gives its process and the release that answered.
    #[track_caller]
    pub(crate) fn wait_until_it_serves(&self, release: &str) -> ProcessId {
        wait_for(&format!("release {release} to answer"), || {
            let answer = ask(self.place.address)?;
            (answer == format!("release {release}")).then(|| self.storage())?
        })
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(storage) = storage_of(self.place) {
            storage.signal(Signal::KILL);
        }
    }
}

fn spawn(place: &Place, failpoint: &str) -> Child {
    let log = File::options()
        .append(true)
        .create(true)
        .open(place.root.join("agent.log"))
        .unwrap();
    command(&place.root.join("agent.toml"))
        .env("EVENKEEL_FAILPOINT", failpoint)
        .env("DBUS_SYSTEM_BUS_ADDRESS", place.bus())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn storage_of(place: &Place) -> Option<ProcessId> {
    let record = fs::read(place.of_instance("process.json")).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let pid = i32::try_from(record["pid"].as_i64().unwrap()).unwrap();
    ProcessId::of(pid).filter(|process| Some(process.start_ticks) == record["start_ticks"].as_u64())
}

/// What the storage process answers, if it does.
fn ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// The agent's program with this configuration.
pub(crate) fn command(config: &Utf8Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel-agent"));
    command.arg("--config").arg(config).stdin(Stdio::null());
    command
}
