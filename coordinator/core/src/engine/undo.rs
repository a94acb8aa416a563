//! Which hops can be undone because nothing has made them final, whatever plan made them, and what there is to plan
//! with because of that. How one task that got sick goes back is told in `way_back`.

use std::collections::BTreeSet;

use evenkeel_compat::{Level, Matrix, NoHop, Rule, Scope, Undo, Versions};
use evenkeel_words::{names::ComponentName, timestamp::Timestamp};
use semver::Version;

use crate::{
    plan::{Plan, PlanKind, PlanState, Stage, Target},
    state::State,
};

/// Whether an instance with `version` keeps what is final by itself from being so for `to`: the hop from the one to the
/// other would end a way back, or there is none.
pub(super) fn is_behind(
    state: &State,
    component: &ComponentName,
    version: &Version,
    to: &Version,
) -> bool {
    let older = version.cmp_precedence(to).is_lt();
    let hop = state.matrix().matrix.hop(component, version, to);
    older && !hop.is_ok_and(|hop| hop.way.undo == hop.way.undo_when_final)
}

/// The hops of a component that lead back to where instances came from, because nothing has made them final: each as
/// (from, to). They end when a plan for the component is finalized that was under way then or later, and for what is
/// final by itself when a person has said so for a plan that was under way then or later, or when nobody is behind.
#[must_use]
pub fn ways_back(state: &State, component: &ComponentName) -> BTreeSet<(Version, Version)> {
    let of_component = || {
        state.plans_after(None).flat_map(|plan| {
            let stages = (0_u32..).zip(&plan.stages);
            let stages = stages.filter(|(_, stage)| stage.component == *component);
            stages.map(move |(index, stage)| (plan, index, stage))
        })
    };
    // A plan that only restarts makes nothing final.
    let finalized = of_component().filter(|(plan, ..)| plan.kind == PlanKind::Upgrade);
    let finalized = finalized.filter_map(|(plan, _, stage)| match plan.state {
        PlanState::Finalized => plan.ended_at,
        // Its storage system may have been told already.
        _ if !stage.finalizes_itself && stage.is_final_when_finalized() => stage.confirmed_at,
        _ => None,
    });
    let finalized_at = finalized.max();
    let confirmed_at = of_component()
        .filter(|(_, _, stage)| stage.finalizes_itself)
        .filter_map(|(_, _, stage)| stage.confirmed_at)
        .max();
    let mut ways = BTreeSet::new();
    for (plan, index, stage) in of_component() {
        let since = |at: Option<Timestamp>| {
            at.is_some_and(|at| plan.started_at.is_none_or(|began| began <= at))
        };
        let all_there = || {
            let mut versions = state.versions_of(component);
            !versions.any(|(version, _)| is_behind(state, component, version, &stage.to))
        };
        let final_by_itself = || stage.finalizes_itself && (since(confirmed_at) || all_there());
        // Where it leads the others were before, and nobody goes back with it.
        if plan.kind == PlanKind::CatchUp {
            continue;
        }
        let begun = || {
            let stage = state.tally(plan.id).and_then(|tally| tally.stage(index));
            stage.is_some_and(|stage| !stage.begun().is_empty())
        };
        if !since(finalized_at) && is_open(plan, stage) && begun() && !final_by_itself() {
            ways.insert((stage.to.clone(), stage.from.clone()));
        }
    }
    ways
}

/// Whether finalizing the plan would end a way back in place, and has not.
fn is_open(plan: &Plan, stage: &Stage) -> bool {
    let was_started = match plan.state {
        PlanState::Draft | PlanState::Finalizing | PlanState::Finalized => false,
        PlanState::Running
        | PlanState::Paused(_)
        | PlanState::ReadyToFinalize
        | PlanState::Aborting(_)
        | PlanState::Aborted(_)
        | PlanState::RollingBack(_)
        | PlanState::RolledBack(_)
        | PlanState::Superseded(_)
        | PlanState::Failed(_) => true,
    };
    was_started && stage.way.undo == Undo::InPlace && stage.is_final_when_finalized()
}

/// What there is to plan with for these targets: the matrix that was applied and, where going back is asked for, the
/// open ways back that lead towards the target. None that lead from it or past it: for what goes forward to the target
/// the ways back end like any others.
#[must_use]
pub fn matrix_with_ways_back(state: &State, targets: &[Target]) -> Matrix {
    let applied = &state.matrix().matrix;
    let mut more = Vec::new();
    for Target {
        component, version, ..
    } in targets.iter().filter(|target| target.allow_downgrade)
    {
        let leads_there = |(from, to): &(Version, Version)| {
            from.cmp_precedence(version).is_gt() && to.cmp_precedence(version).is_ge()
        };
        for (from, to) in ways_back(state, component).into_iter().filter(leads_there) {
            // Whatever else the matrix says of it stands.
            let hop = applied.hop(component, &from, &to);
            if !matches!(hop, Err(NoHop::OnlyBackward { .. })) {
                continue;
            }
            let (from, to) = (Versions::Exact(from), Versions::Exact(to));
            let backward = |from: &Versions, to: &Versions, note: Option<&str>| Rule {
                scope: Scope::Component(component.clone()),
                from: from.clone(),
                to: to.clone(),
                level: Level::Backward,
                note: note.map(str::to_owned),
            };
            let note = "the way back: nobody has finalized it";
            more.push(backward(&from, &to, Some(note)));
            // The way there stays what it is, whatever the rule that says so weighs: going back is not final itself.
            more.push(backward(&to, &from, None));
        }
    }
    if more.is_empty() {
        return applied.clone();
    }
    let rules = [applied.rules(), &more].concat();
    let (components, blocked) = (applied.components().clone(), applied.blocked().to_vec());
    Matrix::new(components, rules, blocked).unwrap_or_else(|_| applied.clone())
}
