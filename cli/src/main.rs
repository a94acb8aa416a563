//! `evenkeel`: the admin client.
//!
//! One module for each noun of the command line; [`client`] makes their calls, [`output`] writes what they found,
//! [`failure`] says what went wrong and [`exit`] with which status that ends.

mod args;
mod client;
mod compat;
mod config;
mod exit;
mod failure;
mod fleet;
mod follow;
mod init;
mod instance;
mod look;
mod node;
mod output;
mod plan;
#[cfg(test)]
mod reference;
mod release;
mod session;
mod table;
mod time;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use tokio::runtime::Builder;

use args::{Cli, Command, Globals, Noun};
use exit::Exit;
use failure::Failure;
use output::{Output, remark};
use session::Session;

fn main() -> ExitCode {
    let matches = Cli::command().after_long_help(exit::table()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Whoever closed the output has seen enough.
            if failure.exit != Exit::BrokenPipe {
                remark(format!("error: {}", failure.sentence));
                if let Some(hint) = &failure.hint {
                    remark(format!("hint: {hint}"));
                }
            }
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Init(args) => {
            let report = init::run(&args).map_err(|error| Failure::local(error.as_ref()))?;
            Output::new(cli.globals.output).result(&report, || report.to_string())
        }
        Command::Noun(noun) => block_on(ask(cli.globals, noun)),
        Command::Compat(command) => block_on(compat::run(cli.globals, command)),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::local(&error))?;
    runtime.block_on(work)
}

/// Everything that needs the coordinator.
async fn ask(globals: Globals, noun: Noun) -> Result<(), Failure> {
    let session = Session::begin(globals).await?;
    match noun {
        Noun::Node(command) => node::run(&session, command).await,
        Noun::Instance(command) => instance::run(&session, command).await,
        Noun::Fleet(command) => fleet::run(&session, command).await,
        Noun::Release(command) => release::run(&session, command).await,
        Noun::Plan(command) => plan::run(&session, command).await,
    }
}
