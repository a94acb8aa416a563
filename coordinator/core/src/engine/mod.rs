//! The engine: what follows from the state. It says one thing at a time, so that each decision is made on the state
//! that the one before left, and is asked again until it has nothing to say.
//!
//! [`Engine`] is the list of what has to be looked at: it is told of every change, so that a turn costs what changed
//! and not what the fleet is. It decides nothing by itself and keeps nothing that matters: one that is made anew from
//! the state comes to the same, and [`advance`] asks such a one.
//!
//! - `attention`: what a change touches; `agenda`: when to look again though nothing happened.
//! - `follow`: tasks keep up with what their instances report; `way_back`: they got sick and go back.
//! - `slots`: taken with an order, given back on evidence.
//! - [`cohort`]: those that were changed are compared with those that were not, before each wave.
//! - `compatible`: versions that would meet have to be compatible, or the plan pauses.
//! - [`undo`]: which hops can be undone, because nothing has made them final.
//! - [`finality`]: what a person has to confirm, because there is no way back from it.
//! - `overdue`: what takes too long pauses the plan, or ends it if it was given up.
//! - `failure`: a task has failed, and by its policy the plan goes on or not; [`plan_deadline`]: it takes too long.
//! - `admit`: the next task gets its slot and its order.
//! - [`rollback`]: a plan's way back, as stages of its own; [`retarget`]: another plan takes its place.
//! - `predicted`: an instance that is not as the plan predicts pauses it.
//! - `finalizing`: storage systems are told that the version they run is final.
//! - [`conflict`]: plans that would be at work on the same things.
//! - `asking`: whether a process may be stopped is asked of one of a group at a time.
//! - `yields`: an instance that could not be spared lets others go first.
//! - [`hold`]: what keeps a plan as a whole from beginning anything; [`breaker`]: too much of the fleet is silent.
//! - [`budget`]: whether one more instance may go down; [`limits`] is its arithmetic.
//! - [`quarantine`]: what may not run beside what is there stays down; `catch_up`: it is brought to where the others are.
//! - [`waits`]: why a task does not move, from the same functions that hold it.
//! - [`timers`]: the deadlines.

mod admit;
mod agenda;
mod asking;
mod attention;
pub mod breaker;
pub mod budget;
mod catch_up;
pub mod cohort;
pub mod compatible;
pub mod conflict;
mod failure;
pub mod finality;
mod finalizing;
mod follow;
pub mod hold;
pub mod limits;
mod overdue;
pub mod plan_deadline;
mod predicted;
pub mod quarantine;
pub mod retarget;
pub mod rollback;
mod slots;
pub mod timers;
pub mod undo;
pub mod waits;
mod way_back;
mod yields;

use evenkeel_words::{
    planted::{self, Bug},
    timestamp::Timestamp,
};

use crate::{
    change::{Change, Resource},
    plan::{Plan, PlanState},
    state::State,
};

pub use attention::Engine;

/// The next thing that follows from the state, if any, whatever was looked at before.
#[must_use]
pub fn advance(state: &State, now: Timestamp) -> Option<Change> {
    Engine::new(state).advance(state, now)
}

/// What is decided: what it is, in a few words for people, and what is different.
pub type Decision = (String, Vec<Resource>);

/// What follows for a plan as a whole.
fn go_on(
    state: &State,
    plan: &Plan,
    search: &mut admit::Search,
    now: Timestamp,
) -> Option<Decision> {
    way_back::give_orders(state, plan, now).or_else(|| match &plan.state {
        PlanState::Running => finality::finish(state, plan, now)
            .or_else(|| failure::roll_back(state, plan, now))
            .or_else(|| failure::nothing_else_left(state, plan))
            .or_else(|| plan_deadline::passed(state, plan, now))
            .or_else(|| overdue::pause(state, plan, now))
            .or_else(|| compatible::pause(state, plan))
            .or_else(|| admit::prefetched(state, plan, now))
            .or_else(|| cohort::compare(state, plan, now))
            .or_else(|| admit::admit(state, plan, search, now)),
        PlanState::Paused(_) | PlanState::ReadyToFinalize => None,
        PlanState::Finalizing => finalizing::go_on(state, plan, now),
        PlanState::RollingBack(reason) => rollback::go_on(state, plan, reason, search, now),
        PlanState::Aborting(reason) => {
            overdue::park(state, plan, now).or_else(|| aborted(state, plan, reason, now))
        }
        PlanState::Draft
        | PlanState::Finalized
        | PlanState::Aborted(_)
        | PlanState::RolledBack(_)
        | PlanState::Superseded(_)
        | PlanState::Failed(_) => None,
    })
}

fn aborted(state: &State, plan: &Plan, reason: &str, now: Timestamp) -> Option<Decision> {
    let in_flight = state
        .tally(plan.id)
        .is_some_and(|tally| tally.any_in_flight());
    let is_over = !in_flight || planted::is(Bug::AbortForgetsFlight);
    is_over.then(|| match (&plan.successor, plan.rollback_began_at) {
        (_, Some(_)) => ended(plan, PlanState::Failed(reason.to_owned()), now),
        (Some(successor), None) => retarget::succeed(state, plan, successor, reason, now),
        (None, None) => ended(plan, PlanState::Aborted(reason.to_owned()), now),
    })
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
