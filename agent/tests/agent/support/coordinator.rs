//! A coordinator that says what it is told to, over real mTLS.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use evenkeel_common::tls::{Incoming, IncomingLimits, ServerTls, listen};
use evenkeel_proto::v1::{
    self, DesiredInstance, DesiredState, FetchArtifactRequest, FetchArtifactResponse,
    InstanceReport, Order, SessionRequest, SessionResponse, Welcome,
    agent_service_server::{AgentService, AgentServiceServer},
    session_request, session_response,
};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Place, Program, place::free_address, wait_for};

/// What may be wrong with a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// One byte is another.
    Corrupted,
    /// It ends in the middle, each time.
    Truncated,
    /// It ends in the middle, once.
    Interrupted,
    /// It goes on after its end.
    Overlong,
}

#[derive(Default)]
struct Shared {
    artifacts: BTreeMap<String, (Bytes, Flaw)>,
    /// The newest report of the instance.
    report: Option<InstanceReport>,
    /// What was measured last.
    measures: Option<v1::InstanceMeasures>,
    /// What was said of the host, each time.
    vitals: Vec<v1::NodeVitals>,
    /// The newest clock of the agent.
    clock_ms: u64,
    hellos: usize,
    offsets: Vec<u64>,
    epoch: u64,
    session: Option<mpsc::Sender<Result<SessionResponse, Status>>>,
}

/// The coordinator; it ends with this.
pub(crate) struct Coordinator {
    shared: Arc<Mutex<Shared>>,
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    runtime: Mutex<Option<Runtime>>,
}

impl Coordinator {
    /// A coordinator of this epoch.
    pub(crate) fn start(place: &Place, epoch: u64) -> Self {
        Self::start_at(place, free_address(), epoch)
    }

