//! `cargo xtask sim`: the fleet simulation (docs/SIMULATION.md), with its planted bugs built in and none of them on.

use std::process::ExitCode;

use anyhow::Result;

use crate::process;
use crate::workspace::{self, Workspace};

/// Runs the simulation with these arguments; its exit status.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let mut command = workspace.cargo("run");
    command
        .args(["--quiet", "--package", "evenkeel-sim"])
        .args(["--features", "planted-bugs"])
        .args(workspace::locked())
        .arg("--")
        .args(arguments);
    process::pass_through(&mut command)
}
