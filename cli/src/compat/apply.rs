//! `evenkeel compat apply`: a matrix in the place of the one before.

use camino::Utf8PathBuf;
use clap::Args;
use evenkeel_proto::v1::ApplyMatrixRequest;
use serde::Serialize;

use super::text::{summary, uncovered, unseen};
use super::{file, service};
use crate::args::{ChangeArgs, Globals};
use crate::failure::Failure;
use crate::output::remark;
use crate::session::Session;
use crate::view::wire;

/// What is applied.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The matrix file (TOML); `-` for standard input
    file: Utf8PathBuf,
    /// Only if the matrix in place has this version; 0 if none was ever applied
    #[arg(long, value_name = "N")]
    expected_version: Option<u64>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What is in place then, as programs get it.
#[derive(Serialize)]
struct Applied {
    version: u64,
    unseen_components: Vec<String>,
    uncovered_components: Vec<String>,
    unchanged: bool,
}

pub(super) async fn run(globals: Globals, args: ApplyArgs) -> Result<(), Failure> {
    let matrix =
        file::read_sound(&args.file).map_err(|failure| failure.hint_if_none("nothing was sent"))?;
    let session = Session::begin(globals).await?;
    let request_id = args.change.request_id();
    let request = ApplyMatrixRequest {
        request_id: request_id.to_string(),
        matrix: Some(wire(&matrix)),
        expected_version: args.expected_version,
    };
    let answer = session
        .client
        .change(request_id, request, async |channel, request| {
            service(channel).apply_matrix(request).await
        })
        .await?;
    let applied = Applied {
        version: answer.version,
        unseen_components: answer.unseen_components,
        uncovered_components: answer.uncovered_components,
        unchanged: answer.unchanged,
    };
    session.output.result(&applied, || {
        let (version, summary) = (applied.version, summary(&matrix));
        match applied.unchanged {
            true => format!("the matrix is unchanged, version {version}: {summary}"),
            false => format!("the matrix is version {version} now: {summary}"),
        }
    })?;
    if let Some(warning) = unseen(&applied.unseen_components) {
        remark(warning);
    }
    for component in &applied.uncovered_components {
        remark(uncovered(component));
    }
    Ok(())
}
