//! The agent's loop around the state machine of each instance: what the real one does with tasks and files, done
//! with values. What happens is told to the core, its record is made durable, then its actions are carried out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evenkeel_agent_core::{
    self as core, Action, DataMove, Event as Happened, Incoming, OrderResult, Phase, Record,
    Refusal, Release, Run, Settings, Standing, State, StepName, Ticket, step,
};
use evenkeel_compat::Method;
use evenkeel_coordinator_core::{
    desired::DesiredInstance,
    instance::{
        Fence, Finalized, Health, Order, Process as SeenProcess, Progress, Report, StageState,
        StagedRelease, Status, Step,
    },
    node::Labels,
    release::ReleaseRef,
    reports::Hello,
};
use evenkeel_words::{
    digest::Digest,
    names::{InstanceId, InstanceName},
    planted::{self, Bug},
    timestamp::Timestamp,
};
use semver::Version;

use crate::{
    coverage::Sight,
    fleet,
    node::Death,
    process::{Data, Process},
    queue::Ms,
    world::{Event, InstanceIndex, NodeIndex, World, note},
};

/// How long a process may take to stop before it is killed.
const STOP_TIMEOUT_MS: Ms = 10_000;

/// How long what was set aside is kept once its order has ended well.
const KEEP_MS: Ms = 60_000;

/// How long a driver that said no is left alone.
const ASK_AGAIN_MS: Ms = 5_000;

/// What does not work with a version, on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    DoesNotStart,
    NeverReady,
    SickInSoak,
    RunsAnother,
    Lies,
}

/// One instance: what is on its disk, what runs, and what its agent knows of it.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) node: NodeIndex,
    pub(crate) component: usize,
    pub(crate) labels: Labels,
    may_rebuild: bool,
    /// Its driver knows how to make an upgrade final.
    can_finalize: bool,
    pub(crate) settings: Settings,
    /// Counts what its agent's configuration has been.
    pub(crate) configuration: u32,
    /// The storage system was told that its process is about to be stopped, and not that it is back.
    pub(crate) is_quiesced: bool,
    /// The newest order for which the storage system gave leave to stop the process.
    pub(crate) leave_for: Option<u64>,
    /// On disk: the last record of its journal.
    pub(crate) journal: Record,
    /// On disk: what `current` names.
    pub(crate) current: Release,
    /// On disk: the releases that are complete and verified, by version.
    pub(crate) complete: BTreeSet<usize>,
    /// On disk: its data, in two folders.
    pub(crate) folders: [Data; 2],
    /// On disk: what is set aside of each folder, by generation.
    pub(crate) aside: [BTreeMap<u64, Data>; 2],
    pub(crate) process: Option<Process>,
    pub(crate) faults: BTreeMap<Version, Fault>,
    /// The next moves of its data fail half way, as often.
    pub(crate) stuck_moves: u32,
    /// Its process does not react to being asked to stop.
    pub(crate) hangs: bool,
    /// What its agent knows, while there is one.
    pub(crate) agent: Option<Memory>,
    /// Since when it does not serve.
    pub(crate) down_since: Option<Ms>,
    /// It was taken down by this order and has not served since.
    pub(crate) held_by: Option<u64>,
}

/// What an agent knows of an instance.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) state: State,
    /// The question that the driver is being asked.
    asking: Option<(Asked, u64)>,
    stopping: Option<Stop>,
    wanted: BTreeMap<usize, StageState>,
    facts: Report,
    pub(crate) is_unheard: bool,
    wakes_at: Option<Ms>,
    /// The effect that is being had, by number, and what happens meanwhile.
    effect: Option<u64>,
    waiting: VecDeque<Happened>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Drain,
    Rejoin,
    OkToStop,
    Once,
    Quiesce,
    Unquiesce,
    Version,
    Recovered,
}

#[derive(Debug)]
struct Stop {
    pid: u32,
    ticket: Ticket,
}

impl Instance {
    pub(crate) fn new(
        id: InstanceId,
        node: NodeIndex,
        plan: &fleet::InstancePlan,
        current: Release,
        complete: usize,
    ) -> Self {
        let data = Data::of(&current.version);
        Self {
            id,
            node,
            component: plan.component,
            labels: plan.labels.clone(),
            may_rebuild: plan.may_rebuild,
            can_finalize: plan.can_finalize,
            settings: plan.settings,
            configuration: 0,
            is_quiesced: false,
            leave_for: None,
            journal: Record::default(),
            current,
            complete: BTreeSet::from([complete]),
            folders: [data.clone(), data],
            aside: [BTreeMap::new(), BTreeMap::new()],
            process: None,
            faults: BTreeMap::new(),
            stuck_moves: 0,
            hangs: false,
            agent: None,
            down_since: Some(0),
            held_by: None,
        }
    }

