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
    programs_without_bugs(workspace)?;
    eprintln!("formatting, clippy and proto files are clean");
    Ok(())
}

/// The programs that people install are built without the mistakes that the simulation makes on purpose.
fn programs_without_bugs(workspace: &Workspace) -> Result<()> {
    for program in ["evenkeel-coordinator", "evenkeel-agent", "evenkeel"] {
        let mut tree = workspace.cargo("tree");
        tree.args(["--package", program, "--edges", "features,normal"])
            .args(workspace::locked());
        let tree = process::capture(&mut tree)?;
        let tree = String::from_utf8_lossy(&tree.stdout);
        anyhow::ensure!(
            tree.contains("evenkeel-words") && !tree.contains(programs::PLANTED_BUGS),
            "{program} would be built with planted bugs, or it cannot be told"
        );
    }
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
