//! The coordinator's word that the version a storage system runs is final: fenced like an order, because nothing undoes
//! what follows from it.

use evenkeel_words::planted::{self, Bug};
use thiserror::Error;

use crate::{Now, Phase, Release, State};

/// What the storage system has to be told, and what decides whether it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finality {
    /// What the report of it names; another one is another time.
    pub id: String,
    /// The newest order of the instance that the coordinator knows of; 0 if it gave none.
    pub generation: u64,
    /// The release that is going to be final.
    pub release: Release,
    /// The boot clock in the message that this answers, in milliseconds.
    pub answers_clock_ms: u64,
    /// How long after that it may still be begun, in milliseconds.
    pub begin_within_ms: u64,
}

/// What is being made final: durable before the storage system hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finalizing {
    /// Under which id.
    pub id: String,
    /// The storage system is being told. An agent that has been started since waits for the coordinator's word again.
    pub is_begun: bool,
}

/// Why the storage system is not told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotFinal {
    /// The coordinator does not know all that was ordered.
    #[error("it was said as of order {generation}, and order {accepted} was accepted before")]
    Outdated {
        /// The newest order that the coordinator knows of.
        generation: u64,
        /// The generation accepted.
        accepted: u64,
    },
    /// It came too late.
    #[error("it came too late: {late_ms} ms after it could still be begun")]
    Stale {
        /// How much too late, in milliseconds.
        late_ms: u64,
    },
    /// It answers a message that this host has not sent since it booted.
    #[error("it answers a message from before the last boot")]
    OfAnotherBoot,
    /// Something else is there.
    #[error("it is about {release}, and {current} is there")]
    OtherRelease {
        /// What it is about.
        release: Release,
        /// What `current` names.
        current: String,
    },
    /// The instance is not at rest.
    #[error("the instance is being moved, or does not serve")]
    NotServing,
}

impl Finality {
    /// Whether the storage system may be told, by what was accepted and what is there.
    ///
    /// # Errors
    /// Says why not.
    pub(crate) fn judge(&self, state: &State, now: Now) -> Result<(), NotFinal> {
        if planted::is(Bug::FinalityNotFenced) {
            return Ok(());
        }
        let accepted = state.fence.generation();
        if self.generation < accepted {
            return Err(NotFinal::Outdated {
                generation: self.generation,
                accepted,
            });
        }
        if self.answers_clock_ms > now {
            return Err(NotFinal::OfAnotherBoot);
        }
        let begin_until_ms = self.answers_clock_ms.saturating_add(self.begin_within_ms);
        if now > begin_until_ms {
            return Err(NotFinal::Stale {
                late_ms: now - begin_until_ms,
            });
        }
        if state.current.as_ref() != Some(&self.release) {
            let current = state.current.as_ref();
            return Err(NotFinal::OtherRelease {
                release: self.release.clone(),
                current: current.map_or_else(|| "nothing".to_owned(), ToString::to_string),
            });
        }
        let serves = state.runs && matches!(state.phase, Phase::Serving(_));
        match serves {
            true => Ok(()),
            false => Err(NotFinal::NotServing),
        }
    }
}
