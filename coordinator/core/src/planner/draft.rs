//! From targets to a plan for the fleet as it is: what is known goes in, the path that comes out is laid out.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::{Matrix, Way};
use evenkeel_words::{names::ComponentName, timestamp::Timestamp};
use semver::Version;

use super::{
    answer::Step,
    check::{Mix, Passage, check},
    find::find,
    layout::{self, Outline, same},
    refusal::{NoPath, Reason},
    request::{BadRequest, Request},
    suits,
    words::listed,
};
use crate::{
    compatibility::matrix_with_ways_back,
    engine::compatible,
    plan::{Plan, Policy, RuledOut, Stage, Target, Task},
    refusal::{Refusal, RefusalKind},
    state::State,
};

/// Why there is no draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoDraft {
    /// No path leads there.
    NoPath {
        /// Why not.
        no_path: Box<NoPath>,
        /// Releases that would have to be published and are, for other platforms only: a sentence each.
        elsewhere: Vec<String>,
    },
    /// Something else is in the way.
    Refused(Refusal),
}

impl From<NoDraft> for Refusal {
    fn from(no_draft: NoDraft) -> Self {
        match no_draft {
            NoDraft::NoPath { no_path, elsewhere } => {
                let kind = kind_of(&no_path);
                let mut message = no_path.summary();
                let obstacle = no_path.obstacles.first();
                if let Some(obstacle) = obstacle.filter(|_| kind == RefusalKind::NotAllowedNow) {
                    message.push_str(&format!("; in the way is {obstacle}"));
                }
                if let Some(elsewhere) = elsewhere.first() {
                    message.push_str(&format!("; {elsewhere}"));
                }
                Self::new(kind, message)
            }
            NoDraft::Refused(refusal) => refusal,
        }
    }
}

/// What kind of refusal it is that there is no path.
#[must_use]
pub fn kind_of(no_path: &NoPath) -> RefusalKind {
    match no_path.reason {
        Reason::NotPublished { .. } => RefusalKind::NotFound,
        Reason::BadRequest(_)
        | Reason::AtOdds
        | Reason::Unreported(_)
        | Reason::NoWay(_)
        | Reason::NoOrder(_)
        | Reason::GaveUp { .. } => RefusalKind::NotAllowedNow,
    }
}

fn refused(why: &BadRequest) -> Refusal {
    let kind = match why {
        BadRequest::UnknownComponent { .. } => RefusalKind::NotFound,
        BadRequest::AlreadyThere { .. }
        | BadRequest::Downgrade { .. }
        | BadRequest::TooMixed { .. }
        | BadRequest::TooManyVersions { .. } => RefusalKind::NotAllowedNow,
        BadRequest::NoTarget | BadRequest::NamedTwice { .. } | BadRequest::External { .. } => {
            RefusalKind::BadArgument
        }
    };
    Refusal::new(kind, why.to_string())
}

