//! The coordinator's program: reads its configuration and starts things.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use camino::Utf8PathBuf;
use clap::Parser;
use evenkeel_common::{
    service, telemetry,
    tls::{Incoming, IncomingLimits, ServerTls, listen},
};
use evenkeel_coordinator::{
    api::{self, Sessions, Shared},
    artifacts::Artifacts,
    settings::{ENV_PREFIX, Settings},
    startup,
    vitals::Vitals,
    writer,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The Evenkeel coordinator: owns the plan and the state of a storage fleet, and serves gRPC over mTLS.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-coordinator", version)]
struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        env = "EVENKEEL_COORDINATOR_CONFIG",
        default_value = "/etc/evenkeel/coordinator.toml"
    )]
    config: Utf8PathBuf,
    /// Checks the configuration and the files that it names, and exits.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config)?;
    let tls = ServerTls::load(settings.tls.clone(), settings.revocation_lists.clone())?;
    let own = settings.tls.own_facts()?;
    if *own.identity.cluster() != settings.cluster {
        anyhow::bail!(
            "the certificate {} is that of cluster {}, the configuration says {}",
            settings.tls.certificate,
            own.identity.cluster(),
            settings.cluster
        );
    }
    if arguments.check_config {
        tracing::info!(
            "{} is good; single settings can be set as {ENV_PREFIX}__SETTING",
            arguments.config
        );
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(settings, tls))
}

async fn serve(settings: Settings, tls: ServerTls) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let opened = startup::open(&settings.data_dir, settings.cluster.as_str())?;
    let artifacts_dir = settings.data_dir.join("artifacts");
    let artifacts = Artifacts::open(artifacts_dir.clone())
        .with_context(|| format!("cannot open the artifacts in {artifacts_dir}"))?;
    let listener =
        listen(settings.listen).with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = listener.local_addr().context("cannot tell the address")?;
    let tls = Arc::new(tls);
    let incoming = Incoming::start(
        listener,
        Arc::clone(&tls),
        IncomingLimits::default(),
        shutdown.clone(),
    );

    let sessions = Sessions::default();
    let (core, writer) = writer::start(
        opened,
        settings.liveness,
        sessions.clone(),
        shutdown.clone(),
    )?;
    watch_signals(tls, shutdown.clone())?;
    tokio::spawn(service::keep_alive());
    service::ready();
    tracing::info!(cluster = %settings.cluster, %address, "serving");
    let shared = Shared {
        core,
        artifacts,
        sessions,
        vitals: Vitals::default(),
        settings: Arc::new(settings),
        shutdown: shutdown.clone(),
    };
    let served = api::serve(shared, incoming).await;
    shutdown.cancel();
    let written = tokio::task::spawn_blocking(|| writer.join())
        .await
        .context("cannot wait for the writer")?;
    written?;
    served
}

/// SIGTERM and SIGINT stop the coordinator, SIGHUP has it read its certificates again.
fn watch_signals(tls: Arc<ServerTls>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    service::reloading();
                    match tls.reload() {
                        Ok(()) => tracing::info!("certificates read again"),
                        Err(error) => tracing::error!(%error, "certificates stay as they were"),
                    }
                    service::ready();
                }
            }
        }
        service::stopping();
        tracing::info!("stopping");
        shutdown.cancel();
    });
    Ok(())
}
