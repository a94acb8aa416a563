//! Where an instance is in its life.

use crate::{
    DataMove, Fence, Finalizing, Hold, Journey, Now, Purpose, Record, Refusal, Rejoin, Release,
    Run, Service, Settings, Ticket,
};

/// Tells one boot of the host from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

/// An instance as the agent knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What its configuration says.
    pub settings: Settings,
    /// What was accepted so far.
    pub fence: Fence,
    /// Where it is.
    pub phase: Phase,
    /// The boot that the deadlines count in.
    pub boot: BootId,
    /// The storage system may have been told to move away what the instance serves, and was not told
    /// since that it stays, nor has a rebuild ended well.
    pub drained: bool,
    /// The storage system may have been told to make the process ready to be stopped, and was not told since
    /// that it is back.
    pub quiesced: bool,
    /// What is being made final, if anything is.
    pub finalizing: Option<Finalizing>,
    /// The process that runs, or is being started, came of an order and has not passed its gates.
    pub unproven: bool,
    /// What came of making an upgrade final last.
    pub finalized: Option<Finalized>,
    /// A process runs, as far as is known.
    pub runs: bool,
    /// What the coordinator has said of its staying down.
    pub hold: Hold,
    /// How the newest order ended, once it has.
    pub outcome: Option<Outcome>,
    /// The release that `current` names, as last seen.
    pub current: Option<Release>,
    /// Why the newest word of a coordinator had no effect, if it had none.
    pub refusal: Option<Refusal>,
    /// What keeps the way back from going on, if something does.
    pub hitch: Option<Hitch>,
}

/// What came of making an upgrade final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finalized {
    /// Under which id it was asked for.
    pub id: String,
    /// Why it was not done, if it was not.
    pub outcome: Result<(), String>,
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
    /// Whether its process may be stopped is being asked.
    Asking(Journey),
    /// Its process is being made ready to be stopped.
    Quiescing(Journey),
    /// Its process is not going to be stopped after all, and what was done for that is being undone.
    Declining(Journey),
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
    /// Its probes are good, and it is being waited for until it is whole again among the others.
    Recovering {
        /// Its journey.
        journey: Journey,
        /// From the stop signal to every probe's good answer, in microseconds; 0 if there was no stop.
        stop_to_ready_us: u64,
    },
    /// An order ended with neither release running, for this reason; what `current` names should run
    /// all the same.
    Failed(String, Service),
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderResult {
    /// The ordered release runs, answers its probes, and is whole again among the others.
    Done,
    /// It would not do; the one before runs again and answers.
    Reverted,
    /// Neither would do.
    Failed,
    /// The process could not be stopped in the order's time, and was not touched.
    Declined,
}

/// How an order ended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub result: OrderResult,
    /// Why it went back, failed or was declined; empty otherwise.
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
    /// There is nothing to run, or it is being held down.
    Stopped,
    /// It is not as it should be, and the agent's own means are used up.
    Error,
}

