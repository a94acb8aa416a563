//! `cargo xtask demo`: builds what the demo needs and becomes the demo.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::process;
use crate::programs::{self, Flavour};
use crate::workspace::Workspace;

/// Tells the demo which folder is its own, unless somebody has said so already.
const DIR: &str = "EVENKEEL_DEMO_DIR";

/// Replaces this process by the demo, so that signals, the terminal and the exit status are the demo's own.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    eprintln!("building what the demo needs (some minutes the first time, seconds later)");
    let places = programs::build(workspace, Flavour::Dev)?;
    let mut demo = Command::new(places.bin_dir.join("evenkeel-demo"));
    places.tell(demo.args(arguments));
    if env::var_os(DIR).is_none() {
        demo.env(DIR, workspace.target.join("demo"));
    }
    let error = demo.exec();
    Err(error).with_context(|| process::not_started(&demo))
}
