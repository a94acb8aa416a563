//! Plans, tasks, policies and waits.

use evenkeel_compat::{COMPONENTS_MAX, Way};
use evenkeel_coordinator_core::{
    engine::{
        finality,
        waits::{Wait, WaitKind},
    },
    plan::{
        ComponentFinalize, Plan, PlanKind, PlanState, RuledOut, Stage, Successor, Target, Task,
        TaskState, Yield,
    },
    planner::{self, NoPath, Remedy, Selection, TASKS_MAX},
    state::State,
};
use evenkeel_proto::v1;
use semver::Version;

use super::{
    Invalid,
    comparison::{compared_from, compared_to},
    compatibility::{level_from, level_to, stage_method_from, stage_method_to, undo_from, undo_to},
    enumerated, error_code, optional_time, parse,
    policy::{policy_from_store, policy_to},
    release::{reference_from, reference_to},
    required, time_from, time_to, version,
};

fn kind_to(kind: PlanKind) -> v1::PlanKind {
    match kind {
        PlanKind::Upgrade => v1::PlanKind::Upgrade,
        PlanKind::Restart => v1::PlanKind::Restart,
        PlanKind::Reconfigure => v1::PlanKind::Reconfigure,
        PlanKind::CatchUp => v1::PlanKind::CatchUp,
    }
}

/// What a plan is for; an upgrade where nothing is said.
///
/// # Errors
/// For a value that is not known.
pub fn plan_kind_from(field: &str, kind: i32) -> Result<PlanKind, Invalid> {
    Ok(match enumerated(field, kind)? {
        v1::PlanKind::Unspecified | v1::PlanKind::Upgrade => PlanKind::Upgrade,
        v1::PlanKind::Restart => PlanKind::Restart,
        v1::PlanKind::Reconfigure => PlanKind::Reconfigure,
        v1::PlanKind::CatchUp => PlanKind::CatchUp,
    })
}

fn successor_to(successor: &Successor) -> v1::PlanSuccessor {
    v1::PlanSuccessor {
        targets: successor.targets.iter().map(target_to).collect(),
        policy: Some(policy_to(&successor.policy)),
        asked_by: successor.asked_by.clone(),
    }
}

fn successor_from(successor: v1::PlanSuccessor) -> Result<Successor, Invalid> {
    Ok(Successor {
        targets: targets_from_proto(successor.targets)?,
        policy: policy_from_store(successor.policy.unwrap_or_default())?,
        asked_by: successor.asked_by,
    })
}

fn finalizing_to(finalizing: &ComponentFinalize) -> v1::ComponentFinalize {
    let instance = finalizing.instance.as_ref();
    v1::ComponentFinalize {
        component: finalizing.component.to_string(),
        instance: instance.map_or_else(String::new, ToString::to_string),
        attempts: finalizing.attempts,
        told_at: finalizing.told_at.map(time_to),
        done: finalizing.done,
        reason: finalizing.reason.clone(),
    }
}

fn finalizing_from(finalizing: v1::ComponentFinalize) -> Result<ComponentFinalize, Invalid> {
    let instance = Some(finalizing.instance).filter(|instance| !instance.is_empty());
    Ok(ComponentFinalize {
        component: parse("finalizing.component", &finalizing.component)?,
        instance: instance
            .map(|instance| parse("finalizing.instance", &instance))
            .transpose()?,
        attempts: finalizing.attempts,
        told_at: optional_time("finalizing.told_at", finalizing.told_at.as_ref())?,
        done: finalizing.done,
        reason: finalizing.reason,
    })
}

