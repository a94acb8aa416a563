//! The gRPC API. Each service reads from a snapshot of the state, and hands what would change it to the
//! writer; deciding is not done here.

mod access;
mod agent;
mod compatibility;
mod fleet;
mod paging;
mod plan;
mod release;
mod watch;

use std::time::Duration;

use anyhow::Context as _;
use evenkeel_common::{
    clock::{self, Timestamp},
    identity::Identity,
    limits::{MATRIX_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX},
    problem::{ErrorCode, Problem},
    tls::{Incoming, PeerConnection},
};
use evenkeel_coordinator_core::{change::RequestKey, state::State};
use evenkeel_proto::{
    DESCRIPTORS,
    v1::{
        agent_service_server::AgentServiceServer,
        compatibility_service_server::CompatibilityServiceServer,
        fleet_service_server::FleetServiceServer, plan_service_server::PlanServiceServer,
        release_service_server::ReleaseServiceServer,
    },
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, transport::Server};
use uuid::Uuid;

use crate::{artifacts::Artifacts, settings::Settings, vitals::Vitals, writer::Core};

pub use agent::Sessions;
pub use watch::Watchers;

/// How often an idle connection is asked whether its other end is there, and how long that may take. A
/// partition under an open stream would otherwise go unnoticed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Calls at once on one connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;

/// How long calls in flight may take to end once the coordinator stops.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(3);

/// What the services share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The writer, and the snapshots.
    pub core: Core,
    /// The artifacts' bytes.
    pub artifacts: Artifacts,
    /// The sessions that stand.
    pub sessions: Sessions,
    /// How the hosts are, by their own word.
    pub vitals: Vitals,
    /// What the coordinator runs by.
    pub settings: std::sync::Arc<Settings>,
    /// Cancelled when the coordinator stops.
    pub shutdown: CancellationToken,
}

/// Serves the API until the shutdown token is cancelled.
///
/// # Errors
/// When the server cannot be set up, or fails.
pub async fn serve(shared: Shared, incoming: Incoming) -> anyhow::Result<()> {
    let shutdown = shared.shutdown.clone();
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_serving::<FleetServiceServer<fleet::Fleet>>()
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("cannot set up server reflection")?;

    macro_rules! limited {
        ($service:expr) => {
            $service
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        };
    }
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .layer(access::AccessLayer)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(limited!(FleetServiceServer::new(fleet::Fleet(
            shared.clone()
        ))))
        .add_service(limited!(ReleaseServiceServer::new(release::Releases::new(
            shared.clone()
        ))))
        .add_service(limited!(PlanServiceServer::new(plan::Plans::new(
            shared.clone()
        ))))
        .add_service(
            CompatibilityServiceServer::new(compatibility::Compatibility(shared.clone()))
                .max_decoding_message_size(MATRIX_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MATRIX_MESSAGE_BYTES_MAX),
        )
        .add_service(limited!(AgentServiceServer::new(agent::Agents::new(
            shared
        ))))
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    tokio::select! {
        served = server => served.context("the server failed"),
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(SHUTDOWN_WITHIN).await;
        } => Ok(()),
    }
}

/// The longest reason of an operator's, in characters.
const REASON_CHARS_MAX: usize = 500;

/// A reason as an operator gives it.
fn reason(text: &str) -> Result<String, Problem> {
    if text.chars().count() > REASON_CHARS_MAX {
        return Err(Problem::new(
            ErrorCode::BadArgument,
            format!("reason: is longer than {REASON_CHARS_MAX} characters"),
        ));
    }
    Ok(text.to_owned())
}

/// What time it is, for what is told of a state: never before the state was made.
fn time(state: &State) -> Timestamp {
    clock::now().max(state.at())
}

/// Who calls: the one that the certificate names.
fn caller<T>(request: &Request<T>) -> Result<Identity, Problem> {
    request
        .extensions()
        .get::<PeerConnection>()
        .map(|peer| peer.identity.clone())
        .ok_or_else(|| {
            Problem::new(
                ErrorCode::Unauthenticated,
                "the connection carries no identity",
            )
        })
}

/// The name of a mutating call: its caller and the caller's own id for it.
fn request_key(caller: &Identity, request_id: &str) -> Result<RequestKey, Problem> {
    let id: Uuid = request_id.parse().map_err(|_| {
        Problem::new(
            ErrorCode::BadArgument,
            format!("request_id: {request_id:?} is not a UUID; make a new one for each new call"),
        )
    })?;
    Ok(RequestKey {
        subject: caller.to_string(),
        request_id: id.to_string(),
    })
}

/// A plan's name, as the API has it.
fn plan_id(name: &str) -> Result<evenkeel_coordinator_core::plan::PlanId, Problem> {
    name.parse().map_err(crate::convert::problem_of)
}

fn not_found(message: String) -> Problem {
    Problem::new(ErrorCode::NotFound, message)
}
