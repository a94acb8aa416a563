//! The coordinator's writer, ledger and sessions, as the real ones are: events, what follows from them until nothing
//! does, durable, and only then anything leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use evenkeel_coordinator_core::{
    calls::{self, Call},
    change::{Change, RequestKey, Resource},
    desired::{DesiredInstance, desired},
    engine::{self, Engine},
    node::{Liveness, LivenessTimings},
    refusal::Refusal,
    reports,
    state::{Key, State},
};
use evenkeel_words::{
    names::{InstanceName, NodeName},
    planted::{self, Bug},
    timestamp::Timestamp,
};

use crate::{
    coverage::Sight,
    network::{HEARTBEAT_MS, ToAgent, ToCoordinator},
    queue::Ms,
    world::{Event, NodeIndex, World, note},
};

const TIMINGS: LivenessTimings = LivenessTimings {
    suspect_after: Duration::from_secs(30),
    lost_after: Duration::from_secs(60),
};

/// What the engine may say in one turn.
const TURN_DECISIONS_MAX: usize = 1_000;

/// How often silence is judged. The real writer does it more often; nothing depends on that.
const JUDGE_EVERY_MS: Ms = 2_000;

/// An order that was not taken is said again once the agent's clock is this much past what it answered.
const SAY_AGAIN_AFTER_MS: u64 = 10_000;

/// What its clock said when the world began, in milliseconds since 1970.
const WALL_AT_START: u64 = 1_700_000_000_000;

/// Ten years in milliseconds.
const TEN_YEARS_MS: u64 = 10 * 365 * 24 * 3_600_000;

/// At which point of a turn the coordinator dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    BeforeAppend,
    TornAppend,
    AfterAppend,
    AfterTurn,
}

/// The coordinator's disk, and its program while that runs.
#[derive(Debug)]
pub(crate) struct Coordinator {
    /// What is durable.
    pub(crate) ledger: Vec<(Change, Timestamp)>,
    /// The ledger that a backup was put in the place of.
    pub(crate) newer_ledger: Option<Vec<(Change, Timestamp)>>,
    pub(crate) running: Option<Running>,
    /// Counts its starts.
    pub(crate) life: u64,
    /// What its wall clock is off by when it starts next.
    pub(crate) wall_offset_ms: i64,
    /// Where it dies, after so many turns.
    pub(crate) doom: Option<(Crash, u32)>,
    /// What was durable when it was last known.
    pub(crate) durable: State,
}

/// The coordinator's program.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) state: State,
    /// What has to be looked at because of what changed.
    engine: Engine,
    /// What readers and sessions see.
    pub(crate) published: State,
    started: Ms,
    started_at: Timestamp,
    heard: BTreeMap<NodeName, Ms>,
    inbox: Vec<Said>,
    sessions: BTreeMap<NodeIndex, CoordinatorSession>,
    due_at: Option<Ms>,
    since_checked: u32,
}

/// Something that the writer takes in.
#[derive(Debug)]
pub(crate) enum Said {
    Call(RequestKey, Box<Call>),
    Hello(NodeIndex, u64, Box<reports::Hello>),
    Report(
        NodeIndex,
        u64,
        BTreeMap<InstanceName, evenkeel_coordinator_core::instance::Report>,
    ),
    Judge,
}

/// The coordinator's end of a session.
#[derive(Debug)]
struct CoordinatorSession {
    number: u64,
    clock_ms: u64,
    is_welcomed: bool,
    said: BTreeMap<InstanceName, (DesiredInstance, u64)>,
    said_at_ms: u64,
}

/// What a turn leaves for later.
#[derive(Default)]
struct Turn {
    changes: Vec<(Change, Timestamp)>,
    keys: BTreeSet<Key>,
    answers: Vec<(RequestKey, Box<Call>, Result<String, Refusal>)>,
    hellos: Vec<(NodeIndex, u64)>,
    heard: Vec<NodeIndex>,
}

impl Coordinator {
    pub(crate) fn new() -> Self {
        Self {
            ledger: Vec::new(),
            newer_ledger: None,
            running: None,
            life: 0,
            wall_offset_ms: 0,
            doom: None,
            durable: State::default(),
        }
    }

    /// What anybody may read of it; what it said last, where it does not run.
    pub(crate) fn read(&self) -> &State {
        match &self.running {
            Some(running) => &running.published,
            None => &self.durable,
        }
    }
}

