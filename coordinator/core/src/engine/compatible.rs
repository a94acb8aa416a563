//! Versions that meet are compatible: asked again before each order, against the matrix, the fleet and what
//! is reported of external components as they are then.

use evenkeel_compat::{Matrix, NoHop, Way};
use evenkeel_words::names::ComponentName;
use evenkeel_words::planted::{self, Bug};
use semver::Version;

use super::{Decision, follow, undo};
use crate::{
    change::Resource,
    compatibility::AppliedMatrix,
    plan::{Plan, PlanId, Stage},
    state::State,
};

/// Pauses a plan whose next orders would bring versions together that are not compatible (any more).
pub(super) fn pause(state: &State, plan: &Plan) -> Option<Decision> {
    let index = state.stage_under_way(plan.id)?;
    if state.tally(plan.id)?.stage(index)?.untouched().is_empty() {
        return None;
    }
    let stage = plan.stage_at(index)?;
    if planted::is(Bug::CompatibilityNotAsked) {
        return None;
    }
    let why = not_allowed(state, plan, stage)?;
    let mut paused = plan.clone();
    follow::pause(
        &mut paused,
        format!("{stage} is not allowed: {why}; put that right and resume, or abort"),
    );
    Some((format!("{} paused", plan.id), vec![Resource::Plan(paused)]))
}

/// What keeps the stage of a plan from going on; nothing if it may.
#[must_use]
pub fn not_allowed(state: &State, plan: &Plan, stage: &Stage) -> Option<String> {
    if stage.is_restart() {
        return None;
    }
    hop_changed(state, stage).or_else(|| meets(state, plan, &state.matrix().matrix, stage))
}

/// What the matrix says of a stage's hop, if that is less than it said when the plan was made.
#[must_use]
pub fn hop_changed(state: &State, stage: &Stage) -> Option<String> {
    let AppliedMatrix {
        matrix, version, ..
    } = state.matrix().as_ref();
    match matrix.hop(&stage.component, &stage.from, &stage.to) {
        Err(NoHop::OnlyBackward { .. }) if way_back_is_open(state, stage) => None,
        Err(why) => Some(why.to_string()),
        Ok(hop) => {
            let (now, then) = (hop.way, stage.way);
            let as_good = now.method <= then.method
                && now.undo <= then.undo
                && now.undo_when_final <= then.undo_when_final;
            (!as_good).then(|| {
                format!(
                    "by version {version} of the matrix it {}, and when the plan was made it {}",
                    told(now),
                    told(then)
                )
            })
        }
    }
}

fn told(way: Way) -> String {
    let Way {
        method,
        undo,
        undo_when_final,
        ..
    } = way;
    format!("goes {method} and is undone {undo}, {undo_when_final} once it is final")
}

/// Why a stage's hop may not be gone back, if the matrix has come to block that.
pub(super) fn way_back_blocked(state: &State, stage: &Stage) -> Option<String> {
    let matrix = &state.matrix().matrix;
    match matrix.hop(&stage.component, &stage.to, &stage.from) {
        Err(why @ NoHop::Blocked { .. }) => Some(why.to_string()),
        Err(NoHop::Apart { .. } | NoHop::OnlyBackward { .. } | NoHop::NoRule) | Ok(_) => None,
    }
}

pub(super) fn way_back_is_open(state: &State, stage: &Stage) -> bool {
    let mut ways = undo::ways_back(state, &stage.component).into_iter();
    ways.any(|(from, to)| (&from, &to) == (&stage.from, &stage.to))
}

/// A version that instances of the stage would meet, and may not.
pub(super) fn meets(state: &State, plan: &Plan, matrix: &Matrix, stage: &Stage) -> Option<String> {
    would_meet(state, Some(plan.id), matrix, &stage.component, &stage.to)
}

/// What a version of a component would meet, and may not: what is there, and what plans under way but this one bring.
pub(super) fn would_meet(
    state: &State,
    plan: Option<PlanId>,
    matrix: &Matrix,
    moves: &ComponentName,
    to: &Version,
) -> Option<String> {
    let apart = |component: &ComponentName, version: &Version| {
        let apart = matrix.beside((moves, to), (component, version));
        let why = apart.err()?;
        Some(format!("it would meet {component} {version}, and {why}"))
    };
    let related = state
        .components()
        .filter(|other| matrix.constrain(moves, other));
    for component in related {
        let present = state.versions_of(component).map(|(version, _)| version);
        let of_plans = state
            .plans_under_way()
            .filter(|other| Some(other.id) != plan);
        let coming = of_plans
            .filter_map(|other| other.stage_at(state.stage_under_way(other.id)?))
            .filter(|stage| stage.component == *component)
            .flat_map(|stage| [&stage.from, &stage.to]);
        if let Some(why) = present.chain(coming).find_map(|v| apart(component, v)) {
            return Some(why);
        }
    }
    let externals = matrix
        .components()
        .iter()
        .filter(|(name, component)| component.external && matrix.constrain(moves, name))
        .map(|(name, _)| name);
    externals.into_iter().find_map(|component| {
        let Some(mut in_use) = state.in_use(component) else {
            return Some(unreported(component));
        };
        in_use.find_map(|(version, sources)| {
            let why = apart(component, version)?;
            let source = sources.get_min().map_or("", |source| source.as_str());
            Some(format!("{why} (reported by {source})"))
        })
    })
}

/// What is not known is not nothing.
fn unreported(component: &ComponentName) -> String {
    format!(
        "nobody has said which versions of {component} are in use; `evenkeel compat report {component}` says it, also that none is"
    )
}
