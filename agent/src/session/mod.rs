//! The session with the coordinator: the agent dials out, says what is, and hears what ought to be.
//!
//! Nothing here decides anything. A lost session does no harm: the next one begins with all that is true, and
//! the coordinator answers with all that ought to be.

mod wire;

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use evenkeel_common::{names::InstanceName, platform, tls};
use evenkeel_proto::v1::{
    DesiredState, Hello, InstanceMeasures, NodeVitals, Report, SessionRequest, SessionResponse,
    agent_service_client::AgentServiceClient, session_request, session_response,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::{
    backoff::{Backoff, random_part},
    clock,
    config::{InstanceSettings, Settings},
    instance::Desired,
    measures::Measures,
    releases::{AllWanted, Wanted},
    report::Reports,
    vitals::Latest,
};

/// How long the coordinator may take to welcome the agent.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the first session waits for the agent to have looked at its instances; a disk may hang.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// The bounds of the interval between two reports, whatever the coordinator says.
const HEARTBEAT_MS: (u32, u32) = (10, 10 * 60 * 1000);

/// As many messages may wait to be sent. Facts wait where they are replaced by newer ones, not here.
const OUTBOX_MESSAGES: usize = 2;

/// How long steps of an order are held back for the next one: longer than the steps of a small process take, and
/// far shorter than anyone looks.
const GATHER_STEPS: Duration = Duration::from_millis(10);

/// How much of a heartbeat has to have passed before what was measured is said again: the shortest wait for one.
const MEASURES_EACH: f64 = 0.8;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    /// There was no connection.
    #[error("{0}")]
    Connect(String),
    /// The coordinator ended it with this status.
    #[error("{}", .0.message())]
    Status(Box<Status>),
    /// The coordinator closed it without a word.
    #[error("the coordinator closed the session")]
    Closed,
    /// The coordinator did not say welcome.
    #[error("the coordinator did not welcome the agent within {} s", WELCOME_TIMEOUT.as_secs())]
    NoWelcome,
}

/// The agent's end of its session.
pub struct Session {
    settings: Arc<Settings>,
    reports: Arc<Reports>,
    measures: Arc<Measures>,
    vitals: Arc<Latest>,
    inboxes: BTreeMap<InstanceName, watch::Sender<Option<Desired>>>,
    wanted: watch::Sender<AllWanted>,
    /// Where others find the connection, while there is one.
    channel: watch::Sender<Option<Channel>>,
}

impl Session {
    /// A session that hands on what it hears to these.
    #[must_use]
    pub fn new(
        settings: Arc<Settings>,
        (reports, measures, vitals): (Arc<Reports>, Arc<Measures>, Arc<Latest>),
        inboxes: BTreeMap<InstanceName, watch::Sender<Option<Desired>>>,
        wanted: watch::Sender<AllWanted>,
        channel: watch::Sender<Option<Channel>>,
    ) -> Self {
        Self {
            settings,
            reports,
            measures,
            vitals,
            inboxes,
            wanted,
            channel,
        }
    }

    /// Keeps a session open until the program ends.
    pub async fn run(self) {
        let reconnect = self.settings.reconnect;
        let mut backoff = Backoff::new(reconnect.backoff_min, reconnect.backoff_max);
        let mut said = String::new();
        // What a coordinator hears first of an instance is not that nobody has looked yet.
        let _ = timeout(LOOK_TIMEOUT, self.reports.all_looked_at()).await;
        sleep(reconnect.first_within.mul_f64(random_part())).await;
        loop {
            let mut welcomed = false;
            let ended = self.hold(&mut welcomed).await;
            self.channel.send_replace(None);
            if welcomed {
                backoff.reset();
            }
            let wait = backoff.wait();
            let reason = ended.to_string();
            // Once for each reason; a coordinator that is away for a night does not fill the log.
            if welcomed || reason != said {
                let (coordinator, remedy) = (&self.settings.coordinator, remedy(&ended));
                tracing::warn!(%coordinator, %reason, remedy, "no session; tried again until there is one");
            }
            said = reason;
            sleep(wait).await;
        }
    }

    /// Opens a session and holds it until it ends.
    async fn hold(&self, welcomed: &mut bool) -> SessionError {
        let connected =
            tls::connect(&self.settings.coordinator.to_string(), &self.settings.tls).await;
        let channel = match connected {
            Ok(channel) => channel,
            Err(error) => return SessionError::Connect(tls::explain(&error)),
        };
        let (outbox, messages) = mpsc::channel(OUTBOX_MESSAGES);
        let vitals = self.vitals();
        // The first message has its place: the channel is empty.
        let _ = outbox.try_send(self.hello(vitals.clone()));
        let mut client = AgentServiceClient::new(channel.clone());
        let opened = timeout(WELCOME_TIMEOUT, async {
            let mut incoming = client
                .session(ReceiverStream::new(messages))
                .await?
                .into_inner();
            let first = incoming.message().await?;
            Ok::<_, Status>((incoming, first))
        });
        let (mut incoming, first) = match opened.await {
            Err(_) => return SessionError::NoWelcome,
            Ok(Err(status)) => return SessionError::Status(Box::new(status)),
            Ok(Ok(opened)) => opened,
        };
        let Some(SessionResponse {
            message: Some(session_response::Message::Welcome(welcome)),
        }) = first
        else {
            return SessionError::NoWelcome;
        };
        *welcomed = true;
        tracing::info!(coordinator = %self.settings.coordinator, epoch = welcome.epoch, "session open");
        self.channel.send_replace(Some(channel));
        let heartbeat_ms = welcome
            .heartbeat_interval_ms
            .clamp(HEARTBEAT_MS.0, HEARTBEAT_MS.1);
        let heartbeat = Duration::from_millis(heartbeat_ms.into());
        let mut speaking = pin!(self.speak(&outbox, heartbeat, vitals));
        tokio::select! {
            () = &mut speaking => SessionError::Closed,
            ended = self.listen(&mut incoming) => ended,
        }
    }