/// A plan, for the API and the store.
#[must_use]
pub fn plan_to_proto(plan: &Plan) -> v1::Plan {
    v1::Plan {
        name: plan.id.to_string(),
        kind: kind_to(plan.kind).into(),
        state: match plan.state {
            PlanState::Draft => v1::PlanState::Draft,
            PlanState::Running => v1::PlanState::Running,
            PlanState::Paused(_) => v1::PlanState::Paused,
            PlanState::ReadyToFinalize => v1::PlanState::ReadyToFinalize,
            PlanState::Finalizing => v1::PlanState::Finalizing,
            PlanState::Finalized => v1::PlanState::Finalized,
            PlanState::Aborting(_) => v1::PlanState::Aborting,
            PlanState::Aborted(_) => v1::PlanState::Aborted,
            PlanState::RollingBack(_) => v1::PlanState::RollingBack,
            PlanState::RolledBack(_) => v1::PlanState::RolledBack,
            PlanState::Superseded(_) => v1::PlanState::Superseded,
            PlanState::Failed(_) => v1::PlanState::Failed,
        }
        .into(),
        reason: plan.state.reason().to_owned(),
        stages: plan.stages.iter().map(stage_to_proto).collect(),
        policy: Some(policy_to(&plan.policy)),
        tasks_total: plan.tasks_total,
        tasks_done: plan.tasks_done,
        tasks_skipped: plan.tasks_skipped,
        rollback_began_at: plan.rollback_began_at.map(time_to),
        superseded_by: match plan.state {
            PlanState::Superseded(by) => by.to_string(),
            PlanState::Draft
            | PlanState::Running
            | PlanState::Paused(_)
            | PlanState::ReadyToFinalize
            | PlanState::Finalizing
            | PlanState::Finalized
            | PlanState::Aborting(_)
            | PlanState::Aborted(_)
            | PlanState::RollingBack(_)
            | PlanState::RolledBack(_)
            | PlanState::Failed(_) => String::new(),
        },
        successor: plan.successor.as_ref().map(successor_to),
        finalizing: plan.finalizing.iter().map(finalizing_to).collect(),
        compared: plan.compared.iter().map(compared_to).collect(),
        created_by: plan.created_by.clone(),
        created_at: Some(time_to(plan.created_at)),
        started_at: plan.started_at.map(time_to),
        ended_at: plan.ended_at.map(time_to),
        changed_at: Some(time_to(plan.changed_at)),
        revision: plan.revision,
        progressed_at: Some(time_to(plan.progressed_at)),
        targets: plan.targets.iter().map(target_to).collect(),
        matrix_version: plan.matrix_version,
        ruled_out: plan.ruled_out.iter().map(ruled_out_to_proto).collect(),
        waits_for_finalize: false,
        resumed_at: plan.resumed_at.map(time_to),
    }
}

/// A plan as callers see it: with what it waits for a person to say, if it does.
#[must_use]
pub fn plan_shown(state: &State, plan: &Plan) -> v1::Plan {
    let mut shown = plan_to_proto(plan);
    if let Some(waits) = finality::asked_for(state, plan) {
        shown.reason = waits;
        shown.waits_for_finalize = true;
    }
    shown
}

/// A stage.
#[must_use]
pub fn stage_to_proto(stage: &Stage) -> v1::Stage {
    v1::Stage {
        component: stage.component.to_string(),
        from_version: stage.from.to_string(),
        to_version: stage.to.to_string(),
        level: level_to(stage.way.level).into(),
        reversed: stage.way.reversed,
        method: stage_method_to(stage.way.method).into(),
        undo: undo_to(stage.way.undo).into(),
        undo_when_final: undo_to(stage.way.undo_when_final).into(),
        finalizes_itself: stage.finalizes_itself,
        instances: stage.instances,
        direct: stage.through.is_empty(),
        through: stage.through.iter().map(ToString::to_string).collect(),
        out_of_order: stage.out_of_order,
        note: stage.note.clone(),
        reachable_back: stage
            .reachable_back
            .iter()
            .map(ToString::to_string)
            .collect(),
        confirmed_by: stage.confirmed_by.clone().unwrap_or_default(),
        confirmed_at: stage.confirmed_at.map(time_to),
        undoes: stage.undoes,
    }
}

fn stage_from(stage: v1::Stage) -> Result<Stage, Invalid> {
    Ok(Stage {
        component: parse("component", &stage.component)?,
        from: version("from_version", &stage.from_version)?,
        to: version("to_version", &stage.to_version)?,
        way: Way {
            method: stage_method_from("method", stage.method)?,
            level: level_from("level", stage.level)?,
            reversed: stage.reversed,
            undo: undo_from("undo", stage.undo)?,
            undo_when_final: undo_from("undo_when_final", stage.undo_when_final)?,
        },
        finalizes_itself: stage.finalizes_itself,
        instances: stage.instances,
        through: versions("through", &stage.through)?,
        out_of_order: stage.out_of_order,
        note: stage.note,
        reachable_back: versions("reachable_back", &stage.reachable_back)?,
        confirmed_by: Some(stage.confirmed_by).filter(|who| !who.is_empty()),
        confirmed_at: optional_time("confirmed_at", stage.confirmed_at.as_ref())?,
        undoes: stage.undoes,
    })
}