    pub(crate) fn start_at(place: &Place, address: SocketAddr, epoch: u64) -> Self {
        let runtime = Runtime::new().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            epoch,
            ..Shared::default()
        }));
        let stop = CancellationToken::new();
        let tls = Arc::new(ServerTls::load(place.tls_of("coordinator"), Vec::new()).unwrap());
        let service = AgentServiceServer::new(Service(Arc::clone(&shared)));
        let token = stop.clone();
        runtime.spawn(async move {
            let listener = listen(address).unwrap();
            let incoming = Incoming::start(listener, tls, IncomingLimits::default(), token);
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Self {
            shared,
            address,
            stop,
            runtime: Mutex::new(Some(runtime)),
        }
    }

    /// Offers a program for download, with a flaw.
    pub(crate) fn offer(&self, program: &Program, flaw: Flaw) {
        let artifact = (Bytes::from(program.bytes.clone()), flaw);
        self.shared
            .lock()
            .unwrap()
            .artifacts
            .insert(program.digest.to_string(), artifact);
    }

    /// The newest report of the instance.
    pub(crate) fn report(&self) -> Option<InstanceReport> {
        self.shared.lock().unwrap().report.clone()
    }

    /// Waits for a report of the instance that is like this.
    #[track_caller]
    pub(crate) fn wait_for(
        &self,
        what: &str,
        is_it: impl Fn(&InstanceReport) -> bool,
    ) -> InstanceReport {
        let mut last = None;
        wait_for(&format!("a report: {what}"), || {
            let report = self.report();
            if report != last {
                eprintln!("{report:?}");
                last = report.clone();
            }
            report.filter(|report| is_it(report))
        })
    }

    /// Waits until what was measured is like this.
    #[track_caller]
    pub(crate) fn wait_for_measures(
        &self,
        is_it: impl Fn(&v1::InstanceMeasures) -> bool,
    ) -> v1::InstanceMeasures {
        wait_for("what is measured", || {
            let measures = self.shared.lock().unwrap().measures.clone();
            measures.filter(|measures| is_it(measures))
        })
    }

    /// Waits until this is said of the host; all that was said of it till then.
    #[track_caller]
    pub(crate) fn wait_for_vitals(
        &self,
        is_it: impl Fn(&v1::NodeVitals) -> bool,
    ) -> Vec<v1::NodeVitals> {
        wait_for("what is seen of the host", || {
            let said = self.shared.lock().unwrap().vitals.clone();
            said.last().is_some_and(&is_it).then_some(said)
        })
    }

    /// Waits until the instance is well and at this release.
    #[track_caller]
    pub(crate) fn wait_until_healthy(&self, version: &str) -> InstanceReport {
        self.wait_for(&format!("healthy at {version}"), |report| {
            report.health() == v1::InstanceHealth::Healthy
                && report.status() == v1::InstanceStatus::Running
                && report
                    .current
                    .as_ref()
                    .is_some_and(|current| current.version == version)
                && report
                    .process
                    .as_ref()
                    .and_then(|p| p.release.as_ref())
                    .is_some_and(|r| r.version == version)
        })
    }

    /// Has the agent fetch these programs, and waits until it has.
    #[track_caller]
    pub(crate) fn stage(&self, programs: &[&Program]) {
        for program in programs {
            self.offer(program, Flaw::None);
        }
        self.desire(desired(programs, None));
        self.wait_for("all at hand", |report| {
            report.staged.len() == programs.len()
                && report
                    .staged
                    .iter()
                    .all(|staged| staged.state() == v1::StageState::Ready)
        });
    }

    /// Says what ought to be, as an answer to the newest message.
    pub(crate) fn desire(&self, instance: DesiredInstance) {
        let clock_ms = self.shared.lock().unwrap().clock_ms;
        self.desire_late(instance, clock_ms);
    }

    /// Says what ought to be, as an answer to the message of that time.
    #[track_caller]
    pub(crate) fn desire_late(&self, instance: DesiredInstance, answers_clock_ms: u64) {
        wait_for("a session", || {
            self.say(instance.clone(), answers_clock_ms).then_some(())
        });
    }

    /// Says what ought to be, if anybody listens.
    pub(crate) fn try_to_desire(&self, instance: DesiredInstance) {
        let clock_ms = self.clock_ms();
        self.say(instance, clock_ms);
    }

    fn say(&self, instance: DesiredInstance, answers_clock_ms: u64) -> bool {
        let shared = self.shared.lock().unwrap();
        let Some(session) = shared.session.clone() else {
            return false;
        };
        let desired = DesiredState {
            epoch: shared.epoch,
            answers_clock_ms,
            instances: vec![instance],
        };
        let message = SessionResponse {
            message: Some(session_response::Message::Desired(desired)),
        };
        session.try_send(Ok(message)).is_ok()
    }

    /// The newest clock of the agent.
    pub(crate) fn clock_ms(&self) -> u64 {
        self.shared.lock().unwrap().clock_ms
    }

    /// From now on it speaks for this epoch.
    pub(crate) fn set_epoch(&self, epoch: u64) {
        self.shared.lock().unwrap().epoch = epoch;
    }

    /// It is gone, with all its connections.
    pub(crate) fn end(&self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.lock().unwrap().take() {
            runtime.shutdown_background();
        }
    }

    /// How many sessions there were.
    pub(crate) fn hellos(&self) -> usize {
        self.shared.lock().unwrap().hellos
    }

    /// Does what makes the agent begin another session, and waits for that: what is said to the one before is lost.
    #[track_caller]
    pub(crate) fn until_another_session(&self, begun_by: impl FnOnce()) {
        let sessions = self.hellos();
        begun_by();
        wait_for("another session", || {
            (self.hellos() > sessions).then_some(())
        });
    }

    /// The offsets from which downloads were asked for.
    pub(crate) fn offsets(&self) -> Vec<u64> {
        self.shared.lock().unwrap().offsets.clone()
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the instance is to have and to run.
pub(crate) fn desired(prefetch: &[&Program], order: Option<Order>) -> DesiredInstance {
    let prefetch = prefetch.iter().map(|program| program.manifest()).collect();
    DesiredInstance {
        name: "s1".to_owned(),
        prefetch,
        order,
        finalize: None,
        hold: String::new(),
        hold_word: 0,
    }
}

/// An order to run this program, and to go back to that one if it will not do.
pub(crate) fn order(generation: u64, program: &Program, fallback: Option<&Program>) -> Order {
    Order {
        generation,
        release: Some(program.reference()),
        fallback: fallback.map(Program::reference),
        begin_within_ms: 30_000,
        ready_within_ms: 10_000,
        method: v1::OrderMethod::InPlace.into(),
        fallback_method: v1::OrderMethod::InPlace.into(),
        way_back: false,
    }
}

/// The same, by rebuild.
pub(crate) fn rebuild(generation: u64, program: &Program, fallback: Option<&Program>) -> Order {
    Order {
        method: v1::OrderMethod::Rebuild.into(),
        ..order(generation, program, fallback)
    }
}

/// How the order of this generation ended, if it has.
pub(crate) fn outcome(report: &InstanceReport, generation: u64) -> Option<v1::OrderResult> {
    let progress = report.progress.as_ref()?;
    let ended = progress.generation == generation && progress.step() == v1::OrderStep::Ended;
    ended.then(|| progress.result())
}

struct Service(Arc<Mutex<Shared>>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Service {
    type SessionStream = Answers<SessionResponse>;
    type FetchArtifactStream = Answers<FetchArtifactResponse>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut messages = request.into_inner();
        let (sender, receiver) = mpsc::channel(16);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                let answer = hear(&shared, message, &sender);
                if let Some(answer) = answer {
                    sender.send(Ok(answer)).await.unwrap();
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn fetch_artifact(
        &self,
        request: Request<FetchArtifactRequest>,
    ) -> Result<Response<Self::FetchArtifactStream>, Status> {
        let FetchArtifactRequest { digest, offset } = request.into_inner();
        let mut shared = self.0.lock().unwrap();
        shared.offsets.push(offset);
        let (bytes, flaw) = shared
            .artifacts
            .get_mut(&digest)
            .ok_or_else(|| Status::not_found("no such artifact"))?;
        let mut sent = bytes.to_vec();
        match flaw {
            Flaw::None => {}
            Flaw::Corrupted => sent[1_000] ^= 1,
            Flaw::Truncated => sent.truncate(bytes.len() / 2),
            Flaw::Interrupted => {
                sent.truncate(bytes.len() / 2);
                *flaw = Flaw::None;
            }
            Flaw::Overlong => sent.push(0),
        }
        let rest = sent
            .get(usize::try_from(offset).unwrap()..)
            .unwrap_or_default();
        let chunks: Vec<_> = rest
            .chunks(256 << 10)
            .map(|chunk| {
                Ok(FetchArtifactResponse {
                    chunk: Bytes::copy_from_slice(chunk),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }
}

/// Takes a message in; what there is to answer.
fn hear(
    shared: &Mutex<Shared>,
    message: SessionRequest,
    session: &mpsc::Sender<Result<SessionResponse, Status>>,
) -> Option<SessionResponse> {
    let mut shared = shared.lock().unwrap();
    match message.message? {
        session_request::Message::Hello(hello) => {
            assert_eq!((hello.node.as_str(), hello.instances.len()), ("n1", 1));
            assert_eq!(hello.labels["zone"], "a");
            shared.clock_ms = hello.clock_ms;
            shared.report = hello.instances.into_iter().next();
            shared.hellos += 1;
            shared.vitals.extend(hello.vitals);
            shared.session = Some(session.clone());
            let welcome = Welcome {
                epoch: shared.epoch,
                heartbeat_interval_ms: 100,
            };
            Some(SessionResponse {
                message: Some(session_response::Message::Welcome(welcome)),
            })
        }
        session_request::Message::Report(report) => {
            shared.clock_ms = report.clock_ms;
            shared.vitals.extend(report.vitals);
            if let Some(measures) = report.measures.into_iter().next() {
                shared.measures = Some(measures);
            }
            if let Some(report) = report.instances.into_iter().next() {
                shared.report = Some(report);
            }
            None
        }
    }
}
