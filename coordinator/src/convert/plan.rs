//! Plans, tasks, policies and waits.

use evenkeel_coordinator_core::{
    engine::waits::{Wait, WaitKind},
    plan::{Plan, PlanState, Policy, Stage, Task, TaskState},
};
use evenkeel_proto::v1;

use super::{
    Invalid, duration_from, duration_to, enumerated, optional_time, parse,
    release::{reference_from, reference_to},
    required, time_from, time_to, version,
};

/// A policy out of what a caller asks for and what the configuration has for the rest.
///
/// # Errors
/// Names the field at fault.
pub fn policy_from_proto(
    asked: Option<v1::PlanPolicy>,
    defaults: &Policy,
) -> Result<Policy, Invalid> {
    let asked = asked.unwrap_or_default();
    let duration = |field, asked: &Option<prost_types::Duration>, default| match asked {
        Some(asked) => duration_from(field, asked),
        None => Ok(default),
    };
    let failure_domain = match asked.failure_domain {
        Some(label) if label.is_empty() => None,
        Some(label) => Some(label),
        None => defaults.failure_domain.clone(),
    };
    Ok(Policy {
        max_unavailable: asked.max_unavailable.unwrap_or(defaults.max_unavailable),
        failure_domain,
        canary: asked.canary.unwrap_or(defaults.canary),
        soak: duration("policy.soak", &asked.soak, defaults.soak)?,
        instance_deadline: duration(
            "policy.instance_deadline",
            &asked.instance_deadline,
            defaults.instance_deadline,
        )?,
        progress_deadline: duration(
            "policy.progress_deadline",
            &asked.progress_deadline,
            defaults.progress_deadline,
        )?,
    })
}

fn policy_to(policy: &Policy) -> v1::PlanPolicy {
    v1::PlanPolicy {
        max_unavailable: Some(policy.max_unavailable),
        failure_domain: Some(policy.failure_domain.clone().unwrap_or_default()),
        canary: Some(policy.canary),
        soak: Some(duration_to(policy.soak)),
        instance_deadline: Some(duration_to(policy.instance_deadline)),
        progress_deadline: Some(duration_to(policy.progress_deadline)),
    }
}

/// A plan, for the API and the store.
#[must_use]
pub fn plan_to_proto(plan: &Plan) -> v1::Plan {
    v1::Plan {
        name: plan.id.to_string(),
        state: match plan.state {
            PlanState::Draft => v1::PlanState::Draft,
            PlanState::Running => v1::PlanState::Running,
            PlanState::Paused(_) => v1::PlanState::Paused,
            PlanState::Finalized => v1::PlanState::Finalized,
            PlanState::Aborting(_) => v1::PlanState::Aborting,
            PlanState::Aborted(_) => v1::PlanState::Aborted,
        }
        .into(),
        reason: plan.state.reason().to_owned(),
        stages: plan
            .stages
            .iter()
            .map(|stage| v1::Stage {
                component: stage.component.to_string(),
                from_version: stage.from.to_string(),
                to_version: stage.to.to_string(),
            })
            .collect(),
        policy: Some(policy_to(&plan.policy)),
        tasks_total: plan.tasks_total,
        tasks_done: plan.tasks_done,
        created_by: plan.created_by.clone(),
        created_at: Some(time_to(plan.created_at)),
        started_at: plan.started_at.map(time_to),
        ended_at: plan.ended_at.map(time_to),
        changed_at: Some(time_to(plan.changed_at)),
        revision: plan.revision,
        progressed_at: Some(time_to(plan.progressed_at)),
    }
}

pub(super) fn plan_from(plan: v1::Plan) -> Result<Plan, Invalid> {
    let reason = plan.reason;
    Ok(Plan {
        id: parse("name", &plan.name)?,
        state: match enumerated("state", plan.state)? {
            v1::PlanState::Unspecified => return Err(Invalid::new("state", "is missing")),
            v1::PlanState::Draft => PlanState::Draft,
            v1::PlanState::Running => PlanState::Running,
            v1::PlanState::Paused => PlanState::Paused(reason),
            v1::PlanState::Finalized => PlanState::Finalized,
            v1::PlanState::Aborting => PlanState::Aborting(reason),
            v1::PlanState::Aborted => PlanState::Aborted(reason),
        },
        stages: plan
            .stages
            .into_iter()
            .map(|stage| {
                Ok(Stage {
                    component: parse("stages.component", &stage.component)?,
                    from: version("stages.from_version", &stage.from_version)?,
                    to: version("stages.to_version", &stage.to_version)?,
                })
            })
            .collect::<Result<_, Invalid>>()?,
        policy: policy_from_proto(Some(required("policy", plan.policy)?), &Policy::default())?,
        tasks_total: plan.tasks_total,
        tasks_done: plan.tasks_done,
        created_by: plan.created_by,
        created_at: time_from("created_at", &plan.created_at.unwrap_or_default())?,
        started_at: optional_time("started_at", plan.started_at.as_ref())?,
        ended_at: optional_time("ended_at", plan.ended_at.as_ref())?,
        progressed_at: time_from("progressed_at", &plan.progressed_at.unwrap_or_default())?,
        changed_at: time_from("changed_at", &plan.changed_at.unwrap_or_default())?,
        revision: plan.revision,
    })
}