fn versions(field: &str, texts: &[String]) -> Result<Vec<Version>, Invalid> {
    texts.iter().map(|text| version(field, text)).collect()
}

fn target_to(target: &Target) -> v1::PlanTarget {
    v1::PlanTarget {
        component: target.component.to_string(),
        version: target.version.to_string(),
        allow_downgrade: target.allow_downgrade,
    }
}

/// What is to be restarted.
///
/// # Errors
/// Names the field at fault.
pub fn selection_from_proto(
    components: &[String],
    instances: &[String],
) -> Result<Selection, Invalid> {
    let limits = [
        ("components", components.len(), COMPONENTS_MAX),
        ("instances", instances.len(), TASKS_MAX),
    ];
    for (field, count, max) in limits {
        if count > max {
            return Err(Invalid::new(
                field,
                format!("has {count} names, at most {max} may be"),
            ));
        }
    }
    Ok(Selection {
        components: components
            .iter()
            .map(|name| parse("components", name))
            .collect::<Result<_, _>>()?,
        instances: instances
            .iter()
            .map(|name| parse("instances", name))
            .collect::<Result<_, _>>()?,
    })
}

/// Where components are to be brought.
///
/// # Errors
/// Names the field at fault.
pub fn targets_from_proto(targets: Vec<v1::PlanTarget>) -> Result<Vec<Target>, Invalid> {
    if targets.len() > COMPONENTS_MAX {
        return Err(Invalid::new(
            "targets",
            format!(
                "names {} components, at most {COMPONENTS_MAX} may be",
                targets.len()
            ),
        ));
    }
    let read = |target: v1::PlanTarget| {
        Ok(Target {
            component: parse("targets.component", &target.component)?,
            version: version("targets.version", &target.version)?,
            allow_downgrade: target.allow_downgrade,
        })
    };
    targets.into_iter().map(read).collect()
}

/// What was not chosen, and why.
#[must_use]
pub fn ruled_out_to_proto(ruled_out: &RuledOut) -> v1::RuledOut {
    v1::RuledOut {
        component: ruled_out.component.to_string(),
        from_version: ruled_out.from.to_string(),
        to_version: ruled_out.to.to_string(),
        reason: ruled_out.reason.clone(),
    }
}

/// Why there is no path, and what else has to be known about it.
#[must_use]
pub fn no_path_to_proto(state: &State, no_path: &NoPath, notes: &[String]) -> v1::PlanRefusal {
    let publish = no_path.publish_first.iter();
    let publish = publish.map(|(component, version)| Remedy::Publish {
        component: component.clone(),
        version: version.clone(),
    });
    let publish: Vec<_> = publish.collect();
    let remedies = match publish.is_empty() {
        true => &no_path.remedies,
        false => &publish,
    };
    v1::PlanRefusal {
        summary: no_path.summary(),
        reasons: no_path
            .obstacles
            .iter()
            .map(ToString::to_string)
            .chain(notes.iter().cloned())
            .collect(),
        remedies: remedies.iter().map(remedy_to).collect(),
        furthest: no_path
            .furthest
            .iter()
            .map(|furthest| v1::Reachable {
                component: furthest.component.to_string(),
                version: furthest
                    .version
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
                at_least: !furthest.certain,
            })
            .collect(),
        stages: planner::stages(state, &no_path.steps)
            .iter()
            .map(stage_to_proto)
            .collect(),
        ruled_out: planner::ruled_out(&no_path.ruled_out)
            .iter()
            .map(ruled_out_to_proto)
            .collect(),
        remedies_are_smallest: publish.is_empty() && no_path.smallest,
        error_code: error_code(planner::kind_of(no_path)).reason().to_owned(),
    }
}

fn remedy_to(remedy: &Remedy) -> v1::Remedy {
    v1::Remedy {
        kind: match remedy {
            Remedy::Publish { .. } => v1::RemedyKind::Publish,
            Remedy::MoveUsers { .. } => v1::RemedyKind::MoveUsers,
            Remedy::AddRule { .. } => v1::RemedyKind::AddRule,
            Remedy::ChangeRule { .. } => v1::RemedyKind::ChangeRule,
            Remedy::Unblock { .. } => v1::RemedyKind::Unblock,
        }
        .into(),
        components: remedy
            .components()
            .iter()
            .map(ToString::to_string)
            .collect(),
        from_version: remedy.from(),
        to_version: remedy.to().unwrap_or_default(),
        sentence: remedy.to_string(),
    }
}

