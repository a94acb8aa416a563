//! A task has failed: it was put back, or serves neither release. By the plan's policy the plan goes on with the others
//! for a while, and then pauses or is rolled back.

use evenkeel_words::limits::{REASON_BYTES_MAX, cut};
use evenkeel_words::planted::{self, Bug};
use evenkeel_words::timestamp::Timestamp;

use super::{Decision, follow::pause, rollback};
use crate::{
    change::Resource,
    plan::{OnFailure, Plan, PlanState, Task},
    state::State,
};

/// The plan after one more of its tasks has failed: paused for that reason, unless it tolerates as many or is going to
/// be rolled back.
pub(super) fn failed(state: &State, plan: &mut Plan, task: &Task, reason: String) {
    let rolls_back =
        plan.state == PlanState::Running && plan.policy.on_failure == OnFailure::Rollback;
    if rolls_back {
        return;
    }
    let tally = state.tally(plan.id).and_then(|t| t.stage(task.stage));
    let failed = tally.map_or(0, |tally| {
        tally.failed().len() + usize::from(!tally.failed().contains(&task.instance))
    });
    if too_many(plan, failed) && !planted::is(Bug::FailureIgnored) {
        // Why the plan could not be rolled back stays known.
        let rolls_back = plan.policy.on_failure == OnFailure::Rollback;
        let reason = match plan.state.reason() {
            first if rolls_back && !first.is_empty() => format!("{first}; then {reason}"),
            _ => reason,
        };
        pause(plan, cut(reason, REASON_BYTES_MAX));
    }
}

fn too_many(plan: &Plan, failed: usize) -> bool {
    u32::try_from(failed).map_or(true, |failed| failed > plan.policy.failures_tolerated)
}

/// Begins to roll back a plan of which more tasks have failed than it tolerates, if that is its policy.
pub(super) fn roll_back(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    if plan.policy.on_failure != OnFailure::Rollback {
        return None;
    }
    let index = state.stage_under_way(plan.id)?;
    let failed = state.tally(plan.id)?.stage(index)?.failed();
    if failed.is_empty() || !too_many(plan, failed.len()) {
        return None;
    }
    let first = state.task_under_way(plan.id, failed.get_min()?)?;
    let reason = format!(
        "{} is {} ({})",
        first.instance,
        first.state.name(),
        first.state.reason()
    );
    Some(act(state, plan, reason, "resume tries it again", now))
}

/// What the plan's policy says is to be done for a reason that ends its going on: pause it or roll it back. What
/// resuming does is told, too.
pub(super) fn act(
    state: &State,
    plan: &Plan,
    reason: String,
    resume: &str,
    now: Timestamp,
) -> Decision {
    let reason = match plan.policy.on_failure {
        OnFailure::Pause | OnFailure::Revert => reason,
        OnFailure::Rollback => match rollback::begin(state, plan, reason.clone(), now) {
            Ok(decision) => return decision,
            Err(why) => format!("{reason}, and it cannot be rolled back: {why}"),
        },
    };
    let mut paused = plan.clone();
    pause(&mut paused, format!("{reason}; {resume}, abort gives up"));
    (format!("{} paused", plan.id), vec![Resource::Plan(paused)])
}

/// Pauses a plan of whose stage nothing is left but what has failed and was tolerated: finalizing waits for every
/// instance, and so does the stage after.
pub(super) fn nothing_else_left(state: &State, plan: &Plan) -> Option<Decision> {
    let index = state.stage_under_way(plan.id)?;
    let tally = state.tally(plan.id)?.stage(index)?;
    if !tally.awaited().is_empty() {
        return None;
    }
    let first = state.task_under_way(plan.id, tally.failed().get_min()?)?;
    let more = match tally.failed().len() {
        0 | 1 => String::new(),
        count => format!(", and {} more have failed", count - 1),
    };
    let mut paused = plan.clone();
    pause(
        &mut paused,
        format!(
            "every other task is done, but {} is {} ({}){more}; resume tries them again, abort gives up",
            first.instance,
            first.state.name(),
            first.state.reason()
        ),
    );
    Some((format!("{} paused", plan.id), vec![Resource::Plan(paused)]))
}
