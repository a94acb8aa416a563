//! One life: a fleet, faults and people at random for a while; then the faults stop and everything has to come to
//! rest; then people put things in order, and every plan has to end.

use evenkeel_coordinator_core::{instance::Health, node::Labels};
use evenkeel_words::names::{InstanceId, NodeName};
use std::collections::BTreeMap;

use crate::{
    agent::Instance,
    coordinator::Coordinator,
    coverage::{Coverage, Sight},
    dice::Dice,
    fleet::{self, Fleet},
    network::{Link, Session},
    node::Host,
    people::{People, anything_goes},
    queue::{Ms, Queue},
    trace::Trace,
    truth::Truth,
    world::{Event, World, note},
};

/// How much may happen in a life, for each instance and in all, before it counts as going on for ever.
const STEPS_MAX: u64 = 400_000;
const STEPS_MAX_EACH: u64 = 20_000;

/// How often people look at how things stand.
const LOOK_EVERY_MS: Ms = 20_000;

/// How a life went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The hash of its trace.
    pub hash: u64,
    /// What it came to.
    pub coverage: Coverage,
    /// What was found wrong, if anything was.
    pub wrong: Option<String>,
    /// How much happened.
    pub steps: u64,
    /// Its trace, if that was asked for.
    pub lines: Vec<String>,
}

/// Lives the life that this seed names.
#[must_use]
pub fn live(seed: u64, is_traced: bool) -> Account {
    let mut world = World::new(seed, is_traced);
    world.live();
    let Err(wrong) = world.ended() else {
        return world.account();
    };
    world.wrong(wrong);
    world.account()
}

impl World {
    fn new(seed: u64, is_traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let fleet = Fleet::new(&mut dice);
        let mut world = Self {
            now: 0,
            queue: Queue::new(),
            trace: Trace::new(is_traced),
            coverage: Coverage::default(),
            hosts: Vec::new(),
            links: Vec::new(),
            nodes: BTreeMap::new(),
            instances: Vec::new(),
            coordinator: Coordinator::new(),
            people: People::default(),
            truth: Truth::default(),
            is_wild: true,
            is_thorough: dice.chance(1, 12),
            wrong: None,
            steps: 0,
            steps_at_once: 0,
            dice,
            fleet,
        };
        world.settle_in();
        world
    }

    fn settle_in(&mut self) {
        note!(
            self,
            "{} nodes, components {:?}, versions up to {}",
            self.fleet.nodes.len(),
            self.fleet.components,
            self.fleet.versions[self.fleet.versions.len() - 1]
        );
        if self.fleet.nodes.len() >= 100 {
            self.see(Sight::LargeFleet);
        }
        let plans = self.fleet.nodes.clone();
        for (node, plan) in plans.iter().enumerate() {
            let name: NodeName = format!("n{node}").parse().expect("a node's name");
            let labels: Labels = [("zone".to_owned(), plan.zone.clone())].into();
            let mut host = Host::new(name.clone(), labels);
            for plan in &plan.instances {
                let component = &self.fleet.components[plan.component];
                let id = InstanceId {
                    node: name.clone(),
                    name: component.as_str().parse().expect("an instance's name"),
                };
                let versions = &self.fleet.versions;
                let version = versions.iter().position(|it| *it == plan.version);
                let current = fleet::release(component, &plan.version);
                let index = self.instances.len();
                host.instances.insert(id.name.clone(), index);
                let instance = Instance::new(id, node, plan, current, version.unwrap_or(0));
                self.instances.push(instance);
            }
            self.nodes.insert(name, node);
            self.hosts.push(host);
            self.links.push(Link::new());
            let after = self.dice.between(0, 3_000);
            self.later(after, Event::HostStarts(node, 0));
        }
        self.later(0, Event::CoordinatorStarts);
        self.run_until(100);
        self.people_prepare();
        let after = self.dice.between(20_000, 60_000);
        self.later(after, Event::Chance);
    }

    fn live(&mut self) {
        let end = self.fleet.chaos_ms;
        while self.now < end && self.wrong.is_none() {
            let until = (self.now + LOOK_EVERY_MS).min(end);
            self.run_until(until);
            self.current_is_complete();
            self.orders_end_in_time();
            self.look_for_finality();
            self.is_not_endless();
        }
        self.calm();
        if !self.come_to_rest("when the faults had stopped") {
            return;
        }
        self.put_in_order();
    }

    fn is_not_endless(&mut self) {
        let most = STEPS_MAX + STEPS_MAX_EACH * self.instances.len() as u64;
        if self.steps > most {
            self.wrong(format!("{} steps and no end", self.steps));
        }
    }

    /// The faults stop.
    fn calm(&mut self) {
        if self.wrong.is_some() {
            return;
        }
        note!(self, "the faults stop");
        self.is_wild = false;
        self.coordinator.doom = None;
        self.coordinator.wall_offset_ms = 0;
        self.bring_back_newer();
        self.later(1_000, Event::CoordinatorStarts);
        self.later(3_000, Event::Mend);
        for node in 0..self.hosts.len() {
            let number = self.links[node].number;
            self.link_mends(node, number);
            let life = self.hosts[node].life;
            match self.hosts[node].is_on {
                true => self.later(1_000, Event::AgentStarts(node, life)),
                false => self.later(1_000, Event::HostStarts(node, life)),
            }
            self.mend_host(node);
        }
    }

