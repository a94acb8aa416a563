//! `evenkeel compat`: which versions may run side by side, and which may follow which.

mod apply;
mod check;
mod file;
mod graph;
mod report;
mod show;
mod text;

use clap::Subcommand;
use evenkeel_common::limits::MATRIX_MESSAGE_BYTES_MAX;
use evenkeel_common::names::ComponentName;
use evenkeel_proto::v1::GetMatrixRequest;
use evenkeel_proto::v1::compatibility_service_client::CompatibilityServiceClient;
use tonic::transport::Channel;

use crate::args::Globals;
use crate::client::{Client, required};
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;
use crate::view::CompatibilityMatrix;

/// What can be done with the compatibility matrix.
#[derive(Debug, Subcommand)]
pub(crate) enum CompatCommand {
    /// Check a matrix and put it in the place of the one before; plans that are under way are held against it
    Apply(apply::ApplyArgs),
    /// The matrix that is in place, as the file that `apply` takes
    Show,
    /// Check a matrix file, without a coordinator
    Check(check::CheckArgs),
    /// Draw the versions and how they relate
    Graph(graph::GraphArgs),
    /// Say which versions of an external component are in use somewhere
    Report(report::ReportArgs),
    /// Which versions of external components are in use, by what was reported
    Reported {
        /// Only this component's [default: all]
        component: Option<ComponentName>,
    },
}

pub(crate) async fn run(globals: Globals, command: CompatCommand) -> Result<(), Failure> {
    match command {
        CompatCommand::Check(args) => check::run(Output::new(globals.output), &args),
        // These begin with a file: nobody has to be there to be told what is wrong with it.
        CompatCommand::Apply(args) => apply::run(globals, args).await,
        CompatCommand::Graph(args) => graph::run(globals, args).await,
        CompatCommand::Show => show::run(&Session::begin(globals).await?).await,
        CompatCommand::Report(args) => report::run(&Session::begin(globals).await?, args).await,
        CompatCommand::Reported { component } => {
            report::list(&Session::begin(globals).await?, component).await
        }
    }
}

/// The service, with room for a matrix in its messages.
fn service(channel: Channel) -> CompatibilityServiceClient<Channel> {
    CompatibilityServiceClient::new(channel)
        .max_decoding_message_size(MATRIX_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MATRIX_MESSAGE_BYTES_MAX)
}

/// The matrix that is in place.
async fn get(client: &Client) -> Result<CompatibilityMatrix, Failure> {
    let answer = client
        .call(GetMatrixRequest {}, async |channel, request| {
            service(channel).get_matrix(request).await
        })
        .await?;
    required(answer.matrix, "matrix").map(CompatibilityMatrix::from)
}
