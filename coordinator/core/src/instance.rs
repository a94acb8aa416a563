//! Instances: the storage processes, what their agents report of them, and what they were ordered to be.

use evenkeel_words::planted::{self, Bug};
use std::time::Duration;

use evenkeel_compat::Method;
use evenkeel_words::{
    digest::Digest,
    names::{ComponentName, InstanceId},
    timestamp::Timestamp,
};
use semver::Version;

use crate::{
    node::{Labels, Liveness},
    plan::PlanId,
    release::ReleaseRef,
};

/// Where a storage process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The process runs.
    Running,
    /// The agent is carrying out an order on it.
    Upgrading,
    /// The process is not there and nobody wants it to be.
    Stopped,
    /// The process is not as it should be, and the agent's own means are used up.
    Error,
}

/// What an instance's probes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Every probe is good.
    Healthy,
    /// A probe failed lately, fewer times than its threshold.
    Warning,
    /// A probe failed as often as its threshold, or there is no process.
    Error,
}

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id on its host.
    pub pid: u32,
    /// When it was started, by the host's clock.
    pub started_at: Timestamp,
    /// The release whose executable it runs.
    pub release: ReleaseRef,
    /// A digest of the configuration that it was started with; empty if that is not known.
    pub configuration: String,
}

/// What came of telling a storage system that its version is final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finalized {
    /// What was asked for.
    pub id: String,
    /// Nothing if its driver has done it, or why it has not.
    pub outcome: Result<(), String>,
}

/// Whether an artifact that was asked for ahead of time is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageState {
    /// Being downloaded.
    Fetching,
    /// Its turn to be downloaded has not come yet.
    Waiting,
    /// Verified and durable.
    Ready,
    /// Could not be had, for this reason; is being tried again.
    Failed(String),
}

/// A release beside the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedRelease {
    /// Which one.
    pub release: ReleaseRef,
    /// Whether it is there.
    pub state: StageState,
}

/// How far an agent is with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// What it serves is being moved to the others: a rebuild's first step.
    Draining,
    /// The storage system is being asked whether the process may be stopped.
    Asking,
    /// The process is being made ready to be stopped.
    Quiescing,
    /// The process is being stopped.
    Stopping,
    /// Its data is being set aside.
    Emptying,
    /// The current release is being swapped.
    Swapping,
    /// The process is being started.
    Starting,
    /// The probes are being waited for.
    Verifying,
    /// The probes are good; it is being waited for until it is whole again among the others.
    Recovering,
    /// The ordered release runs and answers its probes.
    Done,
    /// The ordered release would not do, for this reason; the one before runs again and answers.
    Reverted(String),
    /// Neither would do, for this reason.
    Failed(String),
    /// The process could not be spared in the order's time, for this reason, and was not touched.
    Declined(String),
}

impl Step {
    /// Whether nothing more will come of the order.
    #[must_use]
    pub fn ended(&self) -> bool {
        match self {
            Self::Done | Self::Reverted(_) | Self::Failed(_) | Self::Declined(_) => true,
            Self::Draining
            | Self::Asking
            | Self::Quiescing
            | Self::Stopping
            | Self::Emptying
            | Self::Swapping
            | Self::Starting
            | Self::Verifying
            | Self::Recovering => false,
        }
    }
}

/// What an agent did about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The order's generation.
    pub generation: u64,
    /// How far it is.
    pub step: Step,
    /// From the stop signal to the first good answer of every probe, in microseconds; 0 until known.
    pub stop_to_ready_us: u64,
}

/// The highest (epoch, generation) that an agent has accepted for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fence {
    /// The coordinator's epoch.
    pub epoch: u64,
    /// The order's generation.
    pub generation: u64,
}

