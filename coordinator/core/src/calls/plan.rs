//! What is asked of a plan: start, pause, resume, finalize, abort. What changes its course is in `verbs`.

use evenkeel_words::{
    limits::{REASON_BYTES_MAX, cut},
    timestamp::Timestamp,
};

use super::short;
use crate::{
    change::Resource,
    engine::{cohort, conflict, finality},
    plan::{Plan, PlanId, PlanState, TaskState},
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
    let tasks = state.tasks_of(id).map(AsRef::as_ref);
    conflict::check(state, plan, tasks, None)?;
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
        resumed_at: Some(now),
        compared: cohort::accepted(plan),
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
        // Whoever gives it up altogether does not want another one either.
        successor: None,
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

pub(super) fn by(subject: &str, reason: &str) -> String {
    let text = match short(reason).as_str() {
        "" => format!("{subject} asked for it"),
        reason => format!("{subject} asked for it: {reason}"),
    };
    cut(text, REASON_BYTES_MAX)
}

pub(super) fn wrong_state(plan: &Plan, rule: &str) -> Refusal {
    let state = match &plan.state {
        PlanState::Draft => "a draft",
        other => other.name(),
    };
    Refusal::new(
        RefusalKind::NotAllowedNow,
        format!("{} is {state}; {rule}", plan.id),
    )
}
