//! The disruption budget: one ledger for what we hold down, what is down by itself, and what we do not
//! know.

use std::collections::BTreeMap;

use crate::{
    instance::{Health, Instance, Status},
    node::Liveness,
    plan::{Plan, Task},
    state::State,
};

/// Why an instance does not count as available.
#[must_use]
pub fn unavailable(state: &State, instance: &Instance) -> Option<String> {
    if let Some(slot) = &instance.slot {
        return Some(format!("held by {}", slot.plan));
    }
    let liveness = state.node(&instance.id.node).map(|node| node.liveness);
    match liveness {
        Some(Liveness::Up) => {}
        Some(Liveness::Unknown) | None => {
            return Some("not heard of since the coordinator started".to_owned());
        }
        Some(Liveness::Suspect | Liveness::AgentLost) => {
            return Some("its agent is silent".to_owned());
        }
    }
    let report = &instance.report;
    let good = match (report.status, report.health) {
        (Status::Running, Health::Healthy | Health::Warning) => true,
        (Status::Running, Health::Error)
        | (Status::Upgrading | Status::Stopped | Status::Error, _) => false,
    };
    (!good).then(|| match report.reason.as_str() {
        "" => "not healthy".to_owned(),
        reason => format!("not healthy: {reason}"),
    })
}

/// What keeps the task's instance from being taken down, in one sentence; nothing if the budget has room.
#[must_use]
pub fn holds_back(state: &State, plan: &Plan, task: &Task) -> Option<String> {
    let candidate = state.instance(&task.instance)?;
    let others = state
        .instances_of(&candidate.report.component)
        .filter(|other| other.id != candidate.id)
        .filter_map(|other| Some((other, unavailable(state, other)?)));

    let max = plan.policy.max_unavailable;
    let domain_label = plan.policy.failure_domain.as_deref();
    let domain_of =
        |instance: &Instance| domain_label.and_then(|label| instance.labels.get(label).cloned());
    let own_domain = domain_of(candidate);

    let mut in_group = BTreeMap::new();
    for (other, why) in others {
        let domain = domain_of(other);
        if domain_label.is_some() && domain != own_domain {
            return Some(format!(
                "{} is in another failure domain ({}) than {} ({}), and {why}; two domains are never down at once",
                other.id,
                domain.as_deref().unwrap_or("none"),
                candidate.id,
                own_domain.as_deref().unwrap_or("none"),
            ));
        }
        if other.group() == candidate.group() {
            in_group.insert(&other.id, why);
        }
    }
    let down = u32::try_from(in_group.len()).unwrap_or(u32::MAX);
    if down < max {
        return None;
    }
    let (first, why) = in_group.first_key_value()?;
    let more = match down {
        1 => String::new(),
        down => format!(" and {} more", down - 1),
    };
    Some(format!(
        "{down} of its group may not serve ({first}: {why}{more}), and max_unavailable is {max}"
    ))
}
