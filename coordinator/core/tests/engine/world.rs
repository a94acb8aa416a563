//! A coordinator's core and the hosts it looks after. Every change goes through [`World::apply`], which asks
//! for every invariant, keeps the things as a view would, and compares.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_compat::{Level, Matrix, Rule, Scope};
use evenkeel_coordinator_core::{
    calls::{self, Call, Outcome},
    change::{Change, RequestKey, Resource},
    desired,
    engine::{self, Engine},
    invariants,
    measures::Measure,
    node::LivenessTimings,
    plan::{Plan, PlanId, PlanState},
    refusal::Refusal,
    reports,
    state::{Key, State},
};
use evenkeel_words::{
    names::{InstanceId, NodeName},
    timestamp::Timestamp,
};

use crate::{host::Host, script::apply};

/// When every world begins.
pub(crate) const START: Timestamp = Timestamp(1_000_000_000);

const TIMINGS: LivenessTimings = LivenessTimings {
    suspect_after: Duration::from_secs(30),
    lost_after: Duration::from_secs(60),
};

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) engine: Engine,
    pub(crate) now: Timestamp,
    pub(crate) hosts: BTreeMap<NodeName, Host>,
    /// Every change from the beginning, and when.
    history: Vec<(Change, Timestamp)>,
    /// The things as a view keeps them: what [`State::apply`] said is different, read back.
    view: BTreeMap<Key, Resource>,
    /// When each agent was heard last, since the coordinator started.
    heard: BTreeMap<NodeName, Timestamp>,
    requests: u64,
    /// What people would read about it.
    pub(crate) log: Vec<String>,
}

