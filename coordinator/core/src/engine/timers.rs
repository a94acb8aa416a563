//! Deadlines: absolute, out of what the state keeps, and compared with a time that is passed in.

use std::time::Duration;

use evenkeel_words::timestamp::Timestamp;

use crate::{
    plan::{Plan, PlanState, Task, TaskState},
    state::State,
};

/// How long an agent may take to begin an order, from the message of its own that the order answers.
pub const BEGIN_WITHIN: Duration = Duration::from_secs(30);

/// After how long an order whose end is not known counts as overdue: the time to begin it, and the
/// instance deadline twice, for the way there and the way back.
#[must_use]
pub fn order_overdue_after(plan: &Plan) -> Duration {
    BEGIN_WITHIN.saturating_add(plan.policy.instance_deadline.saturating_mul(2))
}

/// When the task's order is overdue, if one was given whose end is not known.
#[must_use]
pub fn order_overdue_at(plan: &Plan, task: &Task) -> Option<Timestamp> {
    let admitted_at = task.admitted_at.filter(|_| task.state.ordered())?;
    Some(admitted_at.after(order_overdue_after(plan)))
}

/// When the plan pauses unless a task moves before.
#[must_use]
pub fn progress_overdue_at(plan: &Plan) -> Timestamp {
    plan.progressed_at.after(plan.policy.progress_deadline)
}

/// When the task has soaked for long enough, if it is soaking.
#[must_use]
pub fn soaked_at(plan: &Plan, task: &Task) -> Option<Timestamp> {
    let soaks = task.state == TaskState::Verified;
    soaks.then(|| task.changed_at.after(plan.policy.soak))
}

/// When to ask the engine again though nothing happened. May be in the past where what is due waits for
/// something else as well.
#[must_use]
pub fn next(state: &State, after: Timestamp) -> Option<Timestamp> {
    let of_plan = |plan: &Plan| {
        let running = plan.state == PlanState::Running;
        let of_tasks = state.tasks_of(plan.id).flat_map(|task| {
            let overdue = order_overdue_at(plan, task).filter(|_| running);
            [soaked_at(plan, task), overdue]
        });
        let of_plan = running.then(|| progress_overdue_at(plan));
        of_tasks
            .chain([of_plan])
            .flatten()
            .filter(|at| *at > after)
            .min()
    };
    state
        .plans_under_way()
        .filter_map(|plan| of_plan(plan))
        .min()
}
