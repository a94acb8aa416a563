//! `evenkeel compat apply`: a matrix in the place of the one before.

use camino::Utf8PathBuf;
use clap::Args;
use evenkeel_proto::v1::ApplyMatrixRequest;
use serde::Serialize;

use super::file::{self, NoMatrix};
use super::service;
use super::text::{summary, unseen};
use crate::args::{ChangeArgs, Globals};
use crate::failure::Failure;
use crate::output::{remark, remark_lines};
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
}

pub(super) async fn run(globals: Globals, args: ApplyArgs) -> Result<(), Failure> {
    let name = file::name(&args.file);
    let matrix = file::read(&args.file).map_err(|error| match error {
        NoMatrix::Unread(failure) => failure,
        NoMatrix::Wrong(error) => {
            remark_lines(&file::faults(name, &error));
            file::failure(name, &error).hint("nothing was sent")
        }
    })?;
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
    };
    session.output.result(&applied, || {
        format!(
            "the matrix is version {} now: {}",
            applied.version,
            summary(&matrix)
        )
    })?;
    if let Some(warning) = unseen(&applied.unseen_components) {
        remark(warning);
    }
    Ok(())
}
