//! `cargo xtask package`: a Debian package of each daemon, for the machine that it is built on.

use anyhow::Result;

use crate::cache::Cache;
use crate::workspace::{self, Workspace};
use crate::{process, tools};

/// What is packaged; how, is said in each `Cargo.toml`.
const PACKAGES: [&str; 2] = ["evenkeel-coordinator", "evenkeel-agent"];

/// Builds them into `<target>/debian`.
pub(crate) fn run(workspace: &Workspace, cache: &Cache) -> Result<()> {
    for package in PACKAGES {
        let mut command = tools::DEB.command(workspace, cache)?;
        command
            .args(["deb", "--quiet", "--package", package])
            .args(workspace::locked());
        process::run(&mut command)?;
    }
    eprintln!("packages are in {}", workspace.target.join("debian"));
    Ok(())
}
