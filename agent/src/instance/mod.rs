//! One instance: the core's decisions carried out, and what happens told to the core.
//!
//! [`Instance::run`] is the one task that owns the instance's state, journal and process. It takes an event, asks
//! the core what follows, makes the record durable, and only then lets the effects out ([`effects`]).

mod asking;
mod effects;
mod halted;
mod recovery;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camino::Utf8PathBuf;
use evenkeel_agent_core::{
    Action, Event, Finality, Hold, Incoming, Order, OrderResult, Phase, Record, Release, Run,
    Standing, State, Ticket, Transition, step,
};
use evenkeel_common::{
    limits::{REASON_BYTES_MAX, cut},
    names::InstanceName,
};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    clock,
    config::InstanceSettings,
    driver::Driver,
    journal::Journal,
    measures::Measures,
    probes::{Health, Prober, Probes, Vitality},
    rebuild::{Leave, Rebuilds},
    releases::Store,
    report::{ProcessFacts, Reports, sentence},
    supervisor::{StorageProcess, Supervisor, SupervisorError},
};

use asking::Asking;

pub use recovery::{Surroundings, run};

/// How long to wait before a record that could not be written is tried again.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

/// How long to wait before one who did not answer is asked again.
const DOUBT_RETRY: Duration = Duration::from_secs(1);

/// What a coordinator said last of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The coordinator's epoch.
    pub epoch: u64,
    /// Its order, if it ever gave one.
    pub order: Option<DatedOrder>,
    /// Releases that are wanted at hand.
    pub prefetch: Vec<Release>,
    /// Whether the instance has to stay down.
    pub hold: Hold,
    /// What the driver has to make final, if anything.
    pub finalize: Option<Finality>,
}

/// An order, and until when it may be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedOrder {
    /// The order.
    pub order: Order,
    /// The boot clock in the message that the order answers, in milliseconds.
    pub answers_clock_ms: u64,
    /// How long after that it may still be begun, in milliseconds.
    pub begin_within_ms: u64,
}

/// A stop under way.
#[derive(Debug)]
struct Stopping {
    /// On whose word.
    ticket: Ticket,
    /// When the process is killed.
    kill_at: Instant,
    killed: bool,
}

/// Something that was not done because the one who runs the process did not answer: what runs is not known.
#[derive(Debug)]
struct Doubt {
    /// What was to be done; done again once there is an answer, if it is still wanted then.
    action: Action,
    again_at: Instant,
    why: String,
}

/// One instance.
struct Instance {
    settings: Arc<InstanceSettings>,
    folder: Utf8PathBuf,
    store: Arc<Store>,
    supervisor: Supervisor,
    reports: Arc<Reports>,
    measures: Arc<Measures>,
    journal: Arc<Mutex<Journal>>,
    inbox: watch::Receiver<Option<Desired>>,
    probes: Probes,
    state: State,
    process: Option<StorageProcess>,
    prober: Option<Prober>,
    stopping: Option<Stopping>,
    doubt: Option<Doubt>,
    /// What tells that the process may have changed without the agent; none if nobody else can change it.
    changes: Option<watch::Receiver<u64>>,
    /// The program that knows the storage system, if there is one.
    driver: Option<Arc<Driver>>,
    /// What the driver is being asked.
    asking: Option<Asking>,
    /// Its being told to make an upgrade final.
    finalizing: Option<Asking>,
    /// What is set aside of the data.
    rebuilds: Rebuilds,
    /// Whether the instance could be rebuilt.
    leave: watch::Receiver<Leave>,
    /// When the process was asked to stop last.
    stop_signalled: Option<Instant>,
    /// Why the journal could not be written, while it cannot.
    journal_trouble: Option<String>,
}

