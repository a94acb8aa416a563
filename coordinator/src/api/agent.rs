//! `AgentService`: the sessions. Each says to its agent what ought to be whenever that changes, and says it
//! again until the agent has taken it.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use evenkeel_common::{
    clock::millis,
    digest::Digest,
    identity::Identity,
    limits::FETCH_CHUNK_BYTES,
    names::{InstanceName, NodeName},
    problem::{ErrorCode, Problem},
    tls::PeerConnection,
};
use evenkeel_coordinator_core::{
    desired::{DesiredInstance, desired},
    engine::timers::BEGIN_WITHIN,
    state::State,
};
use evenkeel_proto::v1::{
    DesiredState, FetchArtifactRequest, FetchArtifactResponse, Hello, InstanceMeasures, NodeVitals,
    Report, SessionRequest, SessionResponse, Welcome, agent_service_server::AgentService,
    session_request, session_response,
};
use futures_util::Stream;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Shared, caller};
use crate::{
    artifacts::next_chunk,
    convert::{desired_to_proto, hello_from_proto, measures_from_proto, parse, reports_from_proto},
    downloads::Downloads,
};

/// How long an agent may take to say its first word.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Messages that wait for a slow agent.
const QUEUE_MAX: usize = 8;

/// How long an agent may take to read the next piece of a download; its turn is another's then. A piece is so small that
/// only one who does not read takes as long.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// An order that was not taken is said again once the agent's clock is this much past what it answered.
const SAY_AGAIN_AFTER_MS: u64 = BEGIN_WITHIN.as_millis() as u64 / 3;

/// The sessions that stand, by node.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<BTreeMap<NodeName, Handle>>>);

#[derive(Debug, Clone)]
struct Handle {
    number: u64,
    changed: Arc<Notify>,
    end: CancellationToken,
}

impl Sessions {
    /// Wakes the sessions of these nodes: what their agents ought to hear may have changed.
    pub fn notify(&self, nodes: &BTreeSet<NodeName>) {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for handle in nodes.iter().filter_map(|node| sessions.get(node)) {
            handle.changed.notify_one();
        }
    }

    /// Enters a session, which ends the one that the node had.
    fn enter(&self, node: &NodeName) -> Handle {
        static SESSIONS_BEGUN: AtomicU64 = AtomicU64::new(0);
        let handle = Handle {
            number: SESSIONS_BEGUN.fetch_add(1, Ordering::Relaxed),
            changed: Arc::new(Notify::new()),
            end: CancellationToken::new(),
        };
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = sessions.insert(node.clone(), handle.clone()) {
            old.end.cancel();
        }
        handle
    }

    fn leave(&self, node: &NodeName, number: u64) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions
            .get(node)
            .is_some_and(|handle| handle.number == number)
        {
            sessions.remove(node);
        }
    }
}

/// See [`AgentService`].
#[derive(Debug)]
pub(super) struct Agents {
    shared: Shared,
    downloads: Downloads,
}

impl Agents {
    pub(super) fn new(shared: Shared) -> Self {
        let downloads = Downloads::new(&shared.settings.downloads);
        Self { shared, downloads }
    }
}

fn node_of<T>(request: &Request<T>) -> Result<NodeName, Problem> {
    match caller(request)? {
        Identity::Agent { node, .. } => Ok(node),
        other => Err(Problem::new(
            ErrorCode::PermissionDenied,
            format!("{other} is no agent"),
        )),
    }
}

