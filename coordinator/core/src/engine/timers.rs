//! Deadlines: absolute, out of what the state keeps, and compared with a time that is passed in.

use std::time::Duration;

use evenkeel_words::{
    names::InstanceId,
    planted::{self, Bug},
    timestamp::Timestamp,
};

use super::{cohort, finalizing, hold, plan_deadline};
use crate::{
    instance::Instance,
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
    Some(overdue_at(plan, admitted_at))
}

fn overdue_at(plan: &Plan, admitted_at: Timestamp) -> Timestamp {
    // A person who resumes the plan gives it that long again.
    let since = admitted_at.max(plan.progressed_at);
    since.after(order_overdue_after(plan))
}

/// The instance of the plan whose order is overdue first, and when.
#[must_use]
pub fn first_overdue<'a>(state: &'a State, plan: &Plan) -> Option<(&'a InstanceId, Timestamp)> {
    let stage = state.stage_under_way(plan.id)?;
    let ordered = state.tally(plan.id)?.stage(stage)?.ordered();
    let (admitted_at, instance) = ordered.get_min()?;
    Some((instance, overdue_at(plan, *admitted_at)))
}

/// When the plan pauses, or parks what is in flight if it was given up, unless a task moves before.
#[must_use]
pub fn progress_overdue_at(plan: &Plan) -> Timestamp {
    plan.progressed_at.after(plan.policy.progress_deadline)
}

/// The same for a plan that may begin something, or is to: time in which it was not to, because the fleet was frozen or
/// none of its windows open, does not count. Nothing while that is so.
#[must_use]
pub fn beginning_overdue_at(state: &State, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    let free_since = hold::free_since(state, plan, now)?;
    let since = plan.progressed_at.max(free_since);
    hold::open_for(plan, since, plan.policy.progress_deadline)
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
/// then older than any agent takes. It counts from when the agent was heard again, too: a coordinator that has started
/// since may have another clock.
#[must_use]
pub fn begun_no_more_at(state: &State, holder: &Instance) -> Option<Timestamp> {
    let ended_at = state.plan(holder.slot.as_ref()?.plan)?.ended_at?;
    let heard_since = state.node(&holder.id.node)?.changed_at;
    if planted::is(Bug::NeverBegunFreedEarly) {
        return Some(ended_at);
    }
    Some(
        ended_at
            .max(heard_since)
            .after(BEGIN_WITHIN.saturating_mul(2)),
    )
}

/// When to look at a task again though nothing happened, after a moment.
pub(super) fn of_task(
    state: &State,
    plan: &Plan,
    task: &Task,
    after: Timestamp,
) -> Option<Timestamp> {
    soaked_at(state, plan, task).filter(|at| *at > after)
}

/// When to look at the slot of an instance again though nothing happened, after a moment.
pub(super) fn of_slot(state: &State, holder: &Instance, after: Timestamp) -> Option<Timestamp> {
    let at = begun_no_more_at(state, holder)?;
    Some(at).filter(|at| *at > after)
}

/// When to look at a plan again though nothing happened, after a moment.
pub(super) fn of_plan(state: &State, plan: &Plan, after: Timestamp) -> Option<Timestamp> {
    // A paused plan is not in a hurry.
    if let PlanState::Paused(_) | PlanState::ReadyToFinalize = plan.state {
        return None;
    }
    let order = first_overdue(state, plan).map(|(_, at)| at);
    let running = plan.state == PlanState::Running;
    let progress = match running {
        true => beginning_overdue_at(state, plan, after),
        false => Some(progress_overdue_at(plan)),
    };
    let hold = hold::changes_at(state, plan, after);
    let deadline = running.then(|| plan_deadline::due_at(plan));
    let finalizes = plan.state == PlanState::Finalizing;
    let told = plan.finalizing.iter().filter(|_| finalizes);
    let answers = told.map(|told| finalizing::answer_overdue_at(plan, told));
    let look = cohort::due_at(state, plan, after);
    let due = [order, progress, hold, deadline.flatten(), look];
    let due = due.into_iter().chain(answers).flatten();
    due.filter(|at| *at > after).min()
}
