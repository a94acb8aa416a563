//! The one writer: it owns the state, asks the core what follows from whatever happens, appends that to the
//! ledger, and only then lets anyone see it: callers their answer, readers the snapshot, sessions what they
//! are to say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use bytes::Bytes;
use evenkeel_common::{
    clock::{self, Timestamp, millis},
    failpoint,
    names::{InstanceId, InstanceName, NodeName},
    problem::{ErrorCode, Problem},
};
use evenkeel_coordinator_core::{
    calls::{self, Call},
    change::{Change, RequestKey, Resource},
    engine::Engine,
    instance::Report,
    measures::Measure,
    node::{Liveness, LivenessTimings},
    plan::TaskState,
    reports::{self, Hello},
    state::{Key, State},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    api::Sessions,
    convert::{change_to_record, problem_of},
    failpoints,
    ledger::{Ledger, PAYLOAD_BYTES_MAX, Position},
    startup::{self, Opened},
    view::ViewWriter,
};

/// Events that wait for the writer; further ones wait with their sender.
const QUEUE_MAX: usize = 4_096;

/// Events taken into one turn, and so into one append.
const TURN_EVENTS_MAX: usize = 256;

/// What the engine may say in one turn; more waits for the next.
const TURN_DECISIONS_MAX: usize = 1_000;

/// Bytes of records that are put into one turn; more events wait for the next. With the largest record on top
/// it stays within what one append takes.
const TURN_BYTES_MAX: usize = 16 << 20;

/// Nodes whose silence is put into one record, so that it stays within what a record holds.
const JUDGED_PER_RECORD: usize = 256;

/// How often silence is judged.
const LIVENESS_EVERY: Duration = Duration::from_millis(500);

/// How long the view may take to be flushed at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// The program's failpoints around an append, for tests that kill it there.
pub const FAILPOINTS: [&str; 3] = [
    "coordinator.append.before",
    "coordinator.append.after",
    "coordinator.turn.after",
];

enum Event {
    Call {
        key: RequestKey,
        call: Box<Call>,
        answer: oneshot::Sender<Result<String, Problem>>,
    },
    Hello {
        node: NodeName,
        hello: Box<Hello>,
        answer: oneshot::Sender<()>,
    },
    Reports {
        node: NodeName,
        reports: BTreeMap<InstanceName, Report>,
    },
    Measures {
        node: NodeName,
        measures: Vec<(InstanceName, Measure)>,
    },
}

/// The way to the writer, and the newest state that is durable. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Core {
    events: mpsc::Sender<Event>,
    snapshot: Arc<ArcSwap<State>>,
    revisions: watch::Receiver<u64>,
    watchers: crate::api::Watchers,
}

impl Core {
    /// The state as it is now. Durable: nothing that it says can be lost any more.
    #[must_use]
    pub fn snapshot(&self) -> Arc<State> {
        self.snapshot.load_full()
    }

    /// Tells of every new revision.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revisions.clone()
    }

    pub(crate) fn watchers(&self) -> &crate::api::Watchers {
        &self.watchers
    }

    /// Has a call decided. Answers with the name of the thing it is about once all of it is durable.
    ///
    /// # Errors
    /// What the core refuses, or `Unavailable` when the coordinator is stopping.
    pub async fn call(&self, key: RequestKey, call: Call) -> Result<String, Problem> {
        let (answer, answered) = oneshot::channel();
        let call = Box::new(call);
        self.send(Event::Call { key, call, answer }).await?;
        answered.await.map_err(|_| stopping())?
    }

    /// Has an agent's first word taken in, durably.
    ///
    /// # Errors
    /// `Unavailable` when the coordinator is stopping.
    pub async fn hello(&self, node: NodeName, hello: Hello) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        let hello = Box::new(hello);
        self.send(Event::Hello {
            node,
            hello,
            answer,
        })
        .await?;
        answered.await.map_err(|_| stopping())
    }

    /// Hands over what an agent reports; an empty report says that it lives.
    ///
    /// # Errors
    /// `Unavailable` when the coordinator is stopping.
    pub async fn reports(
        &self,
        node: NodeName,
        reports: BTreeMap<InstanceName, Report>,
    ) -> Result<(), Problem> {
        self.send(Event::Reports { node, reports }).await
    }

    /// Hands over what an agent measured.
    ///
    /// # Errors
    /// `Unavailable` when the coordinator is stopping.
    pub async fn measures(
        &self,
        node: NodeName,
        measures: Vec<(InstanceName, Measure)>,
    ) -> Result<(), Problem> {
        self.send(Event::Measures { node, measures }).await
    }

    async fn send(&self, event: Event) -> Result<(), Problem> {
        self.events.send(event).await.map_err(|_| stopping())
    }
}

