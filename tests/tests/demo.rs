//! The demo as people run it, its output in a file: what it says, how it ends, and that nothing of it stays.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may be blunt")]

use std::{process::Command, time::Duration};

use anyhow::ensure;
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_tests::{places, processes, program::Program, wait};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a demo may take on a machine that has other things to do.
const WITHIN: Duration = Duration::from_secs(120);

/// A coordinator, five agents and five storage processes.
const PROCESSES: usize = 11;

/// What the shell says of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// A folder to run demos in; whatever still runs there at the end is killed.
struct Folder {
    root: TempDir,
}

impl Folder {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { root }
    }

    fn file(&self, name: &str) -> Utf8PathBuf {
        let root = Utf8Path::from_path(self.root.path()).unwrap();
        root.canonicalize_utf8().unwrap().join(name)
    }

    /// Where the demo is told to be.
    fn place(&self) -> Utf8PathBuf {
        self.file("demo")
    }

    /// Starts the demo with its output in a file of this name.
    fn start(&self, output: &str, arguments: &[&str]) -> Program {
        let mut command = Command::new(places::program("evenkeel-demo").unwrap());
        command
            .args(arguments)
            .args(["--dir", self.place().as_str()]);
        Program::start("the demo", &mut command, &self.file(output)).unwrap()
    }

    /// Runs it to its end; its exit status and what it printed.
    fn run(&self, output: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let mut demo = self.start(output, arguments);
        let status = demo.wait(WITHIN).unwrap();
        (status.code(), demo.printed())
    }

    fn running(&self) -> usize {
        processes::below(&self.place()).len()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        processes::kill_below(&self.place());
    }
}

/// The figure in the line that begins with this name.
fn figure<'a>(printed: &'a str, name: &str) -> &'a str {
    let rest = printed
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(name));
    rest.and_then(|rest| rest.split_whitespace().next())
        .unwrap_or_else(|| panic!("no {name} in: {printed}"))
}

#[test]
fn the_demo_upgrades_a_fleet_tells_the_figures_and_leaves_nothing_running() {
    let folder = Folder::new();
    let (status, printed) = folder.run("output.txt", &[]);
    assert_eq!(status, Some(0), "{printed}");
    assert_eq!(figure(&printed, "failed requests"), "0");
    assert_eq!(figure(&printed, "lost or wrong blobs"), "0");
    let seconds = |name| figure(&printed, name).parse::<f64>().unwrap();
    assert!(seconds("ideal") > 0.0, "{printed}");
    assert!(seconds("upgrade") >= seconds("ideal"), "{printed}");
    assert!(
        seconds("wall time") >= seconds("upgrade") + seconds("soak"),
        "{printed}"
    );
    for number in 1..=5 {
        assert!(
            printed.contains(&format!("n{number}/store is done")),
            "{printed}"
        );
    }
    assert!(!printed.contains('\u{1b}'), "plain lines: {printed}");
    assert_eq!(folder.running(), 0);
}

#[test]
fn a_kept_demo_runs_on_until_it_is_stopped() {
    let folder = Folder::new();
    let (status, printed) = folder.run("kept.txt", &["--keep"]);
    assert_eq!(status, Some(0), "{printed}");
    assert_eq!(folder.running(), PROCESSES, "{printed}");
    let config = folder.place().join("evenkeel.toml");
    assert!(
        printed.contains(&format!("--config {config} instance list")),
        "{printed}"
    );
    let listed = Command::new(places::program("evenkeel").unwrap())
        .args(["--config", config.as_str(), "instance", "list"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.matches("1.1.0").count(), 5, "{listed}");

    let (status, refused) = folder.run("refused.txt", &[]);
    assert_eq!(status, Some(1), "{refused}");
    assert!(
        refused.contains("still runs") && refused.contains("stop --dir"),
        "{refused}"
    );
    assert_eq!(folder.running(), PROCESSES);

    let (status, stopped) = folder.run("stopped.txt", &["stop"]);
    assert_eq!(status, Some(0), "{stopped}");
    assert_eq!(folder.running(), 0);
}

/// Starts a demo, waits for something to be true of it, presses Ctrl-C and looks what is left.
async fn interrupted_when(what: &str, is_so: impl Fn(&Folder, &Program) -> bool) {
    let folder = Folder::new();
    let mut demo = folder.start("output.txt", &[]);
    wait::until(what, WITHIN, || async {
        ensure!(is_so(&folder, &demo), "not yet");
        Ok(())
    })
    .await
    .unwrap();
    let pid = Pid::from_raw(demo.pid().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = demo.wait(WITHIN).unwrap();
    assert_eq!(
        status.code(),
        Some(INTERRUPTED),
        "{what}: {}",
        demo.printed()
    );
    assert_eq!(folder.running(), 0, "{what}: {}", demo.printed());
}

#[tokio::test]
async fn ctrl_c_while_the_fleet_starts_leaves_nothing_running() {
    interrupted_when("some of the fleet to run", |folder, _| folder.running() > 0).await;
    interrupted_when("all of the fleet to run", |folder, _| {
        folder.running() >= PROCESSES
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_during_the_upgrade_leaves_nothing_running() {
    for printed in ["as the canary", "n3/store in z3 goes"] {
        interrupted_when(printed, |_, demo| demo.printed().contains(printed)).await;
    }
}
