//! Plans, their tasks, and what those wait for.

use evenkeel_proto::v1;
use serde::Serialize;

use super::matrix::level;
use super::{PlanPolicy, ReleaseRef, RuledOut, word};
use crate::time::rfc3339;

/// One component from one version to the next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Stage {
    pub(crate) component: String,
    pub(crate) from_version: String,
    pub(crate) to_version: String,
    pub(crate) level: String,
    pub(crate) reversed: bool,
    pub(crate) method: String,
    pub(crate) undo: String,
    pub(crate) undo_when_final: String,
    pub(crate) finalizes_itself: bool,
    pub(crate) instances: u32,
    pub(crate) direct: bool,
    pub(crate) through: Vec<String>,
    pub(crate) out_of_order: bool,
    pub(crate) note: String,
    pub(crate) reachable_back: Vec<String>,
    pub(crate) confirmed_by: String,
    pub(crate) confirmed_at: Option<String>,
    pub(crate) undoes: Option<u32>,
}

impl From<v1::Stage> for Stage {
    fn from(stage: v1::Stage) -> Self {
        Self {
            level: level(stage.level),
            method: word!(v1::StageMethod, "STAGE_METHOD_", stage.method),
            undo: word!(v1::Undo, "UNDO_", stage.undo),
            undo_when_final: word!(v1::Undo, "UNDO_", stage.undo_when_final),
            component: stage.component,
            from_version: stage.from_version,
            to_version: stage.to_version,
            reversed: stage.reversed,
            finalizes_itself: stage.finalizes_itself,
            instances: stage.instances,
            direct: stage.direct,
            through: stage.through,
            out_of_order: stage.out_of_order,
            note: stage.note,
            reachable_back: stage.reachable_back,
            confirmed_by: stage.confirmed_by,
            confirmed_at: rfc3339(stage.confirmed_at),
            undoes: stage.undoes,
        }
    }
}

/// Where a component is to be brought.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PlanTarget {
    pub(crate) component: String,
    pub(crate) version: String,
    pub(crate) allow_downgrade: bool,
}

impl From<v1::PlanTarget> for PlanTarget {
    fn from(target: v1::PlanTarget) -> Self {
        Self {
            component: target.component,
            version: target.version,
            allow_downgrade: target.allow_downgrade,
        }
    }
}

/// What a plan was given up for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PlanSuccessor {
    pub(crate) targets: Vec<PlanTarget>,
    pub(crate) policy: Option<PlanPolicy>,
    pub(crate) asked_by: String,
}

impl From<v1::PlanSuccessor> for PlanSuccessor {
    fn from(successor: v1::PlanSuccessor) -> Self {
        Self {
            targets: successor.targets.into_iter().map(Into::into).collect(),
            policy: successor.policy.map(Into::into),
            asked_by: successor.asked_by,
        }
    }
}

/// How far a component is with being final.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ComponentFinalize {
    pub(crate) component: String,
    pub(crate) instance: String,
    pub(crate) attempts: u32,
    pub(crate) told_at: Option<String>,
    pub(crate) done: bool,
    pub(crate) reason: String,
}

impl From<v1::ComponentFinalize> for ComponentFinalize {
    fn from(told: v1::ComponentFinalize) -> Self {
        Self {
            component: told.component,
            instance: told.instance,
            attempts: told.attempts,
            told_at: rfc3339(told.told_at),
            done: told.done,
            reason: told.reason,
        }
    }
}

/// A comparison that was made before a wave began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Compared {
    pub(crate) stage: u32,
    pub(crate) wave: u32,
    pub(crate) verdict: String,
    pub(crate) sentence: String,
    pub(crate) at: Option<String>,
    pub(crate) watched_since: Option<String>,
    pub(crate) looks: u32,
    pub(crate) looks_worse: u32,
}

impl From<v1::Compared> for Compared {
    fn from(compared: v1::Compared) -> Self {
        Self {
            stage: compared.stage,
            wave: compared.wave,
            verdict: word!(
                v1::ComparisonVerdict,
                "COMPARISON_VERDICT_",
                compared.verdict
            ),
            sentence: compared.sentence,
            at: rfc3339(compared.at),
            watched_since: rfc3339(compared.watched_since),
            looks: compared.looks,
            looks_worse: compared.looks_worse,
        }
    }
}

