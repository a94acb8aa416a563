//! Plans and their tasks: what will be done, in which order, and how carefully.

use std::{fmt, num::NonZeroU64, str::FromStr, time::Duration};

use evenkeel_compat::{Method, Undo, Way};
use evenkeel_words::{
    limits::POLICY_DURATION_MAX,
    names::{self, ComponentName, InstanceId},
    timestamp::Timestamp,
};
use semver::Version;

use crate::{
    refusal::{Refusal, RefusalKind},
    release::ReleaseRef,
};

/// A plan's name: `plan-1`, `plan-2`, … in the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanId(pub NonZeroU64);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plan-{}", self.0)
    }
}

impl FromStr for PlanId {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        text.strip_prefix("plan-")
            .filter(|digits| !digits.starts_with(['0', '+']))
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| {
                Refusal::new(
                    RefusalKind::BadArgument,
                    format!("{text:?} is not the name of a plan; plans are called plan-1, plan-2 and so on"),
                )
            })
    }
}

/// Where a plan is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanState {
    /// Computed, not started.
    Draft,
    /// Going on.
    Running,
    /// Starts nothing new, for this reason.
    Paused(String),
    /// Every task is done, and a person has to say that there need be no way back.
    ReadyToFinalize,
    /// Every task is done.
    Finalized,
    /// Given up for this reason; the tasks in flight are being finished.
    Aborting(String),
    /// Given up for this reason, and nothing of it is in flight.
    Aborted(String),
}

impl PlanState {
    /// The state's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Paused(_) => "paused",
            Self::ReadyToFinalize => "ready to finalize",
            Self::Finalized => "finalized",
            Self::Aborting(_) => "aborting",
            Self::Aborted(_) => "aborted",
        }
    }

    /// Why it is in this state, where that is not plain.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Paused(reason) | Self::Aborting(reason) | Self::Aborted(reason) => reason,
            Self::Draft | Self::Running | Self::ReadyToFinalize | Self::Finalized => "",
        }
    }

    /// Whether it was started and has not ended: it may hold instances down.
    #[must_use]
    pub fn under_way(&self) -> bool {
        match self {
            Self::Running | Self::Paused(_) | Self::ReadyToFinalize | Self::Aborting(_) => true,
            Self::Draft | Self::Finalized | Self::Aborted(_) => false,
        }
    }
}

/// Where a task is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Nothing has been done.
    Pending,
    /// The host holds the verified artifact.
    Prefetched,
    /// Its slot is taken and the order given.
    Admitted,
    /// The process is stopped.
    Stopped,
    /// The current release is the new one.
    Swapped,
    /// The new process is there.
    Started,
    /// It answers its probes and runs the ordered bytes, since the task's `changed_at`.
    Verified,
    /// It stayed good for as long as the soak asks.
    Done,
    /// The release before is being put back, for this reason.
    Reverting(String),
    /// The release before is back and answers its probes; this was the reason.
    Reverted(String),
    /// Neither would do, for this reason; a person is needed.
    Parked(String),
}

impl TaskState {
    /// The state's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Prefetched => "prefetched",
            Self::Admitted => "admitted",
            Self::Stopped => "stopped",
            Self::Swapped => "swapped",
            Self::Started => "started",
            Self::Verified => "verified",
            Self::Done => "done",
            Self::Reverting(_) => "reverting",
            Self::Reverted(_) => "reverted",
            Self::Parked(_) => "parked",
        }
    }

    /// Why it went back or was parked.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Reverting(reason) | Self::Reverted(reason) | Self::Parked(reason) => reason,
            Self::Pending
            | Self::Prefetched
            | Self::Admitted
            | Self::Stopped
            | Self::Swapped
            | Self::Started
            | Self::Verified
            | Self::Done => "",
        }
    }

    /// Whether an order was given and its end is not known yet.
    #[must_use]
    pub fn ordered(&self) -> bool {
        match self {
            Self::Admitted | Self::Stopped | Self::Swapped | Self::Started | Self::Reverting(_) => {
                true
            }
            Self::Pending
            | Self::Prefetched
            | Self::Verified
            | Self::Done
            | Self::Reverted(_)
            | Self::Parked(_) => false,
        }
    }

    /// Whether the task has to be seen to its end even if the plan is given up: it was ordered, or soaks.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.ordered() || *self == Self::Verified
    }
}

/// How carefully a plan goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How many instances of a group may be down at once, whoever took them down.
    pub max_unavailable: u32,
    /// The label that names an instance's failure domain; `None` where there are none.
    pub failure_domain: Option<String>,
    /// How many instances go first, alone.
    pub canary: u32,
    /// How long an instance has to stay good before it counts as done.
    pub soak: Duration,
    /// How long one instance may take from its order to its probes' good answer.
    pub instance_deadline: Duration,
    /// The plan pauses when no task moved for this long.
    pub progress_deadline: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_unavailable: 1,
            failure_domain: None,
            canary: 1,
            soak: Duration::from_secs(120),
            instance_deadline: Duration::from_secs(300),
            progress_deadline: Duration::from_secs(600),
        }
    }
}

