//! What is asked of a plan: start, pause, resume, finalize, abort.

use evenkeel_words::{
    limits::{REASON_BYTES_MAX, cut},
    timestamp::Timestamp,
};

use super::short;
use crate::{
    change::Resource,
    engine::finality,
    plan::{Plan, PlanId, PlanState, Stage, TaskState},
    planner,
    refusal::{Refusal, RefusalKind},
    state::State,
};

pub(super) fn start(state: &State, id: PlanId, now: Timestamp) -> Result<Plan, Refusal> {
    let plan = state.known_plan(id)?;
    if plan.state != PlanState::Draft {
        return Err(wrong_state(plan, "only a draft can be started"));
    }
    planner::check_unchanged(state, plan)?;
    let conflict = state
        .tasks_of(id)
        .find_map(|task| Some((&task.instance, state.claimed_by(&task.instance)?)));
    if let Some((instance, other)) = conflict {
        return Err(Refusal::new(
            RefusalKind::PlanConflict,
            format!(
                "{other} is under way and has a task for {instance}, as has {id}; one plan at a time may touch an instance"
            ),
        ));
    }
    let component = |other: &Plan| {
        let moves = |stage: &&Stage| other.stages.iter().any(|s| s.component == stage.component);
        plan.stages
            .iter()
            .find(moves)
            .map(|stage| stage.component.clone())
    };
    // One that is ready to be finalized moves nothing any more, and may wait for what this one brings along.
    let conflict = state
        .plans_under_way()
        .filter(|other| other.state != PlanState::ReadyToFinalize)
        .find_map(|other| Some((other.id, component(other)?)));
    if let Some((other, component)) = conflict {
        return Err(Refusal::new(
            RefusalKind::PlanConflict,
            format!(
                "{other} is under way and changes {component}, as does {id}; one plan at a time may change a component"
            ),
        ));
    }
    Ok(Plan {
        state: PlanState::Running,
        started_at: Some(now),
        progressed_at: now,
        ..Plan::clone(plan)
    })
}

pub(super) fn pause(
    state: &State,
    id: PlanId,
    reason: &str,
    subject: &str,
) -> Result<Plan, Refusal> {
    let plan = state.known_plan(id)?;
    if plan.state != PlanState::Running {
        return Err(wrong_state(plan, "only a running plan can be paused"));
    }
    Ok(Plan {
        state: PlanState::Paused(by(subject, reason)),
        ..Plan::clone(plan)
    })
}

pub(super) fn resume(state: &State, id: PlanId, now: Timestamp) -> Result<Vec<Resource>, Refusal> {
    let plan = state.known_plan(id)?;
    if !matches!(plan.state, PlanState::Paused(_)) {
        return Err(wrong_state(plan, "only a paused plan can be resumed"));
    }
    let mut resources = vec![Resource::Plan(Plan {
        state: PlanState::Running,
        progressed_at: now,
        ..Plan::clone(plan)
    })];
    resources.extend(state.tasks_of(id).filter_map(|task| {
        let again = matches!(task.state, TaskState::Reverted(_) | TaskState::Parked(_));
        again.then(|| Resource::Task(task.again()))
    }));
    Ok(resources)
}

pub(super) fn abort(
    state: &State,
    id: PlanId,
    reason: &str,
    subject: &str,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let plan = state.known_plan(id)?;
    let reason = by(subject, reason);
    let next = match plan.state {
        PlanState::Draft => PlanState::Aborted(reason),
        PlanState::Running | PlanState::Paused(_) | PlanState::ReadyToFinalize => {
            PlanState::Aborting(reason)
        }
        PlanState::Finalizing => {
            return Err(wrong_state(plan, "what has been made final stays so"));
        }
        PlanState::RollingBack(_) => PlanState::Aborting(reason),
        PlanState::Aborting(_)
        | PlanState::Aborted(_)
        | PlanState::Finalized
        | PlanState::RolledBack(_)
        | PlanState::Superseded(_)
        | PlanState::Failed(_) => {
            return Err(wrong_state(plan, "it has ended, or is about to"));
        }
    };
    let ended = matches!(next, PlanState::Aborted(_));
    Ok(Plan {
        state: next,
        ended_at: ended.then_some(now),
        // What is in flight has the whole progress deadline to end.
        progressed_at: now,
        ..Plan::clone(plan)
    })
}

pub(super) fn finalize(
    state: &State,
    id: PlanId,
    stage: Option<u32>,
    subject: &str,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let plan = state.known_plan(id)?;
    finality::confirmed(state, plan, stage, subject, now).map_err(|why| wrong_state(plan, &why))
}

fn by(subject: &str, reason: &str) -> String {
    let text = match short(reason).as_str() {
        "" => format!("{subject} asked for it"),
        reason => format!("{subject} asked for it: {reason}"),
    };
    cut(text, REASON_BYTES_MAX)
}

fn wrong_state(plan: &Plan, rule: &str) -> Refusal {
    let state = match &plan.state {
        PlanState::Draft => "a draft",
        other => other.name(),
    };
    Refusal::new(
        RefusalKind::NotAllowedNow,
        format!("{} is {state}; {rule}", plan.id),
    )
}
