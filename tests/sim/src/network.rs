//! The network: one stream for each agent, which may be slow, break, lose one direction, or say a thing late
//! and twice.
//!
//! What an agent says travels in order, and no longer than a broken stream takes to be found out: that is what a
//! stream is. What a coordinator says is treated worse than any stream would: it may come up to an hour late, twice
//! and out of order, as long as the agent that it was meant for lives; or after a boot of its host, if the clocks
//! tell that. Nothing may come of it.

use std::collections::BTreeMap;

use evenkeel_coordinator_core::{desired::DesiredInstance, instance::Report, reports::Hello};
use evenkeel_words::names::InstanceName;

use crate::{
    coverage::Sight,
    queue::Ms,
    world::{Event, NodeIndex, World, note},
};

/// How long a stream may be broken before either end finds out.
pub(crate) const KEEPALIVE_MS: Ms = 20_000;

/// How often an agent says that it lives.
pub(crate) const HEARTBEAT_MS: Ms = 10_000;

/// What an agent says.
#[derive(Debug, Clone)]
pub(crate) enum ToCoordinator {
    /// All that is true.
    Hello { clock_ms: u64, hello: Hello },
    /// What changed.
    Report {
        clock_ms: u64,
        reports: BTreeMap<InstanceName, Report>,
    },
}

/// What a coordinator says.
#[derive(Debug, Clone)]
pub(crate) enum ToAgent {
    Welcome {
        session: u64,
    },
    Desired {
        epoch: u64,
        /// When it really was sent.
        sent_at: Ms,
        answers_clock_ms: u64,
        instances: Vec<DesiredInstance>,
    },
}

/// The agent's end of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    None,
    /// The hello was sent; the welcome has not come.
    Dialed(u64),
    Open(u64),
}

/// The way between an agent and the coordinator.
#[derive(Debug)]
pub(crate) struct Link {
    /// What the agent says arrives.
    pub(crate) up: bool,
    /// What the coordinator says arrives.
    pub(crate) down: bool,
    /// Counts what happened to it.
    pub(crate) number: u64,
    pub(crate) delay_max: Ms,
    pub(crate) session: Session,
    /// What the coordinator said last to an agent that was not there.
    pub(crate) unheard: Option<ToAgent>,
    /// When the last thing that the agent said arrives: what it says next arrives no earlier.
    said_until: Ms,
    /// Counts how often dialing failed in a row.
    failures: u32,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            up: true,
            down: true,
            number: 0,
            delay_max: 50,
            session: Session::None,
            unheard: None,
            said_until: 0,
            failures: 0,
        }
    }
}

impl World {
    /// The agent says something in a session.
    fn say(&mut self, node: NodeIndex, session: u64, message: ToCoordinator) {
        if !self.links[node].up {
            self.see(Sight::Partition);
            return self.stream_breaks(node, session, KEEPALIVE_MS);
        }
        let delay = self.dice.between(1, self.links[node].delay_max);
        if delay > KEEPALIVE_MS {
            return self.stream_breaks(node, session, KEEPALIVE_MS);
        }
        let at = (self.now + delay).max(self.links[node].said_until);
        self.links[node].said_until = at;
        let event = Event::ToCoordinator(node, session, Box::new(message));
        self.queue.push(at, event);
    }

    /// The coordinator says something in a session.
    pub(crate) fn answer(&mut self, node: NodeIndex, session: u64, message: ToAgent) {
        if let ToAgent::Desired { instances, .. } = &message {
            self.is_said(node, instances);
            if self.is_wild && self.is_news(node, instances) && self.dice.chance(1, 60) {
                let away = self.dice.between(20_000, 120_000);
                self.host_stops(node, away);
            }
        }
        let Some(agent) = self.hosts[node].agent else {
            // What nobody heard before a boot may be heard after it.
            self.links[node].unheard = Some(message);
            return self.stream_breaks(node, session, KEEPALIVE_MS);
        };
        let is_late = self.is_wild && self.dice.chance(1, 40);
        if is_late && matches!(message, ToAgent::Desired { .. }) {
            let late = self.dice.between(1, 3_600_000);
            let copy = Event::ToAgent(node, agent, Box::new(message.clone()));
            self.see(Sight::LateWord);
            note!(
                self,
                "a word to {} comes {late} ms late",
                self.hosts[node].name
            );
            self.later(late, copy);
            if self.dice.chance(1, 2) {
                return;
            }
        }
        if !self.links[node].down {
            self.see(Sight::Partition);
            return self.stream_breaks(node, session, KEEPALIVE_MS);
        }
        let delay = self.dice.between(1, self.links[node].delay_max);
        self.later(delay, Event::ToAgent(node, agent, Box::new(message)));
    }

    /// Whether it has an order for one of them that was not begun.
    fn is_news(&self, node: NodeIndex, instances: &[DesiredInstance]) -> bool {
        instances.iter().any(|desired| {
            let index = self.hosts[node].instances.get(&desired.name);
            let accepted = index.map(|index| self.instances[*index].journal.fence.generation());
            let generation = desired.order.as_ref().map(|order| order.generation);
            generation > accepted
        })
    }

    /// Both ends find out, one after the other.
    pub(crate) fn stream_breaks(&mut self, node: NodeIndex, session: u64, within: Ms) {
        let (one, other) = (self.dice.between(0, within), self.dice.between(0, within));
        self.later(one, Event::CoordinatorLoses(node, session));
        self.later(other, Event::AgentLoses(node, session));
    }