impl Running {
    pub(crate) fn now(&self, now: Ms) -> Timestamp {
        self.started_at
            .after(Duration::from_millis(now - self.started))
    }
}

impl World {
    /// What time the coordinator takes it to be.
    pub(crate) fn coordinator_now(&self) -> Option<Timestamp> {
        let running = self.coordinator.running.as_ref()?;
        Some(running.now(self.now))
    }

    pub(crate) fn coordinator_starts(&mut self) {
        if self.coordinator.running.is_some() {
            return;
        }
        let mut state = State::default();
        for (change, at) in &self.coordinator.ledger {
            state.apply(change, *at);
        }
        if state != self.coordinator.durable {
            self.wrong("the ledger replays to another state".to_owned());
        }
        if self.dice.chance(1, 4) {
            // Out of its view.
            let things = state.keys().filter_map(|key| state.resource(&key));
            let restored = State::restore(things, state.revision(), state.at());
            if restored != state {
                self.wrong("the view restores another state".to_owned());
            }
            state = restored;
        }
        self.coordinator.life += 1;
        let wall = WALL_AT_START
            .saturating_add(self.now)
            .saturating_add_signed(self.coordinator.wall_offset_ms);
        let epoch = state.epoch() + 1;
        note!(self, "the coordinator starts, epoch {epoch}");
        self.coordinator.running = Some(Running {
            published: state.clone(),
            engine: Engine::new(&state),
            started: self.now,
            started_at: Timestamp(wall).max(state.at()),
            state,
            heard: BTreeMap::new(),
            inbox: Vec::new(),
            sessions: BTreeMap::new(),
            due_at: None,
            since_checked: 0,
        });
        let mut turn = Turn::default();
        let change = Change {
            actor: "coordinator".to_owned(),
            cause: format!("epoch {epoch} begun"),
            resources: vec![Resource::Coordinator { epoch }],
        };
        self.take(&mut turn, change);
        self.finish(turn);
        let life = self.coordinator.life;
        self.later(JUDGE_EVERY_MS, Event::Judge(life));
        self.later(0, Event::Due(life));
    }

    /// The program ends at once; it starts again after a while.
    pub(crate) fn coordinator_crashes(&mut self) {
        if self.coordinator.running.take().is_none() {
            return;
        }
        note!(self, "the coordinator is gone");
        self.coordinator.doom = None;
        for node in 0..self.links.len() {
            if let crate::network::Session::Dialed(session)
            | crate::network::Session::Open(session) = self.links[node].session
            {
                let within = match self.links[node].down {
                    true => 500,
                    false => crate::network::KEEPALIVE_MS,
                };
                let after = self.dice.between(0, within);
                self.later(after, Event::AgentLoses(node, session));
            }
        }
        if self.is_wild && self.dice.chance(1, 3) {
            let years = self.dice.between(0, TEN_YEARS_MS);
            let years = i64::try_from(years).unwrap_or(0);
            let ahead = self.dice.chance(1, 2);
            self.coordinator.wall_offset_ms = if ahead { years } else { -years };
            self.see(if ahead {
                Sight::WallAhead
            } else {
                Sight::WallBack
            });
        }
        let away = match self.dice.chance(1, 6) {
            true => self.dice.between(60_000, 900_000),
            false => self.dice.between(500, 30_000),
        };
        self.later(away, Event::CoordinatorStarts);
    }

    fn crashes_at(&mut self, here: Crash) -> bool {
        let Some((crash, more)) = &mut self.coordinator.doom else {
            return false;
        };
        if *crash != here {
            return false;
        }
        if *more > 0 {
            *more -= 1;
            return false;
        }
        note!(self, "the coordinator dies: {here:?}");
        true
    }

    /// An older ledger is put in the place of the one there is.
    pub(crate) fn restore_backup(&mut self) {
        if self.coordinator.newer_ledger.is_some() {
            return;
        }
        self.coordinator_crashes();
        let ledger = &self.coordinator.ledger;
        let least = ledger.len() / 2;
        let keep = least + self.dice.index(ledger.len() - least + 1);
        if keep == self.coordinator.ledger.len() {
            return;
        }
        note!(
            self,
            "a backup of {keep} changes is put in the place of {}",
            self.coordinator.ledger.len()
        );
        self.see(Sight::Backup);
        let newer = self.coordinator.ledger.clone();
        self.coordinator.ledger.truncate(keep);
        self.coordinator.newer_ledger = Some(newer);
        self.remember_durable();
        self.truth.is_forked = true;
    }

