//! Slots of the disruption budget: taken with the order, in one change, before either is sent; given back
//! on evidence of health that is newer, even when the plan has ended.

use evenkeel_compat::Method;
use evenkeel_words::planted::{self, Bug};
use evenkeel_words::timestamp::Timestamp;

use super::{Decision, timers};
use crate::{
    change::Resource,
    instance::{Instance, Order, Slot},
    node::Liveness,
    plan::Plan,
    release::ReleaseRef,
    state::State,
};

/// The instance with a new order, and the slot that is taken for it.
pub(super) fn order(
    plan: &Plan,
    instance: &Instance,
    (release, method): (ReleaseRef, Method),
    fallback: Option<(ReleaseRef, Method)>,
    now: Timestamp,
) -> Instance {
    let next = u64::from(!planted::is(Bug::GenerationReused) || instance.generation() == 0);
    let generation = instance.generation().saturating_add(next);
    Instance {
        order: Some(Order {
            generation,
            release,
            method,
            fallback,
            ready_within: plan.policy.instance_deadline,
            way_back: false,
        }),
        slot: (!planted::is(Bug::SlotAfterSend)).then_some(Slot {
            plan: plan.id,
            generation,
            taken_at: now,
        }),
        ..instance.clone()
    }
}

/// The same order, as one that puts back what would not do.
pub(super) fn putting_back(instance: Instance) -> Instance {
    let order = instance.order.map(|order| Order {
        way_back: true,
        ..order
    });
    Instance { order, ..instance }
}

/// The holder's slot, if it can be given back.
pub(super) fn give_back(state: &State, holder: &Instance, now: Timestamp) -> Option<Decision> {
    let cause = format!("{} gave its slot back", holder.id);
    let is_late = || {
        let slot = holder.slot.as_ref()?;
        let order = holder.order.as_ref()?;
        let late =
            now >= slot.taken_at.after(order.ready_within) && planted::is(Bug::SlotFreedAtDeadline);
        late.then(|| Instance {
            slot: None,
            ..holder.clone()
        })
    };
    let freed = freed(holder)
        .or_else(|| never_begun(state, holder, now))
        .or_else(is_late)?;
    Some((cause, vec![Resource::Instance(freed)]))
}

/// The instance without its slot, if the plan ended before its agent began the order, and so long ago that
/// the agent would refuse what it was told then; and if it is up and healthy.
fn never_begun(state: &State, instance: &Instance, now: Timestamp) -> Option<Instance> {
    let slot = instance.slot.as_ref()?;
    let too_late = now >= timers::begun_no_more_at(state, instance)?;
    let begun = instance.report.accepted.generation >= slot.generation;
    let up = state.node(&instance.id.node)?.liveness == Liveness::Up;
    (too_late && !begun && up && instance.is_healthy()).then(|| Instance {
        slot: None,
        ..instance.clone()
    })
}

/// The instance without its slot, if it is healthy and its agent has ended the order that the slot was
/// taken for: evidence of health that is newer than the slot.
pub(super) fn freed(instance: &Instance) -> Option<Instance> {
    let slot = instance.slot.as_ref()?;
    let ended = instance
        .progress_of(slot.generation)
        .is_some_and(|progress| progress.step.ended())
        || planted::is(Bug::SlotFreedOnOldEvidence);
    (ended && instance.is_healthy()).then(|| Instance {
        slot: None,
        ..instance.clone()
    })
}
