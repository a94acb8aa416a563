//! An instance that got sick after its order had ended is put back, and the plan pauses.
//!
//! It needs a slot like any other order. Where the budget has no room, the task is reverting without an
//! order until there is.

use evenkeel_compat::Method;
use evenkeel_words::planted::{self, Bug};
use evenkeel_words::timestamp::Timestamp;

use super::{Decision, compatible, failure::failed, slots, waits};
use crate::{
    change::Resource,
    instance::Instance,
    plan::{OnFailure, Plan, Task, TaskState},
    state::State,
};

/// The task is to go back, at once if the budget has room.
pub(super) fn begin(
    state: &State,
    plan: &Plan,
    task: &Task,
    instance: &Instance,
    reason: String,
    now: Timestamp,
) -> Option<Decision> {
    let stage = plan.stage(task)?;
    if plan.policy.on_failure == OnFailure::Pause {
        let why = "its plan's policy leaves it as it is";
        return Some(park(state, plan, task, &reason, why));
    }
    let Some(method) = stage.way_back() else {
        return Some(park(state, plan, task, &reason, "there is no way back"));
    };
    if let Some(blocked) = compatible::way_back_blocked(state, stage) {
        return Some(park(state, plan, task, &reason, &blocked));
    }
    let mut paused = plan.clone();
    failed(
        state,
        &mut paused,
        task,
        format!(
            "{} {reason}; it is put back to {}; resume tries it again, abort gives up",
            task.instance, task.from.version
        ),
    );
    let at_once = order(state, &paused, task, instance, &reason, method, now);
    at_once.or_else(|| {
        let waiting = Task {
            state: TaskState::Reverting(reason),
            generation: 0,
            admitted_at: None,
            ..task.clone()
        };
        let plan = Plan {
            progressed_at: now,
            ..paused
        };
        let cause = format!("{} is to be put back", task.instance);
        Some((cause, vec![Resource::Plan(plan), Resource::Task(waiting)]))
    })
}

/// What cannot be undone waits for a person.
fn park(state: &State, plan: &Plan, task: &Task, reason: &str, why: &str) -> Decision {
    let mut paused = plan.clone();
    failed(
        state,
        &mut paused,
        task,
        format!(
            "{} {reason}, and is not put back to {} ({why}); resume restarts it, `evenkeel plan skip` leaves it as it is, abort gives up",
            task.instance, task.from.version
        ),
    );
    let cause = format!("{} parked", task.instance);
    let parked = Task {
        state: TaskState::Parked(reason.to_owned()),
        ..task.clone()
    };
    (cause, vec![Resource::Plan(paused), Resource::Task(parked)])
}

/// The order to go back for the first task that waits for one and for which the budget has room.
pub(super) fn give_orders(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let stage = state.stage_under_way(plan.id)?;
    let tally = state.tally(plan.id)?.stage(stage)?;
    tally.to_go_back().iter().find_map(|id| {
        let task = state.task_under_way(plan.id, id)?;
        let TaskState::Reverting(reason) = &task.state else {
            return None;
        };
        let method = plan.stage(task)?.way_back()?;
        order(state, plan, task, state.instance(id)?, reason, method, now)
    })
}

fn order(
    state: &State,
    plan: &Plan,
    task: &Task,
    instance: &Instance,
    reason: &str,
    method: Method,
    now: Timestamp,
) -> Option<Decision> {
    if waits::way_back(state, plan, task).is_some() {
        return None;
    }
    let instance = slots::order(plan, instance, (task.from.clone(), method), None, now);
    let mut instance = slots::putting_back(instance);
    if planted::is(Bug::WayBackWithoutSlot) {
        instance.slot = None;
    }
    let plan = Plan {
        progressed_at: now,
        ..plan.clone()
    };
    let cause = format!("{} reverting", task.instance);
    let task = Task {
        state: TaskState::Reverting(reason.to_owned()),
        generation: instance.generation(),
        admitted_at: Some(now),
        ..task.clone()
    };
    let resources = vec![
        Resource::Plan(plan),
        Resource::Task(task),
        Resource::Instance(instance),
    ];
    Some((cause, resources))
}
