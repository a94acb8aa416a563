//! From targets to a plan for the fleet as it is: what is known goes in, the path that comes out is laid out.

use evenkeel_compat::Way;
use evenkeel_words::planted::{self, Bug};
use evenkeel_words::timestamp::Timestamp;

use super::{
    answer::Step,
    find::find,
    known::Known,
    layout::{self, Outline, same},
    refusal::{NoPath, Reason},
    request::BadRequest,
    words::listed,
};
use crate::{
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
        /// What else has to be known about it, a sentence each: that there is no matrix at all, or that what would have
        /// to be published is, for other platforms only.
        notes: Vec<String>,
    },
    /// Something else is in the way.
    Refused(Refusal),
}

impl From<NoDraft> for Refusal {
    fn from(no_draft: NoDraft) -> Self {
        match no_draft {
            NoDraft::NoPath { no_path, notes } => {
                let kind = kind_of(&no_path);
                let mut message = no_path.summary();
                let obstacle = no_path.obstacles.first();
                if let Some(obstacle) = obstacle.filter(|_| kind == RefusalKind::NotAllowedNow) {
                    message.push_str(&format!("; in the way is {obstacle}"));
                }
                if let Some(note) = notes.first() {
                    message.push_str(&format!("; {note}"));
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
        BadRequest::AlreadyThere { .. } => RefusalKind::TargetUnfit,
        BadRequest::Downgrade { .. } => RefusalKind::Downgrade,
        BadRequest::TooMixed { .. } | BadRequest::TooManyVersions { .. } => {
            RefusalKind::NotAllowedNow
        }
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
    let all: Vec<Target> = match targets.is_empty() && planted::is(Bug::EmptyMeansAll) {
        true => state
            .components()
            .filter_map(|component| {
                let newest = state.releases_of(component).last()?;
                Some(Target {
                    component: component.clone(),
                    version: newest.version.clone(),
                    allow_downgrade: false,
                })
            })
            .collect(),
        false => targets.to_vec(),
    };
    let targets = all.as_slice();
    check_platforms(state, targets)?;
    check_bytes(state, targets)?;
    let known = Known::of(state, targets);
    let answer = find(&known.request(targets)).map_err(|no_path| match &no_path.reason {
        Reason::BadRequest(why) => NoDraft::Refused(refused(why)),
        _ => NoDraft::NoPath {
            notes: notes(state, &no_path),
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

/// See [`NoDraft::NoPath`].
fn notes(state: &State, no_path: &NoPath) -> Vec<String> {
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
fn note_beside(state: &State, step: &Step) -> String {
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
            note: note_beside(state, &step),
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
            undoes: None,
        })
        .collect()
}