fn ruled_out_from(ruled_out: v1::RuledOut) -> Result<RuledOut, Invalid> {
    Ok(RuledOut {
        component: parse("ruled_out.component", &ruled_out.component)?,
        from: version("ruled_out.from_version", &ruled_out.from_version)?,
        to: version("ruled_out.to_version", &ruled_out.to_version)?,
        reason: ruled_out.reason,
    })
}

pub(super) fn plan_from(plan: v1::Plan) -> Result<Plan, Invalid> {
    let reason = plan.reason;
    Ok(Plan {
        id: parse("name", &plan.name)?,
        kind: plan_kind_from("kind", plan.kind)?,
        state: match enumerated("state", plan.state)? {
            v1::PlanState::Unspecified => return Err(Invalid::new("state", "is missing")),
            v1::PlanState::Draft => PlanState::Draft,
            v1::PlanState::Running => PlanState::Running,
            v1::PlanState::Paused => PlanState::Paused(reason),
            v1::PlanState::ReadyToFinalize => PlanState::ReadyToFinalize,
            v1::PlanState::Finalized => PlanState::Finalized,
            v1::PlanState::Aborting => PlanState::Aborting(reason),
            v1::PlanState::Aborted => PlanState::Aborted(reason),
            v1::PlanState::Finalizing => PlanState::Finalizing,
            v1::PlanState::RollingBack => PlanState::RollingBack(reason),
            v1::PlanState::RolledBack => PlanState::RolledBack(reason),
            v1::PlanState::Superseded => {
                PlanState::Superseded(parse("superseded_by", &plan.superseded_by)?)
            }
            v1::PlanState::Failed => PlanState::Failed(reason),
        },
        stages: plan
            .stages
            .into_iter()
            .map(|stage| stage_from(stage).map_err(|error| error.within("stages")))
            .collect::<Result<_, Invalid>>()?,
        targets: targets_from_proto(plan.targets)?,
        ruled_out: plan
            .ruled_out
            .into_iter()
            .map(ruled_out_from)
            .collect::<Result<_, _>>()?,
        matrix_version: plan.matrix_version,
        policy: policy_from_store(required("policy", plan.policy)?)?,
        tasks_total: plan.tasks_total,
        tasks_done: plan.tasks_done,
        tasks_skipped: plan.tasks_skipped,
        rollback_began_at: optional_time("rollback_began_at", plan.rollback_began_at.as_ref())?,
        successor: plan.successor.map(successor_from).transpose()?,
        compared: plan
            .compared
            .into_iter()
            .map(compared_from)
            .collect::<Result<_, _>>()?,
        finalizing: plan
            .finalizing
            .into_iter()
            .map(finalizing_from)
            .collect::<Result<_, _>>()?,
        created_by: plan.created_by,
        created_at: time_from("created_at", &plan.created_at.unwrap_or_default())?,
        started_at: optional_time("started_at", plan.started_at.as_ref())?,
        ended_at: optional_time("ended_at", plan.ended_at.as_ref())?,
        resumed_at: optional_time("resumed_at", plan.resumed_at.as_ref())?,
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
            TaskState::Quiesced => v1::TaskState::Quiesced,
            TaskState::Verified => v1::TaskState::Verified,
            TaskState::Rejoined => v1::TaskState::Rejoined,
            TaskState::Done => v1::TaskState::Done,
            TaskState::Reverting(_) => v1::TaskState::Reverting,
            TaskState::Reverted(_) => v1::TaskState::Reverted,
            TaskState::Parked(_) => v1::TaskState::Parked,
            TaskState::Skipped(_) => v1::TaskState::Skipped,
        }
        .into(),
        reason: task.state.reason().to_owned(),
        from: Some(reference_to(&task.from)),
        to: Some(reference_to(&task.to)),
        generation: task.generation,
        admitted_at: task.admitted_at.map(time_to),
        changed_at: Some(time_to(task.changed_at)),
        stop_to_ready_us: task.stop_to_ready_us,
        yielded_at: task.yielded.as_ref().map(|yielded| time_to(yielded.at)),
        yield_reason: task
            .yielded
            .as_ref()
            .map_or_else(String::new, |yielded| yielded.reason.clone()),
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
            v1::TaskState::Quiesced => TaskState::Quiesced,
            v1::TaskState::Verified => TaskState::Verified,
            v1::TaskState::Rejoined => TaskState::Rejoined,
            v1::TaskState::Done => TaskState::Done,
            v1::TaskState::Reverting => TaskState::Reverting(reason),
            v1::TaskState::Reverted => TaskState::Reverted(reason),
            v1::TaskState::Parked => TaskState::Parked(reason),
            v1::TaskState::Skipped => TaskState::Skipped(reason),
        },
        from: reference_from(&required("from", task.from)?)?,
        to: reference_from(&required("to", task.to)?)?,
        generation: task.generation,
        admitted_at: optional_time("admitted_at", task.admitted_at.as_ref())?,
        stop_to_ready_us: task.stop_to_ready_us,
        yielded: optional_time("yielded_at", task.yielded_at.as_ref())?.map(|at| Yield {
            at,
            reason: task.yield_reason,
        }),
        changed_at: time_from("changed_at", &task.changed_at.unwrap_or_default())?,
        revision: task.revision,
    })
}

