//! The program: reads its arguments and runs a node.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use evenkeel_samplestore::release::{BUILT, Fault};
use evenkeel_samplestore::{Settings, serve};
use tokio::signal::unix::{SignalKind, signal};

/// A small replicated blob store
#[derive(Parser)]
#[command(name = "samplestore", version = BUILT.version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node
    Serve {
        /// Address to serve clients and peers on
        #[arg(long, value_name = "HOST:PORT")]
        listen: SocketAddr,
        /// Directory of this node's copy of the blobs; made if there is none
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// All nodes of the cluster, with or without this one
        #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true)]
        peers: Vec<SocketAddr>,
        /// What the node calls itself [default: its address]
        #[arg(long)]
        name: Option<String>,
    },
    /// Print the version
    Version,
}

fn main() -> ExitCode {
    match carry_out(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("samplestore: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Version => Ok(writeln!(
            std::io::stdout(),
            "samplestore {}",
            BUILT.version
        )?),
        Command::Serve {
            listen,
            data,
            peers,
            name,
        } => {
            if BUILT.fault == Some(Fault::DoesNotStart) {
                bail!("samplestore {} does not start, on purpose", BUILT.version);
            }
            run(&Settings::new(listen, data, peers, name)?)
        }
    }
}

fn run(settings: &Settings) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok(serve(settings, BUILT, stop).await?)
    })
}
