//! Plans: what will be done, in which order, and how carefully.
//!
//! A plan has stages ([`Stage`]), a stage has a task ([`Task`]) for each instance, and [`Policy`] says how
//! carefully they go.

mod comparison;
mod finalizing;
mod policy;
mod stage;
mod task;
mod window;

use std::{fmt, num::NonZeroU64, str::FromStr};

use evenkeel_words::{names::ComponentName, timestamp::Timestamp};
use semver::Version;

pub use self::{
    comparison::{Compared, Comparison, Verdict, Watched},
    finalizing::ComponentFinalize,
    policy::{OnFailure, Policy},
    stage::Stage,
    task::{Task, TaskId, TaskState, Yield},
    window::Window,
};
use crate::refusal::{Refusal, RefusalKind};
pub use evenkeel_words::amount::Amount;

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
    /// Every task is over, and the storage systems are being told that it is final.
    Finalizing,
    /// Every task is over, and it is final.
    Finalized,
    /// Given up for this reason; the tasks in flight are being finished.
    Aborting(String),
    /// Given up for this reason, and nothing of it is in flight.
    Aborted(String),
    /// What it has moved is being brought back, for this reason.
    RollingBack(String),
    /// What it had moved was brought back, for this reason.
    RolledBack(String),
    /// Given up for this plan, which was made and started in its place.
    Superseded(PlanId),
    /// Given up for this reason while it was rolling back: neither here nor there.
    Failed(String),
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
            Self::Finalizing => "finalizing",
            Self::Finalized => "finalized",
            Self::Aborting(_) => "aborting",
            Self::Aborted(_) => "aborted",
            Self::RollingBack(_) => "rolling back",
            Self::RolledBack(_) => "rolled back",
            Self::Superseded(_) => "superseded",
            Self::Failed(_) => "failed",
        }
    }

    /// Why it is in this state, where that is not plain.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Paused(reason)
            | Self::Aborting(reason)
            | Self::Aborted(reason)
            | Self::RollingBack(reason)
            | Self::RolledBack(reason)
            | Self::Failed(reason) => reason,
            Self::Draft
            | Self::Running
            | Self::ReadyToFinalize
            | Self::Finalizing
            | Self::Finalized
            | Self::Superseded(_) => "",
        }
    }

    /// Whether it was started and has not ended: it may hold instances down.
    #[must_use]
    pub fn under_way(&self) -> bool {
        match self {
            Self::Running
            | Self::Paused(_)
            | Self::ReadyToFinalize
            | Self::Finalizing
            | Self::Aborting(_)
            | Self::RollingBack(_) => true,
            Self::Draft
            | Self::Finalized
            | Self::Aborted(_)
            | Self::RolledBack(_)
            | Self::Superseded(_)
            | Self::Failed(_) => false,
        }
    }

    /// Whether it has come to its end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        *self != Self::Draft && !self.under_way()
    }
}

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlanKind {
    /// To bring components to versions.
    #[default]
    Upgrade,
    /// To restart processes on the release that they run.
    Restart,
    /// To restart those processes that were started with another configuration than their agents have now.
    Reconfigure,
    /// To bring instances that are quarantined to where the others of their component are.
    CatchUp,
}

/// What a plan was given up for: made and started once nothing of it is in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// Where to bring which components.
    pub targets: Vec<Target>,
    /// How carefully.
    pub policy: Policy,
    /// Who asked for it.
    pub asked_by: String,
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
    /// What it is for.
    pub kind: PlanKind,
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
    /// How many of them were left out or are not needed any more.
    pub tasks_skipped: u32,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When its rollback began, if it did.
    pub rollback_began_at: Option<Timestamp>,
    /// What it was given up for, if for another plan.
    pub successor: Option<Successor>,
    /// What the storage systems were told about its being final, a component each.
    pub finalizing: Vec<ComponentFinalize>,
    /// The comparisons that were made before its waves.
    pub compared: Vec<Compared>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When a person resumed it last, if anyone did.
    pub resumed_at: Option<Timestamp>,
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

    /// Whether this is the version that it brings the component to.
    #[must_use]
    pub fn brings_to(&self, component: &ComponentName, version: &Version) -> bool {
        let mut forward = self.stages.iter().rev();
        let last = forward.find(|it| it.undoes.is_none() && it.component == *component);
        last.is_some_and(|stage| stage.to.cmp_precedence(version).is_eq())
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