fn stopping() -> Problem {
    Problem::new(ErrorCode::Unavailable, "the coordinator is stopping")
}

/// The writer's thread, until it is joined.
#[derive(Debug)]
pub struct WriterThread(std::thread::JoinHandle<anyhow::Result<()>>);

impl WriterThread {
    /// Waits for the writer to have written all it took in.
    ///
    /// # Errors
    /// What stopped it, if it was not asked to.
    pub fn join(self) -> anyhow::Result<()> {
        self.0
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the writer panicked")))
    }
}

/// Starts the writer on what was opened: it begins a new epoch before anything else. When it ends, for
/// whatever reason, the token is cancelled.
///
/// # Errors
/// When the first record cannot be made durable, or the thread cannot be started.
pub fn start(
    opened: Opened,
    timings: LivenessTimings,
    sessions: Sessions,
    shutdown: CancellationToken,
) -> anyhow::Result<(Core, WriterThread)> {
    let (events, inbox) = mpsc::channel(QUEUE_MAX);
    let (revision, revisions) = watch::channel(opened.state.revision());
    let snapshot = Arc::new(ArcSwap::from_pointee(opened.state.clone()));
    let started_at = clock::now().max(opened.state.at());
    let mut writer = Writer {
        ledger: Box::new(opened.ledger),
        view: opened.view,
        engine: Engine::new(&opened.state),
        state: opened.state,
        snapshot: Arc::clone(&snapshot),
        revision,
        sessions,
        timings,
        started: Instant::now(),
        started_at,
        heard: BTreeMap::new(),
        more: false,
    };
    writer.begin_epoch()?;
    let thread = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || {
            // Also when it panics: a coordinator without its writer is none.
            let _stop = shutdown.clone().drop_guard();
            writer.run(inbox, shutdown)
        })
        .context("cannot start the writer's thread")?;
    let core = Core {
        events,
        snapshot,
        revisions,
        watchers: Default::default(),
    };
    Ok((core, WriterThread(thread)))
}

struct Writer {
    ledger: Box<dyn Ledger>,
    view: Option<ViewWriter>,
    state: State,
    /// What has to be looked at because of what changed.
    engine: Engine,
    snapshot: Arc<ArcSwap<State>>,
    revision: watch::Sender<u64>,
    sessions: Sessions,
    timings: LivenessTimings,
    started: Instant,
    /// The time of the start.
    started_at: Timestamp,
    /// When each agent was last heard, in milliseconds since the start by the monotonic clock. On no disk.
    heard: BTreeMap<NodeName, Timestamp>,
    /// The last turn had room for no more of what the engine has to say.
    more: bool,
}

/// What one turn decides and who waits for it.
#[derive(Default)]
struct Turn {
    records: Vec<Bytes>,
    bytes: usize,
    keys: BTreeSet<Key>,
    /// Something was seen that is in no record.
    seen: bool,
    answers: Vec<Answer>,
}

enum Answer {
    Call(
        oneshot::Sender<Result<String, Problem>>,
        Result<String, Problem>,
    ),
    Hello(oneshot::Sender<()>),
}

impl Writer {
    fn begin_epoch(&mut self) -> anyhow::Result<()> {
        let epoch = self.state.epoch().saturating_add(1);
        let mut turn = Turn::default();
        self.take(
            &mut turn,
            &Change {
                actor: "coordinator".to_owned(),
                cause: format!("epoch {epoch} begun"),
                resources: vec![Resource::Coordinator { epoch }],
            },
        );
        self.finish(turn)?;
        tracing::info!(epoch, revision = self.state.revision(), "epoch begun");
        Ok(())
    }

