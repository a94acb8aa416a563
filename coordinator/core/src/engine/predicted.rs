//! What a plan predicts of its instances, against what they report: while it runs, one that it is not at work on has to
//! be where the plan has left it, or found it. Where that is not so somebody else is at work too, and the plan pauses
//! with the difference rather than build on it.

use evenkeel_words::names::InstanceId;

use super::{Decision, follow::pause};
use crate::{
    change::Resource,
    instance::Instance,
    plan::{Plan, PlanId, PlanState, Task, TaskId, TaskState},
    release::ReleaseRef,
    state::State,
};

/// Pauses a plan that runs if this instance of it is not as predicted.
pub(super) fn differs(state: &State, plan: PlanId, instance: &InstanceId) -> Option<Decision> {
    let plan = state.plan(plan)?;
    if plan.state != PlanState::Running {
        return None;
    }
    let why = difference(
        state.instance(instance)?,
        &predicted(state, plan, instance)?,
    )?;
    let mut paused = Plan::clone(plan);
    let reason = format!(
        "{instance} is not as the plan predicts: {why}; put that right and resume, or retarget or abort the plan"
    );
    pause(&mut paused, reason);
    Some((format!("{} paused", plan.id), vec![Resource::Plan(paused)]))
}

/// The releases of which an instance has to have one.
struct Predicted<'a> {
    release: &'a ReleaseRef,
    /// What it is brought to next: one that is there already is taken for what it is.
    or: Option<&'a ReleaseRef>,
}

/// What is predicted of an instance; nothing while something is being done to it, when a person looks after it, or if it
/// is left out.
fn predicted<'a>(state: &'a State, plan: &Plan, instance: &InstanceId) -> Option<Predicted<'a>> {
    let stages = 0..u32::try_from(plan.stages.len()).unwrap_or(u32::MAX);
    let mut done: Option<&Task> = None;
    for stage in stages {
        let id = TaskId {
            plan: plan.id,
            stage,
            instance: instance.clone(),
        };
        let Some(task) = state.task(&id) else {
            continue;
        };
        match task.state {
            TaskState::Done => done = Some(task),
            TaskState::Pending | TaskState::Prefetched => {
                return Some(Predicted {
                    release: &task.from,
                    or: Some(&task.to),
                });
            }
            TaskState::Admitted
            | TaskState::Quiesced
            | TaskState::Stopped
            | TaskState::Swapped
            | TaskState::Started
            | TaskState::Verified
            | TaskState::Rejoined
            | TaskState::Reverting(_)
            | TaskState::Reverted(_)
            | TaskState::Parked(_)
            | TaskState::Skipped(_) => return None,
        }
    }
    let release = &done?.to;
    Some(Predicted { release, or: None })
}

fn difference(instance: &Instance, predicted: &Predicted<'_>) -> Option<String> {
    let expected = &predicted.release.version;
    let report = &instance.report;
    let is_predicted =
        |release: &ReleaseRef| release == predicted.release || Some(release) == predicted.or;
    let Some(current) = &report.current else {
        let reason = match report.reason.as_str() {
            "" => "it has no release",
            reason => reason,
        };
        return Some(format!("{reason}, and {expected} was to be there"));
    };
    if !is_predicted(current) {
        return Some(match current.version == *expected {
            true => format!("it has other bytes as {expected}"),
            false => format!("it has {}, not {expected}", current.version),
        });
    }
    let process = report.process.as_ref().map(|process| &process.release);
    let other = process.filter(|release| *release != current)?;
    Some(format!(
        "its process runs {}, and its current release is {}",
        other.version, current.version
    ))
}