/// A task, for the API and the store.
#[must_use]
pub fn task_to_proto(task: &Task) -> v1::Task {
    v1::Task {
        plan: task.plan.to_string(),
        instance: task.instance.to_string(),
        stage: task.stage,
        wave: task.wave,
        state: match task.state {
            TaskState::Pending => v1::TaskState::Pending,
            TaskState::Prefetched => v1::TaskState::Prefetched,
            TaskState::Admitted => v1::TaskState::Admitted,
            TaskState::Stopped => v1::TaskState::Stopped,
            TaskState::Swapped => v1::TaskState::Swapped,
            TaskState::Started => v1::TaskState::Started,
            TaskState::Verified => v1::TaskState::Verified,
            TaskState::Done => v1::TaskState::Done,
            TaskState::Reverting(_) => v1::TaskState::Reverting,
            TaskState::Reverted(_) => v1::TaskState::Reverted,
            TaskState::Parked(_) => v1::TaskState::Parked,
        }
        .into(),
        reason: task.state.reason().to_owned(),
        from: Some(reference_to(&task.from)),
        to: Some(reference_to(&task.to)),
        generation: task.generation,
        admitted_at: task.admitted_at.map(time_to),
        changed_at: Some(time_to(task.changed_at)),
        stop_to_ready_us: task.stop_to_ready_us,
        revision: task.revision,
    }
}

pub(super) fn task_from(task: v1::Task) -> Result<Task, Invalid> {
    let reason = task.reason;
    Ok(Task {
        plan: parse("plan", &task.plan)?,
        instance: parse("instance", &task.instance)?,
        stage: task.stage,
        wave: task.wave,
        state: match enumerated("state", task.state)? {
            v1::TaskState::Unspecified => return Err(Invalid::new("state", "is missing")),
            v1::TaskState::Pending => TaskState::Pending,
            v1::TaskState::Prefetched => TaskState::Prefetched,
            v1::TaskState::Admitted => TaskState::Admitted,
            v1::TaskState::Stopped => TaskState::Stopped,
            v1::TaskState::Swapped => TaskState::Swapped,
            v1::TaskState::Started => TaskState::Started,
            v1::TaskState::Verified => TaskState::Verified,
            v1::TaskState::Done => TaskState::Done,
            v1::TaskState::Reverting => TaskState::Reverting(reason),
            v1::TaskState::Reverted => TaskState::Reverted(reason),
            v1::TaskState::Parked => TaskState::Parked(reason),
        },
        from: reference_from(&required("from", task.from)?)?,
        to: reference_from(&required("to", task.to)?)?,
        generation: task.generation,
        admitted_at: optional_time("admitted_at", task.admitted_at.as_ref())?,
        stop_to_ready_us: task.stop_to_ready_us,
        changed_at: time_from("changed_at", &task.changed_at.unwrap_or_default())?,
        revision: task.revision,
    })
}

/// Why a task does not move.
#[must_use]
pub fn wait_to_proto(wait: &Wait) -> v1::Wait {
    v1::Wait {
        instance: wait.instance.to_string(),
        kind: match wait.kind {
            WaitKind::Person => v1::WaitKind::Person,
            WaitKind::Prefetch => v1::WaitKind::Prefetch,
            WaitKind::Budget => v1::WaitKind::Budget,
            WaitKind::Wave => v1::WaitKind::Wave,
            WaitKind::Agent => v1::WaitKind::Agent,
            WaitKind::Soak => v1::WaitKind::Soak,
        }
        .into(),
        sentence: wait.sentence.clone(),
        since: Some(time_to(wait.since)),
        until: wait.until.map(time_to),
    }
}
