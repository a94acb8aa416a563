//! The agent's loop around the state machine of each instance: what the real one does with tasks and files, done
//! with values. What happens is told to the core, its record is made durable, then its actions are carried out.
//!
//! Here is the loop; `instance` has what there is on a host, `session` what is said, `effects` what is done, `driver` what
//! is asked, `releases` what is fetched.

mod driver;
mod effects;
mod instance;
mod releases;
mod session;

use std::collections::{BTreeMap, VecDeque};

use evenkeel_agent_core::{
    Event as Happened, OrderResult, Phase, Refusal, Run, Standing, State, step,
};
use evenkeel_words::planted::{self, Bug};

pub(crate) use instance::{Fault, Instance};
pub(crate) use session::{PLATFORM, heard};

use self::{instance::Memory, session::report};
use crate::{
    coverage::Sight,
    node::Death,
    queue::Ms,
    world::{Event, InstanceIndex, World, note},
};

/// How long what was set aside is kept once its order has ended well.
const KEEP_MS: Ms = 60_000;

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
                self.end_is_kept(index);
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

    /// An order's end that is written down is one, though nobody lived to say so.
    fn end_is_kept(&mut self, index: InstanceIndex) {
        let instance = &mut self.instances[index];
        if let Standing::Settled {
            outcome: Some(outcome),
        } = &instance.journal.standing
            && matches!(outcome.result, OrderResult::Done | OrderResult::Reverted)
        {
            instance.is_unproven = false;
        }
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
        let instance = &mut self.instances[index];
        match (before, after) {
            ("verifying", "recovering") => {
                instance.answered = instance.process.as_ref().map(|process| process.pid);
                instance.leave_for = None;
            }
            ("failed", "serving") => instance.is_unproven = false,
            _ => {}
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
}

fn given_up(state: &State) -> bool {
    let service = state.phase.service();
    service.is_some_and(|service| matches!(service.run, Run::GivenUp { .. }))
}
