//! Which interesting states were come to, and how often.

macro_rules! sights {
    ($($name:ident => $words:literal,)*) => {
        /// An interesting state: a run in which one of them never occurs has shown less than it claims.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Sight {
            $(#[doc = $words] $name,)*
        }

        impl Sight {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it is, in a few words.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }
        }
    };
}

sights! {
    Finalized => "plan finalized",
    Aborted => "plan aborted",
    RolledBack => "plan rolled back",
    Superseded => "plan superseded by another",
    FailedPlan => "plan failed while it rolled back",
    Finalizing => "storage systems told that a version is final",
    NotFinal => "word that a version is final refused by an agent",
    FinalizeRefused => "storage system that would not make a version final",
    Declined => "order declined, because the storage system could not spare the process",
    NotSpared => "storage system that says that a process may not be stopped",
    NotRecovered => "storage system that has not recovered yet",
    Lies => "process that says that it is another version",
    Held => "instance held down, because its version may not meet what is there",
    Restarted => "plan that restarts finalized",
    Reconfigured => "plan that reconfigures finalized",
    Skipped => "task skipped",
    Refused => "call refused",
    Repeated => "call repeated under its request id",
    PausedByPerson => "plan paused by a person",
    PausedByMatrix => "plan paused because of the matrix",
    PausedByFailure => "plan paused because a task failed",
    PausedByDeadline => "plan paused because nothing moved or an order was overdue",
    HeldAtFinality => "plan held until a person confirms",
    ReadyToFinalize => "plan ready to finalize",
    Reverted => "task reverted",
    Parked => "task parked",
    SickInSoak => "task got sick while it soaked and is put back",
    PutBackWaits => "task to be put back waits for the budget",
    Retried => "failed task tried again by resume",
    Rebuilt => "instance started without its data",
    PutBack => "data put back",
    Hitch => "way back kept from going on, and tried again",
    FencedEpoch => "word of an older epoch refused",
    Outdated => "order of an older generation refused",
    Stale => "order that came too late refused",
    OtherBoot => "order from before a boot refused",
    NotAtHand => "order refused whose release is not at hand",
    FencedNode => "coordinator learnt that its state is an old copy",
    TornLedger => "torn tail of the ledger",
    LostTurn => "turn lost before it was durable",
    UnansweredTurn => "turn durable and nobody told",
    Backup => "coordinator restored from a backup",
    WallBack => "coordinator started with its clock years back",
    WallAhead => "coordinator started with its clock years ahead",
    TornJournal => "torn record of a journal",
    DiedBeforeRecord => "agent died before a record",
    DiedAfterRecord => "agent died after a record",
    DiedAfterEffect => "agent died after an effect",
    RebootDraining => "host rebooted while draining",
    RebootStopping => "host rebooted while stopping",
    RebootSwapping => "host rebooted while emptying or swapping",
    RebootStarting => "host rebooted while starting",
    RebootVerifying => "host rebooted while verifying",
    Killed => "process killed that would not stop",
    GivenUp => "process not started again after too many restarts",
    StartFailed => "release that does not start",
    NeverReady => "release that never gets ready",
    WrongRelease => "process that runs something else than it should",
    DiskFull => "disk full",
    DownloadFailed => "download failed",
    SlotAfterEnd => "slot given back after its plan had ended",
    NeverBegun => "slot given back of an order that was never begun",
    SilentAgent => "agent lost",
    Partition => "messages lost one way",
    LateWord => "word that came late or twice",
    Resumed => "plan resumed",
    LargeFleet => "fleet of a hundred nodes or more",
    TwoPlans => "two plans under way at once",
}

/// How often each was come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage(Vec<u64>);

impl Default for Coverage {
    fn default() -> Self {
        Self(vec![0; Sight::ALL.len()])
    }
}

impl Coverage {
    pub(crate) fn see(&mut self, sight: Sight) {
        self.0[sight as usize] += 1;
    }

    /// How often it was come to.
    #[must_use]
    pub fn of(&self, sight: Sight) -> u64 {
        self.0[sight as usize]
    }

    /// Takes in what another life came to.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    /// Those that never occurred.
    #[must_use]
    pub fn missing(&self) -> Vec<Sight> {
        let all = Sight::ALL.iter().copied();
        all.filter(|sight| self.of(*sight) == 0).collect()
    }
}