    fn run(
        mut self,
        mut inbox: mpsc::Receiver<Event>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .context("cannot start the writer's timers")?;
        let mut judge_at = Instant::now();
        loop {
            let wake_at = self.wake_at(judge_at);
            let event = runtime.block_on(async {
                tokio::select! {
                    event = inbox.recv() => event.map(Some),
                    () = tokio::time::sleep_until(wake_at.into()) => Some(None),
                    () = shutdown.cancelled() => None,
                }
            });
            let Some(event) = event else { break };
            let mut turn = Turn::default();
            if let Some(event) = event {
                self.handle(&mut turn, event);
            }
            for _ in 1..TURN_EVENTS_MAX {
                if turn.bytes > TURN_BYTES_MAX {
                    break;
                }
                match inbox.try_recv() {
                    Ok(event) => self.handle(&mut turn, event),
                    Err(_) => break,
                }
            }
            if Instant::now() >= judge_at {
                judge_at = Instant::now() + LIVENESS_EVERY;
                self.judge(&mut turn);
            }
            self.decide(&mut turn);
            self.finish(turn)?;
        }
        if let Some(view) = self.view.take()
            && let Err(error) = view.close(CLOSE_WITHIN)
        {
            tracing::warn!(%error, "the view could not be closed; the next start makes up for it");
        }
        Ok(())
    }

    /// When there is something to do though nothing happens.
    fn wake_at(&self, judge_at: Instant) -> Instant {
        if self.more {
            return Instant::now();
        }
        let now = self.now();
        match self.engine.next_due() {
            None => judge_at,
            Some(at) => judge_at.min(Instant::now() + at.since(now)),
        }
    }

    /// The time for what is decided now: that of the start, never less than what is in the ledger, and what
    /// has passed since. A wall clock that jumps can neither hold deadlines up nor bring them on.
    fn now(&self) -> Timestamp {
        self.started_at.after(self.started.elapsed())
    }

    fn uptime(&self) -> Timestamp {
        Timestamp(millis(self.started.elapsed()))
    }

    fn handle(&mut self, turn: &mut Turn, event: Event) {
        match event {
            Event::Call { key, call, answer } => {
                let result = self.call(turn, &key, &call);
                turn.answers.push(Answer::Call(answer, result));
            }
            Event::Hello {
                node,
                hello,
                answer,
            } => {
                self.heard.insert(node.clone(), self.uptime());
                if let Some(change) = reports::hello(&self.state, &node, &hello) {
                    self.take(turn, &change);
                }
                turn.answers.push(Answer::Hello(answer));
            }
            Event::Measures { node, measures } => self.see(turn, &node, measures),
            Event::Reports { node, reports } => {
                self.heard.insert(node.clone(), self.uptime());
                if let Some(change) = reports::report(&self.state, &node, &reports) {
                    self.take(turn, &change);
                }
                if let Some(change) = reports::liveness(&self.state, &[(node, Liveness::Up)]) {
                    self.take(turn, &change);
                }
            }
        }
    }

    /// What was measured is seen at once, and kept nowhere.
    fn see(&mut self, turn: &mut Turn, node: &NodeName, measures: Vec<(InstanceName, Measure)>) {
        let at = self.now();
        for (name, measure) in measures {
            let id = InstanceId {
                node: node.clone(),
                name,
            };
            self.state.see(&id, Measure { at, ..measure });
            self.engine.note_measure(&self.state, &id);
            turn.seen = true;
        }
    }

    fn call(&mut self, turn: &mut Turn, key: &RequestKey, call: &Call) -> Result<String, Problem> {
        let outcome = calls::handle(&self.state, key, call, self.now()).map_err(problem_of)?;
        if let Some(change) = &outcome.change {
            // What does not fit into one record cannot be durable as a whole.
            if change_to_record(change, self.now()).len() > PAYLOAD_BYTES_MAX {
                return Err(Problem::new(
                    ErrorCode::TooMuch,
                    "what the call would change is too large for one record of the ledger",
                ));
            }
            self.take(turn, change);
        }
        Ok(outcome.resource)
    }

    fn judge(&mut self, turn: &mut Turn) {
        let now = self.uptime();
        let judged: Vec<_> = self
            .heard
            .iter()
            .filter_map(|(node, heard)| {
                let judged = self.timings.judge(Some(*heard), now);
                let known = self.state.node(node)?.liveness;
                (judged != known).then(|| (node.clone(), judged))
            })
            .collect();
        for judged in judged.chunks(JUDGED_PER_RECORD) {
            if let Some(change) = reports::liveness(&self.state, judged) {
                self.take(turn, &change);
            }
        }
    }