    pub(crate) fn phase_name(&self) -> &'static str {
        self.agent
            .as_ref()
            .map_or("", |agent| agent.state.phase.name())
    }

    /// Whether it is down because the coordinator wants it to be.
    pub(crate) fn is_held(&self) -> bool {
        let memory = self.agent.as_ref();
        self.process.is_none() && memory.is_some_and(|memory| memory.state.is_held())
    }

    /// Whether an order is being carried out, as far as is durable.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.journal.standing.journey().is_some()
    }

    fn obstacle(&self, generation: Option<u64>) -> Option<String> {
        if !self.may_rebuild {
            return Some("its configuration does not allow that".to_owned());
        }
        let other = self
            .aside
            .iter()
            .flat_map(BTreeMap::keys)
            .find(|kept| generation != Some(**kept));
        other.map(|kept| format!("what order {kept} set aside is still there"))
    }
}

fn release_ref(release: &Release) -> ReleaseRef {
    ReleaseRef {
        version: release.version.clone(),
        digest: release.digest,
    }
}

fn release_of(release: &ReleaseRef) -> Release {
    Release {
        version: release.version.clone(),
        digest: release.digest,
    }
}

fn method(method: Method) -> core::Method {
    match method {
        Method::InPlace => core::Method::InPlace,
        Method::Rebuild => core::Method::Rebuild,
    }
}

/// An order as the agent understands it.
pub(crate) fn heard(order: &Order) -> core::Order {
    core::Order {
        generation: order.generation,
        release: release_of(&order.release),
        method: method(order.method),
        fallback: order
            .fallback
            .as_ref()
            .map(|(release, how)| core::Fallback {
                release: release_of(release),
                method: method(*how),
            }),
        way_back: order.way_back,
        ready_within_ms: u64::try_from(order.ready_within.as_millis()).unwrap_or(u64::MAX),
    }
}

impl World {
    /// A new agent takes up an instance.
    pub(crate) fn recover(&mut self, index: InstanceIndex) {
        let instance = &mut self.instances[index];
        let state = instance.journal.clone().revive(instance.settings);
        let found = Happened::Recovered {
            boot: self.hosts[instance.node].boot,
            process: instance.process.as_ref().map(|it| it.running.clone()),
            current: Some(instance.current.clone()),
        };
        let keeps = instance.aside.iter().any(|aside| !aside.is_empty());
        let facts = report(instance, &state, &BTreeMap::new(), &self.fleet);
        self.instances[index].agent = Some(Memory {
            state,
            asking: None,
            stopping: None,
            wanted: BTreeMap::new(),
            facts,
            is_unheard: true,
            wakes_at: None,
            effect: None,
            waiting: VecDeque::new(),
        });
        if keeps {
            self.later(KEEP_MS, Event::KeptLongEnough(index));
        }
        self.handle(index, found);
    }

    fn is_there(&self, index: InstanceIndex, agent: u64) -> bool {
        let instance = &self.instances[index];
        instance.agent.is_some() && self.hosts[instance.node].agent == Some(agent)
    }

    /// Carries what happened, and all that follows from it at once, to its end.
    pub(crate) fn handle(&mut self, index: InstanceIndex, happened: Happened) {
        if let Some(memory) = &mut self.instances[index].agent
            && memory.effect.is_some()
        {
            memory.waiting.push_back(happened);
            return self.publish(index);
        }
        let mut events = VecDeque::from([happened]);
        while let Some(happened) = events.pop_front() {
            if !self.handle_one(index, happened, &mut events) {
                return;
            }
            let Some(memory) = &mut self.instances[index].agent else {
                return;
            };
            if memory.effect.is_some() {
                memory.waiting.extend(events.drain(..));
            } else if events.is_empty() {
                events.extend(memory.waiting.pop_front());
                if events.is_empty() {
                    events.extend(self.ready_now(index));
                }
            }
        }
        self.publish(index);
        self.wake_later(index);
    }

    /// Whether the agent lived through it.
    fn handle_one(
        &mut self,
        index: InstanceIndex,
        happened: Happened,
        events: &mut VecDeque<Happened>,
    ) -> bool {
        let node = self.instances[index].node;
        let clock = self.hosts[node].clock(self.now);
        let is_from_outside = matches!(happened, Happened::Desired { .. });
        let name = happened.name();
        let Some(memory) = &self.instances[index].agent else {
            return false;
        };
        let transition = match step(&memory.state, happened, clock) {
            Ok(transition) => transition,
            Err(illegal) => {
                self.wrong(format!("{}: {illegal}", self.instances[index].id));
                return true;
            }
        };
        let mut late = None;
        let record = match planted::is(Bug::JournalAfterEffect) {
            true => {
                late = transition.record;
                None
            }
            false => transition.record,
        };
        if let Some(record) = record {
            if self.dies(node, Death::BeforeRecord) || self.dies(node, Death::TornRecord) {
                return false;
            }
            if is_from_outside && self.hosts[node].disk_is_full {
                // What cannot be written down was never heard.
                self.see(Sight::DiskFull);
                return true;
            }
            self.record_is_lawful(index, &record);
            self.instances[index].journal = record;
            if self.dies(node, Death::AfterRecord) {
                return false;
            }
        }
        self.adopt(index, transition.state, name);
        for action in transition.actions {
            events.extend(self.perform(index, &action));
            if self.dies(node, Death::AfterEffect) {
                return false;
            }
            if self.instances[index].agent.is_none() {
                return false;
            }
        }
        if let Some(record) = late {
            self.instances[index].journal = record;
        }
        true
    }

