//! `cargo xtask lint` and `cargo xtask deny`: what is checked without running anything that was built.

use std::process::Command;

use anyhow::Result;

use crate::cache::Cache;
use crate::workspace::{self, Workspace};
use crate::{fetch, process, programs, tools};

/// Formatting, clippy without a warning, and the proto files' form and rules (`proto/buf.yaml`).
pub(crate) fn run(workspace: &Workspace, cache: &Cache) -> Result<()> {
    process::run(workspace.cargo("fmt").args(["--all", "--check"]))?;
    let mut clippy = workspace.cargo("clippy");
    clippy
        .args(["--workspace", "--all-targets"])
        .args(workspace::locked())
        .args(programs::test_features(workspace));
    process::run(clippy.args(["--", "-D", "warnings"]))?;
    let buf = fetch::tool(cache, "buf")?;
    for check in [&["lint"][..], &["format", "--diff", "--exit-code"]] {
        process::run(
            Command::new(&buf)
                .current_dir(workspace.root.join("proto"))
                .args(check),
        )?;
    }
    eprintln!("formatting, clippy and proto files are clean");
    Ok(())
}

/// Licences, bans and sources against `deny.toml`.
pub(crate) fn deny(workspace: &Workspace, cache: &Cache) -> Result<()> {
    let mut deny = tools::DENY.command(workspace, cache)?;
    deny.args([
        "--workspace",
        "--all-features",
        "check",
        "--hide-inclusion-graph",
    ]);
    process::run(deny.args(["bans", "licenses", "sources"]))
}
