//! A task of a plan: one instance's journey within a stage.

use evenkeel_words::{names::InstanceId, timestamp::Timestamp};

use super::PlanId;
use crate::release::ReleaseRef;

/// Where a task is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Nothing has been done.
    Pending,
    /// The host holds the verified artifact.
    Prefetched,
    /// Its slot is taken and the order given.
    Admitted,
    /// The storage system can spare it and serves nothing through it any more; the process is being stopped.
    Quiesced,
    /// The process is stopped.
    Stopped,
    /// The current release is the new one.
    Swapped,
    /// The new process is there.
    Started,
    /// It answers its probes and runs the ordered bytes; the storage system is asked whether it has recovered.
    Verified,
    /// It has recovered, since the task's `changed_at`. Its slot is given back, and it soaks.
    Rejoined,
    /// It stayed good for as long as the soak asks.
    Done,
    /// The release before is being put back, for this reason.
    Reverting(String),
    /// The release before is back and answers its probes; this was the reason.
    Reverted(String),
    /// Neither would do, for this reason; a person is needed.
    Parked(String),
    /// It was left out, for this reason, or is not needed any more.
    Skipped(String),
}

impl TaskState {
    /// The state's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Prefetched => "prefetched",
            Self::Admitted => "admitted",
            Self::Quiesced => "quiesced",
            Self::Stopped => "stopped",
            Self::Swapped => "swapped",
            Self::Started => "started",
            Self::Verified => "verified",
            Self::Rejoined => "rejoined",
            Self::Done => "done",
            Self::Reverting(_) => "reverting",
            Self::Reverted(_) => "reverted",
            Self::Parked(_) => "parked",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Why it went back, was parked or left out.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Reverting(reason)
            | Self::Reverted(reason)
            | Self::Parked(reason)
            | Self::Skipped(reason) => reason,
            Self::Pending
            | Self::Prefetched
            | Self::Admitted
            | Self::Quiesced
            | Self::Stopped
            | Self::Swapped
            | Self::Started
            | Self::Verified
            | Self::Rejoined
            | Self::Done => "",
        }
    }

    /// Whether an order was given and its end is not known yet.
    #[must_use]
    pub fn ordered(&self) -> bool {
        match self {
            Self::Admitted
            | Self::Quiesced
            | Self::Stopped
            | Self::Swapped
            | Self::Started
            | Self::Verified
            | Self::Reverting(_) => true,
            Self::Pending
            | Self::Prefetched
            | Self::Rejoined
            | Self::Done
            | Self::Reverted(_)
            | Self::Parked(_)
            | Self::Skipped(_) => false,
        }
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::Done | Self::Skipped(_) => true,
            Self::Pending
            | Self::Prefetched
            | Self::Admitted
            | Self::Quiesced
            | Self::Stopped
            | Self::Swapped
            | Self::Started
            | Self::Verified
            | Self::Rejoined
            | Self::Reverting(_)
            | Self::Reverted(_)
            | Self::Parked(_) => false,
        }
    }

    /// Whether it was put back, or serves neither release, and is to be begun again or left out.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Reverted(_) | Self::Parked(_))
    }

    /// Whether the task has to be seen to its end even if the plan is given up: it was ordered, or soaks.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.ordered() || *self == Self::Rejoined
    }
}

/// The name of a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    /// The plan.
    pub plan: PlanId,
    /// The stage, from 0.
    pub stage: u32,
    /// The instance.
    pub instance: InstanceId,
}

impl TaskId {
    /// The least name that a task of the stage can have.
    pub(crate) fn first_of(plan: PlanId, stage: u32) -> Option<Self> {
        // "0" is the least name there is.
        let instance = "0/0".parse().ok()?;
        Some(Self {
            plan,
            stage,
            instance,
        })
    }
}

/// An order of a task that its agent declined, because the storage system could not spare the process in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yield {
    /// When that was heard.
    pub at: Timestamp,
    /// Why it was declined.
    pub reason: String,
}

/// One instance's journey within a stage of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The plan.
    pub plan: PlanId,
    /// The instance.
    pub instance: InstanceId,
    /// The stage, from 0.
    pub stage: u32,
    /// The wave within the stage, from 0.
    pub wave: u32,
    /// Where it is on its way.
    pub state: TaskState,
    /// What the instance ran when the plan was made, or runs after the stage before.
    pub from: ReleaseRef,
    /// What it is going to run.
    pub to: ReleaseRef,
    /// The generation of the order given for it; 0 before there is one.
    pub generation: u64,
    /// When that order was given.
    pub admitted_at: Option<Timestamp>,
    /// From the stop signal to the first good answer of every probe, in microseconds; 0 until known.
    pub stop_to_ready_us: u64,
    /// The last time that it had to let others go first, if it had to.
    pub yielded: Option<Yield>,
    /// When it moved last.
    pub changed_at: Timestamp,
    /// The revision at which something of this changed last.
    pub revision: u64,
}

impl Task {
    /// The task as it is when it is tried once more. What was ordered for it before stays known: it was begun.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            state: TaskState::Pending,
            admitted_at: None,
            stop_to_ready_us: 0,
            ..self.clone()
        }
    }

    /// Whether it is to go back and has no order for that yet.
    #[must_use]
    pub fn waits_to_go_back(&self) -> bool {
        matches!(self.state, TaskState::Reverting(_)) && self.admitted_at.is_none()
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> TaskId {
        TaskId {
            plan: self.plan,
            stage: self.stage,
            instance: self.instance.clone(),
        }
    }
}