    fn adopt(&mut self, index: InstanceIndex, state: State, event: &str) {
        let Some(memory) = &mut self.instances[index].agent else {
            return;
        };
        let (before, after) = (memory.state.phase.name(), state.phase.name());
        let had_journey = memory.state.phase.journey().is_some();
        let had_hitch = memory.state.hitch.is_some();
        let is_held_now = !memory.state.is_held() && state.is_held();
        let had_given_up = given_up(&memory.state);
        let refusal = (memory.state.refusal != state.refusal)
            .then(|| state.refusal.clone())
            .flatten();
        let has_ended = had_journey && state.phase.journey().is_none();
        let hitch = !had_hitch && state.hitch.is_some();
        let gives_up = !had_given_up && given_up(&state);
        memory.state = state;
        if before != after {
            // What is asked belongs to one phase alone.
            memory.asking = None;
        }
        let reason = memory.state.reason();
        if before != after {
            let id = &self.instances[index].id;
            note!(self, "{id}: {event}: {before} -> {after} {reason}");
        }
        if is_held_now {
            self.see(Sight::Held);
        }
        if hitch {
            self.see(Sight::Hitch);
        }
        if gives_up {
            self.see(Sight::GivenUp);
        }
        if let Some(refusal) = refusal {
            note!(self, "{}: refused: {refusal}", self.instances[index].id);
            let sight = match refusal {
                Refusal::Fenced { .. } => Some(Sight::FencedEpoch),
                Refusal::Outdated { .. } | Refusal::Conflicting { .. } => Some(Sight::Outdated),
                Refusal::Stale { .. } => Some(Sight::Stale),
                Refusal::OfAnotherBoot { .. } => Some(Sight::OtherBoot),
                Refusal::NotAtHand { .. } => Some(Sight::NotAtHand),
                Refusal::NotFinal { .. } => Some(Sight::NotFinal),
                Refusal::NoRebuild { .. } | Refusal::DataAside { .. } => None,
            };
            if let Some(sight) = sight {
                self.see(sight);
            }
        }
        if has_ended {
            self.order_ended(index);
        }
    }

    /// What an order that has ended leaves to be done.
    fn order_ended(&mut self, index: InstanceIndex) {
        let Standing::Settled {
            outcome: Some(outcome),
        } = &self.instances[index].journal.standing
        else {
            return;
        };
        let outcome = outcome.clone();
        self.end_is_true(index, &outcome);
        let is_well = outcome.result != OrderResult::Failed;
        if outcome.result == OrderResult::Declined {
            self.coverage.see(Sight::Declined);
        }
        note!(
            self,
            "{}: the order ended: {:?} {}",
            self.instances[index].id,
            outcome.result,
            outcome.reason
        );
        let keeps = self.instances[index].aside.iter().any(|it| !it.is_empty());
        if is_well && keeps {
            self.later(KEEP_MS, Event::KeptLongEnough(index));
        }
    }

    pub(crate) fn kept_long_enough(&mut self, index: InstanceIndex) {
        let instance = &mut self.instances[index];
        let Standing::Settled { outcome } = &instance.journal.standing else {
            return;
        };
        let has_failed = outcome
            .as_ref()
            .is_some_and(|outcome| outcome.result == OrderResult::Failed);
        if has_failed || instance.agent.is_none() {
            return;
        }
        instance.aside.iter_mut().for_each(BTreeMap::clear);
        self.publish(index);
    }

    /// What the probes say that the state machine waits to hear.
    fn ready_now(&mut self, index: InstanceIndex) -> Option<Happened> {
        let instance = &self.instances[index];
        let memory = instance.agent.as_ref()?;
        let is_awaited = match memory.state.phase {
            Phase::Verifying(_) => true,
            Phase::Failed(_, _) => memory.asking.is_none(),
            _ => false,
        };
        let process = instance.process.as_ref()?;
        (is_awaited && process.serves() && memory.stopping.is_none()).then(|| Happened::Ready {
            running: process.running.clone(),
            stop_to_ready_us: 1_300,
        })
    }

