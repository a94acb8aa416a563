//! Plans that would be at work on the same things.

use crate::{
    plan::{Plan, PlanId, PlanState, Stage, Task},
    refusal::{Refusal, RefusalKind},
    state::State,
};

/// Checks that no plan under way, but the one that is left aside, has a task for the same instance or changes the same
/// component.
///
/// # Errors
/// `PlanConflict`, with the other plan.
pub fn check<'a>(
    state: &State,
    plan: &Plan,
    tasks: impl IntoIterator<Item = &'a Task>,
    aside: Option<PlanId>,
) -> Result<(), Refusal> {
    let id = plan.id;
    let conflict = tasks.into_iter().find_map(|task| {
        let other = state.claimed_by(&task.instance);
        Some((&task.instance, other.filter(|_| other != aside)?))
    });
    if let Some((instance, other)) = conflict {
        return Err(Refusal::new(
            RefusalKind::PlanConflict,
            format!(
                "{other} is under way and has a task for {instance}, as has {id}; one plan at a time may touch an instance"
            ),
        ));
    }
    let component = |other: &Plan| {
        let moves = |stage: &&Stage| other.stages.iter().any(|s| s.component == stage.component);
        plan.stages
            .iter()
            .find(moves)
            .map(|stage| stage.component.clone())
    };
    // One that is ready to be finalized moves nothing any more, and may wait for what this one brings along.
    let conflict = state
        .plans_under_way()
        .filter(|other| Some(other.id) != aside && other.state != PlanState::ReadyToFinalize)
        .find_map(|other| Some((other.id, component(other)?)));
    if let Some((other, component)) = conflict {
        return Err(Refusal::new(
            RefusalKind::PlanConflict,
            format!(
                "{other} is under way and changes {component}, as does {id}; one plan at a time may change a component"
            ),
        ));
    }
    Ok(())
}
