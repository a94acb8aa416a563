//! Whether a policy suits the instances that a plan touches.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::names::InstanceId;

use super::words::listed;
use crate::{
    instance::Instance,
    plan::{Plan, Policy},
    refusal::{Refusal, RefusalKind},
    state::State,
};

/// Checks a plan's policy against all components that it changes, as they are now.
///
/// # Errors
/// `BadArgument` where a whole group might go down at once; `NotAllowedNow` where an instance does not say in
/// which failure domain it is.
pub(super) fn check(state: &State, plan: &Plan) -> Result<(), Refusal> {
    let components: BTreeSet<_> = plan.stages.iter().map(|stage| &stage.component).collect();
    for component in components {
        let members: Vec<&Instance> = state.instances_of(component).map(AsRef::as_ref).collect();
        groups(&members, &plan.policy)?;
        domains(&members, &plan.policy)?;
    }
    Ok(())
}

/// A budget as large as a group would let all copies of the same data go down together.
fn groups(members: &[&Instance], policy: &Policy) -> Result<(), Refusal> {
    let mut sizes = BTreeMap::<&str, u32>::new();
    for instance in members {
        *sizes.entry(instance.group()).or_default() += 1;
    }
    let all = sizes
        .iter()
        .find(|(_, size)| **size > 1 && policy.max_unavailable >= **size);
    match all {
        None => Ok(()),
        Some((group, size)) => {
            let group = match group.is_empty() {
                true => String::new(),
                false => format!(" of the group {group:?}"),
            };
            Err(Refusal::new(
                RefusalKind::BadArgument,
                format!(
                    "max_unavailable {} would let all {size} instances{group} be down at once; the most is {}",
                    policy.max_unavailable,
                    size - 1
                ),
            ))
        }
    }
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
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::NotAllowedNow,
        format!(
            "the failure domain is the label {label:?}, which is missing on {}",
            listed(&without.iter().map(ToString::to_string).collect::<Vec<_>>())
        ),
    ))
}
