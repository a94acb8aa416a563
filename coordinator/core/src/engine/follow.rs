//! Tasks keep up with what their instances report.

use evenkeel_words::planted::{self, Bug};
use evenkeel_words::timestamp::Timestamp;

use super::{Decision, failure::failed, slots, timers, way_back, yields};
use crate::{
    change::Resource,
    instance::{Health, Instance, Status, Step},
    node::Liveness,
    plan::{Plan, PlanKind, PlanState, Task, TaskState},
    state::State,
};

/// Where what its instance reports brings the task.
pub(super) fn follow(state: &State, plan: &Plan, task: &Task, now: Timestamp) -> Option<Decision> {
    let instance = state.instance(&task.instance)?;
    let step = instance
        .progress_of(task.generation)
        .map(|progress| &progress.step);
    let next = match &task.state {
        TaskState::Admitted
        | TaskState::Quiesced
        | TaskState::Stopped
        | TaskState::Swapped
        | TaskState::Started
        | TaskState::Verified => {
            if let Step::Declined(reason) = step? {
                return Some(yields::give_way(plan, task, instance, reason, now));
            }
            forward(&task.state, step?)?
        }
        TaskState::Rejoined => match soak(state, plan, task, instance, now)? {
            Soak::Good => TaskState::Done,
            Soak::Sick(reason) => {
                return way_back::begin(state, plan, task, instance, reason, now);
            }
        },
        TaskState::Reverting(_) if task.waits_to_go_back() => return None,
        TaskState::Reverting(reason) => match step? {
            Step::Draining
            | Step::Asking
            | Step::Quiescing
            | Step::Stopping
            | Step::Emptying
            | Step::Swapping
            | Step::Starting
            | Step::Verifying
            | Step::Recovering => return None,
            Step::Done => TaskState::Reverted(reason.clone()),
            Step::Reverted(why) | Step::Failed(why) | Step::Declined(why) => {
                TaskState::Parked(format!("{reason}; then the way back failed: {why}"))
            }
        },
        TaskState::Pending
        | TaskState::Prefetched
        | TaskState::Done
        | TaskState::Reverted(_)
        | TaskState::Parked(_)
        | TaskState::Skipped(_) => return None,
    };
    Some(moved(state, plan, task, instance, next, now))
}

/// Where the order's newest step brings the task, if that is further than it was: an agent that turns back
/// goes through the same steps again.
fn forward(state: &TaskState, step: &Step) -> Option<TaskState> {
    let next = match step {
        Step::Draining | Step::Asking | Step::Quiescing => TaskState::Admitted,
        Step::Stopping => TaskState::Quiesced,
        Step::Emptying | Step::Swapping => TaskState::Stopped,
        Step::Starting => TaskState::Swapped,
        Step::Verifying => TaskState::Started,
        Step::Recovering => TaskState::Verified,
        // May be sick again by the time we hear of it: that is for the soak to judge.
        Step::Done => TaskState::Rejoined,
        Step::Reverted(reason) => TaskState::Reverted(reason.clone()),
        Step::Failed(reason) => TaskState::Parked(reason.clone()),
        // Nothing was touched: it is as it was before its order.
        Step::Declined(_) => TaskState::Prefetched,
    };
    let way = [
        TaskState::Admitted,
        TaskState::Quiesced,
        TaskState::Stopped,
        TaskState::Swapped,
        TaskState::Started,
        TaskState::Verified,
    ];
    let place = |state| {
        way.iter()
            .position(|step| step == state)
            .unwrap_or(way.len())
    };
    (place(&next) > place(state)).then_some(next)
}

enum Soak {
    Good,
    Sick(String),
}

/// While it soaks an instance is judged by what is true now, not by what was true when it started.
/// Nothing while that cannot be told yet.
fn soak(
    state: &State,
    plan: &Plan,
    task: &Task,
    instance: &Instance,
    now: Timestamp,
) -> Option<Soak> {
    let node = state.node(&instance.id.node)?;
    if node.liveness != Liveness::Up {
        return None;
    }
    let is_well = instance.serves(&task.to.digest) && instance.report.status == Status::Running;
    if !is_well && !planted::is(Bug::SoakNotChecked) {
        let why = match instance.report.reason.as_str() {
            "" => "it does not run the ordered release",
            reason => reason,
        };
        return Some(Soak::Sick(format!("got sick while it soaked: {why}")));
    }
    let soaked = timers::soaked_at(state, plan, task).is_some_and(|at| now >= at);
    let good = instance.report.health == Health::Healthy && is_reconfigured(plan, instance);
    let good = good || planted::is(Bug::SoakNotChecked);
    (soaked && good).then_some(Soak::Good)
}

/// Whether the process has the configuration that its agent has, if that is what the plan is for.
pub(super) fn is_reconfigured(plan: &Plan, instance: &Instance) -> bool {
    let report = &instance.report;
    let process = report.process.as_ref();
    let has = process.is_some_and(|process| process.configuration == report.configuration);
    has || plan.kind != PlanKind::Reconfigure
}

fn moved(
    state: &State,
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
    match &next {
        TaskState::Done => plan.tasks_done = plan.tasks_done.saturating_add(1),
        TaskState::Reverted(reason) => failed(
            state,
            &mut plan,
            task,
            format!(
                "{} was put back to {}: {reason}; resume tries it again, abort gives up",
                task.instance, task.from.version
            ),
        ),
        TaskState::Parked(reason) => failed(
            state,
            &mut plan,
            task,
            format!(
                "{} {}: {reason}; mend it by hand, then resume or abort",
                task.instance,
                match task.from.version == task.to.version {
                    true => format!("does not serve {}", task.to.version),
                    false => format!(
                        "serves neither {} nor {}",
                        task.to.version, task.from.version
                    ),
                }
            ),
        ),
        _ => {}
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
    let mut resources = vec![Resource::Plan(plan), Resource::Task(task)];
    resources.extend(slots::freed(instance).map(Resource::Instance));
    (cause, resources)
}

/// Pauses the plan unless it was given up. A failure matters more than what it was paused for before.
pub(super) fn pause(plan: &mut Plan, reason: String) {
    if let PlanState::Running | PlanState::Paused(_) = plan.state {
        plan.state = PlanState::Paused(reason);
    }
}