    fn wake_later(&mut self, index: InstanceIndex) {
        let node = self.instances[index].node;
        let Some(agent) = self.hosts[node].agent else {
            return;
        };
        let clock = self.hosts[node].clock(self.now);
        let now = self.now;
        let Some(memory) = &mut self.instances[index].agent else {
            return;
        };
        let Some(wake_at_ms) = memory.state.wake_at_ms() else {
            return;
        };
        let at = now + wake_at_ms.saturating_sub(clock);
        if memory.wakes_at.is_none_or(|is| is > at || is <= now) {
            memory.wakes_at = Some(at);
            self.queue.push(at, Event::Wake(index, agent));
        }
    }

    pub(crate) fn wake(&mut self, index: InstanceIndex, agent: u64) {
        if !self.is_there(index, agent) {
            return;
        }
        let node = self.instances[index].node;
        let clock = self.hosts[node].clock(self.now);
        let now = self.now;
        let Some(memory) = &mut self.instances[index].agent else {
            return;
        };
        if memory.wakes_at != Some(now) {
            return;
        }
        memory.wakes_at = None;
        if memory.state.wake_at_ms().is_some_and(|at| at <= clock) {
            let trouble = String::new();
            return self.handle(index, Happened::Tick { trouble });
        }
        self.wake_later(index);
    }

    /// A coordinator has said what ought to be.
    pub(crate) fn desired(
        &mut self,
        index: InstanceIndex,
        epoch: u64,
        answers_clock_ms: u64,
        desired: DesiredInstance,
    ) {
        for manifest in &desired.prefetch {
            self.fetch(index, &manifest.manifest);
        }
        let incoming = desired.order.map(|order| {
            let order = heard(&order);
            self.incoming(index, order, answers_clock_ms)
        });
        self.handle(
            index,
            Happened::Desired {
                epoch,
                incoming,
                hold: core::Hold {
                    word: desired.quarantine.word,
                    reason: desired.quarantine.reason,
                },
                finalize: desired.finalize.map(|finality| {
                    Box::new(core::Finality {
                        id: finality.id,
                        generation: finality.generation,
                        release: release_of(&finality.release),
                        answers_clock_ms,
                        begin_within_ms: BEGIN_WITHIN_MS,
                    })
                }),
            },
        );
    }

    pub(crate) fn finalized(&mut self, index: InstanceIndex, agent: u64, id: String) {
        if !self.is_there(index, agent) {
            return;
        }
        let refuses = self.hosts[self.instances[index].node].driver_refuses;
        if refuses {
            self.see(Sight::FinalizeRefused);
        }
        let outcome = match refuses {
            true => Err("the driver says no".to_owned()),
            false => Ok(()),
        };
        self.handle(index, Happened::FinalizeEnded { id, outcome });
    }

    fn incoming(
        &self,
        index: InstanceIndex,
        order: core::Order,
        answers_clock_ms: u64,
    ) -> Incoming {
        let instance = &self.instances[index];
        let named = [
            Some(&order.release),
            order.fallback.as_ref().map(|it| &it.release),
        ];
        let missing = named
            .into_iter()
            .flatten()
            .find(|release| !self.is_complete(index, release));
        let accepted = instance.journal.fence.generation();
        let obstacle = (order.may_empty() && order.generation > accepted)
            .then(|| instance.obstacle(Some(order.generation)))
            .flatten();
        Incoming {
            missing: missing.cloned(),
            obstacle,
            answers_clock_ms,
            begin_within_ms: BEGIN_WITHIN_MS,
            order,
        }
    }

    fn version_of(&self, index: InstanceIndex, digest: &Digest) -> Option<usize> {
        let component = &self.fleet.components[self.instances[index].component];
        let mut versions = self.fleet.versions.iter();
        versions.position(|version| fleet::release(component, version).digest == *digest)
    }

    pub(crate) fn is_complete(&self, index: InstanceIndex, release: &Release) -> bool {
        let version = self.version_of(index, &release.digest);
        version.is_some_and(|version| self.instances[index].complete.contains(&version))
    }

    /// The manifest of the simulation is the digest of its artifact.
    fn fetch(&mut self, index: InstanceIndex, manifest: &[u8]) {
        let text = String::from_utf8_lossy(manifest);
        let digest = text.parse::<Digest>().ok();
        let Some(version) = digest.and_then(|digest| self.version_of(index, &digest)) else {
            self.wrong(format!("a manifest nobody wrote: {text}"));
            return;
        };
        let is_complete = self.instances[index].complete.contains(&version);
        let Some(memory) = &mut self.instances[index].agent else {
            return;
        };
        if memory.wanted.contains_key(&version) {
            return;
        }
        let state = match is_complete {
            true => StageState::Ready,
            false => StageState::Fetching,
        };
        memory.wanted.insert(version, state);
        if !is_complete {
            self.download(index, version);
        }
    }

