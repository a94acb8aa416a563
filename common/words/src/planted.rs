//! Deliberate faults, for the fleet simulation to find.
//!
//! Each stands at the one line where the mistake would be made, and asks [`is`] whether it is being made. That is never
//! so, and costs nothing, but in builds with the feature `planted-bugs`, which only the simulation has.

macro_rules! bugs {
    ($($(#[doc = $words:literal])+ $name:ident,)*) => {
        /// A deliberate fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $words])+ $name,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it is called on a command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What is done wrong, in a sentence.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($words),+),)*
                }
            }
        }
    };
}

bugs! {
    /// The coordinator tells what it decided before that is durable.
    AckBeforeFsync,
    /// An order is given without its slot.
    SlotAfterSend,
    /// A slot is given back because time has passed.
    SlotFreedAtDeadline,
    /// A slot is given back on evidence of health from before its order.
    SlotFreedOnOldEvidence,
    /// What has not been heard since the start counts as available.
    UnknownCountsAsUp,
    /// The budget counts only what is held, not what is down by itself.
    BudgetIgnoresFailures,
    /// The budget is never full.
    BudgetIgnored,
    /// Failure domains are not looked at.
    DomainIgnored,
    /// Waves do not wait for each other.
    WaveOrderIgnored,
    /// No canary goes first.
    CanarySkipped,
    /// What was good when it started counts as good after the soak.
    SoakNotChecked,
    /// Processes are stopped before every host holds the artifact.
    BarrierSkipped,
    /// Nobody is asked before there is no way back.
    FinalityIgnored,
    /// Whether every member is there and well is asked before the first component is made final, and not again.
    FinalizingNotAskedAgain,
    /// The matrix is not asked again before an order.
    CompatibilityNotAsked,
    /// An order does not say what to go back to.
    FallbackDropped,
    /// An instance is rebuilt while another copy is sick.
    RebuildBesideSick,
    /// A coordinator that starts believes what it knew of its agents.
    LivenessKept,
    /// A call that comes twice is done twice.
    RequestRepeated,
    /// An instance is put back without a slot.
    WayBackWithoutSlot,
    /// The slot of an order that was not begun is given back while it may still begin.
    NeverBegunFreedEarly,
    /// Naming nothing means all there is.
    EmptyMeansAll,
    /// A new order has the generation of the one before.
    GenerationReused,
    /// A state that is known to be an old copy gives orders.
    FencedIgnored,
    /// A plan that is given up ends while something of it is on its way.
    AbortForgetsFlight,
    /// A plan goes on though more has failed than it tolerates.
    FailureIgnored,
    /// A frozen fleet moves.
    FreezeIgnored,
    /// Nothing stops the plans while most of the fleet is silent.
    BreakerIgnored,
    /// The engine is not told which nodes have changed.
    AttentionLost,
    /// An agent listens to a coordinator of an older epoch.
    EpochNotChecked,
    /// An agent carries out an order older than one it has accepted.
    OldOrderAccepted,
    /// An agent begins an order however late it comes.
    StaleOrderAccepted,
    /// An agent has a version made final whatever it has accepted and whatever is there, however late it is told.
    FinalityNotFenced,
    /// An agent does not see that an order answers a clock of another boot.
    BootNotCompared,
    /// The accepted order is not written down.
    GenerationNotKept,
    /// The journal is written after the effect.
    JournalAfterEffect,
    /// What was set aside is not put back on the way back.
    DataNotPutBack,
    /// A release that will not do is not left for the one before.
    NoWayBack,
    /// An order may take as long as it takes.
    DeadlineIgnored,
    /// The release is swapped under its process.
    SwapUnderProcess,
    /// A new agent forgets what the one before was doing.
    JourneyForgotten,
    /// An order is done when the process is there.
    DoneBeforeReady,
    /// Whatever release the process runs is good enough.
    AnyReleaseWillDo,
    /// What the process says that it is is not compared.
    VersionNotCompared,
    /// The storage system is not asked whether a process may be stopped.
    LeaveNotAsked,
    /// Whether it still may be stopped is not asked once it is quiesced.
    OldYesTaken,
    /// What answers its probes and has not recovered is stopped without asking.
    TurnedBackUnasked,
    /// An order that is declined makes what had not passed its gates whole.
    DeclinedProves,
    /// What was quiesced is not told that it is back.
    LeftQuiesced,
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Makes this mistake, or none, on this thread from now on.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether this mistake is being made.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use switch::{is, plant};

/// Whether this mistake is being made: never.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}
