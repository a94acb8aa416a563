//! The command line's shape: what every command takes, and the nouns. What a noun's verbs take stands with them.

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};
use evenkeel_common::tls::Address;
use uuid::Uuid;

use crate::output::Format;
use crate::{compat, fleet, init, instance, node, plan, release};

/// Keep a storage fleet on an even keel while it changes.
#[derive(Debug, Parser)]
#[command(
    name = "evenkeel",
    version,
    arg_required_else_help = true,
    propagate_version = false,
    after_help = "`evenkeel --help` also lists the exit statuses.",
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Configuration file [default: ./evenkeel.toml, then evenkeel/evenkeel.toml in $XDG_CONFIG_HOME or ~/.config]
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "EVENKEEL_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<Utf8PathBuf>,

    /// The coordinator's address, instead of the configuration's
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(crate) coordinator: Option<Address>,

    /// How to write: `table` for people, `json` for programs
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "FORMAT"
    )]
    pub(crate) output: Format,

    /// How long one call may take
    #[arg(long, global = true, default_value = "30s", value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a cluster's CA, certificates and configuration, ready to run; run again to add nodes or operators
    Init(init::InitArgs),
    #[command(flatten)]
    Noun(Noun),
    /// Keep the compatibility matrix: which versions may run side by side, and which may follow which
    #[command(subcommand)]
    Compat(compat::CompatCommand),
}

/// What the coordinator is asked about.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Look at the storage hosts
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Look at the storage processes
    #[command(subcommand)]
    Instance(instance::InstanceCommand),
    /// See the fleet change
    #[command(subcommand)]
    Fleet(fleet::FleetCommand),
    /// Publish releases and look at them
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// Make plans, carry them out and see how they go
    #[command(subcommand)]
    Plan(plan::PlanCommand),
}

/// What every command takes that changes something.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChangeArgs {
    /// UUID of the call, for automation: the same one again does nothing twice [default: a new one]
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

impl ChangeArgs {
    /// The id of the call: the one given, or a new one.
    pub(crate) fn request_id(&self) -> Uuid {
        self.request_id.unwrap_or_else(Uuid::new_v4)
    }
}

/// Reads a duration from the command line.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a duration like 500ms, 30s or 5m".to_owned())
}

/// Reads a duration that may be zero.
pub(crate) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        text => humantime::parse_duration(text)
            .map_err(|_| "write a duration like 500ms, 30s or 5m, or 0 for none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_written_with_a_unit() {
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("2").is_err());
        assert!(duration("0s").is_err());
        assert_eq!(duration_or_zero("0"), Ok(Duration::ZERO));
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
        assert!(duration_or_zero("soon").is_err());
    }
}
