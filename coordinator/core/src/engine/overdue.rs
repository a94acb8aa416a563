//! What takes too long. A slot stays taken: that time has passed is no evidence of health.

use std::sync::Arc;

use evenkeel_words::timestamp::Timestamp;

use super::{Decision, finality, timers, waits};
use crate::{
    change::Resource,
    plan::{Plan, PlanState, Task, TaskState},
    state::State,
};

/// Pauses a plan that has not moved for too long, or whose agent has not said how an order ended.
pub(super) fn pause(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let reason = match late(state, plan, now) {
        Some(task) => format!(
            "{}; look at the node, then resume or abort",
            unanswered(state, plan, task)
        ),
        None if timers::beginning_overdue_at(state, plan, now).is_some_and(|at| now >= at)
            && !finality::waits_for_word(state, plan) =>
        {
            let mut tasks = state.tasks_of(plan.id);
            let first = tasks.find_map(|task| Some((task, waits::wait(state, plan, task, now)?)));
            let end = || {
                Some(format!(
                    "; {}",
                    waits::wait_of_plan(state, plan, now)?.sentence
                ))
            };
            let first = first
                .map(|(task, wait)| format!("; {} waits: {}", task.instance, wait.sentence))
                .or_else(end)
                .unwrap_or_default();
            format!(
                "no task moved for {:?}{first}; mend it and resume, or abort",
                plan.policy.progress_deadline
            )
        }
        None => return None,
    };
    let paused = Plan {
        state: PlanState::Paused(reason),
        ..plan.clone()
    };
    Some((format!("{} paused", plan.id), vec![Resource::Plan(paused)]))
}

/// Parks what is in flight for too long in a plan that was given up, so that the plan can end though a
/// node is lost for good. Its order stands, and its slot stays taken.
pub(super) fn park(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let stuck = now >= timers::progress_overdue_at(plan);
    let in_flight = || {
        let stage = state
            .tally(plan.id)?
            .stage(state.stage_under_way(plan.id)?)?;
        let mut tasks = stage.in_flight().iter();
        // What has just got its order has all its time before it.
        tasks.find_map(|instance| {
            let task = state.task_under_way(plan.id, instance)?;
            let ordered_at = task.admitted_at.unwrap_or_default();
            (now >= ordered_at.after(plan.policy.progress_deadline)).then_some(task)
        })
    };
    let (late, reason) = match late(state, plan, now) {
        Some(late) => (late, unanswered(state, plan, late)),
        None => {
            let late = in_flight().filter(|_| stuck)?;
            let why = waits::wait(state, plan, late, now);
            let why = why.map_or_else(String::new, |wait| format!(": {}", wait.sentence));
            let deadline = plan.policy.progress_deadline;
            (late, format!("no task moved for {deadline:?}{why}"))
        }
    };
    let parked = Task {
        state: TaskState::Parked(reason),
        ..Task::clone(late)
    };
    let cause = format!("{} parked", late.instance);
    Some((cause, vec![Resource::Task(parked)]))
}

/// Parks, in a plan that goes back, what could not be spared for too long: nothing was ordered of it.
pub(super) fn park_unspared(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    if now < timers::progress_overdue_at(plan) {
        return None;
    }
    let stage = state
        .tally(plan.id)?
        .stage(state.stage_under_way(plan.id)?)?;
    let (task, reason) = stage.to_begin().iter().find_map(|instance| {
        let task = state.task_under_way(plan.id, instance)?;
        let waits = task.state == TaskState::Prefetched;
        let yielded = task.yielded.as_ref().filter(|_| waits)?;
        Some((task, &yielded.reason))
    })?;
    let parked = Task {
        state: TaskState::Parked(format!("it could not be spared: {reason}")),
        yielded: None,
        ..Task::clone(task)
    };
    let cause = format!("{} parked", task.instance);
    Some((cause, vec![Resource::Task(parked)]))
}

/// The task whose agent has longest not said how its order ended, if that is too long.
fn late<'a>(state: &'a State, plan: &Plan, now: Timestamp) -> Option<&'a Arc<Task>> {
    let (instance, at) = timers::first_overdue(state, plan)?;
    let task = state.task_under_way(plan.id, instance)?;
    (now >= at).then_some(task)
}

fn unanswered(state: &State, plan: &Plan, task: &Task) -> String {
    let instance = state.instance(&task.instance);
    let said = instance.map(|instance| &instance.report.reason);
    let said = said.filter(|said| !said.is_empty());
    let said = said.map_or_else(String::new, |said| format!(" ({said})"));
    format!(
        "the agent of {} has not said how order {} ended, {:?} after it was given{said}",
        task.instance,
        task.generation,
        timers::order_overdue_after(plan)
    )
}