    fn download(&mut self, index: InstanceIndex, version: usize) {
        let node = self.instances[index].node;
        if let Some(agent) = self.hosts[node].agent {
            let after = self.dice.between(100, 20_000);
            self.later(after, Event::Downloaded(index, agent, version));
        }
    }

    pub(crate) fn downloaded(&mut self, index: InstanceIndex, agent: u64, version: usize) {
        if !self.is_there(index, agent) {
            return;
        }
        let host = &self.hosts[self.instances[index].node];
        let trouble = match (host.disk_is_full, host.is_unfetchable) {
            (true, _) => Some("there is no space for it"),
            (false, true) => Some("the download broke off"),
            (false, false) => None,
        };
        let state = match trouble {
            Some(trouble) => StageState::Failed(trouble.to_owned()),
            None => {
                self.instances[index].complete.insert(version);
                StageState::Ready
            }
        };
        if trouble.is_some() {
            self.see(Sight::DownloadFailed);
            self.download(index, version);
        }
        if let Some(memory) = &mut self.instances[index].agent {
            memory.wanted.insert(version, state);
        }
        self.publish(index);
    }

    /// Somebody deletes a release that nothing needs now.
    pub(crate) fn lose_release(&mut self, index: InstanceIndex) {
        let current = self.instances[index].current.digest;
        let current = self.version_of(index, &current);
        let instance = &mut self.instances[index];
        if instance.is_on_its_way() {
            return;
        }
        instance
            .complete
            .retain(|version| Some(*version) == current);
        let Some(memory) = &mut instance.agent else {
            return;
        };
        let again: Vec<_> = memory.wanted.keys().copied().collect();
        let again = again
            .into_iter()
            .filter(|version| Some(*version) != current);
        for version in again {
            // The store finds out when it looks next.
            self.download(index, version);
        }
    }

    fn is_backed(&self, index: InstanceIndex, ticket: Ticket) -> bool {
        ticket.is_backed_by(&self.instances[index].journal)
    }