/// What will be done, or was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) stages: Vec<Stage>,
    pub(crate) policy: Option<PlanPolicy>,
    pub(crate) tasks_total: u32,
    pub(crate) tasks_done: u32,
    pub(crate) tasks_skipped: u32,
    pub(crate) created_by: String,
    pub(crate) created_at: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) ended_at: Option<String>,
    pub(crate) changed_at: Option<String>,
    pub(crate) progressed_at: Option<String>,
    pub(crate) resumed_at: Option<String>,
    pub(crate) revision: u64,
    pub(crate) targets: Vec<PlanTarget>,
    pub(crate) matrix_version: u64,
    pub(crate) ruled_out: Vec<RuledOut>,
    pub(crate) waits_for_finalize: bool,
    pub(crate) rollback_began_at: Option<String>,
    pub(crate) superseded_by: String,
    pub(crate) successor: Option<PlanSuccessor>,
    pub(crate) finalizing: Vec<ComponentFinalize>,
    pub(crate) compared: Vec<Compared>,
}

impl From<v1::Plan> for Plan {
    fn from(plan: v1::Plan) -> Self {
        Self {
            state: word!(v1::PlanState, "PLAN_STATE_", plan.state),
            kind: word!(v1::PlanKind, "PLAN_KIND_", plan.kind),
            name: plan.name,
            reason: plan.reason,
            stages: plan.stages.into_iter().map(Into::into).collect(),
            policy: plan.policy.map(Into::into),
            tasks_total: plan.tasks_total,
            tasks_done: plan.tasks_done,
            tasks_skipped: plan.tasks_skipped,
            created_by: plan.created_by,
            created_at: rfc3339(plan.created_at),
            started_at: rfc3339(plan.started_at),
            ended_at: rfc3339(plan.ended_at),
            changed_at: rfc3339(plan.changed_at),
            progressed_at: rfc3339(plan.progressed_at),
            resumed_at: rfc3339(plan.resumed_at),
            revision: plan.revision,
            targets: plan.targets.into_iter().map(Into::into).collect(),
            matrix_version: plan.matrix_version,
            ruled_out: plan.ruled_out.into_iter().map(Into::into).collect(),
            waits_for_finalize: plan.waits_for_finalize,
            rollback_began_at: rfc3339(plan.rollback_began_at),
            superseded_by: plan.superseded_by,
            successor: plan.successor.map(Into::into),
            finalizing: plan.finalizing.into_iter().map(Into::into).collect(),
            compared: plan.compared.into_iter().map(Into::into).collect(),
        }
    }
}

/// One instance's journey within a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Task {
    pub(crate) plan: String,
    pub(crate) instance: String,
    pub(crate) stage: u32,
    pub(crate) wave: u32,
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) from: Option<ReleaseRef>,
    pub(crate) to: Option<ReleaseRef>,
    pub(crate) generation: u64,
    pub(crate) admitted_at: Option<String>,
    pub(crate) yielded_at: Option<String>,
    pub(crate) yield_reason: String,
    pub(crate) changed_at: Option<String>,
    pub(crate) stop_to_ready_us: u64,
    pub(crate) revision: u64,
}

impl From<v1::Task> for Task {
    fn from(task: v1::Task) -> Self {
        Self {
            state: word!(v1::TaskState, "TASK_STATE_", task.state),
            plan: task.plan,
            instance: task.instance,
            stage: task.stage,
            wave: task.wave,
            reason: task.reason,
            from: task.from.map(Into::into),
            to: task.to.map(Into::into),
            generation: task.generation,
            admitted_at: rfc3339(task.admitted_at),
            yielded_at: rfc3339(task.yielded_at),
            yield_reason: task.yield_reason,
            changed_at: rfc3339(task.changed_at),
            stop_to_ready_us: task.stop_to_ready_us,
            revision: task.revision,
        }
    }
}

/// Why a task does not move.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Wait {
    pub(crate) instance: String,
    pub(crate) kind: String,
    pub(crate) sentence: String,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) stage: u32,
}

impl From<v1::Wait> for Wait {
    fn from(wait: v1::Wait) -> Self {
        Self {
            kind: word!(v1::WaitKind, "WAIT_KIND_", wait.kind),
            instance: wait.instance,
            sentence: wait.sentence,
            since: rfc3339(wait.since),
            until: rfc3339(wait.until),
            stage: wait.stage,
        }
    }
}
