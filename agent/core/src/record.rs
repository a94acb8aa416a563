//! What the journal keeps: the durable part of a state, whole in every record, so that the last
//! record is all there is to know.

use crate::{
    BootId, Fence, Journey, OrderResult, Outcome, Phase, RestartPolicy, Run, Service, State,
};

/// The durable part of an instance's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What was accepted so far.
    pub fence: Fence,
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
    /// The process is going to be stopped.
    Stopping(Journey, BootId),
    /// The process was stopped, and `current` is going to be changed.
    Swapping(Journey, BootId),
    /// `current` is right, and the process is going to be started; or was, and is being probed.
    Starting(Journey, BootId),
}

impl Default for Standing {
    fn default() -> Self {
        Self::Settled { outcome: None }
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
            Phase::Stopping(journey) => Standing::Stopping(journey.clone(), boot),
            Phase::Swapping(journey) => Standing::Swapping(journey.clone(), boot),
            Phase::Starting(journey) | Phase::Verifying(journey) => {
                Standing::Starting(journey.clone(), boot)
            }
        };
        Self {
            fence: state.fence.clone(),
            standing,
        }
    }

    /// The state that a new agent begins with; [`crate::Event::Recovered`] has to follow.
    #[must_use]
    pub fn revive(self, policy: RestartPolicy) -> State {
        let unknown = Service::new(Run::Unknown);
        let (phase, boot, outcome) = match self.standing {
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
            Standing::Stopping(journey, boot) => (Phase::Stopping(journey), boot, None),
            Standing::Swapping(journey, boot) => (Phase::Swapping(journey), boot, None),
            Standing::Starting(journey, boot) => (Phase::Starting(journey), boot, None),
        };
        State {
            policy,
            fence: self.fence,
            phase,
            boot,
            outcome,
            current: None,
            refusal: None,
        }
    }
}
