//! The Evenkeel command line: the admin client.

mod init;

use std::io::Write as _;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "evenkeel",
    version,
    about = "Keep a storage fleet on an even keel while it changes"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a cluster's CA, certificates and configuration, ready to run; run again to add nodes or operators
    Init(init::InitArgs),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Init(args) => {
            let report = init::run(&args)?;
            write!(std::io::stdout(), "{report}")?;
        }
    }
    Ok(())
}
