//! `evenkeel-agent`: reads the configuration and starts the agent.

use std::{env, process::ExitCode, time::Duration};

use anyhow::Context as _;
use camino::Utf8PathBuf;
use clap::Parser;
use evenkeel_agent::{
    config::Settings,
    driver, rebuild, run,
    supervisor::{
        exec::{SHIM_MODE, become_instance},
        systemd,
    },
};

/// Runs, watches, swaps and restarts the storage processes of this host, as the coordinator says and the
/// configuration allows.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-agent", version)]
struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        value_name = "PATH",
        env = "EVENKEEL_AGENT_CONFIG",
        default_value = "/etc/evenkeel/agent.toml"
    )]
    config: Utf8PathBuf,
    /// Read and check the configuration, say what is wrong with it, and do nothing else.
    #[arg(long)]
    check_config: bool,
}

/// Exit status for a configuration that cannot be used.
const EXIT_CONFIG: u8 = 2;

/// How long work on files may take to end when the agent stops; nothing is lost if it takes longer.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|mode| mode == SHIM_MODE) {
        return become_instance(arguments.collect());
    }
    let arguments = Arguments::parse();
    evenkeel_common::telemetry::init();
    let settings = match Settings::load(&arguments.config) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!("{:#}", anyhow::Error::new(error));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let mut problems = problems(&settings);
    if arguments.check_config {
        match problems_of_units(&settings) {
            Ok(more) => problems.extend(more),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    if arguments.check_config {
        if !problems.is_empty() {
            return ExitCode::from(EXIT_CONFIG);
        }
        tracing::info!(config = %arguments.config, instances = settings.instances.len(), "the configuration is good");
        return ExitCode::SUCCESS;
    }
    match start(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the configuration asks of this host and the host does not have, now. It may come yet, so it keeps nothing
/// from being started.
fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    for instance in &settings.instances {
        let name = &instance.name;
        let folders = instance.rebuild.iter().flat_map(|r| &r.folders);
        problems.extend(
            folders
                .filter_map(|folder| rebuild::problem(folder))
                .map(|problem| format!("instance.{name}.rebuild.empty: {problem}")),
        );
        let driver = instance.driver.as_ref().and_then(driver::problem);
        problems.extend(driver.map(|problem| format!("instance.{name}.driver.command: {problem}")));
    }
    problems
}

/// What is wrong with the units that are named, as systemd has read them.
fn problems_of_units(settings: &Settings) -> anyhow::Result<Vec<String>> {
    Ok(runtime()?.block_on(systemd::problems(settings)))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .build()
        .context("cannot start the runtime")
}

fn start(settings: Settings) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let ran = runtime.block_on(run::run(settings));
    runtime.shutdown_timeout(STOP_TIMEOUT);
    Ok(ran?)
}
