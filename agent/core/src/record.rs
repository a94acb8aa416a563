//! What the journal keeps: the durable part of a state, whole in every record, so that the last
//! record is all there is to know.

use crate::{
    BootId, Fence, Finalized, Finalizing, Hold, Journey, OrderResult, Outcome, Phase, Run, Service,
    Settings, State,
};
use evenkeel_words::planted::{self, Bug};

/// The durable part of an instance's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What was accepted so far.
    pub fence: Fence,
    /// The storage system may have been told to move away what the instance serves, and was not told
    /// since that it stays, nor has a rebuild ended well.
    pub drained: bool,
    /// The storage system may have been told to make the process ready to be stopped, and was not told since
    /// that it is back.
    pub quiesced: bool,
    /// Under which id the storage system is going to be told that its version is final, or may have been.
    pub finalizing: Option<String>,
    /// The process that runs, or is being started, came of an order and has not passed its gates.
    pub unproven: bool,
    /// What came of making an upgrade final last.
    pub finalized: Option<Finalized>,
    /// What the coordinator has said of its staying down.
    pub hold: Hold,
    /// What is being done.
    pub standing: Standing,
}

/// What is being done, as far as it has to outlive the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: the newest order, if there was one, has ended.
    Settled {
        /// How it ended.
        outcome: Option<Outcome>,
    },
    /// What the process serves is going to be moved away.
    Draining(Journey, BootId),
    /// Whether the process may be stopped is going to be asked.
    Asking(Journey, BootId),
    /// The process is going to be made ready to be stopped.
    Quiescing(Journey, BootId),
    /// The process is not going to be stopped, and what was done for that is going to be undone.
    Declining(Journey, BootId),
    /// The process is going to be stopped.
    Stopping(Journey, BootId),
    /// The process was stopped, and its data is going to be set aside or put back.
    Emptying(Journey, BootId),
    /// The process was stopped, and `current` is going to be changed.
    Swapping(Journey, BootId),
    /// `current` is right, and the process is going to be started; or was, and it is being
    /// waited for.
    Starting(Journey, BootId),
}

impl Default for Standing {
    fn default() -> Self {
        Self::Settled { outcome: None }
    }
}

impl Standing {
    /// The journey under way, if there is one.
    #[must_use]
    pub fn journey(&self) -> Option<&Journey> {
        match self {
            Self::Draining(journey, _)
            | Self::Asking(journey, _)
            | Self::Quiescing(journey, _)
            | Self::Declining(journey, _)
            | Self::Stopping(journey, _)
            | Self::Emptying(journey, _)
            | Self::Swapping(journey, _)
            | Self::Starting(journey, _) => Some(journey),
            Self::Settled { .. } => None,
        }
    }
}

impl Record {
    /// The durable part of a state.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let boot = state.boot;
        let standing = match &state.phase {
            Phase::Serving(_) | Phase::Failed(_, _) => Standing::Settled {
                outcome: state.outcome.clone(),
            },
            Phase::Draining(journey) => Standing::Draining(journey.clone(), boot),
            Phase::Asking(journey) => Standing::Asking(journey.clone(), boot),
            Phase::Quiescing(journey) => Standing::Quiescing(journey.clone(), boot),
            Phase::Declining(journey) => Standing::Declining(journey.clone(), boot),
            Phase::Stopping(journey) => Standing::Stopping(journey.clone(), boot),
            Phase::Emptying(journey) => Standing::Emptying(journey.clone(), boot),
            Phase::Swapping(journey) => Standing::Swapping(journey.clone(), boot),
            Phase::Starting(journey)
            | Phase::Rejoining(journey)
            | Phase::Verifying(journey)
            | Phase::Recovering { journey, .. } => Standing::Starting(journey.clone(), boot),
        };
        Self {
            fence: match planted::is(Bug::GenerationNotKept) {
                true => Fence {
                    order: None,
                    ..state.fence.clone()
                },
                false => state.fence.clone(),
            },
            drained: state.drained,
            quiesced: state.quiesced,
            finalizing: state.finalizing.as_ref().map(|it| it.id.clone()),
            unproven: state.unproven,
            finalized: state.finalized.clone(),
            hold: state.hold.clone(),
            standing,
        }
    }

    /// The state that a new agent begins with; [`crate::Event::Recovered`] has to follow.
    #[must_use]
    pub fn revive(self, settings: Settings) -> State {
        let unknown = Service::new(Run::Unknown);
        let standing = match planted::is(Bug::JourneyForgotten) {
            true => Standing::default(),
            false => self.standing,
        };
        let (phase, boot, outcome) = match standing {
            Standing::Settled { outcome } => {
                let phase = match &outcome {
                    Some(Outcome {
                        result: OrderResult::Failed,
                        reason,
                        ..
                    }) => Phase::Failed(reason.clone(), unknown),
                    Some(_) | None => Phase::Serving(unknown),
                };
                (phase, BootId::default(), outcome)
            }
            Standing::Draining(journey, boot) => (Phase::Draining(journey), boot, None),
            Standing::Asking(journey, boot) => (Phase::Asking(journey), boot, None),
            Standing::Quiescing(journey, boot) => (Phase::Quiescing(journey), boot, None),
            Standing::Declining(journey, boot) => (Phase::Declining(journey), boot, None),
            Standing::Stopping(journey, boot) => (Phase::Stopping(journey), boot, None),
            Standing::Emptying(journey, boot) => (Phase::Emptying(journey), boot, None),
            Standing::Swapping(journey, boot) => (Phase::Swapping(journey), boot, None),
            Standing::Starting(journey, boot) => (Phase::Starting(journey), boot, None),
        };
        State {
            settings,
            fence: self.fence,
            phase,
            boot,
            drained: self.drained,
            quiesced: self.quiesced,
            finalizing: self.finalizing.map(|id| Finalizing {
                id,
                is_begun: false,
            }),
            unproven: self.unproven,
            finalized: self.finalized,
            runs: false,
            hold: self.hold,
            outcome,
            current: None,
            refusal: None,
            hitch: None,
        }
    }
}
