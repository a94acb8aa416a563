//! Hosts: whether they are on, what their clocks say, and the agent's program on them.

use evenkeel_agent_core::BootId;
use evenkeel_coordinator_core::node::Labels;
use evenkeel_words::names::{InstanceName, NodeName};
use std::collections::BTreeMap;

use crate::{
    coverage::Sight,
    queue::Ms,
    world::{Event, InstanceIndex, NodeIndex, World, note},
};

/// At which point of a durable write or an effect an agent dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    BeforeRecord,
    TornRecord,
    AfterRecord,
    AfterEffect,
}

/// A storage host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: NodeName,
    pub(crate) labels: Labels,
    pub(crate) instances: BTreeMap<InstanceName, InstanceIndex>,
    pub(crate) is_on: bool,
    /// Rises whenever it is powered on or off.
    pub(crate) life: u64,
    pub(crate) boot: BootId,
    booted_at: Ms,
    /// What the boot clock said when it was powered on.
    clock_at_boot: Ms,
    /// Names the agent's process that runs, if one does.
    pub(crate) agent: Option<u64>,
    pub(crate) disk_is_full: bool,
    /// Nothing can be downloaded.
    pub(crate) is_unfetchable: bool,
    /// The driver says no to everything.
    pub(crate) driver_refuses: bool,
    /// The agent dies at such a point, after so many others of its kind.
    pub(crate) doom: Option<(Death, u32)>,
}

impl Host {
    pub(crate) fn new(name: NodeName, labels: Labels) -> Self {
        Self {
            name,
            labels,
            instances: BTreeMap::new(),
            is_on: false,
            life: 0,
            boot: BootId::default(),
            booted_at: 0,
            clock_at_boot: 0,
            agent: None,
            disk_is_full: false,
            is_unfetchable: false,
            driver_refuses: false,
            doom: None,
        }
    }

    /// What its boot clock says.
    pub(crate) fn clock(&self, now: Ms) -> Ms {
        (now - self.booted_at) + self.clock_at_boot
    }
}

impl World {
    pub(crate) fn host_starts(&mut self, node: NodeIndex, life: u64) {
        if self.hosts[node].life != life || self.hosts[node].is_on {
            return;
        }
        let clock = self.dice.between(500, 20_000);
        let now = self.now;
        let host = &mut self.hosts[node];
        host.is_on = true;
        host.life += 1;
        host.booted_at = now;
        host.clock_at_boot = clock;
        let mut boot = [0; 16];
        boot[..8].copy_from_slice(&host.life.to_be_bytes());
        boot[8] = 1;
        host.boot = BootId(boot);
        let life = host.life;
        note!(self, "{} is powered on", self.hosts[node].name);
        let after = self.dice.between(100, 5_000);
        self.later(after, Event::AgentStarts(node, life));
    }

    /// The host goes down, and all that runs on it; it comes back after a while.
    pub(crate) fn host_stops(&mut self, node: NodeIndex, away: Ms) {
        if !self.hosts[node].is_on {
            return;
        }
        note!(self, "{} goes down for {away} ms", self.hosts[node].name);
        for instance in self.instances_of(node) {
            let phase = self.instances[instance].phase_name();
            let sight = match phase {
                "draining" => Some(Sight::RebootDraining),
                "stopping" => Some(Sight::RebootStopping),
                "emptying" | "swapping" => Some(Sight::RebootSwapping),
                "starting" | "rejoining" => Some(Sight::RebootStarting),
                "verifying" => Some(Sight::RebootVerifying),
                _ => None,
            };
            if let Some(sight) = sight {
                self.see(sight);
            }
        }
        self.agent_dies(node);
        for instance in self.instances_of(node) {
            self.instances[instance].process = None;
            self.look_at_service(instance);
        }
        let host = &mut self.hosts[node];
        host.is_on = false;
        host.life += 1;
        let life = host.life;
        self.later(away, Event::HostStarts(node, life));
    }

    pub(crate) fn instances_of(&self, node: NodeIndex) -> Vec<InstanceIndex> {
        self.hosts[node].instances.values().copied().collect()
    }

    pub(crate) fn agent_starts(&mut self, node: NodeIndex, life: u64) {
        let host = &self.hosts[node];
        if host.life != life || !host.is_on || host.agent.is_some() {
            return;
        }
        self.truth.agents += 1;
        let agent = self.truth.agents;
        self.hosts[node].agent = Some(agent);
        note!(self, "{} has an agent", self.hosts[node].name);
        for instance in self.instances_of(node) {
            self.recover(instance);
            if self.hosts[node].agent != Some(agent) {
                return;
            }
        }
        if let Some(message) = self.links[node].unheard.take() {
            self.later(1, Event::ToAgent(node, 0, Box::new(message)));
        }
        let after = self.dice.between(10, 2_000);
        self.later(after, Event::Dial(node, agent));
    }

    /// The agent is gone; what it ran is not.
    pub(crate) fn agent_dies(&mut self, node: NodeIndex) {
        if self.hosts[node].agent.take().is_none() {
            return;
        }
        note!(self, "{} has no agent", self.hosts[node].name);
        self.hosts[node].doom = None;
        for instance in self.instances_of(node) {
            self.instances[instance].agent = None;
        }
        self.agent_hangs_up(node);
    }

    /// The agent is gone and comes back after a while.
    pub(crate) fn agent_crashes(&mut self, node: NodeIndex, away: Ms) {
        if self.hosts[node].agent.is_none() {
            return;
        }
        self.agent_dies(node);
        let life = self.hosts[node].life;
        self.later(away, Event::AgentStarts(node, life));
    }

    /// Whether the agent dies here; it is gone then.
    pub(crate) fn dies(&mut self, node: NodeIndex, here: Death) -> bool {
        let Some((death, more)) = &mut self.hosts[node].doom else {
            return false;
        };
        if *death != here {
            return false;
        }
        if *more > 0 {
            *more -= 1;
            return false;
        }
        self.see(match here {
            Death::BeforeRecord => Sight::DiedBeforeRecord,
            Death::TornRecord => Sight::TornJournal,
            Death::AfterRecord => Sight::DiedAfterRecord,
            Death::AfterEffect => Sight::DiedAfterEffect,
        });
        note!(self, "{} dies: {here:?}", self.hosts[node].name);
        let away = match self.dice.chance(1, 8) {
            true => self.dice.between(60_000, 400_000),
            false => self.dice.between(100, 20_000),
        };
        self.agent_crashes(node, away);
        true
    }
}
