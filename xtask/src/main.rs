//! What people working on Evenkeel type often, as `cargo xtask <command>`.
//!
//! One module a command ([`fetch`], [`programs`], [`demo`], [`test`], [`sim`], [`package`], [`lint`]) over a few that they share: [`pins`] says
//! which foreign programs are used and what their bytes must be, [`cache`] where they are kept, [`process`] how other
//! programs are run, [`workspace`] what Cargo knows of this tree. Everything this program has to say goes to stderr, so
//! the output of what it runs stays usable.

mod bench;
mod cache;
mod demo;
mod digest;
mod environment;
mod fetch;
mod lint;
mod package;
mod pins;
mod place;
mod process;
mod programs;
mod sim;
mod source;
mod system;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::cache::Cache;
use crate::programs::Flavour;
use crate::workspace::Workspace;

/// What people working on Evenkeel type often.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_version_flag = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Download the storage systems and tools that tests and lints use, pinned by SHA-256.
    Fetch,
    /// Build the programs and every release of the sample store into one place.
    Build {
        /// Build with optimisation.
        #[arg(long)]
        release: bool,
    },
    /// Build what the demo needs, then run it with these arguments.
    #[command(disable_help_flag = true)]
    Demo {
        /// Passed to the demo as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Fetch and build what the tests need, then run doc tests and all tests.
    #[command(disable_help_flag = true)]
    Test {
        /// Passed to `cargo nextest run --workspace` as they are; with any, doc tests are left out.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Live lives of simulated fleets (docs/SIMULATION.md): `--seeds N --from S [--trace]`, `--bug NAME`.
    #[command(disable_help_flag = true)]
    Sim {
        /// Passed to the simulation as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build with optimisation, then run every benchmark (docs/BENCHMARKS.md).
    Bench,
    /// Build a Debian package of each daemon.
    Package,
    /// Check formatting, clippy and the proto files.
    Lint,
    /// Check licences, bans and sources of the dependencies (`deny.toml`).
    Deny,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let cache = Cache::locate(|name| std::env::var(name).ok())?;
    match command {
        Command::Fetch => {
            fetch::everything(&cache)?;
            eprintln!("storage systems are in {}", cache.systems());
        }
        Command::Build { release } => {
            let flavour = if release {
                Flavour::Release
            } else {
                Flavour::Dev
            };
            let places = programs::build(&Workspace::load()?, flavour)?;
            eprintln!("programs are in {}", places.bin_dir);
            eprintln!(
                "releases of the sample store are in {}",
                places.samplestore_dir
            );
        }
        Command::Demo { arguments } => return demo::run(&Workspace::load()?, &arguments),
        Command::Test { arguments } => return test::run(&Workspace::load()?, &cache, &arguments),
        Command::Sim { arguments } => return sim::run(&Workspace::load()?, &arguments),
        Command::Bench => bench::run(&Workspace::load()?)?,
        Command::Package => package::run(&Workspace::load()?, &cache)?,
        Command::Lint => lint::run(&Workspace::load()?, &cache)?,
        Command::Deny => lint::deny(&Workspace::load()?, &cache)?,
    }
    Ok(ExitCode::SUCCESS)
}