/// How far the newest order is. The steps rise in the order in which an order takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepName {
    /// What the process serves is being moved to the others.
    Draining,
    /// Whether the process may be stopped is being asked.
    Asking,
    /// The process is being made ready to be stopped.
    Quiescing,
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
    /// The probes are good; it is being waited for until it is whole again among the others.
    Recovering,
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
    /// Why it went back, failed or was declined; empty otherwise.
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
            Self::Asking(_) => "asking",
            Self::Quiescing(_) => "quiescing",
            Self::Declining(_) => "declining",
            Self::Stopping(_) => "stopping",
            Self::Emptying(_) => "emptying",
            Self::Swapping(_) => "swapping",
            Self::Starting(_) => "starting",
            Self::Rejoining(_) => "rejoining",
            Self::Verifying(_) => "verifying",
            Self::Recovering { .. } => "recovering",
            Self::Failed(_, _) => "failed",
        }
    }

    /// The journey under way, if there is one.
    #[must_use]
    pub fn journey(&self) -> Option<&Journey> {
        match self {
            Self::Draining(journey)
            | Self::Asking(journey)
            | Self::Quiescing(journey)
            | Self::Declining(journey)
            | Self::Stopping(journey)
            | Self::Emptying(journey)
            | Self::Swapping(journey)
            | Self::Starting(journey)
            | Self::Rejoining(journey)
            | Self::Verifying(journey)
            | Self::Recovering { journey, .. } => Some(journey),
            Self::Serving(_) | Self::Failed(_, _) => None,
        }
    }

    /// How the process stands that should run, while no order is being carried out.
    #[must_use]
    pub fn service(&self) -> Option<&Service> {
        match self {
            Self::Serving(service) | Self::Failed(_, service) => Some(service),
            Self::Draining(_)
            | Self::Asking(_)
            | Self::Quiescing(_)
            | Self::Declining(_)
            | Self::Stopping(_)
            | Self::Emptying(_)
            | Self::Swapping(_)
            | Self::Starting(_)
            | Self::Rejoining(_)
            | Self::Verifying(_)
            | Self::Recovering { .. } => None,
        }
    }

    /// The process that should run stands like this now. Nothing changes while an order is being carried out.
    pub(crate) fn stand(&mut self, now: Service) {
        if let Self::Serving(service) | Self::Failed(_, service) = self {
            *service = now;
        }
    }

    /// Whether the process was not touched yet by the order that is being carried out.
    pub(crate) fn is_before_stop(&self) -> bool {
        match self {
            Self::Draining(_) | Self::Asking(_) | Self::Quiescing(_) | Self::Declining(_) => true,
            Self::Serving(_)
            | Self::Stopping(_)
            | Self::Emptying(_)
            | Self::Swapping(_)
            | Self::Starting(_)
            | Self::Rejoining(_)
            | Self::Verifying(_)
            | Self::Recovering { .. }
            | Self::Failed(_, _) => false,
        }
    }
}

impl State {
    /// An instance of which nothing is known.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Record::default().revive(settings)
    }

    /// What the storage system has to be told once the journey's process runs.
    #[must_use]
    pub(crate) fn rejoin(&self, journey: &Journey) -> Option<Rejoin> {
        match journey.data {
            Some(DataMove::SetAside) => Some(Rejoin::Join),
            Some(DataMove::PutBack) | None => self.drained.then_some(Rejoin::CancelDrain),
        }
    }

    /// Whether it stays down at the coordinator's word: nothing of it is started but what an order names.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let stays_down = match self.phase.service() {
            Some(service) => matches!(service.run, Run::Held { .. }),
            None => !self.runs,
        };
        self.hold.reason.is_some() && stays_down
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
                    run: Run::Waiting { until_ms, .. } | Run::Awaiting { until_ms },
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
            | Phase::Asking(_)
            | Phase::Quiescing(_)
            | Phase::Declining(_)
            | Phase::Stopping(_)
            | Phase::Emptying(_)
            | Phase::Swapping(_)
            | Phase::Starting(_)
            | Phase::Rejoining(_)
            | Phase::Verifying(_)
            | Phase::Recovering { .. } => Status::Upgrading,
            Phase::Failed(_, _) => Status::Error,
            Phase::Serving(service) => match service.run {
                Run::Nothing | Run::Held { .. } => Status::Stopped,
                Run::GivenUp { .. } => Status::Error,
                Run::Unknown
                | Run::Awaiting { .. }
                | Run::Starting
                | Run::Up
                | Run::Waiting { .. } => Status::Running,
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
            Some(Run::Awaiting { .. }) => {
                "it is down, and the coordinator's word is waited for before it is started"
                    .to_owned()
            }
            Some(Run::Held { reason }) => format!("held down: {reason}"),
            Some(Run::Unknown | Run::Starting | Run::Up) | None => String::new(),
        };
        let purpose = self.phase.journey().map(|journey| &journey.purpose);
        let order = if let Phase::Failed(reason, _) = &self.phase {
            reason.clone()
        } else if let Some(Purpose::Back { reason }) = purpose {
            let doing = match matches!(self.phase, Phase::Declining(_)) {
                true => "not stopped",
                false => "going back",
            };
            format!("{doing}: {reason}")
        } else {
            String::new()
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
            // What did not recover is still not whole.
            Phase::Asking(journey) if journey.is_back() => StepName::Recovering,
            Phase::Asking(_) => StepName::Asking,
            Phase::Quiescing(_) | Phase::Declining(_) => StepName::Quiescing,
            Phase::Recovering { .. } => StepName::Recovering,
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
