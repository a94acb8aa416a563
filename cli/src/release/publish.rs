//! `evenkeel release publish`: signs here, sends the bytes, and shows how far they are.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use clap::Args;
use evenkeel_common::manifest::{ReleaseManifest, SignedManifest, SigningKey};
use evenkeel_common::names::ComponentName;
use evenkeel_common::platform::{PLATFORMS, current};
use evenkeel_common::tree_path::TreePath;
use evenkeel_proto::v1;
use evenkeel_proto::v1::publish_release_request::Part;
use evenkeel_proto::v1::release_service_client::ReleaseServiceClient;
use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};
use semver::Version;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::artifact::{Artifact, ArtifactError};
use crate::args::ChangeArgs;
use crate::client::{persistently, required};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::Release;

/// Pieces that are read ahead of what the coordinator takes.
const PIECES_AHEAD: usize = 2;

/// What publishing takes.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// The component that the file is a version of
    #[arg(short, long, value_name = "COMPONENT")]
    component: ComponentName,
    /// Its version (semver)
    // No `-V`: that is the program's own version everywhere else.
    #[arg(long, value_name = "VERSION")]
    version: Version,
    /// What it runs on [default: what this program runs on]
    #[arg(long, value_name = "OS/ARCH", default_value = current(), hide_default_value = true, value_parser = PLATFORMS)]
    platform: String,
    /// The private key that signs the release (PEM), as `evenkeel init` made it
    #[arg(short, long, value_name = "PATH")]
    key: Utf8PathBuf,
    /// The executable in the archive, where the file is one (`.tar.zst` or `.tar.gz`)
    #[arg(short, long, value_name = "PATH")]
    executable: Option<TreePath>,
    /// The executable, or an archive with it and all that goes with it
    file: Utf8PathBuf,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(session: &Session, args: PublishArgs) -> Result<(), Failure> {
    let request_id = args.change.request_id();
    let (artifact, manifest) = spawn_blocking(move || prepare(&args))
        .await
        .map_err(broken)??;
    let artifact = Arc::new(artifact);
    let bar = progress_bar(session.output.live, artifact.size_bytes);
    let answer = persistently(async || {
        bar.reset();
        let header = header(request_id, manifest.clone());
        send(session, header, Arc::clone(&artifact), &bar).await
    })
    .await;
    bar.finish_and_clear();
    let answer = answer.map_err(|failure| failure.of_change(request_id))?;
    let release = Release::from(required(answer.release, "release")?);
    session.output.result(&release, || {
        format!(
            "{} {} is published: {}, sha256:{}",
            release.component,
            release.version,
            BinaryBytes(artifact.size_bytes),
            artifact.digest
        )
    })
}

/// Everything that can fail before a byte is sent.
fn prepare(args: &PublishArgs) -> Result<(Artifact, SignedManifest), Failure> {
    let executable = args.executable.as_ref();
    let artifact = Artifact::inspect(&args.file, &args.platform, executable).map_err(|error| {
        let failure = Failure::local(&error);
        match error {
            ArtifactError::Platform { .. } => {
                failure.hint("name the executable itself; --platform says what it was built for")
            }
            ArtifactError::NoneNamed { .. } => {
                failure.hint("--executable says which file in it is the storage process")
            }
            ArtifactError::NoArchive { .. } => {
                failure.hint("leave --executable away for what is an executable itself")
            }
            ArtifactError::Archive { .. } => {
                failure.hint("docs/RELEASES.md says what an archive may have in it")
            }
            ArtifactError::Read { .. }
            | ArtifactError::TooLarge { .. }
            | ArtifactError::Changed { .. } => failure,
        }
    })?;
    let key = SigningKey::load(&args.key).map_err(|error| {
        Failure::local(&error).hint("--key is the file releases.key that `evenkeel init` made")
    })?;
    let manifest = ReleaseManifest {
        component: args.component.clone(),
        version: args.version.clone(),
        platform: args.platform.clone(),
        sha256: artifact.digest,
        size_bytes: artifact.size_bytes,
        tree: artifact.tree.clone(),
    };
    let signed = manifest
        .sign(&key)
        .map_err(|error| Failure::local(&error))?;
    Ok((artifact, signed))
}

fn header(request_id: Uuid, signed: SignedManifest) -> v1::PublishHeader {
    v1::PublishHeader {
        request_id: request_id.to_string(),
        manifest: Some(v1::SignedManifest {
            manifest: signed.manifest,
            key_id: signed.key_id.to_string(),
            signature: signed.signature,
        }),
    }
}

/// Sends the whole artifact. Ends when the coordinator answers, or has taken nothing for the time a call may take.
async fn send(
    session: &Session,
    header: v1::PublishHeader,
    artifact: Arc<Artifact>,
    bar: &ProgressBar,
) -> Result<v1::PublishReleaseResponse, Failure> {
    let (pieces, receiver) = mpsc::channel(PIECES_AHEAD);
    let reader = spawn_blocking(move || artifact.read_into(&pieces));
    let (taken, progress) = watch::channel(());
    let bar = bar.clone();
    let chunks = ReceiverStream::new(receiver).map(move |piece| {
        bar.inc(piece.len() as u64);
        // Nobody waits for progress any more once the call has ended.
        let _ = taken.send(());
        part(Part::Chunk(piece))
    });
    let parts = tokio_stream::once(part(Part::Header(header))).chain(chunks);
    let mut client = ReleaseServiceClient::new(session.client.channel());
    let answer = tokio::select! {
        answer = client.publish_release(parts) => answer.map_err(Failure::from),
        () = stalled(progress, session.client.timeout) => {
            Err(Failure::timed_out("sending the next bytes", session.client.timeout.as_secs_f64()))
        }
    };
    // The call has ended and with it the channel that the reader feeds: it ends too.
    match reader.await.map_err(broken)? {
        Err(error) => Err(Failure::local(&error).hint("publish it again when it is complete")),
        Ok(()) => Ok(answer?.into_inner()),
    }
}

fn part(part: Part) -> v1::PublishReleaseRequest {
    v1::PublishReleaseRequest { part: Some(part) }
}

/// Ends when there was no progress for `limit`.
async fn stalled(mut progress: watch::Receiver<()>, limit: Duration) {
    loop {
        match timeout(limit, progress.changed()).await {
            Ok(Ok(())) => {}
            // All is sent; what is left is the coordinator's work of checking and storing it.
            Ok(Err(_)) => return tokio::time::sleep(limit).await,
            Err(_) => return,
        }
    }
}

fn broken(error: JoinError) -> Failure {
    Failure::new(
        Exit::Other,
        format!("reading the file was interrupted: {error}"),
    )
}

fn progress_bar(live: bool, size_bytes: u64) -> ProgressBar {
    if !live {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size_bytes);
    let template =
        "publishing {bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
