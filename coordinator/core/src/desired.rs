//! What every agent ought to hear: a function of the state alone, so that a message lost, late or doubled
//! is mended by saying it again.

use evenkeel_compat::Method;
use evenkeel_words::names::{InstanceName, NodeName};

use crate::{
    engine::waits::{self, WaitKind},
    instance::{Instance, Order, Quarantine},
    plan::{Plan, PlanId, PlanState, TaskState},
    release::{ReleaseRef, SignedManifest},
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
    /// Whether it has to stay down.
    pub quarantine: Quarantine,
    /// What is to be made final, if anything is.
    pub finalize: Option<Finality>,
}

/// That the driver's `finalize` is to be run, once for each name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finality {
    /// What it is called, and the report of it.
    pub id: String,
    /// The newest order of the instance: its agent refuses if it knows of a newer one.
    pub generation: u64,
    /// What is going to be final: its agent refuses if something else is there.
    pub release: ReleaseRef,
}

impl Finality {
    /// Whether the agent has not said yet what came of it.
    #[must_use]
    pub fn is_unanswered(&self, instance: &Instance) -> bool {
        let said = instance.report.finalized.as_ref();
        said.is_none_or(|said| said.id != self.id)
    }
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
        finalize: finalize(state, instance),
        quarantine: instance.quarantine.clone(),
    })
}

fn order(state: &State, instance: &Instance) -> Option<Order> {
    let slot = instance.slot.as_ref()?;
    let order = instance.order.clone()?;
    // What a plan did not get begun before it ended must not begin when nobody looks any more.
    let under_way = state
        .plan(slot.plan)
        .is_some_and(|plan| plan.state.under_way());
    let begun = instance.report.accepted.generation >= order.generation;
    let stands = under_way && rebuild_withheld(state, instance, slot.plan, &order).is_none();
    (begun || stands).then_some(order)
}

/// Why an instance's agent is not told of the order that it has been given, if it is not.
#[must_use]
pub fn withheld(state: &State, instance: &Instance) -> Option<(WaitKind, String)> {
    let (slot, order) = (instance.slot.as_ref()?, instance.order.as_ref()?);
    let begun = instance.report.accepted.generation >= order.generation;
    match begun {
        true => None,
        false => rebuild_withheld(state, instance, slot.plan, order),
    }
}

/// Why an order that starts an instance without its data, and that its agent has not begun, may not be begun now:
/// its plan has been paused since it was given, or another copy is no longer whole. It may be hours since it was given.
fn rebuild_withheld(
    state: &State,
    instance: &Instance,
    plan: PlanId,
    order: &Order,
) -> Option<(WaitKind, String)> {
    let fallback = order.fallback.as_ref().map(|(_, method)| *method);
    if order.method != Method::Rebuild && fallback != Some(Method::Rebuild) {
        return None;
    }
    let goes_on = |plan: &Plan| {
        let undoes = plan.stages.iter().any(|stage| stage.undoes.is_some());
        match plan.state {
            PlanState::Running => true,
            PlanState::RollingBack(_) => undoes,
            PlanState::Draft
            | PlanState::Paused(_)
            | PlanState::ReadyToFinalize
            | PlanState::Finalizing
            | PlanState::Finalized
            | PlanState::Aborting(_)
            | PlanState::Aborted(_)
            | PlanState::RolledBack(_)
            | PlanState::Superseded(_)
            | PlanState::Failed(_) => false,
        }
    };
    let running = state.plan(plan).is_some_and(|plan| goes_on(plan));
    let goes_back = order.fallback.is_none() && is_reverting(state, plan, instance);
    if !(running || goes_back) {
        let is = state.plan(plan).map_or("over", |plan| plan.state.name());
        let id = &instance.id;
        let sentence = format!("{id} may have to be rebuilt, and {plan} is {is}");
        return Some((WaitKind::Person, sentence));
    }
    waits::rebuild(state, plan, instance)
}

fn finalize(state: &State, instance: &Instance) -> Option<Finality> {
    let finalizing = state
        .plans_under_way()
        .filter(|plan| plan.state == PlanState::Finalizing);
    let (plan, told) = finalizing
        .flat_map(|plan| plan.finalizing.iter().map(move |told| (plan, told)))
        .find(|(_, told)| !told.done && told.instance.as_ref() == Some(&instance.id))?;
    let current = instance.report.current.as_ref();
    let release = current.filter(|current| plan.brings_to(&told.component, &current.version))?;
    Some(Finality {
        id: told.id(plan.id),
        generation: instance.generation(),
        release: release.clone(),
    })
}

fn is_reverting(state: &State, plan: PlanId, instance: &Instance) -> bool {
    let task = state.task_under_way(plan, &instance.id);
    task.is_some_and(|task| matches!(task.state, TaskState::Reverting(_)))
}

fn prefetch(state: &State, instance: &Instance) -> Vec<SignedManifest> {
    let wanted = || {
        let plan = state.plan(state.claimed_by(&instance.id)?)?;
        let task = state.task_under_way(plan.id, &instance.id)?;
        if matches!(plan.state, PlanState::Aborting(_)) && !task.state.in_flight() {
            return None;
        }
        let platform = &state.node(&instance.id.node)?.platform;
        let release = state.release(&instance.report.component, &task.to.version)?;
        Some(release.artifacts.get(platform)?.manifest.clone())
    };
    wanted().into_iter().collect()
}