/// How long the caller's certificate is good for.
fn not_after<T>(request: &Request<T>) -> Duration {
    let peer = request.extensions().get::<PeerConnection>();
    peer.and_then(|peer| peer.not_after.duration_since(SystemTime::now()).ok())
        .unwrap_or_default()
}

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Agents {
    type SessionStream = Out<SessionResponse>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let node = node_of(&request)?;
        let not_after = not_after(&request);
        let shared = self.shared.clone();
        let inbound = request.into_inner();
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(async move {
            let handle = shared.sessions.enter(&node);
            let session = Session {
                shared: &shared,
                node: &node,
                sender: &sender,
                clock_ms: 0,
                said: BTreeMap::new(),
                instances: BTreeSet::new(),
            };
            let ended = tokio::select! {
                ended = session.run(inbound, &handle.changed) => ended,
                () = handle.end.cancelled() => Err(Problem::new(
                    ErrorCode::Unavailable,
                    format!("another session of {node} has begun"),
                ).into()),
                () = shared.shutdown.cancelled() => Err(Problem::new(
                    ErrorCode::Unavailable,
                    "the coordinator is stopping",
                ).into()),
                () = tokio::time::sleep(not_after) => Err(Problem::new(
                    ErrorCode::Unauthenticated,
                    format!("the certificate of {node} has expired"),
                ).into()),
                () = sender.closed() => Ok(()),
            };
            shared.sessions.leave(&node, handle.number);
            match ended {
                Ok(()) => tracing::info!(%node, "session ended"),
                Err(status) => {
                    tracing::info!(%node, reason = status.message(), "session ended");
                    let _ = sender.try_send(Err(status));
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type FetchArtifactStream = Out<FetchArtifactResponse>;

    async fn fetch_artifact(
        &self,
        request: Request<FetchArtifactRequest>,
    ) -> Result<Response<Self::FetchArtifactStream>, Status> {
        let node = node_of(&request)?;
        let FetchArtifactRequest { digest, offset } = request.into_inner();
        let digest: Digest = parse("digest", &digest).map_err(Problem::from)?;
        let turn = self.downloads.turn(&node).await?;
        let mut file = self.shared.artifacts.read(&digest, offset).await?;
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(async move {
            loop {
                let message = match next_chunk(&mut file, FETCH_CHUNK_BYTES).await {
                    Ok(chunk) if chunk.is_empty() => return,
                    Ok(chunk) => {
                        turn.pace(chunk.len()).await;
                        Ok(FetchArtifactResponse { chunk })
                    }
                    Err(error) => {
                        tracing::error!(%node, %digest, %error, "cannot read an artifact");
                        Err(Problem::new(
                            ErrorCode::Unavailable,
                            format!("the coordinator cannot read the artifact: {error}"),
                        )
                        .into())
                    }
                };
                let failed = message.is_err();
                let sent = tokio::time::timeout(READ_WITHIN, sender.send(message)).await;
                if !matches!(sent, Ok(Ok(()))) || failed {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// One agent's session.
struct Session<'a> {
    shared: &'a Shared,
    node: &'a NodeName,
    sender: &'a mpsc::Sender<Result<SessionResponse, Status>>,
    /// The agent's clock in the newest message of its.
    clock_ms: u64,
    /// What was said of each instance, and which clock it answered.
    said: BTreeMap<String, (DesiredInstance, u64)>,
    /// The instances of its hello.
    instances: BTreeSet<InstanceName>,
}

impl Session<'_> {
    async fn run(
        mut self,
        mut inbound: Streaming<SessionRequest>,
        changed: &Notify,
    ) -> Result<(), Status> {
        let first = tokio::time::timeout(HELLO_WITHIN, inbound.message());
        let first = first.await.map_err(|_| {
            Problem::new(
                ErrorCode::BadArgument,
                format!("no hello came within {HELLO_WITHIN:?}"),
            )
        })??;
        let Some(session_request::Message::Hello(hello)) = first.and_then(|first| first.message)
        else {
            return Err(bad("the first message of a session has to be a hello").into());
        };
        self.welcome(hello).await?;
        loop {
            self.say().await?;
            let said_at_ms = self.clock_ms;
            while self.clock_ms.saturating_sub(said_at_ms) < SAY_AGAIN_AFTER_MS {
                tokio::select! {
                    message = inbound.message() => match message?.map(|message| message.message) {
                        None => return Ok(()),
                        Some(Some(session_request::Message::Report(report))) => self.hear(report).await?,
                        Some(Some(session_request::Message::Hello(_)) | None) => {
                            return Err(bad("every message after the hello has to be a report").into());
                        }
                    },
                    () = changed.notified() => break,
                }
            }
        }
    }

    async fn welcome(&mut self, mut hello: Hello) -> Result<(), Status> {
        if hello.node != self.node.as_str() {
            return Err(Problem::new(
                ErrorCode::PermissionDenied,
                format!(
                    "the certificate is that of node {}, the agent's configuration says {:?}; an agent speaks for its own node only",
                    self.node, hello.node
                ),
            )
            .into());
        }
        self.clock_ms = hello.clock_ms;
        let measures = std::mem::take(&mut hello.measures);
        let vitals = hello.vitals.take();
        let hello = hello_from_proto(hello).map_err(Problem::from)?;
        self.instances = hello.instances.keys().cloned().collect();
        let core = &self.shared.core;
        tracing::info!(node = %self.node, agent = %hello.agent_version, instances = hello.instances.len(), "session begun");
        core.hello(self.node.clone(), hello).await?;
        self.see(measures).await?;
        self.see_host(vitals)?;
        let interval = self.shared.settings.heartbeat_interval;
        let welcome = Welcome {
            epoch: core.snapshot().epoch(),
            heartbeat_interval_ms: u32::try_from(millis(interval)).unwrap_or(u32::MAX),
        };
        self.send(session_response::Message::Welcome(welcome)).await
    }

    /// Has what was measured taken in, of the instances that the agent said it has.
    async fn see(&self, measures: Vec<InstanceMeasures>) -> Result<(), Status> {
        if measures.is_empty() {
            return Ok(());
        }
        let core = &self.shared.core;
        let mut measures = measures_from_proto(measures).map_err(Problem::from)?;
        measures.retain(|(name, _)| self.instances.contains(name));
        let seen = core.measures(self.node.clone(), measures).await;
        seen.map_err(Status::from)
    }

    fn see_host(&self, vitals: Option<NodeVitals>) -> Result<(), Status> {
        match vitals {
            Some(vitals) => {
                let seen = self.shared.vitals.put(self.node.clone(), vitals);
                Ok(seen.map_err(Problem::from)?)
            }
            None => Ok(()),
        }
    }

    async fn hear(&mut self, report: Report) -> Result<(), Status> {
        self.clock_ms = self.clock_ms.max(report.clock_ms);
        self.see(report.measures).await?;
        self.see_host(report.vitals)?;
        let reports = reports_from_proto(report.instances).map_err(Problem::from)?;
        if let Some(name) = reports.keys().find(|name| !self.instances.contains(*name)) {
            return Err(bad(&format!(
                "the report is of {name}, which the hello did not name"
            ))
            .into());
        }
        self.shared
            .core
            .reports(self.node.clone(), reports)
            .await
            .map_err(Status::from)
    }

    /// Says what is different from what was said, and again what was not taken.
    async fn say(&mut self) -> Result<(), Status> {
        let state = self.shared.core.snapshot();
        let mut instances = Vec::new();
        for desired in desired(&state, self.node) {
            let name = desired.name.to_string();
            if let Some((said, clock_ms)) = self.said.get(&name)
                && *said == desired
                && !(self.clock_ms.saturating_sub(*clock_ms) >= SAY_AGAIN_AFTER_MS
                    && not_taken(&state, self.node, &desired))
            {
                continue;
            }
            instances.push(desired_to_proto(&desired));
            self.said.insert(name, (desired, self.clock_ms));
        }
        if instances.is_empty() {
            return Ok(());
        }
        let desired = DesiredState {
            epoch: state.epoch(),
            answers_clock_ms: self.clock_ms,
            instances,
        };
        self.send(session_response::Message::Desired(desired)).await
    }

    async fn send(&self, message: session_response::Message) -> Result<(), Status> {
        let message = Some(message);
        let sent = self.sender.send(Ok(SessionResponse { message })).await;
        sent.map_err(|_| Status::cancelled("the agent has gone"))
    }
}

/// Whether the agent has not yet taken the order, or not said yet what came of making a version final.
fn not_taken(state: &State, node: &NodeName, desired: &DesiredInstance) -> bool {
    let mut instances = state.instances_on(node);
    let Some(instance) = instances.find(|instance| instance.id.name == desired.name) else {
        return false;
    };
    let accepted = instance.report.accepted.generation;
    let order = desired.order.as_ref();
    let finality = desired.finalize.as_ref();
    order.is_some_and(|order| accepted < order.generation)
        || finality.is_some_and(|finality| finality.is_unanswered(instance))
}

fn bad(message: &str) -> Problem {
    Problem::new(ErrorCode::BadArgument, message)
}