    /// The newest ledger is brought back.
    pub(crate) fn bring_back_newer(&mut self) {
        let Some(newer) = self.coordinator.newer_ledger.take() else {
            return;
        };
        self.coordinator_crashes();
        note!(self, "the newer ledger is brought back");
        self.coordinator.ledger = newer;
        self.remember_durable();
    }

    fn remember_durable(&mut self) {
        let mut state = State::default();
        for (change, at) in &self.coordinator.ledger {
            state.apply(change, *at);
        }
        self.coordinator.durable = state;
    }

    pub(crate) fn coordinator_hears(
        &mut self,
        node: NodeIndex,
        session: u64,
        message: ToCoordinator,
    ) {
        let Some(running) = &mut self.coordinator.running else {
            return self.stream_breaks(node, session, 500);
        };
        match message {
            ToCoordinator::Hello { clock_ms, hello } => {
                let newest = running.sessions.get(&node).map_or(0, |is| is.number);
                if session <= newest {
                    return;
                }
                running.sessions.insert(
                    node,
                    CoordinatorSession {
                        number: session,
                        clock_ms,
                        is_welcomed: false,
                        said: BTreeMap::new(),
                        said_at_ms: 0,
                    },
                );
                self.put_in_inbox(Said::Hello(node, session, Box::new(hello)));
            }
            ToCoordinator::Report { clock_ms, reports } => {
                let is = running.sessions.get_mut(&node);
                let Some(is) = is.filter(|is| is.number == session) else {
                    return self.stream_breaks(node, session, 500);
                };
                is.clock_ms = is.clock_ms.max(clock_ms);
                self.put_in_inbox(Said::Report(node, session, reports));
            }
        }
    }

    pub(crate) fn coordinator_loses(&mut self, node: NodeIndex, session: u64) {
        if let Some(running) = &mut self.coordinator.running
            && running.sessions.get(&node).map(|is| is.number) == Some(session)
        {
            running.sessions.remove(&node);
        }
    }

    pub(crate) fn coordinator_is_asked(&mut self, said: Said) {
        if self.coordinator.running.is_some() {
            self.put_in_inbox(said);
        }
    }

    fn put_in_inbox(&mut self, said: Said) {
        let life = self.coordinator.life;
        let Some(running) = &mut self.coordinator.running else {
            return;
        };
        running.inbox.push(said);
        if running.inbox.len() == 1 {
            let after = self.dice.weighted(&[(8, 1), (2, 20)]);
            self.later(after, Event::Turn(life));
        }
    }

    pub(crate) fn judge(&mut self, life: u64) {
        if self.coordinator.life == life && self.coordinator.running.is_some() {
            self.take_turn(vec![Said::Judge], false);
            self.later(JUDGE_EVERY_MS, Event::Judge(life));
        }
    }

    pub(crate) fn due(&mut self, life: u64) {
        let now = self.now;
        if self.coordinator.life != life {
            return;
        }
        let Some(running) = &mut self.coordinator.running else {
            return;
        };
        if running.due_at.is_none_or(|at| at <= now) {
            running.due_at = None;
            self.take_turn(Vec::new(), true);
        }
    }

    pub(crate) fn turn(&mut self, life: u64) {
        if self.coordinator.life != life {
            return;
        }
        let Some(running) = &mut self.coordinator.running else {
            return;
        };
        let inbox = std::mem::take(&mut running.inbox);
        self.take_turn(inbox, false);
    }

    fn take_turn(&mut self, inbox: Vec<Said>, is_due: bool) {
        let mut turn = Turn::default();
        for said in inbox {
            self.take_in(&mut turn, said);
        }
        if is_due || !turn.changes.is_empty() {
            self.decide(&mut turn);
        } else {
            self.has_nothing_to_say();
        }
        let has_changed = !turn.changes.is_empty();
        let heard = std::mem::take(&mut turn.heard);
        if !self.finish(turn) {
            return;
        }
        for node in heard {
            self.say_again(node);
        }
        if is_due || has_changed {
            self.due_later();
        }
    }

