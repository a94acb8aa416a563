//! A plan that was given up for another one: when nothing of it is in flight, the other is laid out from wherever the
//! fleet is then, and started.

use evenkeel_words::{
    limits::{REASON_BYTES_MAX, cut},
    timestamp::Timestamp,
};

use super::{Decision, conflict, ended};
use crate::{
    change::Resource,
    plan::{Plan, PlanState, Successor, Task},
    planner,
    refusal::{Refusal, RefusalKind},
    state::State,
};

/// The plan that takes the place of another one, as it would be now.
///
/// # Errors
/// As the planner says; `PlanConflict` where a third plan is at work on what it would change.
pub fn drafted(
    state: &State,
    plan: &Plan,
    successor: &Successor,
    now: Timestamp,
) -> Result<(Plan, Vec<Task>), Refusal> {
    let Successor {
        targets,
        policy,
        asked_by,
    } = successor;
    let (draft, tasks) = planner::draft(state, targets, policy, asked_by, now)?;
    conflict::check(state, &draft, tasks.iter(), Some(plan.id))?;
    Ok((draft, tasks))
}

/// Checks that it is known how everything ended that the plan has ordered: what is still to come of an order cannot be
/// planned with.
fn settled(state: &State, plan: &Plan) -> Result<(), Refusal> {
    let mut holders = state.slot_holders();
    let open = holders.find_map(|holder| {
        let slot = holder.slot.as_ref().filter(|slot| slot.plan == plan.id)?;
        let progress = holder.progress_of(slot.generation);
        let ended = progress.is_some_and(|progress| progress.step.ended());
        (!ended).then_some((&holder.id, slot.generation))
    });
    match open {
        None => Ok(()),
        Some((instance, generation)) => Err(Refusal::new(
            RefusalKind::NotAllowedNow,
            format!("it is not known how order {generation} for {instance} ended"),
        )),
    }
}

/// The plan's end, and the beginning of the other one.
pub(super) fn succeed(
    state: &State,
    plan: &Plan,
    successor: &Successor,
    reason: &str,
    now: Timestamp,
) -> Decision {
    let drafted = settled(state, plan).and_then(|()| drafted(state, plan, successor, now));
    match drafted {
        Ok((draft, tasks)) => {
            let (cause, mut resources) = ended(plan, PlanState::Superseded(draft.id), now);
            resources.push(Resource::Plan(Plan {
                state: PlanState::Running,
                started_at: Some(now),
                progressed_at: now,
                ..draft
            }));
            resources.extend(tasks.into_iter().map(Resource::Task));
            (cause, resources)
        }
        Err(refusal) => {
            let reason = format!("{reason}; it has no successor: {refusal}");
            ended(plan, PlanState::Aborted(cut(reason, REASON_BYTES_MAX)), now)
        }
    }
}