/// Why a task does not move.
#[must_use]
pub fn wait_to_proto(wait: &Wait) -> v1::Wait {
    v1::Wait {
        instance: wait
            .instance
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        stage: wait.stage,
        kind: match wait.kind {
            WaitKind::Person => v1::WaitKind::Person,
            WaitKind::Prefetch => v1::WaitKind::Prefetch,
            WaitKind::Budget => v1::WaitKind::Budget,
            WaitKind::Stage => v1::WaitKind::Stage,
            WaitKind::Wave => v1::WaitKind::Wave,
            WaitKind::Agent => v1::WaitKind::Agent,
            WaitKind::Soak => v1::WaitKind::Soak,
            WaitKind::Window => v1::WaitKind::Window,
            WaitKind::Freeze => v1::WaitKind::Freeze,
            WaitKind::Breaker => v1::WaitKind::Breaker,
            WaitKind::Comparison => v1::WaitKind::Comparison,
        }
        .into(),
        sentence: wait.sentence.clone(),
        since: Some(time_to(wait.since)),
        until: wait.until.map(time_to),
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_coordinator_core::plan::PlanId;

    use super::*;

    fn stored(state: i32) -> v1::Task {
        let release = v1::ReleaseRef {
            version: "1.0.0".to_owned(),
            digest: "0".repeat(64),
        };
        v1::Task {
            plan: "plan-1".to_owned(),
            instance: "n1/store".to_owned(),
            state,
            reason: "why".to_owned(),
            from: Some(release.clone()),
            to: Some(release),
            ..v1::Task::default()
        }
    }

    #[test]
    fn what_was_kept_of_a_task_means_what_it_meant() {
        // Up to this one a task that had got so far soaked.
        assert_eq!(task_from(stored(7)).unwrap().state, TaskState::Rejoined);
        for state in 1..=14 {
            let task = task_from(stored(state)).unwrap();
            assert_eq!(task_to_proto(&task).state, state);
        }
        assert!(task_from(stored(0)).is_err());
    }

    #[test]
    fn a_plan_in_any_state_is_read_as_it_was_kept() {
        let next: PlanId = "plan-2".parse().unwrap();
        let why = || "why".to_owned();
        let states = [
            PlanState::Draft,
            PlanState::Running,
            PlanState::Paused(why()),
            PlanState::ReadyToFinalize,
            PlanState::Finalizing,
            PlanState::Finalized,
            PlanState::Aborting(why()),
            PlanState::Aborted(why()),
            PlanState::RollingBack(why()),
            PlanState::RolledBack(why()),
            PlanState::Superseded(next),
            PlanState::Failed(why()),
        ];
        let kept = v1::Plan {
            name: "plan-1".to_owned(),
            state: v1::PlanState::Draft.into(),
            policy: Some(v1::PlanPolicy::default()),
            ..v1::Plan::default()
        };
        let plan = plan_from(kept).unwrap();
        // What is absent takes the old meaning.
        assert_eq!(plan.kind, PlanKind::Upgrade);
        for state in states {
            let plan = Plan {
                state,
                kind: PlanKind::Reconfigure,
                successor: Some(Successor {
                    targets: Vec::new(),
                    policy: plan.policy.clone(),
                    asked_by: "ada".to_owned(),
                }),
                finalizing: vec![ComponentFinalize {
                    component: "store".parse().unwrap(),
                    instance: Some("n1/store".parse().unwrap()),
                    attempts: 2,
                    told_at: plan.started_at,
                    done: false,
                    reason: why(),
                }],
                ..plan.clone()
            };
            assert_eq!(plan_from(plan_to_proto(&plan)).unwrap(), plan);
        }
    }
}