    fn hello(&self, vitals: Option<NodeVitals>) -> SessionRequest {
        let hello = Hello {
            node: self.settings.node.to_string(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            platform: platform::current().to_owned(),
            labels: self.settings.labels.clone().into_iter().collect(),
            clock_ms: clock::now_ms(),
            instances: self
                .reports
                .all()
                .into_iter()
                .map(|(name, facts)| wire::say(&name, facts))
                .collect(),
            measures: self.measures(),
            vitals,
        };
        SessionRequest {
            message: Some(session_request::Message::Hello(hello)),
        }
    }

    /// Says what changes, at once, and that the agent lives, now and then. `vitals` is what the coordinator has heard of
    /// the host.
    async fn speak(
        &self,
        outbox: &mpsc::Sender<SessionRequest>,
        heartbeat: Duration,
        mut vitals: Option<NodeVitals>,
    ) {
        let mut measured_at = Instant::now();
        loop {
            // ± 20 %
            let wait = heartbeat.mul_f64(0.8 + 0.4 * random_part());
            tokio::select! {
                () = self.reports.news() => self.gather().await,
                () = sleep(wait) => {}
            }
            // The facts are taken when there is room for them, so that they are the newest.
            let Ok(place) = outbox.reserve().await else {
                return;
            };
            let instances = self
                .reports
                .unheard()
                .into_iter()
                .map(|(name, facts)| wire::say(&name, facts))
                .collect();
            let mut measures = Vec::new();
            let mut changed_vitals = None;
            if measured_at.elapsed() >= heartbeat.mul_f64(MEASURES_EACH) {
                measured_at = Instant::now();
                measures = self.measures();
                let now = self.vitals();
                if now != vitals {
                    vitals.clone_from(&now);
                    changed_vitals = now;
                }
            }
            let report = Report {
                clock_ms: clock::now_ms(),
                instances,
                measures,
                vitals: changed_vitals,
            };
            place.send(SessionRequest {
                message: Some(session_request::Message::Report(report)),
            });
        }
    }

    fn vitals(&self) -> Option<NodeVitals> {
        self.vitals.get().map(wire::say_vitals)
    }

    fn measures(&self) -> Vec<InstanceMeasures> {
        let lately = self.measures.lately().into_iter();
        lately
            .map(|(name, measured)| wire::say_measured(&name, measured))
            .collect()
    }

    /// Steps of an order that follow each other fast travel as one: as long as there is nothing else to say, the
    /// next one is waited for, for a moment. How an order ended is said at once.
    async fn gather(&self) {
        let until = Instant::now() + GATHER_STEPS;
        while self.reports.only_steps() {
            if timeout_at(until, self.reports.news()).await.is_err() {
                return;
            }
        }
    }

    /// Hears what ought to be, until the session ends.
    async fn listen(&self, incoming: &mut Streaming<SessionResponse>) -> SessionError {
        loop {
            match incoming.message().await {
                Ok(Some(SessionResponse {
                    message: Some(session_response::Message::Desired(desired)),
                })) => {
                    self.hand_on(desired);
                }
                // Nothing that this agent knows of.
                Ok(Some(_)) => {}
                Ok(None) => return SessionError::Closed,
                Err(status) => return SessionError::Status(Box::new(status)),
            }
        }
    }

    fn hand_on(&self, desired: DesiredState) {
        for instance in desired.instances {
            let heard = match wire::hear(desired.epoch, desired.answers_clock_ms, instance) {
                Ok(heard) => heard,
                Err(reason) => {
                    tracing::warn!(%reason, "not listened to");
                    continue;
                }
            };
            let (Some(inbox), Some(settings)) =
                (self.inboxes.get(&heard.name), self.settings_of(&heard.name))
            else {
                tracing::warn!(instance = %heard.name, "not listened to: the configuration has no such instance");
                continue;
            };
            self.wanted.send_if_modified(|wanted| {
                let now = Wanted {
                    component: settings.component.clone(),
                    binary: settings.binary.clone(),
                    manifests: heard.manifests,
                };
                let changed = wanted.get(&heard.name) != Some(&now);
                wanted.insert(heard.name, now);
                changed
            });
            inbox.send_replace(Some(heard.desired));
        }
    }

    fn settings_of(&self, name: &InstanceName) -> Option<&InstanceSettings> {
        self.settings
            .instances
            .iter()
            .find(|instance| instance.name == *name)
    }
}

/// What a person can do about the end of a session; empty if that is nothing but wait.
fn remedy(error: &SessionError) -> &'static str {
    match error {
        SessionError::Status(status) => match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => {
                "check that `node` is the name in this agent's certificate, and that the certificate was not revoked"
            }
            Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented => {
                "check that agent and coordinator are of versions that go together"
            }
            _ => "",
        },
        SessionError::Connect(_) | SessionError::Closed | SessionError::NoWelcome => "",
    }
}