/// What an agent reports of an instance; what *is*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The component it is an instance of.
    pub component: ComponentName,
    /// The instance's own labels.
    pub labels: Labels,
    /// Where it is in its life.
    pub status: Status,
    /// What its probes say.
    pub health: Health,
    /// Why status or health is not good.
    pub reason: String,
    /// The release that its `current` link names.
    pub current: Option<ReleaseRef>,
    /// The process, if there is one.
    pub process: Option<Process>,
    /// Releases asked for ahead of time.
    pub staged: Vec<StagedRelease>,
    /// What its agent has accepted.
    pub accepted: Fence,
    /// What was done about the newest order accepted.
    pub progress: Option<Progress>,
    /// It could be rebuilt now: started without its data.
    pub may_rebuild: bool,
    /// Why not, if it could not.
    pub rebuild_obstacle: String,
    /// A digest of what its agent's configuration says now of how it is run; empty if the agent does not say.
    pub configuration: String,
    /// Its driver knows how to make an upgrade final.
    pub can_finalize: bool,
    /// Its storage system is asked whether the process may be stopped.
    pub asks_before_stop: bool,
    /// What came of that, for the newest that was asked for.
    pub finalized: Option<Finalized>,
    /// It stays down at our word: nothing of it is started but what an order names. Its agent has that on its disk.
    pub held: bool,
    /// The newest word on that which its agent has heeded.
    pub hold_word: u64,
}

/// What we say of an instance's staying down: held because what it has may not run beside what is there, or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// Rises with each word that it has to stay down, and each that it need not.
    pub word: u64,
    /// What it would meet and may not, if it is held.
    pub reason: Option<String>,
    /// Since when it is held, or is not.
    pub since: Timestamp,
}

/// What an instance was ordered to run; what *ought* to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Rises with each order for the instance.
    pub generation: u64,
    /// What to run.
    pub release: ReleaseRef,
    /// How to come to it.
    pub method: Method,
    /// What to go back to when that will not do, and how to come back to it.
    pub fallback: Option<(ReleaseRef, Method)>,
    /// How long it may take until the probes answer.
    pub ready_within: Duration,
    /// It puts back what would not do: nobody is asked before the process is stopped.
    pub way_back: bool,
}

/// A place in the disruption budget: taken before the order is sent, given back on newer evidence of health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The plan it was taken for.
    pub plan: PlanId,
    /// The order it was taken for.
    pub generation: u64,
    /// When it was taken.
    pub taken_at: Timestamp,
}

/// One storage process on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its node and its name there.
    pub id: InstanceId,
    /// The node's labels, overlaid with the instance's own.
    pub labels: Labels,
    /// What its agent reported last.
    pub report: Report,
    /// The newest order.
    pub order: Option<Order>,
    /// Its place in the budget, if it holds one.
    pub slot: Option<Slot>,
    /// Whether it has to stay down, as we have said last.
    pub quarantine: Quarantine,
    /// When something of this changed last.
    pub changed_at: Timestamp,
    /// The revision at which something of this changed last.
    pub revision: u64,
}

impl Report {
    /// What is left of an instance that its agent no longer has, while a plan waits for it.
    #[must_use]
    pub fn absent(&self) -> Self {
        Self {
            status: Status::Stopped,
            health: Health::Error,
            reason: "its agent no longer has it".to_owned(),
            current: None,
            process: None,
            staged: Vec::new(),
            progress: None,
            held: false,
            ..self.clone()
        }
    }
}

/// What is kept of an instance that its agent no longer has, for when it comes back: the generations of its
/// orders never fall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneInstance {
    /// Its node and its name there.
    pub id: InstanceId,
    /// The newest order that it was given.
    pub order: Option<Order>,
    /// The revision at which it went.
    pub revision: u64,
}