    /// Does what was decided; what came of it, unless that shows later.
    fn perform(&mut self, index: InstanceIndex, action: &Action) -> Option<Happened> {
        match action {
            Action::EnsureStopped(ticket) if self.is_backed(index, *ticket) => {
                self.ensure_stopped(index, *ticket)
            }
            Action::SwapCurrent(ticket, release) if self.is_backed(index, *ticket) => {
                let result = self.swap(index, *ticket, release);
                self.takes_time(index, result)
            }
            Action::Start(ticket, release) if self.is_backed(index, *ticket) => {
                let result = self.start(index, *ticket, release);
                self.takes_time(index, result)
            }
            Action::MoveData(ticket, data) if self.is_backed(index, *ticket) => {
                let result = self.move_data(index, *ticket, *data);
                self.takes_time(index, result)
            }
            Action::Drain(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Drain)
            }
            Action::Rejoin(ticket, _) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Rejoin)
            }
            Action::AskToStop(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::OkToStop)
            }
            Action::AskOnce(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Once)
            }
            Action::Quiesce(ticket) if self.is_backed(index, *ticket) => {
                self.instances[index].is_quiesced = true;
                self.ask_driver(index, Asked::Quiesce)
            }
            Action::Unquiesce(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Unquiesce)
            }
            Action::AskVersion(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Version)
            }
            Action::AskRecovered(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Recovered)
            }
            Action::Finalize(ticket, id)
                if ticket.is_final_by(&self.instances[index].journal, id) =>
            {
                self.finality_stands(index, id);
                let agent = self.hosts[self.instances[index].node].agent?;
                let after = self.dice.between(10, 10_000);
                self.later(after, Event::Finalized(index, agent, id.clone()));
                None
            }
            Action::Verify => None,
            Action::Drain(_)
            | Action::EnsureStopped(_)
            | Action::MoveData(_, _)
            | Action::SwapCurrent(_, _)
            | Action::Start(_, _)
            | Action::AskToStop(_)
            | Action::AskOnce(_)
            | Action::Quiesce(_)
            | Action::Unquiesce(_)
            | Action::AskVersion(_)
            | Action::AskRecovered(_)
            | Action::Rejoin(_, _)
            | Action::Finalize(_, _) => {
                self.wrong(format!(
                    "{}: what is durable does not stand behind {action:?}",
                    self.instances[index].id
                ));
                None
            }
        }
    }

    /// What came of an effect is heard at once, or after a while in which the agent does nothing else.
    fn takes_time(&mut self, index: InstanceIndex, result: Happened) -> Option<Happened> {
        let node = self.instances[index].node;
        let agent = self.hosts[node].agent?;
        if self.dice.chance(1, 2) {
            return Some(result);
        }
        self.truth.questions += 1;
        let effect = self.truth.questions;
        self.instances[index].agent.as_mut()?.effect = Some(effect);
        let after = self.dice.between(1, 4_000);
        let done = Event::Effect(index, agent, effect, Box::new(result));
        self.later(after, done);
        None
    }

    /// An effect has been had.
    pub(crate) fn effect_had(
        &mut self,
        index: InstanceIndex,
        agent: u64,
        effect: u64,
        result: Happened,
    ) {
        if !self.is_there(index, agent) {
            return;
        }
        if let Some(memory) = &mut self.instances[index].agent
            && memory.effect == Some(effect)
        {
            memory.effect = None;
            self.handle(index, result);
        }
    }

    fn ask_driver(&mut self, index: InstanceIndex, asked: Asked) -> Option<Happened> {
        let node = self.instances[index].node;
        self.truth.questions += 1;
        let question = self.truth.questions;
        let agent = self.hosts[node].agent?;
        let memory = self.instances[index].agent.as_mut()?;
        memory.asking = Some((asked, question));
        let after = self.dice.between(10, 5_000);
        self.later(after, Event::Answered(index, agent, question));
        None
    }

    pub(crate) fn answered(&mut self, index: InstanceIndex, agent: u64, question: u64) {
        if !self.is_there(index, agent) {
            return;
        }
        let instance = &mut self.instances[index];
        let host = &self.hosts[instance.node];
        let serves = instance.process.as_ref().is_some_and(Process::serves);
        let refuses = host.driver_refuses && instance.settings.driver;
        let Some(memory) = &mut instance.agent else {
            return;
        };
        let Some((asked, _)) = memory.asking.filter(|(_, number)| *number == question) else {
            return;
        };
        let generation = memory.state.fence.generation();
        // How the process says which version it is has nothing to do with what the system allows.
        let waits = asked == Asked::Recovered && !serves && instance.settings.driver;
        let answers_once = matches!(asked, Asked::Version | Asked::Quiesce | Asked::Once);
        if waits || refuses && !answers_once {
            match asked {
                Asked::OkToStop => self.see(Sight::NotSpared),
                Asked::Recovered => self.see(Sight::NotRecovered),
                _ => {}
            }
            return self.later(ASK_AGAIN_MS, Event::Answered(index, agent, question));
        }
        memory.asking = None;
        let answer = match asked {
            Asked::Drain => Happened::Drained,
            Asked::Rejoin => Happened::Rejoined,
            Asked::Once if refuses => {
                let reason = "the storage system says no by now".to_owned();
                Happened::NotOkToStop { reason }
            }
            Asked::OkToStop | Asked::Once => {
                instance.leave_for = Some(generation);
                Happened::OkToStop
            }
            Asked::Quiesce if refuses => {
                let reason = "the storage system says no".to_owned();
                Happened::QuiesceFailed { reason }
            }
            Asked::Quiesce => Happened::Quiesced,
            Asked::Unquiesce => {
                instance.is_quiesced = false;
                Happened::Unquiesced
            }
            Asked::Version => {
                let process = instance
                    .process
                    .as_ref()
                    .filter(|_| instance.settings.driver);
                let version = process.map(|process| process.says.clone());
                Happened::VersionTold { version }
            }
            Asked::Recovered => Happened::CaughtUp,
        };
        self.handle(index, answer);
    }

    fn ensure_stopped(&mut self, index: InstanceIndex, ticket: Ticket) -> Option<Happened> {
        self.effect_is_lawful(index, ticket, "stops");
        let node = self.instances[index].node;
        let agent = self.hosts[node].agent?;
        let Some(process) = &self.instances[index].process else {
            return Some(Happened::Stopped);
        };
        let pid = process.pid;
        let is_stopping = process.is_stopping;
        self.taken_down(index, ticket.generation);
        let memory = self.instances[index].agent.as_mut()?;
        if let Some(stop) = memory.stopping.as_mut().filter(|stop| stop.pid == pid) {
            stop.ticket = ticket;
            return None;
        }
        memory.stopping = Some(Stop { pid, ticket });
        self.later(STOP_TIMEOUT_MS, Event::Kill(index, agent, pid));
        if let Some(process) = &mut self.instances[index].process {
            process.is_stopping = true;
        }
        if !is_stopping && !self.instances[index].hangs {
            let after = self.dice.between(1, 9_000);
            self.later(after, Event::Exits(index, pid, "it was asked to stop"));
        }
        self.look_at_service(index);
        None
    }

    pub(crate) fn kill(&mut self, index: InstanceIndex, agent: u64, pid: u32) {
        if !self.is_there(index, agent) {
            return;
        }
        let lives = self.instances[index]
            .process
            .as_ref()
            .is_some_and(|process| process.pid == pid);
        let memory = self.instances[index].agent.as_ref();
        let stop = memory.and_then(|memory| memory.stopping.as_ref());
        let Some(ticket) = stop.filter(|stop| stop.pid == pid).map(|stop| stop.ticket) else {
            return;
        };
        if !lives {
            return;
        }
        if !self.is_backed(index, ticket) {
            return;
        }
        self.effect_is_lawful(index, ticket, "kills");
        self.see(Sight::Killed);
        self.process_exits(index, pid, "it was killed");
    }

    fn swap(&mut self, index: InstanceIndex, ticket: Ticket, release: &Release) -> Happened {
        self.effect_is_lawful(index, ticket, "swaps");
        let node = self.instances[index].node;
        let reason = match self.is_complete(index, release) {
            false => Some("the release is not complete"),
            true => (self.hosts[node].disk_is_full && self.dice.chance(1, 2))
                .then_some("there is no space for the link"),
        };
        if let Some(reason) = reason {
            let reason = reason.to_owned();
            return Happened::SwapFailed { reason };
        }
        if self.instances[index].process.is_some() {
            self.wrong(format!(
                "{}: current changed under a process",
                self.instances[index].id
            ));
        }
        self.instances[index].current = release.clone();
        Happened::Swapped
    }

    fn move_data(&mut self, index: InstanceIndex, ticket: Ticket, data: DataMove) -> Happened {
        self.effect_is_lawful(index, ticket, "moves the data of");
        let generation = ticket.generation;
        let instance = &mut self.instances[index];
        if instance.process.is_some() {
            let wrong = format!("{}: data moved under a process", instance.id);
            self.wrong(wrong);
            return Happened::DataMoved;
        }
        let fails = instance.stuck_moves > 0;
        instance.stuck_moves = instance.stuck_moves.saturating_sub(1);
        let moved = if fails { 1 } else { 2 };
        let folders = instance.folders.iter_mut().zip(&mut instance.aside);
        let mut sight = None;
        for (folder, aside) in folders.take(moved) {
            match data {
                DataMove::SetAside if aside.contains_key(&generation) => {}
                DataMove::SetAside => {
                    let new = Data::begun_by(generation);
                    aside.insert(generation, std::mem::replace(folder, new));
                }
                DataMove::PutBack => {
                    if let Some(before) = aside.remove(&generation) {
                        *folder = before;
                        sight = Some(Sight::PutBack);
                    }
                }
            }
        }
        if let Some(sight) = sight {
            self.see(sight);
        }
        if fails {
            let reason = "a folder could not be moved".to_owned();
            return Happened::DataNotMoved { reason };
        }
        Happened::DataMoved
    }

    fn start(&mut self, index: InstanceIndex, ticket: Ticket, release: &Release) -> Happened {
        self.start_is_lawful(index, ticket, release);
        let instance = &self.instances[index];
        if let Some(process) = &instance.process {
            let running = process.running.clone();
            return Happened::Started { running };
        }
        match instance.faults.get(&release.version) {
            Some(Fault::DoesNotStart) => {
                self.see(Sight::StartFailed);
                let reason = format!("{release} ends at once");
                Happened::StartFailed { reason }
            }
            fault => {
                let fault = fault.copied();
                let running = self.spawn(index, release, fault);
                Happened::Started { running }
            }
        }
    }

    /// The instance's process has ended.
    pub(crate) fn agent_sees_exit(&mut self, index: InstanceIndex, how: &str) {
        let Some(memory) = &mut self.instances[index].agent else {
            return;
        };
        memory.stopping = None;
        // An answer counts for the process that was asked about.
        memory.asking = None;
        let reason = how.to_owned();
        self.handle(index, Happened::Exited { reason });
    }

    /// The instance's probes say something else than before.
    pub(crate) fn agent_sees_probes(&mut self, index: InstanceIndex) {
        let Some(memory) = &self.instances[index].agent else {
            return;
        };
        // An agent that is at something looks at its probes when it is done with that, and not before.
        match memory.effect {
            Some(_) => self.publish(index),
            None => match self.ready_now(index) {
                Some(ready) => self.handle(index, ready),
                None => self.publish(index),
            },
        }
    }

    /// Writes down what is true now, for the coordinator.
    fn publish(&mut self, index: InstanceIndex) {
        let instance = &self.instances[index];
        let Some(memory) = &instance.agent else {
            return;
        };
        let facts = report(instance, &memory.state, &memory.wanted, &self.fleet);
        let node = instance.node;
        if let Some(memory) = &mut self.instances[index].agent
            && memory.facts != facts
        {
            memory.facts = facts;
            memory.is_unheard = true;
            self.report_soon(node);
        }
    }

    /// All that is true on a host; the coordinator has heard all of it then.
    pub(crate) fn hello(&mut self, node: NodeIndex) -> Hello {
        let instances = self.instances_of(node);
        let facts = instances.into_iter().filter_map(|index| {
            let instance = &mut self.instances[index];
            let memory = instance.agent.as_mut()?;
            memory.is_unheard = false;
            Some((instance.id.name.clone(), memory.facts.clone()))
        });
        Hello {
            instances: facts.collect(),
            agent_version: Version::new(0, 1, 0),
            platform: PLATFORM.to_owned(),
            labels: self.hosts[node].labels.clone(),
        }
    }

    /// What changed since it was heard last; it is heard then.
    pub(crate) fn unheard(&mut self, node: NodeIndex) -> BTreeMap<InstanceName, Report> {
        let instances = self.instances_of(node);
        let facts = instances.into_iter().filter_map(|index| {
            let instance = &mut self.instances[index];
            let memory = instance.agent.as_mut()?;
            let is_unheard = std::mem::replace(&mut memory.is_unheard, false);
            is_unheard.then(|| (instance.id.name.clone(), memory.facts.clone()))
        });
        facts.collect()
    }
}