/// What every world begins with: all versions get on with each other.
pub(crate) fn anything_goes() -> Matrix {
    let all = || "*".parse().unwrap();
    let rule = Rule {
        scope: Scope::All,
        from: all(),
        to: all(),
        level: Level::Full,
        note: None,
    };
    Matrix::new(BTreeMap::new(), vec![rule], Vec::new()).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            state: State::default(),
            engine: Engine::new(&State::default()),
            now: START,
            hosts: BTreeMap::new(),
            history: Vec::new(),
            view: BTreeMap::new(),
            heard: BTreeMap::new(),
            requests: 0,
            log: Vec::new(),
        };
        world.restart();
        world.ask(None, &apply(&anything_goes())).unwrap();
        world
    }

    /// The coordinator starts: out of its view, in the next epoch, with no session open.
    pub(crate) fn restart(&mut self) {
        self.state = State::restore(
            self.view.values().cloned(),
            self.state.revision(),
            self.state.at(),
        );
        self.engine = Engine::new(&self.state);
        self.heard.clear();
        for host in self.hosts.values_mut() {
            host.in_session = false;
        }
        let epoch = self.state.epoch() + 1;
        self.apply(Change {
            actor: "coordinator".to_owned(),
            cause: format!("epoch {epoch} began"),
            resources: vec![Resource::Coordinator { epoch }],
        });
        self.turn();
    }

    fn apply(&mut self, change: Change) {
        let before = self.state.clone();
        let keys = self.state.apply(&change, self.now);
        self.engine.note(&before, &self.state, &keys);
        for key in keys {
            match self.state.resource(&key) {
                Some(resource) => self.view.insert(key, resource),
                None => self.view.remove(&key),
            };
        }
        self.tell(&before, &change);
        let mut wrong = invariants::violations(&self.state);
        wrong.extend(invariants::violations_between(&before, &self.state));
        wrong.extend(self.not_told(&before));
        self.history.push((change, self.now));
        self.refuse(&wrong);
    }

    /// A coordinator that started now out of its view would have the same state.
    fn restores(&self) {
        let things = self.view.values().cloned();
        let restored = State::restore(things, self.state.revision(), self.state.at());
        assert!(restored == self.state, "the view restores another state");
    }

    /// Everything that differs from the state before is told by `newer_than`, and nothing else.
    fn not_told(&self, before: &State) -> Vec<String> {
        let told: Vec<_> = self.state.newer_than(before.revision()).collect();
        let mut different: Vec<_> = self
            .state
            .keys()
            .filter(|key| !matches!(key, Key::Coordinator | Key::Request(_)))
            .filter(|key| self.state.resource(key) != before.resource(key))
            .map(|key| (self.state.revision(), key))
            .collect();
        different.sort();
        let told: Vec<_> = told
            .into_iter()
            .map(|(at, key)| (at, key.clone()))
            .collect();
        (told != different)
            .then(|| format!("told is {told:?}, different is {different:?}"))
            .into_iter()
            .collect()
    }

    fn refuse(&self, wrong: &[String]) {
        assert!(
            wrong.is_empty(),
            "broken: {wrong:#?}\nafter\n{}",
            self.log.join("\n")
        );
    }

    /// Notes for people what the change says, and how the plans are now.
    fn tell(&mut self, before: &State, change: &Change) {
        if change.actor == "engine" {
            self.log.push(format!("engine: {}", change.cause));
        }
        let plans: Vec<Plan> = self
            .state
            .plans_after(None)
            .map(|p| Plan::clone(p))
            .collect();
        for plan in plans {
            let was = before.plan(plan.id).map(|plan| plan.state.clone());
            if was.as_ref() != Some(&plan.state) {
                let reason = match plan.state.reason() {
                    "" => String::new(),
                    reason => format!(": {reason}"),
                };
                self.log
                    .push(format!("  {} is {}{reason}", plan.id, plan.state.name()));
            }
        }
    }

    /// The engine says what follows until it has nothing more to say.
    fn turn(&mut self) {
        let tasks: usize = self
            .state
            .plans_under_way()
            .map(|p| p.tasks_total as usize)
            .sum();
        for _ in 0..20 + 10 * tasks {
            let Some(change) = self.engine.advance(&self.state, self.now) else {
                let wrong = invariants::violations_at_rest(&self.state, self.now);
                self.restores();
                return self.refuse(&wrong);
            };
            self.apply(change);
        }
        panic!("the engine does not come to rest\n{}", self.log.join("\n"));
    }

    fn take_in(&mut self, change: Option<Change>) {
        if let Some(change) = change {
            self.apply(change);
            self.turn();
        }
    }

    /// Something was measured of an instance.
    pub(crate) fn see(&mut self, id: &InstanceId, measure: Measure) {
        self.state.see(id, measure);
        self.engine.note_measure(&self.state, id);
        self.turn();
    }

    /// Somebody asks for something, under a request id of its own or a given one.
    pub(crate) fn ask(&mut self, id: Option<&str>, call: &Call) -> Result<Outcome, Refusal> {
        self.requests += 1;
        let key = RequestKey {
            subject: "alice".to_owned(),
            request_id: id.map_or_else(|| self.requests.to_string(), ToOwned::to_owned),
        };
        let outcome = calls::handle(&self.state, &key, call, self.now)?;
        self.take_in(outcome.change.clone());
        Ok(outcome)
    }

    /// The agent hears what ought to be.
    pub(crate) fn hear(&mut self, node: &NodeName) {
        let desired: Vec<_> = desired::desired(&self.state, node).collect();
        let epoch = self.state.epoch();
        let host = self.hosts.get_mut(node).unwrap();
        if host.reachable && host.in_session {
            host.before = host.heard.replace((epoch, desired));
        }
    }

    /// What the agent heard before the last word comes once more.
    pub(crate) fn hear_late(&mut self, node: &NodeName) {
        let host = self.hosts.get_mut(node).unwrap();
        if let Some(before) = host.before.clone() {
            host.heard = Some(before);
        }
    }

    /// No process is touched but under a slot.
    pub(crate) fn held_while_busy(&self) {
        for (node, host) in &self.hosts {
            for (name, _) in host.instances.iter().filter(|(_, local)| local.busy()) {
                let id = InstanceId {
                    node: node.clone(),
                    name: name.clone(),
                };
                let slot = &self.state.instance(&id).unwrap().slot;
                assert!(slot.is_some(), "{id} is touched without a slot");
            }
        }
    }

    /// The agent says what is: all of it if its session is new.
    pub(crate) fn report(&mut self, node: &NodeName) {
        let host = self.hosts.get_mut(node).unwrap();
        if !host.reachable {
            return;
        }
        self.heard.insert(node.clone(), self.now);
        let change = match std::mem::replace(&mut host.in_session, true) {
            true => reports::report(&self.state, node, &host.reports()),
            false => reports::hello(&self.state, node, &host.hello()),
        };
        self.take_in(change);
        self.judge();
    }

    /// The agent loses touch with the coordinator.
    pub(crate) fn vanish(&mut self, node: &NodeName) {
        let host = self.hosts.get_mut(node).unwrap();
        host.reachable = false;
        host.in_session = false;
    }

    fn judge(&mut self) {
        let judged: Vec<_> = self
            .hosts
            .keys()
            .map(|node| {
                let heard = self.heard.get(node).copied();
                (node.clone(), TIMINGS.judge(heard, self.now))
            })
            .collect();
        self.take_in(reports::liveness(&self.state, &judged));
    }

    /// Every agent hears, does one step and reports; whether anything came of it.
    pub(crate) fn round(&mut self) -> bool {
        let revision = self.state.revision();
        let mut moved = false;
        for node in self.hosts.keys().cloned().collect::<Vec<_>>() {
            self.hear(&node);
            moved |= self.hosts.get_mut(&node).unwrap().step();
            self.report(&node);
        }
        moved || self.state.revision() != revision
    }

    /// Rounds until nothing comes of them.
    pub(crate) fn run(&mut self) {
        for _ in 0..2_000 {
            if !self.round() {
                return;
            }
        }
        panic!("no end to it\n{}", self.log.join("\n"));
    }

    /// Time passes, and everybody goes on meanwhile. On the way, the engine has nothing to say before the
    /// moment that it names.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while self.now < end {
            self.pass_until(end);
            self.run();
        }
    }

    /// The next moment at which something may be due, but no later than `end`.
    pub(crate) fn pass_until(&mut self, end: Timestamp) {
        let due = self.engine.next_due();
        let silent = self.hosts.iter().filter(|(_, host)| !host.reachable);
        let judged = silent
            .filter_map(|(node, _)| self.heard.get(node))
            .flat_map(|heard| {
                [
                    heard.after(TIMINGS.suspect_after),
                    heard.after(TIMINGS.lost_after),
                ]
            });
        let judged = judged.filter(|at| *at > self.now).min();
        let next = [due, judged, Some(end)]
            .into_iter()
            .flatten()
            .min()
            .unwrap();
        let just_before = Timestamp(next.0 - 1);
        let early = engine::advance(&self.state, just_before);
        assert!(
            early.is_none(),
            "the timers name {due:?}, and before that there is {early:?}"
        );
        self.now = next;
        // Those that can be heard are: a heartbeat says nothing else.
        for (node, host) in &self.hosts {
            if host.reachable && host.in_session {
                self.heard.insert(node.clone(), self.now);
            }
        }
        self.judge();
        self.turn();
    }

    pub(crate) fn plan_state(&self, id: PlanId) -> &PlanState {
        &self.state.plan(id).unwrap().state
    }

    /// The same changes from nothing make the same state, and so do those after any point on top of what was
    /// kept at that point.
    pub(crate) fn replays(&self, point: usize) {
        let mut state = State::default();
        let mut kept = None;
        for (index, (change, at)) in self.history.iter().enumerate() {
            if index == point {
                let things = state.keys().filter_map(|key| state.resource(&key));
                kept = Some(State::restore(things, state.revision(), state.at()));
            }
            state.apply(change, *at);
            if let Some(kept) = &mut kept {
                kept.apply(change, *at);
            }
        }
        assert!(state == self.state, "the replay makes another state");
        assert!(
            kept.is_none_or(|kept| kept == self.state),
            "the replay on what was kept makes another state"
        );
    }

    /// How many changes there were.
    pub(crate) fn changes(&self) -> usize {
        self.history.len()
    }
}
