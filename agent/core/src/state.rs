//! Where an instance is in its life.

use crate::{
    DataMove, Fence, Journey, Now, Purpose, Record, Refusal, Rejoin, Release, RestartPolicy, Run,
    Service, Ticket,
};

/// Tells one boot of the host from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

/// An instance as the agent knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// How often a process that ends is started again.
    pub policy: RestartPolicy,
    /// What was accepted so far.
    pub fence: Fence,
    /// Where it is.
    pub phase: Phase,
    /// The boot that the deadlines count in.
    pub boot: BootId,
    /// The storage system may have been told to move away what the instance serves, and was not told
    /// since that it stays, nor has a rebuild ended well.
    pub drained: bool,
    /// How the newest order ended, once it has.
    pub outcome: Option<Outcome>,
    /// The release that `current` names, as last seen.
    pub current: Option<Release>,
    /// Why the newest word of a coordinator had no effect, if it had none.
    pub refusal: Option<Refusal>,
    /// What keeps the way back from going on, if something does.
    pub hitch: Option<Hitch>,
}

/// What keeps a way back from going on that must not be given up: with its data half moved an instance
/// is not to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hitch {
    /// What is in the way.
    pub reason: String,
    /// When it is tried again, on the boot clock in milliseconds.
    pub again_at_ms: Now,
}

/// Where an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No order is being carried out; what `current` names should run.
    Serving(Service),
    /// What the process serves is being moved to the others.
    Draining(Journey),
    /// The process is being stopped.
    Stopping(Journey),
    /// It is stopped, and its data is being set aside or put back.
    Emptying(Journey),
    /// It is stopped, and `current` is being changed.
    Swapping(Journey),
    /// `current` is right, and the process is being started.
    Starting(Journey),
    /// It runs, and the storage system is being told so.
    Rejoining(Journey),
    /// It runs, and its probes are being waited for.
    Verifying(Journey),
    /// An order ended with neither release running, for this reason; what `current` names should run
    /// all the same.
    Failed(String, Service),
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderResult {
    /// The ordered release runs and answers its probes.
    Done,
    /// It would not do; the one before runs again and answers.
    Reverted,
    /// Neither would do.
    Failed,
}

/// How an order ended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub result: OrderResult,
    /// Why it went back or failed; empty otherwise.
    pub reason: String,
    /// From the stop signal to every probe's good answer, in microseconds; 0 if that never came.
    pub stop_to_ready_us: u64,
}

/// What people and the coordinator call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It should run, and does or is about to again.
    Running,
    /// An order is being carried out on it.
    Upgrading,
    /// There is nothing to run.
    Stopped,
    /// It is not as it should be, and the agent's own means are used up.
    Error,
}

/// How far the newest order is. The steps rise in the order in which an order takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepName {
    /// What the process serves is being moved to the others.
    Draining,
    /// The process is being stopped.
    Stopping,
    /// The data is being set aside, or put back.
    Emptying,
    /// `current` is being changed.
    Swapping,
    /// The process is being started.
    Starting,
    /// It runs; the storage system's word and the probes are being waited for.
    Verifying,
    /// It ended.
    Ended,
}

/// What was done about the newest order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its generation.
    pub generation: u64,
    /// How far it is.
    pub step: StepName,
    /// How it ended, once it has.
    pub result: Option<OrderResult>,
    /// Why it went back or failed; empty otherwise.
    pub reason: String,
    /// From the stop signal to every probe's good answer, in microseconds; 0 until known.
    pub stop_to_ready_us: u64,
}

impl Phase {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Serving(_) => "serving",
            Self::Draining(_) => "draining",
            Self::Stopping(_) => "stopping",
            Self::Emptying(_) => "emptying",
            Self::Swapping(_) => "swapping",
            Self::Starting(_) => "starting",
            Self::Rejoining(_) => "rejoining",
            Self::Verifying(_) => "verifying",
            Self::Failed(_, _) => "failed",
        }
    }

    /// The journey under way, if there is one.
    #[must_use]
    pub fn journey(&self) -> Option<&Journey> {
        match self {
            Self::Draining(journey)
            | Self::Stopping(journey)
            | Self::Emptying(journey)
            | Self::Swapping(journey)
            | Self::Starting(journey)
            | Self::Rejoining(journey)
            | Self::Verifying(journey) => Some(journey),
            Self::Serving(_) | Self::Failed(_, _) => None,
        }
    }

    fn service(&self) -> Option<&Service> {
        match self {
            Self::Serving(service) | Self::Failed(_, service) => Some(service),
            Self::Draining(_)
            | Self::Stopping(_)
            | Self::Emptying(_)
            | Self::Swapping(_)
            | Self::Starting(_)
            | Self::Rejoining(_)
            | Self::Verifying(_) => None,
        }
    }
}

