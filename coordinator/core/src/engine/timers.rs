//! Deadlines: absolute, out of what the state keeps, and compared with a time that is passed in.

use std::time::Duration;

use evenkeel_words::timestamp::Timestamp;

use crate::{
    instance::Slot,
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
    // A person who resumes the plan gives it that long again.
    let since = admitted_at.max(plan.progressed_at);
    Some(since.after(order_overdue_after(plan)))
}

/// When the plan pauses, or parks what is in flight if it was given up, unless a task moves before.
#[must_use]
pub fn progress_overdue_at(plan: &Plan) -> Timestamp {
    plan.progressed_at.after(plan.policy.progress_deadline)
}

/// When the task has soaked for long enough, if it is soaking. Time in which its agent was not heard does
/// not count: the soak begins anew when its node comes back.
#[must_use]
pub fn soaked_at(state: &State, plan: &Plan, task: &Task) -> Option<Timestamp> {
    let soaks = task.state == TaskState::Rejoined;
    let node = state.node(&task.instance.node);
    let seen_since = node.map_or(task.changed_at, |node| node.changed_at.max(task.changed_at));
    soaks.then(|| seen_since.after(plan.policy.soak))
}

/// When an order that was not begun before its plan ended cannot be begun any more: what was last said of it is
/// then older than any agent takes.
#[must_use]
pub fn begun_no_more_at(state: &State, slot: &Slot) -> Option<Timestamp> {
    let ended_at = state.plan(slot.plan)?.ended_at?;
    Some(ended_at.after(BEGIN_WITHIN.saturating_mul(2)))
}

/// When to ask the engine again though nothing happened: the first moment later than `after` at which
/// something is due. What is due may still wait for something else as well.
#[must_use]
pub fn next(state: &State, after: Timestamp) -> Option<Timestamp> {
    let slots = state.slot_holders().filter_map(|holder| {
        let slot = holder.slot.as_ref()?;
        begun_no_more_at(state, slot)
    });
    state
        .plans_under_way()
        .flat_map(|plan| due(state, plan))
        .chain(slots)
        .filter(|at| *at > after)
        .min()
}

fn due(state: &State, plan: &Plan) -> impl Iterator<Item = Timestamp> {
    // A paused plan is not in a hurry, but what is in flight goes on to soak.
    let hurries = !matches!(
        plan.state,
        PlanState::Paused(_) | PlanState::ReadyToFinalize
    );
    let of_tasks = state.tasks_of(plan.id).flat_map(move |task| {
        let overdue = order_overdue_at(plan, task).filter(|_| hurries);
        [soaked_at(state, plan, task), overdue]
    });
    let of_plan = hurries.then(|| progress_overdue_at(plan));
    of_tasks.chain([of_plan]).flatten()
}
