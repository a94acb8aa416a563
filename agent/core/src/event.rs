//! What happens to an instance, and what is done about it.

use semver::Version;
use thiserror::Error;

use crate::{BootId, DataMove, Finality, Hold, Incoming, Record, Rejoin, Release, State};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent has started and looked at what is there. Always the first event.
    Recovered {
        /// The boot that the clock counts from.
        boot: BootId,
        /// The release that the instance's living process runs, if there is one. A process of a
        /// release that could not be told is not a reason to guess: the shell does not get this far.
        process: Option<Release>,
        /// The release that `current` names.
        current: Option<Release>,
    },
    /// A coordinator said what ought to be.
    Desired {
        /// Its epoch.
        epoch: u64,
        /// Its order, if it ever gave one.
        incoming: Option<Incoming>,
        /// Whether the instance has to stay down.
        hold: Hold,
        /// What has to be made final, if anything has.
        finalize: Option<Box<Finality>>,
    },
    /// The process may be stopped, as [`Action::AskToStop`] or [`Action::AskOnce`] asked.
    OkToStop,
    /// The process may not be stopped after all, as [`Action::AskOnce`] asked.
    NotOkToStop {
        /// Why.
        reason: String,
    },
    /// The process is ready to be stopped, as [`Action::Quiesce`] asked for.
    Quiesced,
    /// It could not be made ready to be stopped.
    QuiesceFailed {
        /// Why.
        reason: String,
    },
    /// What was done to stop the process is undone, as [`Action::Unquiesce`] asked for.
    Unquiesced,
    /// The process has said which version it is, as [`Action::AskVersion`] asked.
    VersionTold {
        /// Which; none if nobody can ask it.
        version: Option<Version>,
    },
    /// What came of making an upgrade final, as [`Action::Finalize`] asked for.
    FinalizeEnded {
        /// Under which id.
        id: String,
        /// Why it was not done, if it was not.
        outcome: Result<(), String>,
    },
    /// The process is whole again among the others, as [`Action::AskRecovered`] asked.
    CaughtUp,
    /// What the process served is with the others, as [`Action::Drain`] asked for.
    Drained,
    /// There is no process, as [`Action::EnsureStopped`] asked for.
    Stopped,
    /// The process could not be stopped.
    StopFailed {
        /// Why.
        reason: String,
    },
    /// The data is where [`Action::MoveData`] asked for, durably.
    DataMoved,
    /// The data, or a part of it, is not where it was asked for.
    DataNotMoved {
        /// Why.
        reason: String,
    },
    /// `current` names the release that [`Action::SwapCurrent`] asked for, durably.
    Swapped,
    /// `current` could not be changed and names what it did before.
    SwapFailed {
        /// Why.
        reason: String,
    },
    /// A process runs.
    Started {
        /// The release whose executable it runs, read from the process.
        running: Release,
    },
    /// No process runs.
    StartFailed {
        /// Why.
        reason: String,
    },
    /// The storage system has taken in what [`Action::Rejoin`] told it.
    Rejoined,
    /// Every probe is good as often as it has to be.
    Ready {
        /// The release whose executable the process runs, read from the process.
        running: Release,
        /// From the stop signal to this answer, in microseconds; 0 if there was no stop.
        stop_to_ready_us: u64,
    },
    /// The process ended.
    Exited {
        /// How, in a few words.
        reason: String,
    },
    /// Time has passed; [`State::wake_at_ms`] says when this is worth telling.
    Tick {
        /// What is in the way of being ready, in a few words. May be empty.
        trouble: String,
    },
}

impl Event {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Recovered { .. } => "recovered",
            Self::Desired { .. } => "desired",
            Self::Drained => "drained",
            Self::OkToStop => "ok to stop",
            Self::NotOkToStop { .. } => "not ok to stop",
            Self::Quiesced => "quiesced",
            Self::QuiesceFailed { .. } => "quiesce failed",
            Self::Unquiesced => "unquiesced",
            Self::VersionTold { .. } => "version told",
            Self::CaughtUp => "caught up",
            Self::FinalizeEnded { .. } => "finalize ended",
            Self::Stopped => "stopped",
            Self::StopFailed { .. } => "stop failed",
            Self::DataMoved => "data moved",
            Self::DataNotMoved { .. } => "data not moved",
            Self::Swapped => "swapped",
            Self::SwapFailed { .. } => "swap failed",
            Self::Started { .. } => "started",
            Self::StartFailed { .. } => "start failed",
            Self::Rejoined => "rejoined",
            Self::Ready { .. } => "ready",
            Self::Exited { .. } => "exited",
            Self::Tick { .. } => "tick",
        }
    }
}

