//! Whether a process may be stopped is asked of one instance of a group at a time: of two that ask at once both may be
//! told yes, each because the other is still there.

use evenkeel_words::names::InstanceId;

use crate::{instance::Instance, plan::TaskState, state::State};

/// Why an instance has to wait until it may be asked of it; nothing if nobody is asked, or it is its turn.
pub(super) fn holds_back(state: &State, instance: &Instance) -> Option<String> {
    let other = other(state, instance)?;
    Some(format!(
        "it is being asked whether {other} may be stopped; {} is asked for when that is known, one of a group at a time",
        instance.id
    ))
}

/// Another of its group that has its order, and may not have been told yet that it may be stopped.
pub(super) fn other<'a>(state: &'a State, instance: &Instance) -> Option<&'a InstanceId> {
    if !instance.report.asks_before_stop {
        return None;
    }
    let members = state.members(&instance.report.component)?;
    let mut held = members.held().of_group(instance.group())?.iter();
    held.find(|id| **id != instance.id && asks(state, id))
}

fn asks(state: &State, id: &InstanceId) -> bool {
    let instance = state.instance(id).filter(|i| i.report.asks_before_stop);
    let order = instance.and_then(|instance| instance.order.as_ref());
    let task = state.claimed_by(id);
    let task = task.and_then(|plan| state.task_under_way(plan, id));
    order.is_some_and(|order| !order.way_back)
        && task.is_some_and(|task| task.state == TaskState::Admitted)
}
