//! The deadline of a plan as a whole: absolute from its start, and a person's word to go on stands above it.

use evenkeel_words::timestamp::Timestamp;

use super::{Decision, failure};
use crate::{plan::Plan, state::State};

/// When the plan has taken too long; nothing if it may take as long as it takes, or a person resumed it after that.
#[must_use]
pub fn due_at(plan: &Plan) -> Option<Timestamp> {
    let due = plan.started_at?.after(plan.policy.plan_deadline?);
    let overruled = plan.resumed_at.is_some_and(|resumed| resumed >= due);
    (!overruled).then_some(due)
}

/// What is done with a plan that has taken too long.
pub(super) fn passed(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let deadline = plan.policy.plan_deadline?;
    if now < due_at(plan)? {
        return None;
    }
    let reason = format!("it is not done {deadline:?} after its start, as its policy asks");
    let resume = "resume goes on without that deadline";
    Some(failure::act(state, plan, reason, resume, now))
}