impl From<Refusal> for NoDraft {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Lays out a plan for the fleet as it is. Nothing is touched by it.
///
/// # Errors
/// [`NoDraft::NoPath`] where the matrix, the fleet and the releases leave no way; otherwise `NotFound` for an
/// unknown component, `BadArgument` for targets or a policy that make no sense, `NotAllowedNow` where an instance
/// cannot take part as it is, `TooMuch` for a plan that would be too large.
pub fn draft(
    state: &State,
    targets: &[Target],
    policy: &Policy,
    created_by: &str,
    now: Timestamp,
) -> Result<(Plan, Vec<Task>), NoDraft> {
    policy.check()?;
    check_platforms(state, targets)?;
    check_bytes(state, targets)?;
    let known = Known::of(state, targets);
    let answer = find(&known.request(targets)).map_err(|no_path| match &no_path.reason {
        Reason::BadRequest(why) => NoDraft::Refused(refused(why)),
        _ => NoDraft::NoPath {
            elsewhere: elsewhere(state, &no_path),
            no_path,
        },
    })?;
    let outline = Outline {
        targets,
        stages: stages(state, &answer.steps),
        ruled_out: ruled_out(&answer.ruled_out),
        policy,
        created_by,
        now,
    };
    Ok(layout::lay_out(state, outline)?)
}

/// Which versions of external components are in use, and who said so.
type Reported = BTreeMap<ComponentName, BTreeMap<Version, BTreeSet<String>>>;

/// What the planner looks at, out of the state.
struct Known {
    matrix: Matrix,
    fleet: BTreeMap<ComponentName, BTreeMap<Version, u64>>,
    reported: Reported,
    published: BTreeMap<ComponentName, BTreeSet<Version>>,
}

impl Known {
    fn of(state: &State, targets: &[Target]) -> Self {
        let mut fleet = BTreeMap::<_, BTreeMap<_, _>>::new();
        for instance in state.instances() {
            let versions = fleet.entry(instance.report.component.clone()).or_default();
            if let Some(current) = &instance.report.current {
                *versions.entry(current.version.clone()).or_insert(0) += 1;
            }
        }
        let published = fleet.keys().map(|component| {
            let platforms = platforms(state, component);
            let wanted = targets.iter().find(|target| target.component == *component);
            (
                component.clone(),
                publishable(state, component, &platforms, wanted),
            )
        });
        Self {
            matrix: matrix_with_ways_back(state, targets),
            published: published.collect(),
            fleet,
            reported: reported(state),
        }
    }

    fn request<'r>(&'r self, targets: &'r [Target]) -> Request<'r> {
        Request {
            matrix: &self.matrix,
            fleet: &self.fleet,
            reported: &self.reported,
            published: &self.published,
            targets,
        }
    }
}

/// What others say is in use.
fn reported(state: &State) -> Reported {
    let mut reported = Reported::new();
    let components = state.matrix().matrix.components();
    let external = |name: &ComponentName| components.get(name).is_some_and(|known| known.external);
    let reports = state.reported_versions();
    for report in reports.filter(|report| external(&report.component)) {
        let versions = reported.entry(report.component.clone()).or_default();
        for in_use in &report.versions {
            let sources = versions.entry(in_use.version.clone()).or_default();
            sources.insert(report.source.to_string());
        }
    }
    reported
}

/// What would have to be published and is, but not for every platform that it is needed on.
fn elsewhere(state: &State, no_path: &NoPath) -> Vec<String> {
    if state.matrix().version == 0 {
        let none =
            "no matrix was ever applied: `evenkeel compat apply` does that (docs/COMPATIBILITY.md)";
        return vec![none.to_owned()];
    }
    let publish = no_path.publish_first.iter();
    let sentences = publish.filter_map(|(component, version)| {
        let release = state.release(component, version)?;
        let mut instances = state.instances_of(component);
        instances.find_map(|instance| {
            let lacks = layout::artifact(state, release, instance).err()?;
            Some(lacks.message)
        })
    });
    sentences.collect()
}

/// What the nodes with instances of a component are.
fn platforms<'a>(state: &'a State, component: &ComponentName) -> BTreeSet<&'a str> {
    let nodes = state
        .instances_of(component)
        .filter_map(|instance| state.node(&instance.id.node));
    nodes.map(|node| node.platform.as_str()).collect()
}

/// The versions of a component that can be had on all these platforms. Of those that differ in build metadata
/// alone, the one that is wanted, or else the last.
fn publishable(
    state: &State,
    component: &ComponentName,
    platforms: &BTreeSet<&str>,
    wanted: Option<&Target>,
) -> BTreeSet<Version> {
    let mut versions: Vec<&Version> = Vec::new();
    for release in state.releases_of(component) {
        let everywhere = platforms.iter().all(|p| release.artifacts.contains_key(*p));
        if !everywhere {
            continue;
        }
        match versions
            .last_mut()
            .filter(|last| same(last, &release.version))
        {
            Some(last) if wanted.is_some_and(|wanted| wanted.version == **last) => {}
            Some(last) => *last = &release.version,
            None => versions.push(&release.version),
        }
    }
    versions.into_iter().cloned().collect()
}

