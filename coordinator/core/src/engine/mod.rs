//! The engine: what follows from the state. It is asked again after every change until it has nothing to
//! say, and says one thing at a time, so that each decision is made on the state that the one before left.
//!
//! - `slots`: taken with an order, given back on evidence.
//! - `follow`: tasks keep up with what their instances report; `way_back`: they got sick and go back.
//! - `compatible`: versions that would meet have to be compatible, or the plan pauses.
//! - [`undo`]: which hops can be undone, because nothing has made them final.
//! - [`finality`]: what a person has to confirm, because there is no way back from it.
//! - `overdue`: what takes too long pauses the plan, or ends it if it was given up.
//! - `admit`: the next task gets its slot and its order.
//! - [`budget`]: whether one more instance may go down.
//! - [`waits`]: why a task does not move, from the same functions that hold it.
//! - [`timers`]: when to ask again though nothing happened.

mod admit;
pub mod budget;
pub mod compatible;
pub mod finality;
mod follow;
mod overdue;
mod slots;
pub mod timers;
pub mod undo;
pub mod waits;
mod way_back;

use evenkeel_words::timestamp::Timestamp;

use crate::{
    change::{Change, Resource},
    plan::{Plan, PlanState},
    state::State,
};

/// The next thing that follows from the state, if any.
#[must_use]
pub fn advance(state: &State, now: Timestamp) -> Option<Change> {
    let plans = || state.plans_under_way();
    plans()
        .find_map(|plan| follow::follow(state, plan, now))
        .or_else(|| slots::give_back(state, now))
        .or_else(|| plans().find_map(|plan| go_on(state, plan, now)))
        .map(|(cause, resources)| Change {
            actor: "engine".to_owned(),
            cause,
            resources,
        })
}

type Decision = (String, Vec<Resource>);

fn go_on(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    match &plan.state {
        PlanState::Running => finality::finish(state, plan, now)
            .or_else(|| overdue::pause(state, plan, now))
            .or_else(|| compatible::pause(state, plan))
            .or_else(|| admit::prefetched(state, plan, now))
            .or_else(|| admit::admit(state, plan, now)),
        PlanState::Paused(_) | PlanState::ReadyToFinalize | PlanState::Finalizing => None,
        PlanState::RollingBack(_) => None,
        PlanState::Aborting(reason) => {
            overdue::park(state, plan, now).or_else(|| aborted(state, plan, reason, now))
        }
        PlanState::Draft
        | PlanState::Finalized
        | PlanState::Aborted(_)
        | PlanState::RolledBack(_)
        | PlanState::Superseded(_)
        | PlanState::Failed(_) => None,
    }
}

fn aborted(state: &State, plan: &Plan, reason: &str, now: Timestamp) -> Option<Decision> {
    let in_flight = state.tasks_of(plan.id).any(|task| task.state.in_flight());
    (!in_flight).then(|| ended(plan, PlanState::Aborted(reason.to_owned()), now))
}

fn ended(plan: &Plan, state: PlanState, now: Timestamp) -> Decision {
    let cause = format!("{} {}", plan.id, state.name());
    let ended = Plan {
        state,
        ended_at: Some(now),
        ..plan.clone()
    };
    (cause, vec![Resource::Plan(ended)])
}