    /// Everything comes to rest in a bounded time: whatever goes on by itself has ended, or waits with a reason.
    fn come_to_rest(&mut self, when: &str) -> bool {
        let mut bound = self.now + 600_000 + self.patience();
        while self.wrong.is_none() {
            let until = self.now + LOOK_EVERY_MS;
            self.run_until(until);
            self.outgrow_the_backup();
            self.mend_what_gave_up();
            self.current_is_complete();
            self.orders_end_in_time();
            self.look_for_finality();
            self.is_not_endless();
            if self.is_at_rest() {
                self.rests();
                return self.wrong.is_none();
            }
            if self.now > bound {
                let stand = self.stand();
                self.wrong(format!("no rest {when}:\n{stand}{}", self.unrest()));
                return false;
            }
            bound = bound.max(self.now);
        }
        false
    }

    /// How long the plans under way may take at the longest.
    fn patience(&self) -> Ms {
        let plans = self.coordinator.read().plans_under_way();
        let each = plans.map(|plan| {
            let policy = &plan.policy;
            let task = policy.soak + policy.instance_deadline * 2;
            let tasks = u64::from(plan.tasks_total).max(1);
            let deadline = policy.progress_deadline;
            let ms = |it: std::time::Duration| u64::try_from(it.as_millis()).unwrap_or(0);
            tasks * (ms(task) + 60_000) + 4 * ms(deadline)
        });
        each.sum()
    }

    fn is_at_rest(&self) -> bool {
        self.unrest().is_empty()
    }

    /// What is not at rest.
    fn unrest(&self) -> String {
        if self.coordinator.running.is_none() {
            return "the coordinator is not there".to_owned();
        }
        for (node, host) in self.hosts.iter().enumerate() {
            if !matches!(self.links[node].session, Session::Open(_)) {
                return format!("{} has no session", host.name);
            }
        }
        for instance in &self.instances {
            if instance.is_on_its_way() {
                return format!("{} is on its way", instance.id);
            }
            if instance.is_held() {
                // It waits, and says for what.
                continue;
            }
            if instance.down_since.is_some() {
                return format!("{} is down", instance.id);
            }
            let known = self.coordinator.read().instance(&instance.id);
            if known.is_none_or(|known| known.report.health != Health::Healthy) {
                return format!("{} is not known to be healthy", instance.id);
            }
        }
        match self.going_on().first() {
            Some(plan) => format!("{plan} goes on"),
            None => String::new(),
        }
    }

    /// A coordinator whose agents have heard a later one starts until its epoch is the highest again.
    fn outgrow_the_backup(&mut self) {
        let epochs = self.instances.iter().map(|it| it.journal.fence.epoch);
        let highest = epochs.max().unwrap_or(0);
        if self.coordinator.running.is_some() && highest > self.coordinator.read().epoch() {
            self.coordinator_crashes();
            self.later(500, Event::CoordinatorStarts);
        }
    }

    /// An agent that gave a process up starts it again when it is started anew: somebody does that.
    fn mend_what_gave_up(&mut self) {
        for index in 0..self.instances.len() {
            let instance = &self.instances[index];
            let node = instance.node;
            let is_stuck = instance
                .down_since
                .is_some_and(|at| self.now - at > 300_000);
            if is_stuck && !instance.is_on_its_way() && self.hosts[node].agent.is_some() {
                note!(self, "somebody restarts the agent of {}", instance.id);
                self.instances[index].down_since = Some(self.now);
                self.agent_crashes(node, 1_000);
            }
        }
    }

    /// People see every plan to its end.
    fn put_in_order(&mut self) {
        note!(self, "people put things in order");
        for _ in 0..60 {
            let is_held = self.instances.iter().any(Instance::is_held);
            if self.coordinator.read().plans_under_way().next().is_none() && !is_held {
                break;
            }
            if is_held {
                self.ask(anything_goes());
            }
            self.people_mend();
            let until = self.now + 2_000;
            self.run_until(until);
            if !self.come_to_rest("while people put things in order") {
                return;
            }
        }
        // What a plan that was given up had not begun is given back after a while.
        let until = self.now + 200_000;
        self.run_until(until);
        self.come_to_rest("at the end");
    }

    /// What has to be true at the end.
    fn ended(&self) -> Result<(), String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let state = self.coordinator.read();
        if let Some(plan) = state.plans_under_way().next() {
            return Err(format!("{} never ends:\n{}", plan.id, self.stand()));
        }
        if let Some(holder) = state.slot_holders().next()
            && state.fenced_nodes().next().is_none()
        {
            return Err(format!("{} holds a slot at the end", holder.id));
        }
        for instance in &self.instances {
            if instance.is_held() {
                return Err(format!("{} is held down at the end", instance.id));
            }
            if instance.is_quiesced {
                return Err(format!("{} is left quiesced", instance.id));
            }
            let known = state.instance(&instance.id);
            let current = known.and_then(|known| known.report.current.as_ref());
            if current.map(|current| &current.version) != Some(&instance.current.version) {
                return Err(format!("what {} has is not known", instance.id));
            }
        }
        Ok(())
    }

    fn account(self) -> Account {
        Account {
            hash: self.trace.hash(),
            coverage: self.coverage,
            wrong: self.wrong,
            steps: self.steps,
            lines: self.trace.into_lines(),
        }
    }
}