impl Instance {
    /// Runs until the program ends.
    async fn run(mut self, found: Event) {
        self.handle(found).await;
        self.reports.looked_at(&self.settings.name);
        loop {
            self.look_at_probes().await;
            self.publish();
            let wake = self.wake_at();
            tokio::select! {
                biased;
                () = ended(&mut self.process) => self.exited().await,
                answer = asked(&mut self.asking) => {
                    if let Some(event) = answer {
                        self.asking = None;
                        self.handle(event).await;
                    }
                }
                answer = asked(&mut self.finalizing) => {
                    if let Some(event) = answer {
                        self.finalizing = None;
                        self.handle(event).await;
                    }
                }
                () = probed(&mut self.prober) => {}
                () = changed(&mut self.changes) => self.look_whether_started().await,
                // Its end comes with the instance's.
                Ok(()) = self.leave.changed() => {}
                changed = self.inbox.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.hear().await;
                }
                () = sleep_until_any(wake) => self.look_at_the_clock().await,
            }
        }
    }

    /// Carries an event and all that follows from it at once to its end.
    async fn handle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let said_from_outside = matches!(event, Event::Desired { .. });
            let transition = match step(&self.state, event, clock::now_ms()) {
                Ok(transition) => transition,
                Err(illegal) => {
                    tracing::error!(instance = %self.settings.name, %illegal, "a defect of the agent: nothing is done");
                    continue;
                }
            };
            if let Some(record) = &transition.record
                && !self.make_durable(record, said_from_outside).await
            {
                continue;
            }
            let ended = self.adopt(&transition);
            if ended {
                self.note_end().await;
            }
            for action in transition.actions {
                events.extend(self.perform(action).await);
            }
            self.publish();
        }
    }

    /// Takes over the new state; whether an order ended with it.
    fn adopt(&mut self, transition: &Transition) -> bool {
        let before = self.state.phase.name();
        let was_under_way = self.state.phase.journey().is_some();
        self.state = transition.state.clone();
        let phase = self.state.phase.name();
        if phase != before {
            let reason = self.state.reason();
            tracing::info!(instance = %self.settings.name, from = before, to = phase, %reason, "moved on");
        }
        if phase != before {
            // What is asked belongs to one phase alone.
            self.asking = None;
        }
        self.say_what_is_needed();
        was_under_way && self.state.phase.journey().is_none()
    }

    /// What an order that has ended leaves to be done.
    async fn note_end(&mut self) {
        self.collect_releases();
        self.measures.begin_anew(&self.settings.name);
        let record = Record::of(&self.state);
        let (rebuilds, name) = (self.rebuilds.clone(), self.settings.name.clone());
        let noted = spawn_blocking(move || note_end(&rebuilds, &record, &name));
        // It panics by a defect only, and then the time of what is kept begins with the next agent.
        let _ = noted.await;
    }

    /// Makes a record durable. One for a word from outside is given up when that fails, as if it was never
    /// heard; one that the instance's own life depends on is tried until it works.
    async fn make_durable(&mut self, record: &Record, give_up: bool) -> bool {
        loop {
            let (journal, record) = (Arc::clone(&self.journal), record.clone());
            let written = spawn_blocking(move || {
                let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
                if give_up {
                    journal.make_room()?;
                }
                journal.append(&record)
            })
            .await;
            let trouble = match written {
                Ok(Ok(())) => {
                    self.journal_trouble = None;
                    return true;
                }
                Ok(Err(error)) => sentence(&error),
                Err(error) => sentence(&error),
            };
            tracing::error!(instance = %self.settings.name, %trouble, "nothing can be done before this is mended");
            self.journal_trouble = Some(trouble);
            self.publish();
            if give_up {
                return false;
            }
            sleep(JOURNAL_RETRY).await;
        }
    }

    /// Hears what the coordinator said last.
    async fn hear(&mut self) {
        let Some(desired) = self.inbox.borrow_and_update().clone() else {
            return;
        };
        self.say_what_is_needed();
        let incoming = match desired.order {
            Some(dated) => Some(Incoming {
                missing: self.missing(&dated.order),
                obstacle: self.obstacle(&dated.order).await,
                order: dated.order,
                answers_clock_ms: dated.answers_clock_ms,
                begin_within_ms: dated.begin_within_ms,
            }),
            None => None,
        };
        self.handle(Event::Desired {
            epoch: desired.epoch,
            incoming,
            hold: desired.hold,
            finalize: desired.finalize.map(Box::new),
        })
        .await;
        if let Some(refusal) = &self.state.refusal {
            tracing::warn!(instance = %self.settings.name, %refusal, "refused");
        }
    }

    /// A release that an order names and that is not at hand.
    fn missing(&self, order: &Order) -> Option<Release> {
        let fallback = order.fallback.as_ref().map(|fallback| &fallback.release);
        let mut named = std::iter::once(&order.release).chain(fallback);
        named
            .find(|release| !self.store.has(&self.settings.component, release))
            .cloned()
    }

    /// Why the data must not be set aside, if an order that is new may need that.
    async fn obstacle(&mut self, order: &Order) -> Option<String> {
        if !order.may_empty() || order.generation <= self.state.fence.generation() {
            return None;
        }
        if self.state.current.is_none() {
            return Some(
                "no release was ever installed, so there is nothing to rebuild".to_owned(),
            );
        }
        let (rebuilds, generation) = (self.rebuilds.clone(), order.generation);
        match spawn_blocking(move || rebuilds.obstacle(Some(generation))).await {
            Ok(obstacle) => obstacle.map(|reason| cut(reason, REASON_BYTES_MAX / 2)),
            Err(error) => Some(sentence(&error)),
        }
    }

    /// The process has ended.
    async fn exited(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        self.stopping = None;
        self.prober = None;
        // An answer counts for the process that was asked about.
        self.asking = None;
        let reason = cut(process.how_it_ended(), REASON_BYTES_MAX);
        tracing::info!(instance = %self.settings.name, %reason, "the process ended");
        if self.state.phase.journey().is_none() {
            self.measures.ended(&self.settings.name);
        }
        self.handle(Event::Exited { reason }).await;
    }

    /// Tells the core that the process is ready, if that is what it waits for.
    async fn look_at_probes(&mut self) {
        let awaited = match self.state.phase {
            Phase::Verifying(_) => true,
            // Once the probes are good, its driver may be asked what else is missing.
            Phase::Failed(_, _) => self.asking.is_none(),
            Phase::Serving(_)
            | Phase::Draining(_)
            | Phase::Asking(_)
            | Phase::Quiescing(_)
            | Phase::Declining(_)
            | Phase::Recovering { .. }
            | Phase::Stopping(_)
            | Phase::Emptying(_)
            | Phase::Swapping(_)
            | Phase::Starting(_)
            | Phase::Rejoining(_) => false,
        };
        let (Some(prober), Some(process)) = (&self.prober, &self.process) else {
            return;
        };
        let vitality = prober.vitality();
        if !awaited || !vitality.ready || self.stopping.is_some() {
            return;
        }
        // None: it has just ended, and that is the next event.
        let Some(running) = process.release_now(&self.store) else {
            return;
        };
        let took = match (self.stop_signalled, vitality.ready_at) {
            (Some(stopped), Some(ready)) => ready.saturating_duration_since(stopped),
            (None, _) | (_, None) => Duration::ZERO,
        };
        let stop_to_ready_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.handle(Event::Ready {
            running,
            stop_to_ready_us,
        })
        .await;
    }

    /// Takes up a process that somebody else has started, where none was wanted or one is waited for.
    async fn look_whether_started(&mut self) {
        let Some(service) = self.state.phase.service() else {
            return;
        };
        let is_down = match service.run {
            Run::Nothing
            | Run::Awaiting { .. }
            | Run::Held { .. }
            | Run::Waiting { .. }
            | Run::GivenUp { .. } => true,
            Run::Unknown | Run::Starting | Run::Up => false,
        };
        if !is_down || self.process.is_some() {
            return;
        }
        // Where that cannot be told there is nothing to take up, and it is said again when it changes.
        if let Ok(Some(process)) = self.supervisor.find_started().await {
            tracing::warn!(instance = %self.settings.name, pid = process.pid(), "somebody else has started the process");
            let running = self.take_up(process);
            self.handle(Event::Started { running }).await;
        }
    }

    /// Asks again the one who did not answer.
    async fn settle_doubt(&mut self) {
        let Some(doubt) = self.doubt.take() else {
            return;
        };
        let is_wanted = match (&doubt.action, &self.state.phase) {
            (Action::EnsureStopped(_), Phase::Stopping(_))
            | (Action::Start(_, _), Phase::Starting(_)) => true,
            (Action::Start(_, _), phase) => {
                phase.service().map(|service| &service.run) == Some(&Run::Starting)
            }
            (_, _) => false,
        };
        if is_wanted {
            if let Some(event) = self.perform(doubt.action).await {
                self.handle(event).await;
            }
            return;
        }
        let is_up = self.state.phase.service().map(|service| &service.run) == Some(&Run::Up);
        if !is_up || self.process.is_some() {
            return;
        }
        // It was given up with the question open whether a process runs.
        match self.supervisor.find().await {
            Ok(Some(process)) => {
                self.take_up(process);
            }
            Ok(None) => {
                let reason = "it was found to be down".to_owned();
                self.handle(Event::Exited { reason }).await;
            }
            Err(error) => self.doubt(doubt.action, &error),
        }
    }

    /// Notes that something was not done, because what runs is not known.
    fn doubt(&mut self, action: Action, error: &SupervisorError) {
        let why = sentence(error);
        tracing::warn!(instance = %self.settings.name, %why, "not known what runs; asked again");
        self.doubt = Some(Doubt {
            action,
            again_at: Instant::now() + DOUBT_RETRY,
            why: cut(
                format!("what runs is not known: {why}"),
                REASON_BYTES_MAX / 2,
            ),
        });
    }

    /// The process is the instance's from now on; the release that it runs.
    fn take_up(&mut self, process: StorageProcess) -> Release {
        let running = process.release().clone();
        self.process = Some(process);
        self.prober = Some(Prober::start(&self.probes));
        running
    }

    async fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if self
            .doubt
            .as_ref()
            .is_some_and(|doubt| doubt.again_at <= now)
        {
            self.settle_doubt().await;
        }
        if self
            .stopping
            .as_ref()
            .is_some_and(|stopping| !stopping.killed && stopping.kill_at <= Instant::now())
            && let Some(event) = self.kill().await
        {
            self.handle(event).await;
        }
        if self
            .state
            .wake_at_ms()
            .is_some_and(|at_ms| at_ms <= clock::now_ms())
        {
            let trouble = match (&self.asking, &self.prober) {
                (Some(asking), _) if !asking.trouble().is_empty() => asking.trouble(),
                (Some(_) | None, Some(prober)) => prober.vitality().trouble,
                (Some(_) | None, None) => String::new(),
            };
            let trouble = match &self.doubt {
                Some(doubt) => doubt.why.clone(),
                None => trouble,
            };
            let trouble = cut(trouble, REASON_BYTES_MAX / 2);
            self.handle(Event::Tick { trouble }).await;
        }
    }

    /// When the clock has to be looked at next.
    fn wake_at(&self) -> Option<Instant> {
        let kill_at = self
            .stopping
            .as_ref()
            .filter(|stopping| !stopping.killed)
            .map(|stopping| stopping.kill_at);
        let tick_at = self.state.wake_at_ms().map(|at_ms| {
            Instant::now() + Duration::from_millis(at_ms.saturating_sub(clock::now_ms()))
        });
        let again_at = self.doubt.as_ref().map(|doubt| doubt.again_at);
        [kill_at, tick_at, again_at].into_iter().flatten().min()
    }

    fn say_what_is_needed(&self) {
        let order = self.state.fence.order.as_ref();
        let wanted = self
            .inbox
            .borrow()
            .as_ref()
            .map(|desired| desired.prefetch.clone())
            .unwrap_or_default();
        let releases = [
            self.state.current.as_ref(),
            self.process.as_ref().map(StorageProcess::release),
            order.map(|order| &order.release),
            order
                .and_then(|order| order.fallback.as_ref())
                .map(|fallback| &fallback.release),
            self.state.phase.journey().map(|journey| &journey.target),
        ];
        let releases = releases
            .into_iter()
            .flatten()
            .cloned()
            .chain(wanted)
            .collect();
        self.store
            .need(&self.settings.name, &self.settings.component, releases);
    }

    fn collect_releases(&self) {
        let (store, component) = (Arc::clone(&self.store), self.settings.component.clone());
        spawn_blocking(move || store.collect_or_warn(&component));
    }

    /// Writes down what is true now, for the coordinator.
    fn publish(&self) {
        let vitality = self.prober.as_ref().map(Prober::vitality);
        let state = &self.state;
        self.measures.process(
            &self.settings.name,
            self.process.as_ref().map(StorageProcess::started_at),
            self.prober.as_ref().map(Prober::answers),
        );
        self.measures
            .busy(&self.settings.name, state.phase.journey().is_some());
        self.reports.update(&self.settings.name, |facts| {
            facts.status = state.status();
            facts.health = vitality
                .as_ref()
                .map_or(Health::Error, |vitality| vitality.health);
            facts.reason = self.reason(vitality.as_ref());
            facts.current.clone_from(&state.current);
            facts.process = self.process.as_ref().map(process_facts);
            facts.accepted_epoch = state.fence.epoch;
            facts.accepted_generation = state.fence.generation();
            facts.progress = state.progress();
            facts.finalized.clone_from(&state.finalized);
            facts.held = state.is_held() && self.process.is_none();
            facts.hold_word = state.hold.word;
            // What an order under way has set aside is in nobody else's way.
            if state.phase.journey().is_none() {
                facts.leave.clone_from(&self.leave.borrow());
            }
        });
    }

    fn reason(&self, vitality: Option<&Vitality>) -> String {
        let trouble = vitality.map(|vitality| vitality.trouble.clone());
        let parts = [
            self.journal_trouble.clone(),
            Some(self.state.reason()),
            match &self.doubt {
                Some(doubt) => Some(doubt.why.clone()),
                None => self.supervisor.trouble(),
            },
            self.asking.as_ref().map(Asking::trouble),
            self.finalizing.as_ref().map(Asking::trouble),
            trouble,
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        cut(parts.join("; "), REASON_BYTES_MAX)
    }
}

