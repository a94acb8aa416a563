//! `cargo xtask build`: every program that whole-system tests and the demo start, in one place.
//!
//! ```text
//! <target>/programs/<flavour>/<program>           evenkeel-coordinator, evenkeel-agent, evenkeel, evenkeel-demo
//! <target>/samplestore/<version>/samplestore      one source, a feature for each release (release builds: samplestore-release)
//! ```
//!
//! They are copies, so a test that is running keeps its programs while the next build replaces Cargo's own. All builds
//! select the whole workspace and narrow it by target: which features of a dependency are on then never depends on what
//! was asked for, and the releases of the sample store differ in that one crate.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use camino::Utf8PathBuf;
use serde_json::Value;

use crate::workspace::{self, Workspace};
use crate::{cache, place, process};

/// What the demo and the tests start, beside the sample store.
const PROGRAMS: [&str; 6] = [
    "evenkeel-coordinator",
    "evenkeel-agent",
    "evenkeel",
    "evenkeel-demo",
    "evenkeel-bench-process",
    "evenkeel-trivial",
];

/// The package and the program of the sample store.
const SAMPLESTORE: (&str, &str) = ("evenkeel-samplestore", "samplestore");

/// The releases of the sample store: folder name and the feature that makes it.
const SAMPLESTORE_RELEASES: &[(&str, Option<&str>)] = &[
    ("1.0.0", None),
    ("1.1.0", Some("release-1-1")),
    // Broken on purpose: this one exits at once, the next never gets healthy.
    ("1.1.1", Some("faulty-start")),
    ("1.1.2", Some("faulty-health")),
    ("2.0.0", Some("release-2-0")),
];

/// The feature that lets tests stop a program at a named point.
const FAILPOINTS: &str = "failpoints";

/// The feature that lets the simulation make mistakes on purpose.
pub(crate) const PLANTED_BUGS: &str = "planted-bugs";

/// Tells a terminal to empty the line from here on.
const CLEAR_TO_END: &str = "\x1b[K";

/// What the programs are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// As people build them while they work.
    Dev,
    /// With optimisation.
    Release,
    /// As [`Dev`](Self::Dev), with the failpoints of every package that has some, together with all tests.
    Test,
}

/// Where the programs are, as the demo and the tests are told.
pub(crate) struct Places {
    /// The folder of the programs; `EVENKEEL_BIN_DIR`.
    pub(crate) bin_dir: Utf8PathBuf,
    /// The folder with a folder for each release of the sample store; `EVENKEEL_SAMPLESTORE_DIR`.
    pub(crate) samplestore_dir: Utf8PathBuf,
}

impl Places {
    /// Tells a command where the programs are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command
            .env("EVENKEEL_BIN_DIR", &self.bin_dir)
            .env("EVENKEEL_SAMPLESTORE_DIR", &self.samplestore_dir);
    }
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Test => "test",
        }
    }

    fn places(self, target: &Utf8PathBuf) -> Places {
        let samplestore = match self {
            Self::Dev | Self::Test => "samplestore",
            Self::Release => "samplestore-release",
        };
        Places {
            bin_dir: target.join("programs").join(self.name()),
            samplestore_dir: target.join(samplestore),
        }
    }
}

/// Builds the programs and puts them where [`Places`] says. What has not changed is left alone.
pub(crate) fn build(workspace: &Workspace, flavour: Flavour) -> Result<Places> {
    let places = flavour.places(&workspace.target);
    // Cargo's own lock is free between the builds below, and each overwrites `samplestore` in Cargo's folder.
    let _lock = cache::lock_file(&workspace.target.join("programs/lock"))?;

    let mut command = cargo_build(workspace, flavour);
    if flavour == Flavour::Test {
        command
            .args(["--bins", "--tests"])
            .args(test_features(workspace));
    } else {
        command.args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
    }
    let built = executables(&mut command)?;
    for program in PROGRAMS {
        put(&built, program, &places.bin_dir.join(program))?;
    }

    let (package, program) = SAMPLESTORE;
    for (version, feature) in SAMPLESTORE_RELEASES {
        let mut command = cargo_build(workspace, flavour);
        command.args(["--bin", program]);
        if let Some(feature) = feature {
            command.args(["--features", &format!("{package}/{feature}")]);
        }
        let built = executables(&mut command)?;
        put(
            &built,
            program,
            &places.samplestore_dir.join(version).join(program),
        )?;
    }
    Ok(places)
}

