//! Those that are quarantined are brought to the version that the others of their component have, by a plan of the
//! engine's own, for which nobody has to ask.
//!
//! There is one where the others agree on a version, the matrix leads there through releases that may run beside
//! what is there, and no plan is at work on the component: a plan under way was laid out without the one that came
//! back and would have to be laid out anew, so it goes to its end first, or a person ends it. One that is ready to be
//! finalized moves nothing and may wait for exactly this.
//!
//! The first stage begins with no process and names nothing to go back to, since what it comes from may not run. A
//! plan that did not bring an instance there is not made again before something of the instance, of the matrix or of
//! the others' version changes: whoever ended it has to look.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evenkeel_compat::Way;
use evenkeel_words::{names::ComponentName, timestamp::Timestamp};
use semver::Version;

use super::{Decision, breaker, compatible, conflict};
use crate::{
    change::Resource,
    instance::Instance,
    plan::{Plan, PlanKind, Task, TaskId},
    planner::{self, Hop},
    state::State,
};

/// How many releases are looked at on the way.
const RELEASES_MAX: usize = 256;

/// A plan for some of those that are quarantined, if one can be made now.
pub(super) fn begin(state: &State, now: Timestamp) -> Option<Decision> {
    state.quarantined().next()?;
    if state.frozen().is_some() || breaker::open(state, now).is_some() {
        return None;
    }
    let mut alike = BTreeMap::<_, Vec<&Instance>>::new();
    for instance in state.quarantined() {
        if let Some(current) = &instance.report.current {
            let kind = (&instance.report.component, &current.version);
            alike.entry(kind).or_default().push(instance);
        }
    }
    let (plan, tasks) = alike.into_values().find_map(|instances| {
        let untried = |instance: &&Instance| tried(state, instance).is_none();
        let instances: Vec<_> = instances.into_iter().filter(untried).collect();
        plan(state, &instances, now).ok()
    })?;
    let cause = format!("{} made and started to catch up {}", plan.id, told(&tasks));
    let tasks = tasks.into_iter().map(Resource::Task);
    let resources = std::iter::once(Resource::Plan(plan)).chain(tasks);
    Some((cause, resources.collect()))
}

fn told(tasks: &[Task]) -> String {
    let instances: BTreeSet<_> = tasks.iter().map(|task| &task.instance).collect();
    let Some(first) = instances.first() else {
        return String::new();
    };
    match instances.len() {
        1 => first.to_string(),
        count => format!("{first} and {} more", count - 1),
    }
}

/// What will become of one that is held, or what is needed for that.
#[must_use]
pub(super) fn outlook(state: &State, instance: &Instance, now: Timestamp) -> String {
    if let Some(plan) = state.claimed_by(&instance.id) {
        return format!("{plan} has a task for it");
    }
    if !instance.is_quarantined() {
        return "its agent has not said yet that it stays down".to_owned();
    }
    if let Some(freeze) = state.frozen() {
        return format!(
            "it is caught up when the fleet is no longer frozen ({})",
            freeze.reason
        );
    }
    if let Some(open) = breaker::open(state, now) {
        return open;
    }
    if let Some(plan) = tried(state, instance) {
        return format!(
            "{} has not caught it up and is not made again while nothing has changed: a person has to look, and bring it along by hand or make a plan",
            plan.id
        );
    }
    match plan(state, &[instance], now) {
        Ok(_) => "it is about to be caught up".to_owned(),
        Err(why) => why,
    }
}

/// The plan that has ended and was to catch the instance up as it is, if there is one.
fn tried<'a>(state: &'a State, instance: &Instance) -> Option<&'a Plan> {
    let target = target(state, instance).ok()?;
    state.plans_after(None).map(AsRef::as_ref).find(|plan| {
        let task = state.task(&TaskId {
            plan: plan.id,
            stage: 0,
            instance: instance.id.clone(),
        });
        plan.kind == PlanKind::CatchUp
            && plan.ended_at >= Some(instance.quarantine.since)
            && plan.matrix_version == state.matrix().version
            && plan
                .targets
                .iter()
                .any(|of_plan| of_plan.version == *target)
            && task.is_some_and(|task| Some(&task.from) == instance.report.current.as_ref())
    })
}

