//! The breaker: too much of the fleet is silent, or fell silent at once. Then it is more likely that we are blind than
//! that so many hosts are lost, and nothing new starts anywhere. It is told from the state, and closes by itself.

use evenkeel_words::planted::{self, Bug};
use std::time::Duration;

use evenkeel_words::timestamp::Timestamp;

use crate::state::State;

/// Fleets of fewer nodes have the budget alone: one silent node of two says nothing of us.
const NODES_MIN: u32 = 3;

/// At least so many nodes that fall silent within [`SILENT_WITHIN`] open it, however small the fleet.
const SILENT_MIN: u32 = 3;

/// The same as a share of the fleet, in percent.
const SILENT_PERCENT: u32 = 10;

/// See [`SILENT_MIN`].
const SILENT_WITHIN: Duration = Duration::from_secs(60);

/// So much of the fleet has to be heard, in percent; what has not been heard since the coordinator started is not.
const ALIVE_PERCENT: u32 = 65;

/// Why nothing new starts, in one sentence; nothing if the breaker is closed.
#[must_use]
pub fn open(state: &State, now: Timestamp) -> Option<String> {
    let (nodes, up) = state.nodes_heard();
    if nodes < NODES_MIN || planted::is(Bug::BreakerIgnored) {
        return None;
    }
    if u64::from(up) * 100 < u64::from(nodes) * u64::from(ALIVE_PERCENT) {
        return Some(format!(
            "the breaker is open: {up} of {nodes} nodes are heard, and nothing starts while less than {ALIVE_PERCENT}% are"
        ));
    }
    let silent = count(silent_lately(state, now).count());
    (silent >= allowed(nodes)).then(|| {
        format!(
            "the breaker is open: {silent} nodes fell silent within {SILENT_WITHIN:?}, so that the fault may well be on our side"
        )
    })
}

/// When it may close by itself though nobody says anything.
#[must_use]
pub fn closes_at(state: &State, now: Timestamp) -> Option<Timestamp> {
    open(state, now)?;
    let (nodes, _) = state.nodes_heard();
    // When that one is silent for long enough too few are left that fell silent lately.
    let last = usize::try_from(allowed(nodes).checked_sub(1)?).ok()?;
    let since = silent_lately(state, now).nth(last)?;
    Some(since.after(SILENT_WITHIN))
}

/// Since when nodes are silent that have not been for [`SILENT_WITHIN`], the newest first.
fn silent_lately(state: &State, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let newest_first = state.silent_since().rev();
    newest_first.take_while(move |since| since.after(SILENT_WITHIN) > now)
}

/// So many that fall silent at once open it.
fn allowed(nodes: u32) -> u32 {
    let share = (u64::from(nodes) * u64::from(SILENT_PERCENT)).div_ceil(100);
    u32::try_from(share).unwrap_or(u32::MAX).max(SILENT_MIN)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
