//! `cargo xtask bench`: every benchmark, on programs built with optimisation.

use anyhow::Result;

use crate::process;
use crate::programs::{self, Flavour};
use crate::workspace::{self, Workspace};

/// The benchmarks, by package.
const BENCHES: [(&str, &[&str]); 4] = [
    ("evenkeel-compat", &["matrix"]),
    ("evenkeel-coordinator-core", &["planner", "planner_memory"]),
    ("evenkeel-coordinator", &["ledger", "startup"]),
    ("evenkeel-tests", &["rolling"]),
];

/// Runs them one after the other: they would disturb each other.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let places = programs::build(workspace, Flavour::Release)?;
    for (package, benches) in BENCHES {
        for bench in benches {
            let mut command = workspace.cargo("bench");
            command
                .args(["--package", package, "--bench", bench])
                .args(workspace::locked());
            places.tell(&mut command);
            process::run(&mut command)?;
        }
    }
    Ok(())
}