    fn take_in(&mut self, turn: &mut Turn, said: Said) {
        let now = self.now;
        let Some(running) = &mut self.coordinator.running else {
            return;
        };
        match said {
            Said::Call(key, call) => {
                let at = running.now(now);
                let outcome = calls::handle(&running.state, &key, &call, at);
                let result = outcome.map(|outcome| {
                    if let Some(change) = outcome.change {
                        self.take(turn, change);
                    }
                    outcome.resource
                });
                turn.answers.push((key, call, result));
            }
            Said::Hello(node, session, hello) => {
                let name = &self.hosts[node].name;
                running.heard.insert(name.clone(), now);
                if let Some(change) = reports::hello(&running.state, name, &hello) {
                    self.take(turn, change);
                }
                turn.hellos.push((node, session));
            }
            Said::Report(node, session, reports) => {
                let is = running.sessions.get(&node).map(|is| is.number);
                if is != Some(session) {
                    return;
                }
                let name = self.hosts[node].name.clone();
                running.heard.insert(name.clone(), now);
                turn.heard.push(node);
                if let Some(change) = reports::report(&running.state, &name, &reports) {
                    self.take(turn, change);
                }
                let Some(running) = &self.coordinator.running else {
                    return;
                };
                let up = [(name, Liveness::Up)];
                if let Some(change) = reports::liveness(&running.state, &up) {
                    self.take(turn, change);
                }
            }
            Said::Judge => {
                let judged: Vec<_> = running
                    .heard
                    .iter()
                    .filter_map(|(node, heard)| {
                        let judged = TIMINGS.judge(Some(Timestamp(*heard)), Timestamp(now));
                        let known = running.state.node(node)?.liveness;
                        (judged != known).then(|| (node.clone(), judged))
                    })
                    .collect();
                if judged.iter().any(|(_, is)| *is == Liveness::AgentLost) {
                    self.coverage.see(Sight::SilentAgent);
                }
                if let Some(change) = reports::liveness(&running.state, &judged) {
                    self.take(turn, change);
                }
            }
        }
    }

    fn decide(&mut self, turn: &mut Turn) {
        for _ in 0..TURN_DECISIONS_MAX {
            let Some(running) = &mut self.coordinator.running else {
                return;
            };
            let now = running.now(self.now);
            let Some(change) = running.engine.advance(&running.state, now) else {
                self.at_rest(now);
                return;
            };
            self.take(turn, change);
            if self.wrong.is_some() {
                return;
            }
        }
        let life = self.coordinator.life;
        if let Some(running) = &mut self.coordinator.running {
            running.due_at = None;
        }
        self.later(1, Event::Due(life));
    }

    /// Applies a change, with an eye on every rule.
    fn take(&mut self, turn: &mut Turn, change: Change) {
        let now = self.now;
        let Some(running) = &mut self.coordinator.running else {
            return;
        };
        let at = running.now(now);
        let before = running.state.clone();
        let keys = running.state.apply(&change, at);
        running.engine.note(&before, &running.state, &keys);
        let after = running.state.clone();
        turn.keys.extend(keys);
        self.look_at_change(&before, &after, &change);
        turn.changes.push((change, at));
    }

    /// Makes the turn durable, then known; whether the coordinator lived through it.
    fn finish(&mut self, mut turn: Turn) -> bool {
        if planted::is(Bug::AckBeforeFsync) {
            let changes = std::mem::take(&mut turn.changes);
            self.tell(std::mem::take(&mut turn));
            turn.changes = changes;
        }
        if turn.changes.is_empty() {
            self.tell(turn);
            return true;
        }
        if self.crashes_at(Crash::BeforeAppend) {
            self.see(Sight::LostTurn);
            self.coordinator_crashes();
            return false;
        }
        let torn = self.crashes_at(Crash::TornAppend);
        let keep = match torn {
            true => self.dice.index(turn.changes.len()),
            false => turn.changes.len(),
        };
        for (change, at) in &turn.changes[..keep] {
            self.coordinator.durable.apply(change, *at);
        }
        self.orders_are_durable(&turn.changes[..keep]);
        self.coordinator
            .ledger
            .extend(turn.changes[..keep].iter().cloned());
        if torn {
            self.see(Sight::TornLedger);
            self.coordinator_crashes();
            return false;
        }
        if self.crashes_at(Crash::AfterAppend) {
            self.see(Sight::UnansweredTurn);
            self.coordinator_crashes();
            return false;
        }
        self.tell(turn);
        if self.crashes_at(Crash::AfterTurn) {
            self.coordinator_crashes();
            return false;
        }
        true
    }