/// A target that is published at all has to be so for every node that it is to be brought to.
fn check_platforms(state: &State, targets: &[Target]) -> Result<(), Refusal> {
    for target in targets {
        let Some(release) = state.release(&target.component, &target.version) else {
            continue;
        };
        for instance in state.instances_of(&target.component) {
            let current = instance.report.current.as_ref();
            if current.is_none_or(|current| !same(&current.version, &target.version)) {
                layout::artifact(state, release, instance)?;
            }
        }
    }
    Ok(())
}

/// Every instance has to be of a release, and none may run other bytes under the version that it is to be brought to.
fn check_bytes(state: &State, targets: &[Target]) -> Result<(), Refusal> {
    let mut strange = Vec::new();
    for target in targets {
        let release = state.release(&target.component, &target.version);
        for instance in state.instances_of(&target.component) {
            let Some(current) = &instance.report.current else {
                let why = Some(&instance.report.reason).filter(|reason| !reason.is_empty());
                let why = why.map_or_else(String::new, |reason| format!(" ({reason})"));
                strange.push(format!("{} has no release{why}", instance.id));
                continue;
            };
            let platform = state.node(&instance.id.node).map_or("", |n| &n.platform);
            let published = release.and_then(|release| release.artifacts.get(platform));
            if current.version == target.version
                && published.is_some_and(|artifact| artifact.digest != current.digest)
            {
                strange.push(format!(
                    "{} runs other bytes as {}",
                    instance.id, current.version
                ));
            }
        }
    }
    if strange.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::NotAllowedNow,
        format!(
            "every instance has to run a known release, with the bytes that were published as it: {}",
            listed(&strange)
        ),
    ))
}

/// What was not chosen, with the reasons as sentences.
#[must_use]
pub fn ruled_out(ruled_out: &[super::RuledOut]) -> Vec<RuledOut> {
    ruled_out
        .iter()
        .map(|hop| RuledOut {
            component: hop.component.clone(),
            from: hop.from.clone(),
            to: hop.to.clone(),
            reason: hop.why.to_string(),
        })
        .collect()
}

/// What the rule says beside a step, and what the way back would need.
fn note(state: &State, step: &Step) -> String {
    let said = step.note.clone().unwrap_or_default();
    if state.release(&step.component, &step.from).is_some() {
        return said;
    }
    let back = format!(
        "to plan the way back later, publish {} {}",
        step.component, step.from
    );
    match said.is_empty() {
        true => back,
        false => format!("{said}; {back}"),
    }
}

/// The steps of a path as stages.
#[must_use]
pub fn stages(state: &State, steps: &[Step]) -> Vec<Stage> {
    steps
        .iter()
        .cloned()
        .map(|step| Stage {
            note: note(state, &step),
            way: Way {
                method: step.method,
                level: step.level,
                reversed: step.reversed,
                undo: step.undo,
                undo_when_final: step.undo_when_final,
            },
            component: step.component,
            from: step.from,
            to: step.to,
            finalizes_itself: step.finalizes_itself,
            instances: u32::try_from(step.instances).unwrap_or(u32::MAX),
            through: step.through,
            out_of_order: step.out_of_order,
            reachable_back: step.reachable_back,
            confirmed_by: None,
            confirmed_at: None,
        })
        .collect()
}

/// Checks that the fleet is still the one that the plan was computed for, that its stages are still allowed, and that
/// its policy still suits the fleet.
///
/// # Errors
/// `FleetChanged`, with the differences; or as [`draft`] where the policy does not suit groups and failure domains as
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
    if let Some(why) = not_allowed(state, plan) {
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
            if !seen.contains(&instance.id) && !there {
                differences.push(format!("{} is not part of the plan", instance.id));
            }
        }
    }
    differences
}