/// The features that tests are built with, as arguments for Cargo.
pub(crate) fn test_features(workspace: &Workspace) -> Vec<String> {
    let features: Vec<_> = [FAILPOINTS, PLANTED_BUGS]
        .into_iter()
        .flat_map(|feature| workspace.with_feature(feature))
        .collect();
    if features.is_empty() {
        Vec::new()
    } else {
        vec![format!("--features={}", features.join(","))]
    }
}

fn cargo_build(workspace: &Workspace, flavour: Flavour) -> Command {
    let mut command = workspace.cargo("build");
    command.arg("--workspace").args(workspace::locked());
    if flavour == Flavour::Release {
        command.arg("--release");
    }
    command
}

/// Runs a Cargo build; the programs it made or found fresh, by name.
fn executables(command: &mut Command) -> Result<BTreeMap<String, Utf8PathBuf>> {
    command
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .stdout(Stdio::piped());
    let mut cargo = command
        .spawn()
        .with_context(|| process::not_started(command))?;
    let stdout = cargo.stdout.take().context("no pipe from Cargo")?;
    let mut built = BTreeMap::new();
    let is_watched = io::stderr().is_terminal();
    for (count, line) in BufReader::new(stdout).lines().enumerate() {
        let line = line.context("cannot read what Cargo says")?;
        built.extend(executable(&line));
        if is_watched {
            eprint!("\r{count} parts built{CLEAR_TO_END}");
        }
    }
    if is_watched {
        eprint!("\r{CLEAR_TO_END}");
    }
    let status = cargo.wait().context("cannot wait for Cargo")?;
    anyhow::ensure!(
        status.success(),
        "`{}` failed: {status}",
        process::shown(command)
    );
    Ok(built)
}

/// Name and path, if this message of Cargo's is about a program (and not the tests inside one).
fn executable(message: &str) -> Option<(String, Utf8PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = message.get("target")?;
    let is_program = target
        .get("kind")?
        .as_array()?
        .iter()
        .any(|kind| kind == "bin");
    let is_test = message.get("profile")?.get("test")?.as_bool()?;
    let path = message.get("executable")?.as_str()?;
    (is_program && !is_test)
        .then(|| Some((target.get("name")?.as_str()?.to_owned(), path.into())))?
}

fn put(built: &BTreeMap<String, Utf8PathBuf>, program: &str, to: &Utf8PathBuf) -> Result<()> {
    let from = built
        .get(program)
        .with_context(|| format!("Cargo built no program {program}"))?;
    if place::is_in_place(from, to) {
        Ok(())
    } else {
        place::put(from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, test: bool) -> String {
        serde_json::json!({
            "reason": "compiler-artifact",
            "target": { "name": "evenkeel", "kind": [kind] },
            "profile": { "test": test },
            "executable": "/built/evenkeel",
        })
        .to_string()
    }

    #[test]
    fn a_program_is_told_from_the_tests_inside_it_and_from_other_targets() {
        assert_eq!(
            executable(&message("bin", false)).unwrap(),
            ("evenkeel".to_owned(), "/built/evenkeel".into())
        );
        assert_eq!(executable(&message("bin", true)), None);
        assert_eq!(executable(&message("test", true)), None);
        assert_eq!(
            executable(r#"{"reason":"build-finished","success":true}"#),
            None
        );
        assert_eq!(executable("no JSON"), None);
    }

    #[test]
    fn each_flavour_has_programs_of_its_own() {
        let target = Utf8PathBuf::from("/built");
        let bin_dirs = [Flavour::Dev, Flavour::Release, Flavour::Test]
            .map(|flavour| flavour.places(&target).bin_dir);
        assert_eq!(
            bin_dirs,
            [
                "/built/programs/dev",
                "/built/programs/release",
                "/built/programs/test"
            ]
        );
    }
}
