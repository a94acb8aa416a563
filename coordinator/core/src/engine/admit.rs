//! The next task gets its slot and its order.

use evenkeel_words::timestamp::Timestamp;

use super::{Decision, slots, waits};
use crate::{
    change::Resource,
    plan::{Plan, PlanId, Task, TaskState},
    state::State,
};

/// Tasks whose host has come to hold the verified artifact.
pub(super) fn prefetched(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let resources: Vec<_> = state
        .tasks_of(plan.id)
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
    let task =
        candidates(state, plan.id).find(|task| waits::admission(state, plan, task).is_none())?;
    let instance = state.instance(&task.instance)?;
    let fallback = Some(task.from.clone());
    let instance = slots::order(plan, instance, task.to.clone(), fallback, now);
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

/// The tasks that may be next, in the order they are to go: that in which they were laid out.
fn candidates(state: &State, plan: PlanId) -> impl Iterator<Item = &Task> {
    let mut tasks: Vec<&Task> = state
        .tasks_of(plan)
        .map(AsRef::as_ref)
        .filter(|task| task.state == TaskState::Prefetched)
        .collect();
    tasks.sort_by_key(|task| (task.stage, task.wave));
    tasks.into_iter()
}