/// The version that the others of its component have or come to.
fn target<'a>(state: &'a State, instance: &Instance) -> Result<&'a Version, String> {
    let component = &instance.report.component;
    let coming = state.members(component).map(|members| members.coming());
    let versions: Vec<_> = coming
        .into_iter()
        .flat_map(|coming| coming.keys())
        .collect();
    match versions.as_slice() {
        [version] => Ok(version),
        [] => Err(format!(
            "nothing else of {component} is there to tell which version it ought to have: a person has to bring it elsewhere, or a matrix has to say that it may run"
        )),
        [first, second, ..] => Err(format!(
            "the others of {component} do not agree on a version ({first} and {second} among them): it is caught up when they do"
        )),
    }
}

/// The plan that brings instances of one component and version to where the others are.
fn plan(
    state: &State,
    instances: &[&Instance],
    now: Timestamp,
) -> Result<(Plan, Vec<Task>), String> {
    let first = instances.first().ok_or("there is nobody to catch up")?;
    let component = &first.report.component;
    let current = first.report.current.as_ref();
    let from = &current.ok_or("it has no release")?.version;
    let to = target(state, first)?;
    let hops = way(state, component, from, to)?;
    let (plan, tasks) = planner::catch_up(state, component, &hops, instances, now)
        .map_err(|refusal| format!("it cannot be caught up: {refusal}"))?;
    conflict::check(state, &plan, &tasks, None).map_err(|_| {
        let stages = |other: &Plan| other.stages.iter().any(|s| s.component == *component);
        let mut others = state.plans_under_way();
        let other = others.find(|other| stages(other));
        let other = other.map_or_else(|| "another plan".to_owned(), |other| other.id.to_string());
        format!("it is caught up when {other} has ended, which is at work on {component}")
    })?;
    Ok((plan, tasks))
}

/// The shortest way by hops of the matrix, through published releases that may run beside what is there.
fn way(
    state: &State,
    component: &ComponentName,
    from: &Version,
    to: &Version,
) -> Result<Vec<Hop>, String> {
    if from.cmp_precedence(to).is_eq() {
        return Err(format!(
            "the others of {component} have {to}, too: a person has to bring what it may not meet elsewhere, or a matrix has to say that they may meet"
        ));
    }
    let releases = state.releases_of(component).map(|release| &release.version);
    let between = releases
        .filter(|version| *version != to && is_between(version, from, to))
        .take(RELEASES_MAX);
    let candidates: Vec<&Version> = std::iter::once(to).chain(between).collect();
    let mut came: BTreeMap<&Version, Option<Hop>> = BTreeMap::from([(from, None)]);
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        for next in &candidates {
            if came.contains_key(next) {
                continue;
            }
            if let Some(hop) = hop(state, component, at, next) {
                came.insert(next, Some(hop));
                queue.push_back(next);
            }
        }
    }
    let mut hops = Vec::new();
    let mut at = to;
    while let Some(Some(hop)) = came.get(at) {
        hops.push(hop.clone());
        at = came.get_key_value(&hop.from).map_or(from, |(key, _)| key);
    }
    hops.reverse();
    if hops.is_empty() {
        return Err(format!(
            "the others of {component} have {to}, and no way leads there from {from} that may be taken beside what is there: a person has to bring it there by hand, or a rule has to lead there (`evenkeel compat apply`), with every release on the way published"
        ));
    }
    Ok(hops)
}

fn is_between(version: &Version, from: &Version, to: &Version) -> bool {
    let (low, high) = match from.cmp_precedence(to).is_lt() {
        true => (from, to),
        false => (to, from),
    };
    version.cmp_precedence(low).is_gt() && version.cmp_precedence(high).is_lt()
}

/// The hop between two versions, if the matrix has it and what it leads to may run beside what is there.
fn hop(state: &State, component: &ComponentName, from: &Version, to: &Version) -> Option<Hop> {
    let matrix = &state.matrix().matrix;
    let way: Way = matrix.hop(component, from, to).ok()?.way;
    let allowed = compatible::would_meet(state, None, matrix, component, to).is_none();
    allowed.then(|| Hop {
        from: from.clone(),
        to: to.clone(),
        way,
    })
}
