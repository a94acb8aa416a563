//! What `cargo demo` takes.

use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};

/// Upgrade a small storage cluster on this machine while a client writes and reads, and see that it notices nothing.
///
/// Starts a coordinator and five agents with certificates of their own, each agent with a process of the sample store,
/// and takes them from 1.0.0 to 1.1.0. Everything stays on loopback and in one folder.
#[derive(Debug, Parser)]
#[command(
    name = "cargo demo",
    bin_name = "cargo demo --",
    disable_version_flag = true,
    max_term_width = 100,
    after_help = "Ends with 0 when no request failed, no blob was lost and every process runs the new release, with 1 when \
                  that did not hold or could not be tried, with 130 after Ctrl-C."
)]
pub struct Arguments {
    /// Leave the fleet running at the end, for a look round
    #[arg(long)]
    pub(super) keep: bool,
    /// The folder for state, logs and certificates; what an earlier demo left there is deleted
    #[arg(long, global = true, value_name = "DIR", env = "EVENKEEL_DEMO_DIR")]
    pub(super) dir: Option<Utf8PathBuf>,
    #[command(subcommand)]
    pub(super) action: Option<Action>,
}

/// What else it can do.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Action {
    /// Stop what `--keep` left running
    Stop,
}
