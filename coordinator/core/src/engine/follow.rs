//! Tasks keep up with what their instances report, and slots are given back on evidence.

use evenkeel_words::timestamp::Timestamp;

use super::{Decision, admit::order, timers};
use crate::{
    change::Resource,
    instance::{Health, Instance, Status, Step},
    node::Liveness,
    plan::{Plan, PlanState, Task, TaskState},
    state::State,
};

/// The first task that has moved, or slot that can be given back.
pub(super) fn follow(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    state
        .tasks_of(plan.id)
        .find_map(|task| follow_task(state, plan, task, now))
}

fn follow_task(state: &State, plan: &Plan, task: &Task, now: Timestamp) -> Option<Decision> {
    let instance = state.instance(&task.instance)?;
    match next(state, plan, task, instance, now) {
        Some(TaskState::Reverting(reason)) => Some(revert(plan, task, instance, reason, now)),
        Some(next) => Some(moved(plan, task, instance, next, now)),
        None => give_back(instance, plan),
    }
}

fn next(
    state: &State,
    plan: &Plan,
    task: &Task,
    instance: &Instance,
    now: Timestamp,
) -> Option<TaskState> {
    let step = instance
        .progress_of(task.generation)
        .map(|progress| &progress.step);
    let next = match (&task.state, step?) {
        (
            TaskState::Admitted | TaskState::Stopped | TaskState::Swapped | TaskState::Started,
            step,
        ) => match step {
            Step::Stopping => TaskState::Admitted,
            Step::Swapping => TaskState::Stopped,
            Step::Starting => TaskState::Swapped,
            Step::Verifying => TaskState::Started,
            // May be sick again by the time we hear of it: that is for the soak to judge.
            Step::Done => TaskState::Verified,
            Step::Reverted(reason) => TaskState::Reverted(reason.clone()),
            Step::Failed(reason) => TaskState::Parked(reason.clone()),
        },
        (TaskState::Reverting(reason), step) => match step {
            Step::Stopping | Step::Swapping | Step::Starting | Step::Verifying => return None,
            Step::Done => TaskState::Reverted(reason.clone()),
            Step::Reverted(why) | Step::Failed(why) => {
                TaskState::Parked(format!("{reason}; then the way back failed: {why}"))
            }
        },
        (TaskState::Verified, _) => return soak(state, plan, task, instance, now),
        (
            TaskState::Pending
            | TaskState::Prefetched
            | TaskState::Done
            | TaskState::Reverted(_)
            | TaskState::Parked(_),
            _,
        ) => return None,
    };
    (next != task.state).then_some(next)
}

fn serves(instance: &Instance, task: &Task) -> bool {
    instance.serves(&task.to.digest) && instance.report.status == Status::Running
}

/// While it soaks an instance is judged by what is true now, not by what was true when it started.
fn soak(
    state: &State,
    plan: &Plan,
    task: &Task,
    instance: &Instance,
    now: Timestamp,
) -> Option<TaskState> {
    let node = state.node(&instance.id.node)?;
    if node.liveness != Liveness::Up {
        return None;
    }
    if !serves(instance, task) {
        let why = match instance.report.reason.as_str() {
            "" => "it does not run the ordered release".to_owned(),
            reason => reason.to_owned(),
        };
        return Some(TaskState::Reverting(format!(
            "got sick while it soaked: {why}"
        )));
    }
    let soaked = timers::soaked_at(plan, task).is_some_and(|at| now >= at);
    (soaked && instance.report.health == Health::Healthy).then_some(TaskState::Done)
}

fn moved(
    plan: &Plan,
    task: &Task,
    instance: &Instance,
    next: TaskState,
    now: Timestamp,
) -> Decision {
    let mut plan = Plan {
        progressed_at: now,
        ..plan.clone()
    };
    if next == TaskState::Done {
        plan.tasks_done = plan.tasks_done.saturating_add(1);
    }
    if let TaskState::Reverted(reason) | TaskState::Parked(reason) = &next
        && plan.state == PlanState::Running
    {
        plan.state = PlanState::Paused(match &next {
            TaskState::Parked(_) => format!(
                "{} serves neither {} nor {}: {reason}; mend it by hand, then resume or abort",
                task.instance, task.to.version, task.from.version
            ),
            _ => format!(
                "{} was put back to {}: {reason}; resume tries it again, abort gives up",
                task.instance, task.from.version
            ),
        });
    }
    let stop_to_ready_us = instance
        .progress_of(task.generation)
        .map_or(0, |progress| progress.stop_to_ready_us);
    let cause = format!("{} {}", task.instance, next.name());
    let task = Task {
        state: next,
        stop_to_ready_us,
        ..task.clone()
    };
    let slot = give_back(instance, &plan).map(|(_, resources)| resources);
    let mut resources = vec![Resource::Plan(plan), Resource::Task(task)];
    resources.extend(slot.into_iter().flatten());
    (cause, resources)
}

/// Puts an instance back that got sick after its order had ended. The plan pauses.
fn revert(
    plan: &Plan,
    task: &Task,
    instance: &Instance,
    reason: String,
    now: Timestamp,
) -> Decision {
    let instance = order(plan, instance, task.from.clone(), None, now);
    let mut plan = Plan {
        progressed_at: now,
        ..plan.clone()
    };
    if plan.state == PlanState::Running {
        plan.state = PlanState::Paused(format!(
            "{} is being put back to {}: {reason}; resume tries it again, abort gives up",
            task.instance, task.from.version
        ));
    }
    let cause = format!("{} reverting", task.instance);
    let task = Task {
        state: TaskState::Reverting(reason),
        generation: instance.generation(),
        admitted_at: Some(now),
        ..task.clone()
    };
    let resources = vec![
        Resource::Plan(plan),
        Resource::Task(task),
        Resource::Instance(instance),
    ];
    (cause, resources)
}

/// Gives the slot back when the instance is healthy and its agent has ended the order that it was taken
/// for: evidence of health that is newer than the slot.
fn give_back(instance: &Instance, plan: &Plan) -> Option<Decision> {
    let slot = instance.slot.as_ref().filter(|slot| slot.plan == plan.id)?;
    let ended = instance
        .progress_of(slot.generation)
        .is_some_and(|progress| progress.step.ended());
    let healthy =
        instance.report.health == Health::Healthy && instance.report.status == Status::Running;
    (ended && healthy).then(|| {
        let free = Instance {
            slot: None,
            ..instance.clone()
        };
        (
            format!("{} gave its slot back", instance.id),
            vec![Resource::Instance(free)],
        )
    })
}
