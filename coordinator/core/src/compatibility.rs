//! What is known of versions: the matrix that was applied, what others say is in use, and which hops can be
//! undone because nobody has finalized them.

use std::{collections::BTreeSet, sync::Arc};

use evenkeel_compat::{Level, Matrix, Rule, Scope, Undo, Versions};
use evenkeel_words::{
    names::{ComponentName, SourceName},
    timestamp::Timestamp,
};
use semver::Version;

use crate::{
    plan::{Plan, PlanState, Stage, TaskState},
    state::State,
};

/// The most versions that one source may report of a component.
pub const REPORTED_VERSIONS_MAX: usize = 100;

/// The most sources that may report of external components.
pub const SOURCES_MAX: usize = 1_000;

/// A matrix that was applied. The one of version 0 has no rules and was applied by nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppliedMatrix {
    /// Rises by one with each.
    pub version: u64,
    /// What it says.
    pub matrix: Matrix,
    /// Who applied it.
    pub applied_by: String,
    /// When.
    pub applied_at: Timestamp,
    /// The revision at which it was.
    pub revision: u64,
}

/// A version of an external component that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInUse {
    /// The version.
    pub version: Version,
    /// How many use it, as far as the source counts them.
    pub count: u64,
}

/// What one source said of an external component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedVersions {
    /// The component.
    pub component: ComponentName,
    /// Who sees them in use.
    pub source: SourceName,
    /// The versions, by precedence; none where none is in use there any more.
    pub versions: Vec<VersionInUse>,
    /// Who made the call.
    pub reported_by: String,
    /// When.
    pub reported_at: Timestamp,
    /// The revision at which it was said.
    pub revision: u64,
}

/// The hops of a component that lead back to where instances came from, because the plan that brought them was not
/// finalized: each as (from, to). They end when a plan for the component is finalized that was under way then or later.
#[must_use]
pub fn ways_back(state: &State, component: &ComponentName) -> BTreeSet<(Version, Version)> {
    let stages = |plan: &'_ Arc<Plan>| {
        let plan = Arc::clone(plan);
        (0..plan.stages.len()).filter(move |index| plan.stages[*index].component == *component)
    };
    let finalized_at = state
        .plans_after(None)
        .filter(|plan| plan.state == PlanState::Finalized && stages(plan).next().is_some())
        .filter_map(|plan| plan.ended_at)
        .max();
    let mut ways = BTreeSet::new();
    for plan in state.plans_after(None) {
        if finalized_at.is_some_and(|at| plan.started_at.is_none_or(|started| started <= at)) {
            continue;
        }
        for index in stages(plan) {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            let mut tasks = state.tasks_of_stage(plan.id, number);
            let begun = tasks.any(|task| task.generation > 0 || task.state == TaskState::Done);
            let stage = &plan.stages[index];
            if begun && is_open(plan, stage) {
                ways.insert((stage.to.clone(), stage.from.clone()));
            }
        }
    }
    ways
}

/// Whether what finalizing would end has not ended yet.
fn is_open(plan: &Plan, stage: &Stage) -> bool {
    let under_way_or_given_up = match plan.state {
        PlanState::Draft | PlanState::Finalized => false,
        PlanState::Running
        | PlanState::Paused(_)
        | PlanState::ReadyToFinalize
        | PlanState::Aborting(_)
        | PlanState::Aborted(_) => true,
    };
    let in_place_until_then = stage.way.undo == Undo::InPlace && stage.is_final_when_finalized();
    let final_by_itself = stage.finalizes_itself && stage.confirmed_by.is_some();
    under_way_or_given_up && in_place_until_then && !final_by_itself
}

/// What there is to plan with where these components go back: the matrix that was applied, and the ways back that are
/// open. Not for components that go forward: their ways back end like any others.
#[must_use]
pub fn matrix_with_ways_back<'a>(
    state: &State,
    components: impl Iterator<Item = &'a ComponentName>,
) -> Matrix {
    let applied = &state.matrix().matrix;
    let mut more = Vec::new();
    for component in components {
        for (from, to) in ways_back(state, component) {
            more.push(Rule {
                scope: Scope::Component(component.clone()),
                from: Versions::Exact(from),
                to: Versions::Exact(to),
                level: Level::Backward,
                note: Some("the way back: nobody has finalized it".to_owned()),
            });
        }
    }
    if more.is_empty() {
        return applied.clone();
    }
    let rules = [applied.rules(), &more].concat();
    let (components, blocked) = (applied.components().clone(), applied.blocked().to_vec());
    // What an explicit rule says against it wins.
    Matrix::new(components, rules, blocked).unwrap_or_else(|_| applied.clone())
}
