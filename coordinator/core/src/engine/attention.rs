//! What has to be looked at because of what changed.

use evenkeel_words::planted::{self, Bug};
use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::{
    names::{ComponentName, InstanceId, NodeName},
    timestamp::Timestamp,
};

use super::{
    Decision,
    admit::Search,
    agenda::{Agenda, Item},
    follow, go_on, predicted, quarantine, slots, timers,
};
use crate::{
    change::Change,
    instance::Instance,
    plan::{Plan, PlanId, TaskId},
    state::{Key, State},
};

/// What has to be looked at before there is nothing more to say. It belongs to one state, and has to be told of every
/// change of it.
#[derive(Debug, Clone)]
pub struct Engine {
    tasks: BTreeSet<TaskId>,
    slots: BTreeSet<InstanceId>,
    /// The instances of plans that may not be as these predict.
    strays: BTreeSet<(PlanId, InstanceId)>,
    plans: BTreeSet<PlanId>,
    /// How far each plan under way is with looking for the next task to admit.
    searches: BTreeMap<PlanId, Search>,
    /// Who has to be held down, let go or caught up.
    quarantine: quarantine::Watch,
    agenda: Agenda,
}

impl Engine {
    /// One that has not looked at anything of this state yet.
    #[must_use]
    pub fn new(state: &State) -> Self {
        let mut engine = Self {
            tasks: BTreeSet::new(),
            slots: state
                .slot_holders()
                .map(|holder| holder.id.clone())
                .collect(),
            strays: BTreeSet::new(),
            plans: BTreeSet::new(),
            searches: BTreeMap::new(),
            quarantine: quarantine::Watch::new(state),
            agenda: Agenda::default(),
        };
        for plan in state.plans_under_way() {
            engine.take_up(state, plan.id);
        }
        engine
    }

    /// The state has changed in these things, as [`State::apply`] said.
    pub fn note(&mut self, before: &State, after: &State, keys: &[Key]) {
        for key in keys {
            self.quarantine.note(before, after, key);
            match key {
                Key::Coordinator => *self = Self::new(after),
                Key::Node(_) if planted::is(Bug::AttentionLost) => {}
                Key::Node(name) => self.note_node(before, after, name),
                Key::Instance(id) => self.note_instance(before, after, id),
                Key::Plan(id) => self.note_plan(before, after, *id),
                Key::Task(id) => self.note_task(before, after, id),
                Key::Release(..) | Key::Matrix | Key::ReportedVersions(..) | Key::Freeze => {
                    self.look_at_all_plans(after);
                }
                Key::Request(_) => {}
            }
        }
    }

    /// Something was measured of an instance: a comparison may wait for that.
    pub fn note_measure(&mut self, state: &State, id: &InstanceId) {
        self.plans.extend(state.claimed_by(id));
    }

    /// The next thing that follows from the state, if any. It has to be applied, and noted, before this is asked again.
    #[must_use]
    pub fn advance(&mut self, state: &State, now: Timestamp) -> Option<Change> {
        while let Some(item) = self.agenda.take_due(now) {
            match item {
                Item::Task(id) => self.note_task(state, state, &id),
                Item::Slot(id) => {
                    self.slots.insert(id);
                }
                Item::Plan(id) => {
                    self.plans.insert(id);
                }
                Item::CatchUp => self.quarantine.look_at_catching_up(),
            }
        }
        // Before anything else: an agent may be waiting for its first word.
        let decision = self
            .quarantine
            .hold(state, now)
            .or_else(|| self.follow(state, now))
            .or_else(|| self.give_back(state, now))
            .or_else(|| self.compare(state))
            .or_else(|| self.go_on(state, now))
            .or_else(|| self.catch_up(state, now));
        decision.map(|(cause, resources)| Change {
            actor: "engine".to_owned(),
            cause,
            resources,
        })
    }