    fn decide(&mut self, turn: &mut Turn) {
        self.more = true;
        for _ in 0..TURN_DECISIONS_MAX {
            if turn.bytes > TURN_BYTES_MAX {
                return;
            }
            let Some(change) = self.engine.advance(&self.state, self.now()) else {
                self.more = false;
                return;
            };
            tracing::info!(cause = change.cause, "decided");
            self.take(turn, &change);
        }
    }

    fn take(&mut self, turn: &mut Turn, change: &Change) {
        let at = self.now();
        let record = change_to_record(change, at);
        turn.bytes += record.len();
        turn.records.push(record);
        let before = self.state.clone();
        let keys = self.state.apply(change, at);
        self.engine.note(&before, &self.state, &keys);
        turn.keys.extend(keys);
    }

    /// Makes the turn durable, then known. An error here ends the writer, and with it the coordinator: what
    /// is on disk is not known any more, and only a new start can tell.
    fn finish(&mut self, turn: Turn) -> anyhow::Result<()> {
        if !turn.records.is_empty() {
            failpoint::hit(failpoints::APPEND_BEFORE);
            let position = self
                .ledger
                .append(&turn.records)
                .context("cannot append to the ledger")?;
            failpoint::hit(failpoints::APPEND_AFTER);
            let before = self.snapshot.swap(Arc::new(self.state.clone()));
            self.revision.send_replace(self.state.revision());
            self.sessions
                .notify(&affected(&before, &self.state, &turn.keys));
            self.update_view(&turn.keys, position);
        } else if turn.seen {
            self.snapshot.store(Arc::new(self.state.clone()));
        }
        for answer in turn.answers {
            // Who asked may have gone.
            match answer {
                Answer::Call(sender, result) => {
                    let _ = sender.send(result);
                }
                Answer::Hello(sender) => {
                    let _ = sender.send(());
                }
            }
        }
        failpoint::hit(failpoints::TURN_AFTER);
        Ok(())
    }

    fn update_view(&mut self, keys: &BTreeSet<Key>, position: Position) {
        let Some(view) = &self.view else { return };
        let update = startup::update(&self.state, keys, position);
        if let Err(error) = view.submit(update) {
            tracing::error!(%error, "going on without the view; the next start makes it anew");
            self.view = None;
        }
    }
}

/// The nodes whose agents may have to hear something else now: an order, or what to prefetch.
fn affected(before: &State, after: &State, keys: &BTreeSet<Key>) -> BTreeSet<NodeName> {
    let mut nodes = BTreeSet::new();
    for key in keys {
        match key {
            Key::Instance(id) => {
                let told = |state: &State| {
                    let instance = state.instance(id)?;
                    Some((instance.generation(), instance.quarantine.clone()))
                };
                if told(before) != told(after) {
                    nodes.insert(id.node.clone());
                }
            }
            Key::Plan(id) => {
                // Agents get ready for the stage that is under way.
                let state = |state: &State| {
                    let plan = state.plan(*id)?;
                    Some((plan.state.name(), state.stage_under_way(*id)))
                };
                if state(before) != state(after) {
                    nodes.extend(after.tasks_of(*id).map(|task| task.instance.node.clone()));
                }
                let told = |state: &State| {
                    let plan = state.plan(*id);
                    plan.map(|plan| plan.finalizing.clone()).unwrap_or_default()
                };
                if told(before) != told(after) {
                    // Also whoever was told before, and need not go on with it.
                    let told = [told(before), told(after)].into_iter().flatten();
                    let told = told.filter_map(|told| told.instance);
                    nodes.extend(told.map(|instance| instance.node));
                }
            }
            Key::Task(id) => {
                // What is tried again has to be fetched again.
                let pending = |state: &State| {
                    let task = state.task(id);
                    task.map(|task| task.state == TaskState::Pending)
                };
                if (pending(before), pending(after)) == (Some(false), Some(true)) {
                    nodes.insert(id.instance.node.clone());
                }
            }
            Key::Coordinator
            | Key::Node(_)
            | Key::Release(..)
            | Key::Freeze
            | Key::Matrix
            | Key::ReportedVersions(..)
            | Key::Request(_) => {}
        }
    }
    nodes
}