impl Instance {
    /// Whether there is no trace of it on its host.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.report.status == Status::Stopped && self.report.current.is_none()
    }

    /// Whether it stays down and nothing of what it has can be started before we say something else: it is held, and
    /// its agent has that very word on its disk. As long as one of both does not say so it counts as what may start.
    #[must_use]
    pub fn is_quarantined(&self) -> bool {
        self.quarantine.reason.is_some()
            && self.report.held
            && self.report.hold_word == self.quarantine.word
            && self.report.process.is_none()
    }

    /// Whether it may have to be held or let go: nothing of it runs, or what was said of that last does not stand.
    #[must_use]
    pub fn may_be_held(&self) -> bool {
        self.report.process.is_none()
            || self.quarantine.reason.is_some()
            || self.report.hold_word > self.quarantine.word
    }

    /// Whether others meet it now: it runs, or is being brought somewhere.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.report.process.is_some() || self.slot.is_some()
    }

    /// Every version of it that others may meet: what it has unless that is quarantined, what it runs, and what it was
    /// ordered to come to or back to while its slot is held.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        let order = self.order.as_ref().filter(|_| self.slot.is_some());
        let fallback = order.and_then(|order| order.fallback.as_ref());
        let process = self.report.process.as_ref();
        let current = self.report.current.as_ref();
        [
            current.filter(|_| !self.is_quarantined()),
            process.map(|process| &process.release),
            order.map(|order| &order.release),
            fallback.map(|(release, _)| release),
        ]
        .into_iter()
        .flatten()
        .map(|release| &release.version)
    }

    /// The version that it has when nothing goes wrong: what it was ordered to run while its slot is held, else what
    /// it has. None that is quarantined comes to anything.
    #[must_use]
    pub fn comes_to(&self) -> Option<&Version> {
        let order = self.order.as_ref().filter(|_| self.slot.is_some());
        let release = order.map(|order| &order.release);
        let current = self.report.current.as_ref();
        let release = release.or(current.filter(|_| !self.is_quarantined()));
        release.map(|release| &release.version)
    }

    /// Whether it serves, as far as is known, with this known of its agent's being there.
    #[must_use]
    pub fn is_up(&self, liveness: Option<Liveness>) -> bool {
        let heard = match liveness {
            Some(Liveness::Up) => true,
            Some(Liveness::Unknown) if planted::is(Bug::UnknownCountsAsUp) => true,
            Some(Liveness::Unknown | Liveness::Suspect | Liveness::AgentLost) | None => false,
        };
        let well = match (self.report.status, self.report.health) {
            (Status::Running, Health::Healthy | Health::Warning) => true,
            (Status::Running, Health::Error)
            | (Status::Upgrading | Status::Stopped | Status::Error, _) => false,
        };
        heard && well
    }

    /// Whether it may be counted on: it serves, and nothing is about to be done to it.
    #[must_use]
    pub fn is_available(&self, liveness: Option<Liveness>) -> bool {
        self.slot.is_none() && self.is_up(liveness)
    }

    /// Whether its process is there and every probe good.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.report.status == Status::Running && self.report.health == Health::Healthy
    }

    /// The generation of the newest order; 0 before there is one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.order.as_ref().map_or(0, |order| order.generation)
    }

    /// What its agent did about the order of this generation, if it has begun.
    #[must_use]
    pub fn progress_of(&self, generation: u64) -> Option<&Progress> {
        self.report
            .progress
            .as_ref()
            .filter(|progress| progress.generation == generation)
    }

    /// Whether its agent holds the verified artifact.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> bool {
        let current = self.report.current.iter().any(|c| c.digest == *digest);
        let staged =
            |s: &StagedRelease| s.release.digest == *digest && s.state == StageState::Ready;
        current || self.report.staged.iter().any(staged)
    }

    /// Whether the process runs the artifact and answers its probes.
    #[must_use]
    pub fn serves(&self, digest: &Digest) -> bool {
        let runs = |p: &Process| p.release.digest == *digest;
        self.report.health != Health::Error && self.report.process.iter().any(runs)
    }

    /// The instances that hold copies of the same data: those of the component with the same `group` label.
    #[must_use]
    pub fn group(&self) -> &str {
        self.labels.get("group").map_or("", String::as_str)
    }
}
