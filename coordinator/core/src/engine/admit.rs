//! The next task gets its slot and its order.

use evenkeel_words::timestamp::Timestamp;

use super::{Decision, budget::Down, slots, waits};
use crate::{
    change::Resource,
    plan::{Plan, PlanId, Task, TaskState},
    state::State,
};

/// Tasks whose host has come to hold the verified artifact.
pub(super) fn prefetched(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let stage = state.stage_under_way(plan.id)?;
    let resources: Vec<_> = state
        .tasks_of_stage(plan.id, stage)
        .filter(|task| task.state == TaskState::Pending)
        .filter(|task| {
            let instance = state.instance(&task.instance);
            instance.is_some_and(|instance| instance.holds(&task.to.digest))
        })
        .map(|task| {
            Resource::Task(Task {
                state: TaskState::Prefetched,
                ..Task::clone(task)
            })
        })
        .collect();
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
pub(super) fn admit(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let wave = next_wave(state, plan.id);
    let first = wave.first()?;
    if waits::before_wave(state, plan, first).is_some() {
        return None;
    }
    let down = Down::of(state, &state.instance(&first.instance)?.report.component);
    let free = |task: &&&Task| waits::before_order(state, plan, task, &down).is_none();
    let task = wave.iter().find(free)?;
    let instance = state.instance(&task.instance)?;
    let stage = plan.stage(task)?;
    let target = (task.to.clone(), stage.way.method);
    let fallback = stage.way_back().map(|method| (task.from.clone(), method));
    let instance = slots::order(plan, instance, target, fallback, now);
    let cause = format!("{} admitted", task.instance);
    let task = Task {
        state: TaskState::Admitted,
        generation: instance.generation(),
        admitted_at: Some(now),
        ..Task::clone(task)
    };
    let plan = Plan {
        progressed_at: now,
        ..plan.clone()
    };
    let resources = vec![
        Resource::Plan(plan),
        Resource::Task(task),
        Resource::Instance(instance),
    ];
    Some((cause, resources))
}

/// The tasks of the first wave that has any to begin, in the order in which they were laid out.
fn next_wave(state: &State, plan: PlanId) -> Vec<&Task> {
    let place = |task: &Task| (task.stage, task.wave);
    let ready = || {
        let tasks = state.tasks_of(plan).map(AsRef::as_ref);
        tasks.filter(|task: &&Task| task.state == TaskState::Prefetched)
    };
    let first = ready().map(place).min();
    ready().filter(|task| Some(place(task)) == first).collect()
}
