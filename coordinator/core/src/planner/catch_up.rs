//! A plan for those that stay down because what they have may not run: by hops that were found already, to where the
//! others of their component are.

use evenkeel_compat::{Undo, Way};
use evenkeel_words::{names::ComponentName, timestamp::Timestamp};
use semver::Version;

use super::{
    layout::{self, Outline, TASKS_MAX, artifact, check_rebuild},
    suits,
};
use crate::{
    instance::Instance,
    plan::{Amount, OnFailure, Plan, PlanKind, PlanState, Policy, Stage, Target, Task, TaskState},
    refusal::{Refusal, RefusalKind},
    state::State,
};

/// Who makes and confirms such a plan.
const ENGINE: &str = "engine";

/// One hop of the matrix.
#[derive(Debug, Clone)]
pub struct Hop {
    /// From this version.
    pub from: Version,
    /// To this one.
    pub to: Version,
    /// How, and how it is undone.
    pub way: Way,
}

/// The plan, running: a stage for each hop, each with a task for every instance, all in one wave. It has the budgets
/// and the times of the newest plan that somebody made for the component, and waits for no window.
///
/// # Errors
/// `NotFound` where a release is not published, `NotAllowedNow` where it is not for an instance's platform or an instance cannot be rebuilt, and as the policy does not suit the fleet.
pub fn catch_up(
    state: &State,
    component: &ComponentName,
    hops: &[Hop],
    instances: &[&Instance],
    now: Timestamp,
) -> Result<(Plan, Vec<Task>), Refusal> {
    let Some(last) = hops.last() else {
        let nowhere = "there is no way to take";
        return Err(Refusal::new(RefusalKind::NotAllowedNow, nowhere.to_owned()));
    };
    let instances = &instances[..instances.len().min(TASKS_MAX / hops.len())];
    let targets = [Target {
        component: component.clone(),
        version: last.to.clone(),
        allow_downgrade: true,
    }];
    let count = u32::try_from(instances.len()).unwrap_or(u32::MAX);
    let stages = hops
        .iter()
        .enumerate()
        .map(|(index, hop)| stage(component, hops, index, hop, count, now));
    let policy = policy(state, component);
    let mut plan = layout::plan(
        state,
        Outline {
            targets: &targets,
            stages: stages.collect(),
            ruled_out: Vec::new(),
            policy: &policy,
            created_by: ENGINE,
            now,
        },
    );
    let mut tasks = Vec::new();
    for (number, stage) in (0..).zip(&plan.stages) {
        if stage.may_rebuild() {
            check_rebuild(state, stage, instances.iter().copied())?;
        }
        for instance in instances {
            tasks.push(task(state, &plan, stage, number, instance)?);
        }
    }
    layout::check_rebuilt_once(&plan, &tasks)?;
    suits::check(state, &plan)?;
    plan.kind = PlanKind::CatchUp;
    plan.state = PlanState::Running;
    plan.started_at = Some(now);
    plan.tasks_total = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
    Ok((plan, tasks))
}

/// Nobody is asked before a stage of it: it makes nothing final that the others have not made so by being there. The
/// first has no way back, because what it comes from may not run.
fn stage(
    component: &ComponentName,
    hops: &[Hop],
    index: usize,
    hop: &Hop,
    instances: u32,
    now: Timestamp,
) -> Stage {
    let on_the_way = hops.iter().take(hops.len().saturating_sub(1));
    let no_way_back = Way {
        undo: Undo::NotAtAll,
        undo_when_final: Undo::NotAtAll,
        ..hop.way
    };
    Stage {
        component: component.clone(),
        from: hop.from.clone(),
        to: hop.to.clone(),
        way: if index == 0 { no_way_back } else { hop.way },
        finalizes_itself: false,
        instances,
        through: on_the_way.map(|hop| hop.to.clone()).collect(),
        out_of_order: false,
        note: String::new(),
        reachable_back: Vec::new(),
        confirmed_by: Some(ENGINE.to_owned()),
        confirmed_at: Some(now),
        undoes: None,
    }
}

fn task(
    state: &State,
    plan: &Plan,
    stage: &Stage,
    number: u32,
    instance: &Instance,
) -> Result<Task, Refusal> {
    let release = |version| layout::published(state, &stage.component, version);
    let current = instance.report.current.clone();
    let from = match current.filter(|current| current.version == stage.from) {
        Some(current) => current,
        None => artifact(state, release(&stage.from)?, instance)?,
    };
    Ok(Task {
        plan: plan.id,
        instance: instance.id.clone(),
        stage: number,
        wave: 0,
        state: TaskState::Pending,
        from,
        to: artifact(state, release(&stage.to)?, instance)?,
        generation: 0,
        admitted_at: None,
        stop_to_ready_us: 0,
        yielded: None,
        changed_at: plan.created_at,
        revision: 0,
    })
}

/// What the newest plan that somebody made for the component says of how much may be down and how long things may
/// take. What fails pauses the plan.
fn policy(state: &State, component: &ComponentName) -> Policy {
    let of_component = |plan: &Plan| {
        let mut stages = plan.stages.iter();
        plan.kind != PlanKind::CatchUp && stages.any(|stage| stage.component == *component)
    };
    let plans = state.plans_after(None);
    let newest = plans.filter(|plan| of_component(plan)).last();
    Policy {
        canary: 0,
        waves: vec![Amount::ALL],
        plan_deadline: None,
        on_failure: OnFailure::Pause,
        failures_tolerated: 0,
        pause_before_finalize: false,
        windows: Vec::new(),
        compare: None,
        ..newest.map_or_else(Policy::default, |plan| plan.policy.clone())
    }
}
