//! What is asked of the fleet as a whole.

use evenkeel_words::timestamp::Timestamp;

use super::short;
use crate::{
    freeze::Freeze,
    refusal::{Refusal, RefusalKind},
    state::State,
};

pub(super) fn freeze(
    state: &State,
    reason: &str,
    subject: &str,
    now: Timestamp,
) -> Result<Freeze, Refusal> {
    let reason = short(reason);
    if reason.is_empty() {
        return Err(Refusal::new(
            RefusalKind::BadArgument,
            "a freeze has a reason: whoever is held up by it will want to know",
        ));
    }
    if let Some(there) = state.frozen() {
        return Err(Refusal::new(
            RefusalKind::NotAllowedNow,
            format!(
                "the fleet is frozen already: {} ({})",
                there.reason, there.by
            ),
        ));
    }
    Ok(Freeze {
        reason,
        by: subject.to_owned(),
        at: now,
        lifted: None,
        revision: 0,
    })
}

pub(super) fn unfreeze(state: &State, subject: &str, now: Timestamp) -> Result<Freeze, Refusal> {
    let there = state
        .frozen()
        .ok_or_else(|| Refusal::new(RefusalKind::NotAllowedNow, "the fleet is not frozen"))?;
    Ok(Freeze {
        lifted: Some((subject.to_owned(), now)),
        ..Freeze::clone(there)
    })
}