/// On whose word an effect happens: compared with the durable record at the moment of the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The accepted epoch.
    pub epoch: u64,
    /// The accepted generation; 0 before the first order.
    pub generation: u64,
}

impl Ticket {
    /// Whether the durable record still stands for what it stood for when the action was decided: the
    /// same order, which a later coordinator may have repeated.
    #[must_use]
    pub fn is_backed_by(&self, durable: &Record) -> bool {
        self.epoch <= durable.fence.epoch && self.generation == durable.fence.generation()
    }

    /// The same for what is going to be final under this id: that it is, has to be durable.
    #[must_use]
    pub fn is_final_by(&self, durable: &Record, id: &str) -> bool {
        self.is_backed_by(durable) && durable.finalizing.as_deref() == Some(id)
    }
}

/// Something to do. Each is idempotent: doing it twice is doing it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Have what the process serves moved to the others, and ask until it is; answered by
    /// [`Event::Drained`]. An instance that nobody can drain counts as drained. Ends with the phase.
    Drain(Ticket),
    /// Ask whether the process may be stopped now, until it may; answered by [`Event::OkToStop`]. Ends with
    /// the phase.
    AskToStop(Ticket),
    /// Ask whether the process that is ready to be stopped still may be; answered by [`Event::OkToStop`] or
    /// [`Event::NotOkToStop`]. Ends with the phase.
    AskOnce(Ticket),
    /// Have the process made ready to be stopped; answered by [`Event::Quiesced`] or
    /// [`Event::QuiesceFailed`]. Ends with the phase.
    Quiesce(Ticket),
    /// Have undone what was done to stop the process, and ask until it is; answered by
    /// [`Event::Unquiesced`]. Ends with the phase, and with the process.
    Unquiesce(Ticket),
    /// Stop the process if there is one; answered by [`Event::Stopped`], [`Event::Exited`] or [`Event::StopFailed`].
    EnsureStopped(Ticket),
    /// Move the data, once it is sure that no process of the instance lives; answered by
    /// [`Event::DataMoved`] or [`Event::DataNotMoved`].
    MoveData(Ticket, DataMove),
    /// Make `current` name the release; answered by [`Event::Swapped`] or [`Event::SwapFailed`].
    SwapCurrent(Ticket, Release),
    /// Start the release unless a process runs; answered by [`Event::Started`] or [`Event::StartFailed`].
    Start(Ticket, Release),
    /// Tell the storage system about the instance that was started, and ask until it has taken that in;
    /// answered by [`Event::Rejoined`]. Ends with the phase.
    Rejoin(Ticket, Rejoin),
    /// Probe fast until every probe is good; answered by [`Event::Ready`].
    Verify,
    /// Have the storage system told, under this id, that the version it runs is final; answered by
    /// [`Event::FinalizeEnded`]. Goes on whatever else happens.
    Finalize(Ticket, String),
    /// Ask the process that runs for its version; answered by [`Event::VersionTold`]. Ends with the phase.
    AskVersion(Ticket),
    /// Ask whether the process that runs is whole again among the others, until it is; answered by
    /// [`Event::CaughtUp`]. Ends with the phase, and with the process.
    AskRecovered(Ticket),
}

/// What follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state after it.
    pub state: State,
    /// What has to be durable before any of the actions.
    pub record: Option<Record>,
    /// What to do then, in this order.
    pub actions: Vec<Action>,
}

/// An event that cannot happen in a state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("an instance that is {phase} cannot see: {event}")]
pub struct IllegalMove {
    /// The state's name.
    pub phase: &'static str,
    /// The event's name.
    pub event: &'static str,
}
