//! The next task gets its slot and its order.

use evenkeel_words::planted::{self, Bug};
use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

use evenkeel_words::{names::InstanceId, timestamp::Timestamp};
use imbl::{OrdMap, OrdSet};

use super::{
    Decision, asking,
    budget::{self, Budget},
    finality::{self, Hold},
    hold, rollback, slots, waits, yields,
};
use crate::{
    change::Resource,
    plan::{Plan, PlanKind, Stage, Task, TaskState},
    state::State,
};

/// How far the search for the next task to admit is: what was found to be held back is not looked at again before
/// something changes that may hold it.
#[derive(Debug, Clone, Default)]
pub(super) struct Search {
    /// The groups in which something changed since they were looked at.
    stirred: BTreeSet<Arc<str>>,
    at: Position,
    /// The groups with one that had to give way to others, and when it is asked for again.
    later: BTreeSet<(Timestamp, Arc<str>)>,
    /// What held for the whole wave when it was looked through.
    setting: Option<Setting>,
}

#[derive(Debug, Clone, Default)]
enum Position {
    /// All groups have to be looked at.
    #[default]
    Start,
    /// Those from this one on have to be.
    At(Arc<str>),
    /// All were.
    End,
}

/// What bears on every task of a wave. When it changes, all that was held back is looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    stage: u32,
    wave: u32,
    /// The failure domains in which something of the component is out, and in which we hold something of others.
    domains: [BTreeSet<Option<String>>; 2],
    /// How much of the component is out, beside what may be.
    component_fill: Option<Ordering>,
    /// What of the stage waits for a person's word.
    hold: Hold,
    fenced: bool,
}

impl Search {
    /// Something changed in this group.
    pub(super) fn stir(&mut self, group: &str) {
        if !self.stirred.contains(group) {
            self.stirred.insert(Arc::from(group));
        }
    }

    /// When a group has to be looked at again though nothing happened in it, after a moment.
    pub(super) fn next_due(&self, after: Timestamp) -> Option<Timestamp> {
        let mut later = self.later.iter().map(|(at, _)| *at);
        later.find(|at| *at > after)
    }

    /// What had to give way for long enough is looked at again.
    fn stir_what_is_due(&mut self, now: Timestamp) {
        while let Some((at, group)) = self.later.pop_first() {
            if at > now {
                self.later.insert((at, group));
                return;
            }
            self.stirred.insert(group);
        }
    }

    /// Everything has to be looked at again.
    pub(super) fn restart(&mut self) {
        self.at = Position::Start;
    }
}

/// Tasks whose host has come to hold the verified artifact.
pub(super) fn prefetched(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let barrier = state.barrier(plan.id)?;
    let tasks = barrier.arrived().iter().filter_map(|instance| {
        let task = task_of(state, plan, instance)?;
        Some(Resource::Task(Task {
            state: TaskState::Prefetched,
            ..Task::clone(task)
        }))
    });
    let resources: Vec<_> = tasks.collect();
    if resources.is_empty() {
        return None;
    }
    let cause = format!("{} prefetched for {}", resources.len(), plan.id);
    let plan = Resource::Plan(Plan {
        progressed_at: now,
        ..plan.clone()
    });
    Some((cause, [vec![plan], resources].concat()))
}

/// The first task that nothing holds back.
pub(super) fn admit(
    state: &State,
    plan: &Plan,
    search: &mut Search,
    now: Timestamp,
) -> Option<Decision> {
    let barrier = state.barrier(plan.id)?;
    let (wave, ready) = barrier.ready().get_min()?;
    let stage = plan.stage_at(barrier.stage())?;
    let first = ready.get_min()?.1.get_min()?;
    let first = task_of(state, plan, first)?;
    if hold::holds_back(state, plan, now).is_some()
        || waits::before_wave(state, plan, first).is_some()
    {
        return None;
    }
    let budget = Budget::of(state, &stage.component);
    if plan.kind == PlanKind::CatchUp {
        // They are few, and what is down by itself does not hold them back.
        search.restart();
    }
    let setting = Setting {
        stage: barrier.stage(),
        wave: *wave,
        domains: budget.domains(&plan.policy),
        component_fill: budget.component_fill(&plan.policy),
        hold: finality::hold(state, stage),
        fenced: state.fenced_nodes().next().is_some(),
    };
    if search.setting.as_ref() != Some(&setting) {
        search.setting = Some(setting);
        search.restart();
    }
    search.stir_what_is_due(now);
    let task = next(state, plan, stage, ready, search, now)?;
    order(state, plan, stage, task, now)
}