impl Policy {
    /// Checks that the policy makes sense by itself.
    ///
    /// # Errors
    /// Names the field and what is allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        let bad = |message: String| Err(Refusal::new(RefusalKind::BadArgument, message));
        if self.max_unavailable == 0 {
            return bad(
                "max_unavailable is 0, so that nothing could ever be stopped; the least is 1"
                    .to_owned(),
            );
        }
        if let Some(label) = &self.failure_domain
            && let Err(error) = names::check("label", label)
        {
            return bad(format!("the failure domain is no label: {error}"));
        }
        if self.soak >= self.instance_deadline {
            return bad(format!(
                "the soak ({:?}) has to be shorter than the instance deadline ({:?})",
                self.soak, self.instance_deadline
            ));
        }
        if self.instance_deadline >= self.progress_deadline {
            return bad(format!(
                "the instance deadline ({:?}) has to be shorter than the progress deadline ({:?})",
                self.instance_deadline, self.progress_deadline
            ));
        }
        if self.progress_deadline > POLICY_DURATION_MAX {
            return bad(format!(
                "the progress deadline ({:?}) is longer than the {POLICY_DURATION_MAX:?} allowed",
                self.progress_deadline
            ));
        }
        Ok(())
    }
}

/// One component from one version to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The component.
    pub component: ComponentName,
    /// What its instances run.
    pub from: Version,
    /// What they are going to run.
    pub to: Version,
    /// How the instances come from one to the other, and back.
    pub way: Way,
    /// The component's new format takes hold by itself when its last instance runs the new version.
    pub finalizes_itself: bool,
    /// How many instances it touches.
    pub instances: u32,
    /// The other versions on the way of the instances that it touches, in order; none if this is the whole way.
    pub through: Vec<Version>,
    /// A component that ought to be at its target before is not: no way keeps that order.
    pub out_of_order: bool,
    /// What the rule says beside it.
    pub note: String,
    /// The versions that can still be gone back to after it, before the plan is finalized, newest first.
    pub reachable_back: Vec<Version>,
    /// Who said that there need be no way back, once someone has.
    pub confirmed_by: Option<String>,
    /// When that was said.
    pub confirmed_at: Option<Timestamp>,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.component, self.from, self.to)
    }
}

/// Where a component is to be brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The component; every instance of it takes part.
    pub component: ComponentName,
    /// The version to bring them to.
    pub version: Version,
    /// The version may be older than what runs.
    pub allow_downgrade: bool,
}

/// What was not chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuledOut {
    /// The component.
    pub component: ComponentName,
    /// From this version.
    pub from: Version,
    /// To this one.
    pub to: Version,
    /// Why not, in one sentence.
    pub reason: String,
}

/// What will be done, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub id: PlanId,
    /// Where it is in its life.
    pub state: PlanState,
    /// Where it brings the components that its maker named.
    pub targets: Vec<Target>,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
    /// What was not chosen, and why.
    pub ruled_out: Vec<RuledOut>,
    /// The version of the matrix that it was computed with.
    pub matrix_version: u64,
    /// Its policy.
    pub policy: Policy,
    /// How many tasks it has.
    pub tasks_total: u32,
    /// How many of them are done.
    pub tasks_done: u32,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When a task of it moved last; what the progress deadline counts from.
    pub progressed_at: Timestamp,
    /// When something of this changed last.
    pub changed_at: Timestamp,
    /// The revision at which something of this changed last.
    pub revision: u64,
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
    /// When it moved last.
    pub changed_at: Timestamp,
    /// The revision at which something of this changed last.
    pub revision: u64,
}

impl Stage {
    /// How an instance comes back from the version that this leads to, before the plan is finalized; nothing if it
    /// cannot. What is final by itself counts as final from a person's word on.
    #[must_use]
    pub fn way_back(&self) -> Option<Method> {
        let undo = match self.finalizes_itself && self.confirmed_by.is_some() {
            true => self.way.undo_when_final,
            false => self.way.undo,
        };
        match undo {
            Undo::InPlace => Some(Method::InPlace),
            Undo::Rebuild => Some(Method::Rebuild),
            Undo::NotAtAll => None,
        }
    }

    /// Whether an instance may have to be started without its data, on the way there or back.
    #[must_use]
    pub fn may_rebuild(&self) -> bool {
        self.way.method == Method::Rebuild || self.way_back() == Some(Method::Rebuild)
    }

    /// Whether finalizing takes a way back away.
    #[must_use]
    pub fn is_final_when_finalized(&self) -> bool {
        self.way.undo != self.way.undo_when_final
    }
}

impl Plan {
    /// One of its stages, from 0.
    #[must_use]
    pub fn stage_at(&self, index: u32) -> Option<&Stage> {
        self.stages.get(usize::try_from(index).ok()?)
    }

    /// The stage of a task of it.
    #[must_use]
    pub fn stage(&self, task: &Task) -> Option<&Stage> {
        self.stage_at(task.stage)
    }
}

impl Task {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_named_by_its_number() {
        let id: PlanId = "plan-12".parse().unwrap();
        assert_eq!(id.to_string(), "plan-12");
        for bad in [
            "",
            "plan-",
            "plan-0",
            "plan-01",
            "plan-+1",
            "12",
            "plan-99999999999999999999",
        ] {
            assert!(bad.parse::<PlanId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_policy_that_cannot_work_is_refused() {
        let check = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            policy.check().map_err(|refusal| refusal.message)
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert!(check(|p| p.max_unavailable = 0).is_err());
        assert!(check(|p| p.soak = p.instance_deadline).is_err());
        assert!(check(|p| p.instance_deadline = p.progress_deadline).is_err());
        assert!(check(|p| p.progress_deadline = Duration::MAX).is_err());
    }
}
