//! What keeps a plan as a whole from beginning anything: the fleet's freeze, the breaker, its own windows. What is in
//! flight goes on, and so do ways back.

use std::time::Duration;

use evenkeel_words::planted::{self, Bug};
use evenkeel_words::timestamp::Timestamp;

use super::{breaker, waits::WaitKind};
use crate::{
    plan::{Plan, PlanState},
    state::State,
};

/// How many openings are looked at, at most, for a time in which windows are open: what is left after that counts as open.
/// Windows that open each minute come to four hours.
const OPENINGS_MAX: usize = 240;

/// What a plan waits for as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What kind of thing.
    pub kind: WaitKind,
    /// The same in one sentence.
    pub sentence: String,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
}

/// What keeps the plan from beginning anything; nothing if it may. A way back waits for no window and no freeze.
#[must_use]
pub fn holds_back(state: &State, plan: &Plan, now: Timestamp) -> Option<Hold> {
    match plan.state {
        PlanState::Running => frozen(state)
            .or_else(|| breaker_open(state, now))
            .or_else(|| outside_windows(plan, now)),
        PlanState::RollingBack(_) => breaker_open(state, now),
        PlanState::Draft
        | PlanState::Paused(_)
        | PlanState::ReadyToFinalize
        | PlanState::Finalizing
        | PlanState::Finalized
        | PlanState::Aborting(_)
        | PlanState::Aborted(_)
        | PlanState::RolledBack(_)
        | PlanState::Superseded(_)
        | PlanState::Failed(_) => None,
    }
}

/// What keeps anything from being made final: with a fleet that is frozen, or not heard, nobody can say that all is well.
pub(super) fn keeps_ways_back(state: &State, now: Timestamp) -> Option<Hold> {
    frozen(state).or_else(|| breaker_open(state, now))
}

fn frozen(state: &State) -> Option<Hold> {
    let freeze = state
        .frozen()
        .filter(|_| !planted::is(Bug::FreezeIgnored))?;
    Some(Hold {
        kind: WaitKind::Freeze,
        sentence: format!(
            "the fleet is frozen by {}: {}; `evenkeel fleet unfreeze` lifts that",
            freeze.by, freeze.reason
        ),
        until: None,
    })
}

fn breaker_open(state: &State, now: Timestamp) -> Option<Hold> {
    Some(Hold {
        kind: WaitKind::Breaker,
        sentence: breaker::open(state, now)?,
        until: breaker::closes_at(state, now),
    })
}

fn outside_windows(plan: &Plan, now: Timestamp) -> Option<Hold> {
    let openings = plan.policy.windows.iter().map(|window| {
        let opening = window.opening(now);
        (opening.unwrap_or(Timestamp(u64::MAX)), window)
    });
    let (opening, window) = openings.min_by_key(|(opening, _)| *opening)?;
    (opening > now).then(|| Hold {
        kind: WaitKind::Window,
        sentence: format!(
            "it is outside the plan's windows; the next ({window}) opens at {}",
            window.told(opening)
        ),
        until: Some(opening),
    })
}

/// When what holds the plan back may have changed though nothing happened.
#[must_use]
pub fn changes_at(state: &State, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    let hold = holds_back(state, plan, now)?;
    // Behind the one that is told there may be another.
    let window = outside_windows(plan, now).and_then(|hold| hold.until);
    [hold.until, window].into_iter().flatten().min()
}

/// Since when the fleet is not frozen any more. Nothing while it is, or none of the plan's windows is open: it is not to
/// move then.
#[must_use]
pub fn free_since(state: &State, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    if state.frozen().is_some() || outside_windows(plan, now).is_some() {
        return None;
    }
    let lifted = state.freeze().and_then(|freeze| freeze.lifted.as_ref());
    Some(lifted.map_or(Timestamp(0), |(_, at)| *at))
}

/// When any of the plan's windows has been open for so long since then, however many that takes; nothing if they do not
/// open so often any more.
#[must_use]
pub fn open_for(plan: &Plan, since: Timestamp, span: Duration) -> Option<Timestamp> {
    let windows = &plan.policy.windows;
    let (mut at, mut left) = (since, span);
    for _ in 0..OPENINGS_MAX {
        if windows.is_empty() {
            break;
        }
        let openings = windows.iter();
        let openings = openings.filter_map(|window| Some((window.opening(at)?, window)));
        let (opening, window) = openings.min_by_key(|(opening, _)| *opening)?;
        at = at.max(opening);
        let open = opening.after(window.text().duration).since(at);
        if open >= left {
            break;
        }
        (at, left) = (at.after(open), left.saturating_sub(open));
    }
    Some(at.after(left))
}
