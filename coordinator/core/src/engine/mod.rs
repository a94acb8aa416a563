//! The engine: what follows from the state. It is asked again after every change until it has nothing to
//! say, and says one thing at a time, so that each decision is made on the state that the one before left.
//!
//! - `follow`: tasks keep up with what their instances report; slots are given back.
//! - `admit`: the next task gets its slot and its order.
//! - [`budget`]: whether one more instance may go down.
//! - [`waits`]: why a task does not move, from the same functions that hold it.
//! - [`timers`]: when to ask again though nothing happened.

mod admit;
pub mod budget;
mod follow;
pub mod timers;
pub mod waits;

use evenkeel_words::timestamp::Timestamp;

use crate::{
    change::{Change, Resource},
    plan::{Plan, PlanState, TaskState},
    state::State,
};

/// The next thing that follows from the state, if any.
#[must_use]
pub fn advance(state: &State, now: Timestamp) -> Option<Change> {
    state
        .plans_under_way()
        .find_map(|plan| advance_plan(state, plan, now))
        .map(|(cause, resources)| Change {
            actor: "engine".to_owned(),
            cause,
            resources,
        })
}

type Decision = (String, Vec<Resource>);

fn advance_plan(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    if let Some(followed) = follow::follow(state, plan, now) {
        return Some(followed);
    }
    match &plan.state {
        PlanState::Running => finalize(state, plan, now)
            .or_else(|| overdue(state, plan, now))
            .or_else(|| admit::prefetched(state, plan, now))
            .or_else(|| admit::admit(state, plan, now)),
        PlanState::Paused(_) => None,
        PlanState::Aborting(reason) => aborted(state, plan, reason, now),
        PlanState::Draft | PlanState::Finalized | PlanState::Aborted(_) => None,
    }
}

fn finalize(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let all_done = state
        .tasks_of(plan.id)
        .all(|task| task.state == TaskState::Done);
    all_done.then(|| {
        let finalized = Plan {
            state: PlanState::Finalized,
            ended_at: Some(now),
            ..plan.clone()
        };
        (
            format!("{} finalized", plan.id),
            vec![Resource::Plan(finalized)],
        )
    })
}

fn aborted(state: &State, plan: &Plan, reason: &str, now: Timestamp) -> Option<Decision> {
    let in_flight = state.tasks_of(plan.id).any(|task| task.state.in_flight());
    (!in_flight).then(|| {
        let aborted = Plan {
            state: PlanState::Aborted(reason.to_owned()),
            ended_at: Some(now),
            ..plan.clone()
        };
        (
            format!("{} aborted", plan.id),
            vec![Resource::Plan(aborted)],
        )
    })
}

/// Pauses a plan that has not moved for too long, or whose agent has not said how an order ended. A slot
/// stays taken: that time has passed is no evidence of health.
fn overdue(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let late = state
        .tasks_of(plan.id)
        .find(|task| timers::order_overdue_at(plan, task).is_some_and(|at| now >= at));
    let reason = if let Some(task) = late {
        format!(
            "the agent of {} has not said how order {} ended, {:?} after it was given; look at the node, then resume or abort",
            task.instance,
            task.generation,
            timers::order_overdue_after(plan)
        )
    } else if now >= timers::progress_overdue_at(plan) {
        let first = state
            .tasks_of(plan.id)
            .find_map(|task| waits::wait(state, plan, task));
        let first = first.map_or_else(String::new, |wait| {
            format!("; first of all {}", wait.sentence)
        });
        format!(
            "no task moved for {:?}{first}; mend it and resume, or abort",
            plan.policy.progress_deadline
        )
    } else {
        return None;
    };
    let paused = Plan {
        state: PlanState::Paused(reason),
        ..plan.clone()
    };
    Some((format!("{} paused", plan.id), vec![Resource::Plan(paused)]))
}
