//! Whether a draft may still be started: against the fleet and the matrix that it was computed for, or ones in which it
//! is as good.

use std::collections::BTreeSet;

use super::{
    check::{Mix, Passage, check},
    known::reported,
    suits,
    words::listed,
};
use crate::{
    engine::{compatible, undo::matrix_with_ways_back},
    plan::{Plan, PlanKind},
    refusal::{Refusal, RefusalKind},
    state::State,
};

/// Checks that the fleet is still the one that the plan was computed for, that its stages are still allowed, and that
/// its policy still suits the fleet.
///
/// # Errors
/// `FleetChanged`, with the differences; or `BadArgument` and `NotAllowedNow` where the policy does not suit groups and failure domains as
/// they are now.
pub fn check_unchanged(state: &State, plan: &Plan) -> Result<(), Refusal> {
    let differences = differences(state, plan);
    if !differences.is_empty() {
        return Err(Refusal::new(
            RefusalKind::FleetChanged,
            format!(
                "the fleet is not the one that {} was computed for: {}; create a new plan",
                plan.id,
                listed(&differences)
            ),
        ));
    }
    // Where nothing comes to another version nothing new meets.
    let moves = plan.kind == PlanKind::Upgrade;
    if let Some(why) = moves.then(|| not_allowed(state, plan)).flatten() {
        return Err(Refusal::new(
            RefusalKind::FleetChanged,
            format!(
                "{} was computed with version {} of the matrix, and as things are now {why}; create a new plan",
                plan.id, plan.matrix_version
            ),
        ));
    }
    suits::check(state, plan)
}

/// What is in the way of a plan's stages as things are now, if anything is.
fn not_allowed(state: &State, plan: &Plan) -> Option<String> {
    let mut stages = plan.stages.iter();
    if let Some(why) = stages.find_map(|stage| compatible::hop_changed(state, stage)) {
        return Some(why);
    }
    let reported = reported(state);
    let fleet = state.components().map(|component| {
        let versions = state.versions_of(component);
        let versions: BTreeSet<_> = versions.map(|(version, _)| version.clone()).collect();
        (component.clone(), versions)
    });
    let mix = Mix {
        fleet: &fleet.collect(),
        reported: &reported,
    };
    let stages: Vec<_> = plan
        .stages
        .iter()
        .map(|stage| Passage {
            component: &stage.component,
            from: &stage.from,
            to: &stage.to,
        })
        .collect();
    let matrix = matrix_with_ways_back(state, &plan.targets);
    let faults = check(&matrix, &mix, &stages);
    faults.first().map(ToString::to_string)
}

fn differences(state: &State, plan: &Plan) -> Vec<String> {
    let mut differences = Vec::new();
    let mut seen = BTreeSet::new();
    for task in state.tasks_of(plan.id) {
        // Later stages begin with what the ones before leave.
        if !seen.insert(&task.instance) {
            continue;
        }
        match state.instance(&task.instance) {
            None => differences.push(format!("{} is gone", task.instance)),
            Some(instance) if instance.report.current.as_ref() != Some(&task.from) => {
                let now = instance.report.current.as_ref();
                let now = now.map_or_else(|| "nothing".to_owned(), |c| c.version.to_string());
                differences.push(format!(
                    "{} runs {now}, not {}",
                    task.instance, task.from.version
                ));
            }
            Some(_) => {}
        }
    }
    for target in &plan.targets {
        for instance in state.instances_of(&target.component) {
            let current = instance.report.current.as_ref();
            let there = current.is_some_and(|c| c.version == target.version);
            let takes_part = !instance.is_quarantined();
            if takes_part && !seen.contains(&instance.id) && !there {
                differences.push(format!("{} is not part of the plan", instance.id));
            }
        }
    }
    differences
}