    /// The agent's end is closed; the coordinator finds out, unless nothing reaches it.
    pub(crate) fn agent_hangs_up(&mut self, node: NodeIndex) {
        let session = std::mem::replace(&mut self.links[node].session, Session::None);
        if let Session::Dialed(session) | Session::Open(session) = session {
            let within = match self.links[node].up && self.hosts[node].is_on {
                true => 100,
                false => KEEPALIVE_MS,
            };
            let after = self.dice.between(0, within);
            self.later(after, Event::CoordinatorLoses(node, session));
        }
    }

    pub(crate) fn agent_loses(&mut self, node: NodeIndex, session: u64) {
        let is = self.links[node].session;
        if is == Session::Dialed(session) || is == Session::Open(session) {
            self.links[node].session = Session::None;
            self.redial(node);
        }
    }

    fn redial(&mut self, node: NodeIndex) {
        let Some(agent) = self.hosts[node].agent else {
            return;
        };
        let link = &mut self.links[node];
        link.failures = (link.failures + 1).min(6);
        let most = (1_000_u64 << link.failures).min(30_000);
        let after = self.dice.between(200, most);
        self.later(after, Event::Dial(node, agent));
    }

    pub(crate) fn dial(&mut self, node: NodeIndex, agent: u64) {
        if self.hosts[node].agent != Some(agent) || self.links[node].session != Session::None {
            return;
        }
        let is_there = self.coordinator.running.is_some();
        if !is_there || !self.links[node].up || !self.links[node].down {
            return self.redial(node);
        }
        self.truth.sessions += 1;
        let session = self.truth.sessions;
        self.links[node].session = Session::Dialed(session);
        self.links[node].said_until = self.now;
        let clock_ms = self.hosts[node].clock(self.now);
        let hello = self.hello(node);
        self.say(node, session, ToCoordinator::Hello { clock_ms, hello });
        // How long it waits for a welcome.
        self.later(KEEPALIVE_MS, Event::NoWelcome(node, session));
    }

    /// The agent has been welcomed.
    pub(crate) fn welcomed(&mut self, node: NodeIndex, session: u64) {
        if self.links[node].session != Session::Dialed(session) {
            return;
        }
        self.links[node].session = Session::Open(session);
        self.links[node].failures = 0;
        let after = self.heartbeat_wait();
        self.later(after, Event::Heartbeat(node, session));
        self.report_soon(node);
    }

    fn heartbeat_wait(&mut self) -> Ms {
        self.dice
            .between(HEARTBEAT_MS * 8 / 10, HEARTBEAT_MS * 12 / 10)
    }

    pub(crate) fn heartbeat(&mut self, node: NodeIndex, session: u64) {
        if self.links[node].session == Session::Open(session) {
            self.send_report(node, session);
            let after = self.heartbeat_wait();
            self.later(after, Event::Heartbeat(node, session));
        }
    }

    /// The agent has waited for its welcome for long enough.
    pub(crate) fn no_welcome(&mut self, node: NodeIndex, session: u64) {
        if self.links[node].session == Session::Dialed(session) {
            self.agent_loses(node, session);
        }
    }

    /// Something that the agent has to say has changed.
    pub(crate) fn report_soon(&mut self, node: NodeIndex) {
        let Session::Open(session) = self.links[node].session else {
            return;
        };
        let host = &self.hosts[node];
        let mut news = host.instances.values().filter_map(|index| {
            let agent = self.instances[*index].agent.as_ref()?;
            agent.is_unheard.then_some(())
        });
        if news.next().is_some() {
            self.later(10, Event::Report(node, session));
        }
    }

    pub(crate) fn report(&mut self, node: NodeIndex, session: u64) {
        if self.links[node].session == Session::Open(session) {
            let has_news = self.hosts[node].instances.values().any(|index| {
                let agent = self.instances[*index].agent.as_ref();
                agent.is_some_and(|agent| agent.is_unheard)
            });
            if has_news {
                self.send_report(node, session);
            }
        }
    }

    fn send_report(&mut self, node: NodeIndex, session: u64) {
        let clock_ms = self.hosts[node].clock(self.now);
        let reports = self.unheard(node);
        self.say(node, session, ToCoordinator::Report { clock_ms, reports });
    }

    pub(crate) fn agent_hears(&mut self, node: NodeIndex, agent: u64, message: ToAgent) {
        if self.hosts[node].agent != Some(agent) && !self.is_from_before_a_boot(node, &message) {
            return;
        }
        let agent = self.hosts[node].agent;
        match message {
            ToAgent::Welcome { session } => self.welcomed(node, session),
            ToAgent::Desired {
                epoch,
                sent_at,
                answers_clock_ms,
                instances,
            } => {
                self.truth.word_sent_at = sent_at;
                for desired in instances {
                    if self.hosts[node].agent != agent {
                        return;
                    }
                    let index = self.hosts[node].instances.get(&desired.name).copied();
                    if let Some(index) = index {
                        self.desired(index, epoch, answers_clock_ms, desired);
                    }
                }
            }
        }
    }

    /// Whether a word was meant for an agent before its host booted, and answers a clock that this boot's has not
    /// come to yet: one that must be told apart by that alone.
    fn is_from_before_a_boot(&self, node: NodeIndex, message: &ToAgent) -> bool {
        let ToAgent::Desired {
            answers_clock_ms, ..
        } = message
        else {
            return false;
        };
        let host = &self.hosts[node];
        host.agent.is_some() && *answers_clock_ms > host.clock(self.now)
    }

    pub(crate) fn link_mends(&mut self, node: NodeIndex, number: u64) {
        if self.links[node].number == number {
            let link = &mut self.links[node];
            (link.up, link.down, link.delay_max) = (true, true, 50);
        }
    }
}