impl State {
    /// An instance of which nothing is known.
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Self {
        Record::default().revive(policy)
    }

    /// What the storage system has to be told once the journey's process runs.
    #[must_use]
    pub(crate) fn rejoin(&self, journey: &Journey) -> Option<Rejoin> {
        match journey.data {
            Some(DataMove::SetAside) => Some(Rejoin::Join),
            Some(DataMove::PutBack) | None => self.drained.then_some(Rejoin::CancelDrain),
        }
    }

    /// On whose word effects happen now.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket {
            epoch: self.fence.epoch,
            generation: self.fence.generation(),
        }
    }

    /// When the next [`crate::Event::Tick`] changes something, on the boot clock in milliseconds.
    #[must_use]
    pub fn wake_at_ms(&self) -> Option<Now> {
        match (self.phase.journey(), self.phase.service()) {
            (Some(journey), _) => match &self.hitch {
                Some(hitch) => Some(hitch.again_at_ms),
                None => Some(journey.deadline_ms),
            },
            (
                None,
                Some(Service {
                    run: Run::Waiting { until_ms, .. },
                    ..
                }),
            ) => Some(*until_ms),
            (None, Some(_) | None) => None,
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.phase {
            Phase::Draining(_)
            | Phase::Stopping(_)
            | Phase::Emptying(_)
            | Phase::Swapping(_)
            | Phase::Starting(_)
            | Phase::Rejoining(_)
            | Phase::Verifying(_) => Status::Upgrading,
            Phase::Failed(_, _) => Status::Error,
            Phase::Serving(service) => match service.run {
                Run::Nothing => Status::Stopped,
                Run::GivenUp { .. } => Status::Error,
                Run::Unknown | Run::Starting | Run::Up | Run::Waiting { .. } => Status::Running,
            },
        }
    }

    /// What is not as it should be, in one sentence; empty if all is.
    #[must_use]
    pub fn reason(&self) -> String {
        let service = match self.phase.service().map(|service| &service.run) {
            Some(Run::Waiting { reason, .. }) => format!("{reason}; about to be started again"),
            Some(Run::GivenUp { reason }) => reason.clone(),
            Some(Run::Nothing) => "no release was ever installed".to_owned(),
            Some(Run::Unknown | Run::Starting | Run::Up) | None => String::new(),
        };
        let order = match &self.phase {
            Phase::Failed(reason, _) => reason.clone(),
            Phase::Serving(_)
            | Phase::Draining(_)
            | Phase::Stopping(_)
            | Phase::Emptying(_)
            | Phase::Swapping(_)
            | Phase::Starting(_)
            | Phase::Rejoining(_)
            | Phase::Verifying(_) => match self.phase.journey().map(|journey| &journey.purpose) {
                Some(Purpose::Back { reason }) => format!("going back: {reason}"),
                Some(Purpose::Forward { .. }) | None => String::new(),
            },
        };
        let hitch = match &self.hitch {
            Some(Hitch { reason, .. }) => format!("{reason}; tried again until it works"),
            None => String::new(),
        };
        let refusal = self
            .refusal
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let parts: Vec<String> = [order, hitch, service, refusal]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        parts.join("; ")
    }

    /// What was done about the newest order; none if there never was one.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let generation = self.fence.order.as_ref()?.generation;
        let step = match &self.phase {
            Phase::Draining(_) => StepName::Draining,
            Phase::Stopping(_) => StepName::Stopping,
            Phase::Emptying(_) => StepName::Emptying,
            Phase::Swapping(_) => StepName::Swapping,
            Phase::Starting(_) => StepName::Starting,
            Phase::Rejoining(_) | Phase::Verifying(_) => StepName::Verifying,
            Phase::Serving(_) | Phase::Failed(_, _) => {
                let outcome = self.outcome.clone()?;
                return Some(Progress {
                    generation,
                    step: StepName::Ended,
                    result: Some(outcome.result),
                    reason: outcome.reason,
                    stop_to_ready_us: outcome.stop_to_ready_us,
                });
            }
        };
        let reason = match self.phase.journey().map(|journey| &journey.purpose) {
            Some(Purpose::Back { reason }) => reason.clone(),
            Some(Purpose::Forward { .. }) | None => String::new(),
        };
        Some(Progress {
            generation,
            step,
            result: None,
            reason,
            stop_to_ready_us: 0,
        })
    }
}
