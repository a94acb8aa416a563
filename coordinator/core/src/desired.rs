//! What every agent ought to hear: a function of the state alone, so that a message lost, late or doubled
//! is mended by saying it again.

use evenkeel_words::names::{InstanceName, NodeName};

use crate::{
    instance::{Instance, Order},
    plan::{PlanState, TaskId},
    release::SignedManifest,
    state::State,
};

/// What ought to be, for one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredInstance {
    /// Its name on its node.
    pub name: InstanceName,
    /// Releases to have at hand.
    pub prefetch: Vec<SignedManifest>,
    /// What to run, while its slot is held and its plan under way or its agent at it: an order that has ended in good health is not repeated, or an
    /// agent that lost its journal would carry it out again without a slot.
    pub order: Option<Order>,
}

/// What ought to be on a node, for every instance of it.
pub fn desired<'a>(
    state: &'a State,
    node: &'a NodeName,
) -> impl Iterator<Item = DesiredInstance> + 'a {
    state.instances_on(node).map(|instance| DesiredInstance {
        name: instance.id.name.clone(),
        prefetch: prefetch(state, instance),
        order: order(state, instance),
    })
}

fn order(state: &State, instance: &Instance) -> Option<Order> {
    let slot = instance.slot.as_ref()?;
    let order = instance.order.clone()?;
    // What a plan did not get begun before it ended must not begin when nobody looks any more.
    let under_way = state
        .plan(slot.plan)
        .is_some_and(|plan| plan.state.under_way());
    (under_way || instance.report.accepted.generation >= order.generation).then_some(order)
}

fn prefetch(state: &State, instance: &Instance) -> Vec<SignedManifest> {
    let wanted = || {
        let plan = state.plan(state.claimed_by(&instance.id)?)?;
        let task = state.task(&TaskId {
            plan: plan.id,
            stage: state.stage_under_way(plan.id)?,
            instance: instance.id.clone(),
        })?;
        if matches!(plan.state, PlanState::Aborting(_)) && !task.state.in_flight() {
            return None;
        }
        let platform = &state.node(&instance.id.node)?.platform;
        let release = state.release(&instance.report.component, &task.to.version)?;
        Some(release.artifacts.get(platform)?.manifest.clone())
    };
    wanted().into_iter().collect()
}