/// The first task of a wave that nothing holds back, of those that have to be looked at.
fn next<'a>(
    state: &'a State,
    plan: &Plan,
    stage: &Stage,
    ready: &OrdMap<Arc<str>, OrdSet<InstanceId>>,
    search: &mut Search,
    now: Timestamp,
) -> Option<&'a Task> {
    let budget = Budget::of(state, &stage.component);
    let later = &mut search.later;
    // Who had to give way comes after all others of its group.
    let mut free = |id: &InstanceId, gave_way: bool| {
        let instance = state.instance(id)?;
        if plan.kind != PlanKind::CatchUp && !budget.has_room(&plan.policy, instance) {
            return None;
        }
        // It is also among those that hold it back; here it costs no sentence for each of a large group.
        if stage.undoes.is_none() && asking::other(state, instance).is_some() {
            return None;
        }
        let task = task_of(state, plan, id)?;
        if task.yielded.is_some() != gave_way {
            return None;
        }
        if let Some(at) = yields::again_at(task).filter(|at| *at > now) {
            later.insert((at, instance.group().into()));
            return None;
        }
        let held = waits::before_order(state, plan, task);
        held.is_none().then_some(task)
    };
    if let Position::Start = search.at {
        search.stirred.clear();
    }
    while let Some(group) = search.stirred.first() {
        let members = || ready.get(group).into_iter().flatten();
        let mut first = members().find_map(|id| free(id, false));
        first = first.or_else(|| members().find_map(|id| free(id, true)));
        if let Some(task) = first {
            return Some(task);
        }
        search.stirred.pop_first();
    }
    let rest = match &search.at {
        Position::Start => ready.range::<_, Arc<str>>(..),
        Position::At(group) => ready.range(group.clone()..),
        Position::End => return None,
    };
    for (group, members) in rest {
        let mut first = members.iter().find_map(|id| free(id, false));
        first = first.or_else(|| members.iter().find_map(|id| free(id, true)));
        if let Some(task) = first {
            search.at = Position::At(group.clone());
            return Some(task);
        }
    }
    search.at = Position::End;
    None
}

/// The task of an instance in the stage under way.
pub(super) fn task_of<'a>(
    state: &'a State,
    plan: &Plan,
    instance: &InstanceId,
) -> Option<&'a Task> {
    let task = state.task_under_way(plan.id, instance);
    task.map(AsRef::as_ref)
}

/// The task with its slot and its order.
pub(super) fn order(
    state: &State,
    plan: &Plan,
    stage: &Stage,
    task: &Task,
    now: Timestamp,
) -> Option<Decision> {
    let instance = state.instance(&task.instance)?;
    let target = (task.to.clone(), stage.way.method);
    let fallback = match stage.undoes {
        None => stage
            .way_back()
            .filter(|_| !planted::is(Bug::FallbackDropped))
            .map(|method| (task.from.clone(), method)),
        Some(_) => rollback::fallback(plan, stage, task, instance),
    };
    // What stays down may not go back to what it has.
    let fallback = fallback.filter(|_| !instance.is_quarantined());
    // Whether one that is broken may be stopped is not asked: its storage system says no because it is broken.
    let mends = stage.undoes.is_some() && budget::is_down(state, instance);
    let ordered = slots::order(plan, instance, target, fallback, now);
    let instance = match mends {
        true => slots::putting_back(ordered),
        false => ordered,
    };
    let cause = format!("{} admitted", task.instance);
    let task = Task {
        state: TaskState::Admitted,
        generation: instance.generation(),
        admitted_at: Some(now),
        ..task.clone()
    };
    // What had to give way before has not moved until it is on its way.
    let progressed_at = match &task.yielded {
        Some(_) => plan.progressed_at,
        None => now,
    };
    let plan = Plan {
        progressed_at,
        ..plan.clone()
    };
    let resources = vec![
        Resource::Plan(plan),
        Resource::Task(task),
        Resource::Instance(instance),
    ];
    Some((cause, resources))
}