    /// When to ask again though nothing happened: the first moment at which something is due. What is due may still
    /// wait for something else as well.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.agenda.next()
    }

    fn follow(&mut self, state: &State, now: Timestamp) -> Option<Decision> {
        while let Some(id) = self.tasks.first() {
            let task = state.task(id);
            let task = task.and_then(|task| Some((state.plan(task.plan)?, task)));
            let task = task.filter(|(plan, _)| plan.state.under_way());
            if let Some((plan, task)) = task
                && let Some(decision) = follow::follow(state, plan, task, now)
            {
                return Some(decision);
            }
            let due = task.and_then(|(plan, task)| timers::of_task(state, plan, task, now));
            let id = self.tasks.pop_first()?;
            self.agenda.set(Item::Task(id), due);
        }
        None
    }

    fn catch_up(&mut self, state: &State, now: Timestamp) -> Option<Decision> {
        let decision = self.quarantine.catch_up(state, now);
        if decision.is_none() {
            let due = quarantine::Watch::due_at(state, now);
            self.agenda.set(Item::CatchUp, due);
        }
        decision
    }

    fn give_back(&mut self, state: &State, now: Timestamp) -> Option<Decision> {
        while let Some(id) = self.slots.first() {
            let holder = state.instance(id);
            if let Some(decision) = holder.and_then(|holder| slots::give_back(state, holder, now)) {
                return Some(decision);
            }
            let due = holder.and_then(|holder| timers::of_slot(state, holder, now));
            let id = self.slots.pop_first()?;
            self.agenda.set(Item::Slot(id), due);
        }
        None
    }

    fn compare(&mut self, state: &State) -> Option<Decision> {
        while let Some((plan, instance)) = self.strays.first() {
            if let Some(decision) = predicted::differs(state, *plan, instance) {
                return Some(decision);
            }
            self.strays.pop_first();
        }
        None
    }

    fn go_on(&mut self, state: &State, now: Timestamp) -> Option<Decision> {
        while let Some(id) = self.plans.first().copied() {
            let plan = state.plan(id).filter(|plan| plan.state.under_way());
            let search = self.searches.entry(id).or_default();
            let decision = plan.and_then(|plan| go_on(state, plan, search, now));
            if decision.is_some() {
                return decision;
            }
            if plan.is_none() {
                self.searches.remove(&id);
            }
            let due = plan.and_then(|plan| timers::of_plan(state, plan, now));
            let search = self.searches.get(&id).filter(|_| plan.is_some());
            let later = search.and_then(|search| search.next_due(now));
            let due = [due, later].into_iter().flatten().min();
            self.plans.pop_first();
            self.agenda.set(Item::Plan(id), due);
        }
        None
    }

    /// A plan that has come under way, or was so before: everything of it is looked at.
    fn take_up(&mut self, state: &State, id: PlanId) {
        self.plans.insert(id);
        self.searches.insert(id, Search::default());
        self.compare_all(state, id);
        for (stage, tally) in state.tally(id).into_iter().flat_map(|tally| tally.stages()) {
            let tasks = tally.in_flight().iter().map(|instance| TaskId {
                plan: id,
                stage,
                instance: instance.clone(),
            });
            self.tasks.extend(tasks);
        }
    }

    /// A plan that begins to run, or goes on: every instance of it has to be as it predicts.
    fn compare_all(&mut self, state: &State, id: PlanId) {
        let tasks = state.tasks_of(id);
        self.strays
            .extend(tasks.map(|task| (id, task.instance.clone())));
    }

    fn look_at_all_plans(&mut self, state: &State) {
        for plan in state.plans_under_way() {
            self.plans.insert(plan.id);
            self.searches.entry(plan.id).or_default().restart();
        }
    }

    fn note_plan(&mut self, before: &State, after: &State, id: PlanId) {
        self.plans.insert(id);
        let state = |state: &State| state.plan(id).map(|plan| plan.state.clone());
        let (was, is) = (state(before), state(after));
        if was == is {
            return;
        }
        let under_way = is.is_some_and(|state| state.under_way());
        match (was.is_some_and(|state| state.under_way()), under_way) {
            (false, true) => self.take_up(after, id),
            (true, true) => {
                self.searches.entry(id).or_default().restart();
                self.compare_all(after, id);
            }
            (_, false) => {
                // What it did not get begun will not be begun any more.
                let holders = after.slot_holders();
                let of_plan = holders.filter(|holder| {
                    let slot = holder.slot.as_ref();
                    slot.is_some_and(|slot| slot.plan == id)
                });
                self.slots.extend(of_plan.map(|holder| holder.id.clone()));
            }
        }
        // What it brings together with others may not meet them any more, or may again.
        self.plans
            .extend(after.plans_under_way().map(|plan| plan.id));
    }

    fn note_task(&mut self, before: &State, state: &State, id: &TaskId) {
        // Where a plan is bears on whether others may meet it.
        if before.stage_under_way(id.plan) != state.stage_under_way(id.plan) {
            self.plans
                .extend(state.plans_under_way().map(|plan| plan.id));
        }
        self.tasks.insert(id.clone());
        self.strays.insert((id.plan, id.instance.clone()));
        self.plans.insert(id.plan);
        if let Some(instance) = state.instance(&id.instance) {
            let search = self.searches.entry(id.plan).or_default();
            search.stir(instance.group());
        }
    }

    fn note_node(&mut self, before: &State, after: &State, name: &NodeName) {
        let known = |state: &State| {
            let node = state.node(name)?;
            Some((node.liveness, node.fenced.clone(), node.changed_at))
        };
        if known(before) == known(after) {
            return;
        }
        let ids: Vec<_> = after.instances_on(name).map(|x| x.id.clone()).collect();
        for id in ids {
            self.note_instance(before, after, &id);
        }
        self.plans
            .extend(after.plans_under_way().map(|plan| plan.id));
    }

    fn note_instance(&mut self, before: &State, after: &State, id: &InstanceId) {
        let (was, is) = (before.instance(id), after.instance(id));
        if is.is_some_and(|instance| instance.slot.is_some()) {
            self.slots.insert(id.clone());
        }
        let claim = after.claimed_by(id);
        self.strays.extend(claim.map(|plan| (plan, id.clone())));
        if let Some(task) = claim.and_then(|plan| after.task_under_way(plan, id)) {
            self.tasks.insert(task.id());
        }
        let touched: BTreeSet<(&ComponentName, &str)> = [was, is]
            .into_iter()
            .flatten()
            .map(|instance| place_of(instance))
            .collect();
        for plan in after.plans_under_way() {
            self.plans.insert(plan.id);
            let moves = component_under_way(after, plan);
            for (component, group) in &touched {
                if moves == Some(component) {
                    self.searches.entry(plan.id).or_default().stir(group);
                }
            }
        }
    }
}

fn place_of(instance: &Instance) -> (&ComponentName, &str) {
    (&instance.report.component, instance.group())
}

/// The component that the plan moves now.
fn component_under_way<'a>(state: &State, plan: &'a Plan) -> Option<&'a ComponentName> {
    let stage = plan.stage_at(state.stage_under_way(plan.id)?)?;
    Some(&stage.component)
}
