//! All there is in one life, and what is going to happen in it.

use std::collections::BTreeMap;

use evenkeel_words::names::NodeName;

use crate::{
    agent::Instance,
    coordinator::{Coordinator, Said},
    coverage::{Coverage, Sight},
    dice::Dice,
    fleet::Fleet,
    network::{Link, ToAgent, ToCoordinator},
    node::Host,
    people::People,
    queue::{Ms, Queue},
    trace::Trace,
    truth::Truth,
};

/// Names an instance: its place in [`World::instances`].
pub(crate) type InstanceIndex = usize;

/// Names a node: its place in [`World::nodes`].
pub(crate) type NodeIndex = usize;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message of an agent arrives.
    ToCoordinator(NodeIndex, u64, Box<ToCoordinator>),
    /// A message of the coordinator arrives, if the agent that it was sent to still lives.
    ToAgent(NodeIndex, u64, Box<ToAgent>),
    /// The coordinator's program starts.
    CoordinatorStarts,
    /// The coordinator, in this life of its, takes in what was said.
    Turn(u64),
    /// Something may be due at the coordinator.
    Due(u64),
    /// Silence is judged.
    Judge(u64),
    /// The coordinator finds that the session is broken.
    CoordinatorLoses(NodeIndex, u64),
    /// The agent finds that its session is broken.
    AgentLoses(NodeIndex, u64),
    /// The host is powered on.
    HostStarts(NodeIndex, u64),
    /// The agent's program starts, if the host has not gone down since.
    AgentStarts(NodeIndex, u64),
    /// The agent dials.
    Dial(NodeIndex, u64),
    /// The agent has waited for its welcome for long enough.
    NoWelcome(NodeIndex, u64),
    /// The agent says that it lives.
    Heartbeat(NodeIndex, u64),
    /// The agent says what changed.
    Report(NodeIndex, u64),
    /// An instance's agent looks at its clock.
    Wake(InstanceIndex, u64),
    /// A download has ended, well or badly.
    Downloaded(InstanceIndex, u64, usize),
    /// The driver has answered a question of this number.
    Answered(InstanceIndex, u64, u64),
    /// The driver has answered whether the version is final now.
    Finalized(InstanceIndex, u64, String),
    /// What an agent did to a host is done.
    Effect(InstanceIndex, u64, u64, Box<evenkeel_agent_core::Event>),
    /// The process with this number gets ready.
    Ready(InstanceIndex, u32),
    /// The process with this number gets sick.
    Sickens(InstanceIndex, u32),
    /// The process with this number ends.
    Exits(InstanceIndex, u32, &'static str),
    /// A stop has taken too long.
    Kill(InstanceIndex, u64, u32),
    /// What was set aside need not be kept any longer.
    KeptLongEnough(InstanceIndex),
    /// A link is whole again, if nothing else happened to it.
    LinkMends(NodeIndex, u64),
    /// Something goes wrong.
    Chance,
    /// Somebody asks for something.
    People,
    /// People lift what holds the whole fleet.
    Mend,
    /// Something that was said by people arrives.
    Asked(Box<Said>),
}

/// How much may happen at one moment before time counts as standing still.
const STEPS_AT_ONCE_MAX: u64 = 20_000;

/// All there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Ms,
    pub(crate) queue: Queue<Event>,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    pub(crate) fleet: Fleet,
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: Vec<Link>,
    pub(crate) nodes: BTreeMap<NodeName, NodeIndex>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) coordinator: Coordinator,
    pub(crate) people: People,
    pub(crate) truth: Truth,
    /// Faults happen.
    pub(crate) is_wild: bool,
    /// Every invariant is asked after every change.
    pub(crate) is_thorough: bool,
    /// What was found wrong first.
    pub(crate) wrong: Option<String>,
    /// How much has happened.
    pub(crate) steps: u64,
    /// How much has happened at this moment.
    pub(crate) steps_at_once: u64,
}

/// Adds a line to a world's trace.
macro_rules! note {
    ($world:expr, $($what:tt)*) => {
        $world.trace.note($world.now, format_args!($($what)*))
    };
}
pub(crate) use note;

impl World {
    /// Something is as it must never be.
    pub(crate) fn wrong(&mut self, what: String) {
        if self.wrong.is_none() {
            note!(self, "WRONG: {what}");
            self.wrong = Some(what);
        }
    }

    pub(crate) fn see(&mut self, sight: Sight) {
        self.coverage.see(sight);
    }

    pub(crate) fn later(&mut self, after: Ms, event: Event) {
        self.queue.push(self.now + after, event);
    }

    /// Lets the next thing happen, unless it is later than `until`; whether it did.
    pub(crate) fn step(&mut self, until: Ms) -> bool {
        if self.wrong.is_some() || self.queue.next_at().is_none_or(|at| at > until) {
            return false;
        }
        let Some((at, event)) = self.queue.pop() else {
            return false;
        };
        self.steps_at_once = match at == self.now {
            true => self.steps_at_once + 1,
            false => 0,
        };
        self.now = at;
        self.steps += 1;
        if self.steps_at_once > STEPS_AT_ONCE_MAX {
            self.wrong(format!("time stands still at {event:?}"));
        }
        match event {
            Event::ToCoordinator(node, session, message) => {
                self.coordinator_hears(node, session, *message);
            }
            Event::ToAgent(node, agent, message) => self.agent_hears(node, agent, *message),
            Event::CoordinatorStarts => self.coordinator_starts(),
            Event::Turn(life) => self.turn(life),
            Event::Due(life) => self.due(life),
            Event::Judge(life) => self.judge(life),
            Event::CoordinatorLoses(node, session) => self.coordinator_loses(node, session),
            Event::AgentLoses(node, session) => self.agent_loses(node, session),
            Event::HostStarts(node, life) => self.host_starts(node, life),
            Event::AgentStarts(node, life) => self.agent_starts(node, life),
            Event::Dial(node, agent) => self.dial(node, agent),
            Event::NoWelcome(node, session) => self.no_welcome(node, session),
            Event::Heartbeat(node, session) => self.heartbeat(node, session),
            Event::Report(node, session) => self.report(node, session),
            Event::Wake(instance, agent) => self.wake(instance, agent),
            Event::Downloaded(instance, agent, version) => {
                self.downloaded(instance, agent, version);
            }
            Event::Answered(instance, agent, question) => self.answered(instance, agent, question),
            Event::Finalized(instance, agent, id) => self.finalized(instance, agent, id),
            Event::Effect(instance, agent, effect, result) => {
                self.effect_had(instance, agent, effect, *result);
            }
            Event::Ready(instance, pid) => self.process_ready(instance, pid),
            Event::Sickens(instance, pid) => self.process_sickens(instance, pid),
            Event::Exits(instance, pid, how) => self.process_exits(instance, pid, how),
            Event::Kill(instance, agent, pid) => self.kill(instance, agent, pid),
            Event::KeptLongEnough(instance) => self.kept_long_enough(instance),
            Event::LinkMends(node, number) => self.link_mends(node, number),
            Event::Chance => self.chance(),
            Event::People => self.people_act(),
            Event::Mend => self.ask(evenkeel_coordinator_core::calls::Call::UnfreezeFleet),
            Event::Asked(said) => self.coordinator_is_asked(*said),
        }
        true
    }

    /// Lets everything happen that is due up to then.
    pub(crate) fn run_until(&mut self, until: Ms) {
        while self.step(until) {}
        if self.wrong.is_none() {
            self.now = self.now.max(until);
        }
    }
}
