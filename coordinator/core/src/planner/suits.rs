//! Whether a policy suits the instances that a plan touches.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::names::{ComponentName, InstanceId};

use super::words::listed;
use crate::{
    engine::limits,
    instance::Instance,
    plan::{Plan, Policy},
    refusal::{Refusal, RefusalKind},
    state::State,
};

/// Checks a plan's policy against all components that it changes, as they are now.
///
/// # Errors
/// `BadArgument` where a whole group, or all failure domains, might go down at once, and where nothing ever could;
/// `NotAllowedNow` where an instance does not say in
/// which failure domain it is.
pub(super) fn check(state: &State, plan: &Plan) -> Result<(), Refusal> {
    let components: BTreeSet<_> = plan.stages.iter().map(|stage| &stage.component).collect();
    for name in components {
        let members: Vec<&Instance> = state.instances_of(name).map(AsRef::as_ref).collect();
        groups(&members, &plan.policy)?;
        component(name, &members, &plan.policy)?;
        domains(&members, &plan.policy)?;
    }
    Ok(())
}

/// A budget as large as a group would let all copies of the same data go down together, and one that comes to nothing
/// lets nothing go.
fn groups(members: &[&Instance], policy: &Policy) -> Result<(), Refusal> {
    let bad = |message: String| Err(Refusal::new(RefusalKind::BadArgument, message));
    let mut sizes = BTreeMap::<&str, u32>::new();
    for instance in members {
        *sizes.entry(instance.group()).or_default() += 1;
    }
    for (group, size) in sizes {
        let of_group = match group.is_empty() {
            true => String::new(),
            false => format!(" of the group {group:?}"),
        };
        let max = limits::of_group(policy, size);
        if max == 0 {
            return bad(format!(
                "max_unavailable {} of {size} instances{of_group} is less than one, so that nothing could ever be stopped",
                policy.max_unavailable
            ));
        }
        if size > 1 && max >= size {
            return bad(format!(
                "max_unavailable {} would let all {size} instances{of_group} be down at once; the most is {}",
                policy.max_unavailable,
                size - 1
            ));
        }
        let least = limits::healthy(policy, size);
        if let (Some(least), Some(amount)) =
            (least.filter(|least| *least >= size), policy.min_healthy)
        {
            return bad(format!(
                "min_healthy {amount} of {size} instances{of_group} is {least}, so that nothing could ever be stopped; the most is {}",
                size - 1
            ));
        }
    }
    Ok(())
}

/// See [`groups`].
fn component(name: &ComponentName, members: &[&Instance], policy: &Policy) -> Result<(), Refusal> {
    let size = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let max = limits::of_component(policy, size);
    let (Some(0), Some(amount)) = (max, policy.max_unavailable_component) else {
        return Ok(());
    };
    Err(Refusal::new(
        RefusalKind::BadArgument,
        format!(
            "max_unavailable_component {amount} of {size} instances of {name} is less than one, so that nothing could ever be stopped"
        ),
    ))
}

fn domains(members: &[&Instance], policy: &Policy) -> Result<(), Refusal> {
    let Some(label) = &policy.failure_domain else {
        return Ok(());
    };
    let without: Vec<InstanceId> = members
        .iter()
        .filter(|instance| !instance.labels.contains_key(label))
        .map(|instance| instance.id.clone())
        .collect();
    if without.is_empty() {
        let there: BTreeSet<_> = members.iter().map(|i| i.labels.get(label)).collect();
        return at_once(label, there.len(), policy);
    }
    Err(Refusal::new(
        RefusalKind::NotAllowedNow,
        format!(
            "the failure domain is the label {label:?}, which is missing on {}",
            listed(&without.iter().map(ToString::to_string).collect::<Vec<_>>())
        ),
    ))
}

/// A fleet in several failure domains is not to lose all of them at once.
fn at_once(label: &str, there: usize, policy: &Policy) -> Result<(), Refusal> {
    let there = u32::try_from(there).unwrap_or(u32::MAX);
    let at_once = policy.failure_domains_at_once;
    if there <= 1 || at_once < there {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::BadArgument,
        format!(
            "failure_domains_at_once {at_once} would let instances of all {there} failure domains ({label:?}) be down at once; the most is {}",
            there - 1
        ),
    ))
}