/// What every host here is.
pub(crate) const PLATFORM: &str = "linux/amd64";

/// How long an order may be begun, from the message that it answers.
const BEGIN_WITHIN_MS: u64 =
    evenkeel_coordinator_core::engine::timers::BEGIN_WITHIN.as_millis() as u64;

fn given_up(state: &State) -> bool {
    let service = state.phase.service();
    service.is_some_and(|service| matches!(service.run, Run::GivenUp { .. }))
}

fn report(
    instance: &Instance,
    state: &State,
    wanted: &BTreeMap<usize, StageState>,
    fleet: &fleet::Fleet,
) -> Report {
    let component = &fleet.components[instance.component];
    let (health, trouble) = match &instance.process {
        None => (Health::Error, "there is no process"),
        Some(process) => process.health(),
    };
    let mut reason = state.reason();
    if reason.is_empty() {
        trouble.clone_into(&mut reason);
    }
    let obstacle = match state.phase.journey() {
        // What an order under way has set aside is in nobody else's way.
        Some(_) => instance.obstacle(Some(state.fence.generation())),
        None => instance.obstacle(None),
    };
    Report {
        component: component.clone(),
        labels: instance.labels.clone(),
        status: match state.status() {
            core::Status::Running => Status::Running,
            core::Status::Upgrading => Status::Upgrading,
            core::Status::Stopped => Status::Stopped,
            core::Status::Error => Status::Error,
        },
        health,
        reason,
        current: state.current.as_ref().map(release_ref),
        process: instance.process.as_ref().map(|process| SeenProcess {
            pid: process.pid,
            started_at: Timestamp(0),
            release: release_ref(&process.running),
            configuration: process.configuration.to_string(),
        }),
        staged: wanted
            .iter()
            .map(|(version, state)| StagedRelease {
                release: release_ref(&fleet::release(component, &fleet.versions[*version])),
                state: state.clone(),
            })
            .collect(),
        accepted: Fence {
            epoch: state.fence.epoch,
            generation: state.fence.generation(),
        },
        progress: state.progress().map(progress),
        may_rebuild: obstacle.is_none(),
        rebuild_obstacle: obstacle.unwrap_or_default(),
        configuration: instance.configuration.to_string(),
        finalized: state.finalized.clone().map(|finalized| Finalized {
            id: finalized.id,
            outcome: finalized.outcome,
        }),
        can_finalize: instance.can_finalize,
        held: state.is_held() && instance.process.is_none(),
        hold_word: state.hold.word,
        asks_before_stop: instance.settings.driver,
    }
}

fn progress(progress: core::Progress) -> Progress {
    let step = match (progress.step, progress.result) {
        (StepName::Draining, _) => Step::Draining,
        (StepName::Asking, _) => Step::Asking,
        (StepName::Quiescing, _) => Step::Quiescing,
        (StepName::Recovering, _) => Step::Recovering,
        (StepName::Ended, Some(OrderResult::Declined)) => Step::Declined(progress.reason),
        (StepName::Stopping, _) => Step::Stopping,
        (StepName::Emptying, _) => Step::Emptying,
        (StepName::Swapping, _) => Step::Swapping,
        (StepName::Starting, _) => Step::Starting,
        (StepName::Verifying, _) => Step::Verifying,
        (StepName::Ended, Some(OrderResult::Done)) => Step::Done,
        (StepName::Ended, Some(OrderResult::Reverted)) => Step::Reverted(progress.reason),
        (StepName::Ended, Some(OrderResult::Failed) | None) => Step::Failed(progress.reason),
    };
    Progress {
        generation: progress.generation,
        step,
        stop_to_ready_us: progress.stop_to_ready_us,
    }
}