    fn tell(&mut self, turn: Turn) {
        let Some(running) = &mut self.coordinator.running else {
            return;
        };
        let before = std::mem::replace(&mut running.published, running.state.clone());
        let nodes = affected(&before, &running.state, &turn.keys);
        for (key, call, result) in turn.answers {
            self.people_hear(key, *call, result);
        }
        for (node, session) in turn.hellos {
            let sessions = self.coordinator.running.as_mut().map(|it| &mut it.sessions);
            let is = sessions.and_then(|sessions| sessions.get_mut(&node));
            if let Some(is) = is.filter(|is| is.number == session) {
                is.is_welcomed = true;
                self.answer(node, session, ToAgent::Welcome { session });
                self.say_desired(node);
            }
        }
        for node in nodes {
            if let Some(node) = self.nodes.get(&node).copied() {
                self.say_desired(node);
            }
        }
    }

    /// Says again what was not taken, once in a while.
    fn say_again(&mut self, node: NodeIndex) {
        let sessions = self.coordinator.running.as_ref().map(|it| &it.sessions);
        let is = sessions.and_then(|sessions| sessions.get(&node));
        if is.is_some_and(|is| is.clock_ms.saturating_sub(is.said_at_ms) >= SAY_AGAIN_AFTER_MS) {
            self.say_desired(node);
        }
    }

    /// Says what is different from what was said, and again what was not taken.
    fn say_desired(&mut self, node: NodeIndex) {
        let name = &self.hosts[node].name;
        let Some(running) = &mut self.coordinator.running else {
            return;
        };
        let Some(session) = running.sessions.get_mut(&node) else {
            return;
        };
        if !session.is_welcomed {
            return;
        }
        let state = &running.published;
        let clock_ms = session.clock_ms;
        session.said_at_ms = clock_ms;
        let mut instances = Vec::new();
        for desired in desired(state, name) {
            if let Some((said, said_ms)) = session.said.get(&desired.name)
                && *said == desired
                && !(clock_ms.saturating_sub(*said_ms) >= SAY_AGAIN_AFTER_MS
                    && not_taken(state, name, &desired))
            {
                continue;
            }
            let said = (desired.clone(), clock_ms);
            session.said.insert(desired.name.clone(), said);
            instances.push(desired);
        }
        if instances.is_empty() {
            return;
        }
        let number = session.number;
        let epoch = state.epoch();
        let message = ToAgent::Desired {
            epoch,
            sent_at: self.now,
            answers_clock_ms: clock_ms,
            instances,
        };
        self.answer(node, number, message);
    }

    /// Asks again when something is due.
    fn due_later(&mut self) {
        let now = self.now;
        let life = self.coordinator.life;
        let Some(running) = &mut self.coordinator.running else {
            return;
        };
        let at = running.now(now);
        let Some(next) = running.engine.next_due() else {
            return;
        };
        let due = now.saturating_add(next.0.saturating_sub(at.0));
        if running.due_at.is_none_or(|is| is > due || is <= now) {
            running.due_at = Some(due);
            self.queue.push(due, Event::Due(life));
        }
    }

    /// Where nothing happened and nothing is due, nothing follows. Asked now and then.
    fn has_nothing_to_say(&mut self) {
        let now = self.now;
        let Some(running) = &mut self.coordinator.running else {
            return;
        };
        running.since_checked += 1;
        if running.since_checked < 64 {
            return;
        }
        running.since_checked = 0;
        if running.due_at.is_some_and(|at| at <= now) {
            return;
        }
        let at = running.now(now);
        if let Some(change) = engine::advance(&running.state, at) {
            self.wrong(format!(
                "nothing happened and nothing was due, and the engine says: {}",
                change.cause
            ));
        }
    }

    /// How long no agent that can be heard is silent.
    pub(crate) const fn knows_within_ms() -> Ms {
        // A message on its way, a heartbeat missed, the silence judged, and a report that waited for all of it.
        2 * HEARTBEAT_MS + 60_000 + JUDGE_EVERY_MS + 20_000
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
                let state = |state: &State| {
                    let plan = state.plan(*id)?;
                    Some((plan.state.name(), state.stage_under_way(*id)))
                };
                if state(before) != state(after) {
                    nodes.extend(after.tasks_of(*id).map(|task| task.instance.node.clone()));
                }
            }
            Key::Coordinator
            | Key::Node(_)
            | Key::Release(..)
            | Key::Task(_)
            | Key::Matrix
            | Key::Freeze
            | Key::ReportedVersions(..)
            | Key::Request(_) => {}
        }
    }
    nodes
}
