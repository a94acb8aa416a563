//! What changes the course of a plan: rollback, retarget, and for single tasks retry and skip.

use evenkeel_words::{names::InstanceId, timestamp::Timestamp};

use super::plan::{by, wrong_state};
use crate::{
    change::Resource,
    engine::{retarget, rollback},
    instance::GoneInstance,
    plan::{Plan, PlanId, PlanKind, PlanState, Policy, Successor, Target, Task, TaskState},
    refusal::{Refusal, RefusalKind},
    state::State,
};

pub(super) fn roll_back(
    state: &State,
    id: PlanId,
    reason: &str,
    subject: &str,
    now: Timestamp,
) -> Result<Vec<Resource>, Refusal> {
    let plan = state.known_plan(id)?;
    let begun = rollback::begin(state, plan, by(subject, reason), now);
    let (_, resources) = begun.map_err(|why| wrong_state(plan, &why))?;
    Ok(resources)
}

pub(super) fn retarget(
    state: &State,
    id: PlanId,
    (targets, policy): (&[Target], &Policy),
    reason: &str,
    subject: &str,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let plan = state.known_plan(id)?;
    may_be_retargeted(plan)?;
    let successor = Successor {
        targets: targets.to_vec(),
        policy: policy.clone(),
        asked_by: subject.to_owned(),
    };
    retarget::drafted(state, plan, &successor, now)?;
    Ok(Plan {
        state: PlanState::Aborting(by(subject, reason)),
        successor: Some(successor),
        // What is in flight has the whole progress deadline to end.
        progressed_at: now,
        ..Plan::clone(plan)
    })
}

/// Checks that a plan may be given up for another one.
///
/// # Errors
/// `NotAllowedNow` in any state in which it may not.
pub fn may_be_retargeted(plan: &Plan) -> Result<(), Refusal> {
    if plan.kind != PlanKind::Upgrade {
        let rule = "it brings nothing to a version, so there is nothing to aim elsewhere";
        let Refusal { message, .. } = wrong_state(plan, rule);
        return Err(Refusal::new(RefusalKind::TargetUnfit, message));
    }
    match plan.state {
        PlanState::Running | PlanState::Paused(_) | PlanState::ReadyToFinalize => Ok(()),
        PlanState::Aborting(_) if plan.rollback_began_at.is_none() => Ok(()),
        PlanState::Draft
        | PlanState::Finalizing
        | PlanState::Finalized
        | PlanState::Aborting(_)
        | PlanState::Aborted(_)
        | PlanState::RollingBack(_)
        | PlanState::RolledBack(_)
        | PlanState::Superseded(_)
        | PlanState::Failed(_) => Err(wrong_state(
            plan,
            "only a plan that is under way, and not rolled back, can be retargeted",
        )),
    }
}

pub(super) fn retry(
    state: &State,
    id: PlanId,
    instance: &InstanceId,
    now: Timestamp,
) -> Result<Vec<Resource>, Refusal> {
    let plan = state.known_plan(id)?;
    takes_decisions(plan, "it is too late to try a task again")?;
    known_tasks(state, plan, instance)?;
    let task = state
        .task_under_way(id, instance)
        .filter(|task| matches!(task.state, TaskState::Reverted(_) | TaskState::Parked(_)));
    let task = task.ok_or_else(|| {
        let task = state.task_under_way(id, instance);
        let is = task.map_or("over", |task| task.state.name());
        not_allowed(format!(
            "the task of {instance} in {id} is {is}; one that was put back or parked can be tried again"
        ))
    })?;
    let plan = Plan {
        progressed_at: now,
        ..Plan::clone(plan)
    };
    Ok(vec![Resource::Plan(plan), Resource::Task(task.again())])
}

pub(super) fn skip(
    state: &State,
    id: PlanId,
    instance: &InstanceId,
    reason: &str,
    subject: &str,
    now: Timestamp,
) -> Result<Vec<Resource>, Refusal> {
    let plan = state.known_plan(id)?;
    let gone = gone(state, instance);
    if plan.state != PlanState::ReadyToFinalize || gone.is_none() {
        takes_decisions(plan, "it is too late to leave anything out")?;
    }
    if reason.trim().is_empty() {
        return Err(Refusal::new(
            RefusalKind::BadArgument,
            "an instance is left out for a reason, and there is none",
        ));
    }
    let tasks = known_tasks(state, plan, instance)?;
    let in_flight = |task: &&&Task| task.state.in_flight() && gone.is_none();
    if let Some(task) = tasks.iter().find(in_flight) {
        return Err(not_allowed(format!(
            "the task of {instance} in {id} is {}: it is let end first",
            task.state.name()
        )));
    }
    let skipped: Vec<_> = tasks
        .iter()
        .filter(|task| !task.state.is_over())
        .map(|task| {
            Resource::Task(Task {
                state: TaskState::Skipped(by(subject, reason)),
                ..Task::clone(task)
            })
        })
        .collect();
    if skipped.is_empty() && gone.is_none() {
        return Err(not_allowed(format!(
            "all that {id} had to do for {instance} is over"
        )));
    }
    let count = u32::try_from(skipped.len()).unwrap_or(u32::MAX);
    let plan = Plan {
        tasks_skipped: plan.tasks_skipped.saturating_add(count),
        progressed_at: now,
        ..Plan::clone(plan)
    };
    let gone = gone.map(Resource::InstanceGone).into_iter().collect();
    Ok([vec![Resource::Plan(plan)], skipped, gone].concat())
}

/// What is kept of an instance that its agent no longer has, if that is so. What may still be carrying out an order keeps
/// its slot, and stays.
fn gone(state: &State, id: &InstanceId) -> Option<GoneInstance> {
    let instance = state.instance(id)?;
    (instance.is_absent() && instance.slot.is_none()).then(|| GoneInstance {
        id: id.clone(),
        order: instance.order.clone(),
        revision: instance.revision,
    })
}

/// Checks that a person may decide on single tasks of the plan.
fn takes_decisions(plan: &Plan, else_what: &str) -> Result<(), Refusal> {
    match plan.state {
        PlanState::Running | PlanState::Paused(_) | PlanState::RollingBack(_) => Ok(()),
        PlanState::Draft => Err(wrong_state(plan, "start it first")),
        PlanState::ReadyToFinalize
        | PlanState::Finalizing
        | PlanState::Finalized
        | PlanState::Aborting(_)
        | PlanState::Aborted(_)
        | PlanState::RolledBack(_)
        | PlanState::Superseded(_)
        | PlanState::Failed(_) => Err(wrong_state(plan, else_what)),
    }
}

fn known_tasks<'a>(
    state: &'a State,
    plan: &Plan,
    instance: &InstanceId,
) -> Result<Vec<&'a Task>, Refusal> {
    let stages = 0..u32::try_from(plan.stages.len()).unwrap_or(u32::MAX);
    let tasks = stages.filter_map(|stage| {
        state.task(&crate::plan::TaskId {
            plan: plan.id,
            stage,
            instance: instance.clone(),
        })
    });
    let tasks: Vec<_> = tasks.map(AsRef::as_ref).collect();
    match tasks.is_empty() {
        true => Err(Refusal::new(
            RefusalKind::NotFound,
            format!("{} has no task for an instance {instance}", plan.id),
        )),
        false => Ok(tasks),
    }
}

fn not_allowed(message: String) -> Refusal {
    Refusal::new(RefusalKind::NotAllowedNow, message)
}