fn process_facts(process: &StorageProcess) -> ProcessFacts {
    ProcessFacts {
        pid: process.pid(),
        started_at: process.started_at(),
        release: process.release().clone(),
        configuration: process.configuration(),
    }
}

async fn ended(process: &mut Option<StorageProcess>) {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}

/// Waits until a driver that is being asked has something to say: the event that it was asked for, or what is in the
/// way of it, which is none.
async fn asked(asking: &mut Option<Asking>) -> Option<Event> {
    match asking {
        Some(asking) => asking.heard().await,
        None => std::future::pending().await,
    }
}

/// Where an order that set data aside has ended well, the time begins in which that is kept; until it is up there is
/// no other rebuild. Blocks.
fn note_end(rebuilds: &Rebuilds, record: &Record, instance: &InstanceName) {
    begin_keeping(rebuilds, record, instance);
    rebuilds.look();
}

fn begin_keeping(rebuilds: &Rebuilds, record: &Record, instance: &InstanceName) {
    let Standing::Settled {
        outcome: Some(outcome),
    } = &record.standing
    else {
        return;
    };
    let (OrderResult::Done | OrderResult::Reverted) = outcome.result else {
        return;
    };
    let order = record.fence.order.as_ref();
    let Some(order) = order.filter(|order| order.may_empty()) else {
        return;
    };
    if let Err(error) = rebuilds.ended_well(order.generation) {
        let reason = sentence(&error);
        tracing::warn!(%instance, %reason, "what was set aside is kept until the agent has started again");
    }
}

async fn probed(prober: &mut Option<Prober>) {
    match prober {
        Some(prober) => prober.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until the process may have changed without the agent.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) {
    let has_changed = match changes {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    };
    if !has_changed {
        std::future::pending::<()>().await;
    }
}

async fn sleep_until_any(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
