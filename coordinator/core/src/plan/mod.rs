//! Plans: what will be done, in which order, and how carefully.
//!
//! A plan has stages ([`Stage`]), a stage has a task ([`Task`]) for each instance, and [`Policy`] says how
//! carefully they go.

mod amount;
mod policy;
mod stage;
mod task;

use std::{fmt, num::NonZeroU64, str::FromStr};

use evenkeel_words::{names::ComponentName, timestamp::Timestamp};
use semver::Version;

pub use self::{
    amount::Amount,
    policy::Policy,
    stage::Stage,
    task::{Task, TaskId, TaskState},
};
use crate::refusal::{Refusal, RefusalKind};

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
}
