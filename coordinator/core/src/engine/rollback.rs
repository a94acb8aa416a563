//! A plan that is rolled back: what it has moved goes back to what it ran before.
//!
//! What was ordered is let end first, and nothing more of the plan is begun. Then stages are added to it that undo those
//! it began, the last first. They have no canary and one wave, and broken instances go before the others; budgets and
//! compatibility hold as for any other stage. One that does not come back stops the rest until a person has decided.

use std::collections::BTreeMap;

use evenkeel_compat::{Method, NoHop, Undo, Way};
use evenkeel_words::{limits::cut, names::InstanceId, timestamp::Timestamp};

use super::{Decision, admit, compatible, conflict, ended, hold, overdue, waits, yields};
use crate::{
    change::Resource,
    instance::Instance,
    plan::{Plan, PlanKind, PlanState, Stage, Task, TaskState},
    release::ReleaseRef,
    state::State,
};

/// How many tasks are left out with one decision: all of them together may be more than fits one record.
const LEFT_OUT_AT_ONCE: usize = 2_000;

/// How much is kept of what was said of a task before it was left out, in bytes.
const NESTED_BYTES_MAX: usize = 200;

/// The plan begins to roll back.
///
/// # Errors
/// Says why it cannot: its state, or a stage of it that cannot be undone.
pub fn begin(
    state: &State,
    plan: &Plan,
    reason: String,
    now: Timestamp,
) -> Result<Decision, String> {
    match (&plan.state, plan.rollback_began_at) {
        (
            PlanState::Running
            | PlanState::Paused(_)
            | PlanState::ReadyToFinalize
            | PlanState::Aborting(_),
            None,
        ) => {}
        (_, Some(_)) => return Err("its rollback was asked for before".to_owned()),
        (PlanState::Finalizing | PlanState::Finalized, None) => {
            return Err("what has been made final stays so".to_owned());
        }
        (
            PlanState::Draft
            | PlanState::Aborted(_)
            | PlanState::RollingBack(_)
            | PlanState::RolledBack(_)
            | PlanState::Superseded(_)
            | PlanState::Failed(_),
            None,
        ) => return Err("only a plan that is under way can be rolled back".to_owned()),
    }
    if plan.kind != PlanKind::Upgrade {
        return Err("it brings nothing to another version".to_owned());
    }
    let back = to_undo(state, plan);
    check(state, plan, &back)?;
    let back = back.iter().flat_map(|(_, tasks)| tasks.iter().copied());
    conflict::check(state, plan, back, Some(plan.id)).map_err(|refusal| refusal.message)?;
    let mut rolling = Plan {
        state: PlanState::RollingBack(reason),
        rollback_began_at: Some(now),
        successor: None,
        progressed_at: now,
        ..plan.clone()
    };
    let rests = |task: &&Task| !task.state.is_over() && !is_ordered(task);
    let rests = tasks(state, plan).filter(rests);
    let skipped: Vec<_> = rests.take(LEFT_OUT_AT_ONCE).map(left_out).collect();
    count_skipped(&mut rolling, skipped.len());
    let cause = format!("{} begins to roll back", plan.id);
    Ok((cause, [vec![Resource::Plan(rolling)], skipped].concat()))
}

/// What follows while a plan rolls back.
pub(super) fn go_on(
    state: &State,
    plan: &Plan,
    reason: &str,
    search: &mut admit::Search,
    now: Timestamp,
) -> Option<Decision> {
    if let Some(parked) = overdue::park(state, plan, now) {
        return Some(parked);
    }
    if !is_laid_out(plan) {
        let tally = state.tally(plan.id);
        let mut stages = tally.into_iter().flat_map(|tally| tally.stages());
        return match stages.any(|(_, stage)| !stage.ordered().is_empty()) {
            true => None,
            false => Some(
                leave_out(state, plan, now).unwrap_or_else(|| lay_out(state, plan, reason, now)),
            ),
        };
    }
    if state.stage_under_way(plan.id).is_none() {
        return Some(rolled_back(plan, reason, now));
    }
    overdue::park_unspared(state, plan, now)
        .or_else(|| admit::prefetched(state, plan, now))
        .or_else(|| broken_first(state, plan, now))
        .or_else(|| admit::admit(state, plan, search, now))
}

/// An order for one of those that are down already, if anything lets it go.
fn broken_first(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let stage = plan.stage_at(state.stage_under_way(plan.id)?)?;
    let down = state.members(&stage.component)?.down();
    let mut tasks = down
        .all()
        .filter_map(|instance| admit::task_of(state, plan, instance))
        .filter(|task| task.state == TaskState::Prefetched)
        .filter(|task| yields::again_at(task).is_none_or(|at| at <= now))
        .peekable();
    if hold::holds_back(state, plan, now).is_some()
        || waits::before_wave(state, plan, tasks.peek()?).is_some()
    {
        return None;
    }
    let task = tasks.find(|task| waits::before_order(state, plan, task).is_none())?;
    admit::order(state, plan, stage, task, now)
}

/// What keeps a task from going back, beside what keeps any task; nothing if it may.
pub(super) fn holds_back(state: &State, plan: &Plan, task: &Task) -> Option<String> {
    if !is_laid_out(plan) {
        return Some(format!(
            "{} is rolled back once what was ordered has ended",
            plan.id
        ));
    }
    if let Some(failed) = failed(state, plan) {
        let (id, instance) = (plan.id, &failed.instance);
        return Some(format!(
            "{instance} was not brought back ({}); `evenkeel plan retry {id} {instance}` tries it again, `evenkeel plan skip {id} {instance}` leaves it out, `evenkeel plan abort {id}` gives up",
            failed.state.reason()
        ));
    }
    not_allowed(state, plan, plan.stage(task)?)
}

/// A task of the way back that has not come to its end well.
fn failed<'a>(state: &'a State, plan: &Plan) -> Option<&'a Task> {
    let tally = state.tally(plan.id)?;
    let failed = tally.stage(tally.stage_under_way()?)?.failed();
    let mut tasks = failed
        .iter()
        .filter_map(|id| admit::task_of(state, plan, id));
    tasks.find(|task| task.state.has_failed())
}

/// What an instance that is brought back falls back to if that fails: the new release, if it serves that now and keeps its
/// data on the way.
pub(super) fn fallback(
    plan: &Plan,
    stage: &Stage,
    task: &Task,
    instance: &Instance,
) -> Option<(ReleaseRef, Method)> {
    let undone = plan.stage_at(stage.undoes?)?;
    let serves = instance.is_healthy() && instance.serves(&task.from.digest);
    let in_place = (stage.way.method, undone.way.method) == (Method::InPlace, Method::InPlace);
    (serves && in_place).then(|| (task.from.clone(), Method::InPlace))
}

/// What keeps a stage that undoes another from going on; nothing if it may.
fn not_allowed(state: &State, plan: &Plan, stage: &Stage) -> Option<String> {
    let why = hop_closed(state, stage)
        .or_else(|| compatible::meets(state, plan, &state.matrix().matrix, stage))?;
    Some(format!("{stage} is not allowed: {why}"))
}

fn hop_closed(state: &State, stage: &Stage) -> Option<String> {
    let matrix = &state.matrix().matrix;
    let open = || compatible::way_back_is_open(state, stage);
    match matrix.hop(&stage.component, &stage.from, &stage.to) {
        Ok(hop) if hop.way.method <= stage.way.method || open() => None,
        Ok(hop) => Some(format!("by the matrix it goes {} now", hop.way.method)),
        Err(NoHop::OnlyBackward { .. }) if open() => None,
        Err(why) => Some(why.to_string()),
    }
}

/// Whether all that the plan has begun can be undone, and is published to be had again.
fn check(state: &State, plan: &Plan, to_undo: &[(u32, Vec<&Task>)]) -> Result<(), String> {
    for (stage, members) in to_undo {
        let back = undoing(plan, *stage).ok_or_else(|| {
            let stage = plan.stage_at(*stage);
            let stage = stage.map_or_else(String::new, ToString::to_string);
            format!("there is no way back from {stage}")
        })?;
        if let Some(why) = hop_closed(state, &back) {
            return Err(format!("{back} is not allowed: {why}"));
        }
        if let Some(missing) = members.iter().find(|task| !can_be_had(state, task)) {
            return Err(format!(
                "{} does not hold {} {} any more, and that is not published with the same bytes; publish it first",
                missing.instance, back.component, back.to
            ));
        }
    }
    Ok(())
}

fn can_be_had(state: &State, task: &Task) -> bool {
    let published = || {
        let instance = state.instance(&task.instance)?;
        let platform = &state.node(&task.instance.node)?.platform;
        let release = state.release(&instance.report.component, &task.from.version)?;
        Some(release.artifacts.get(platform)?.digest == task.from.digest)
    };
    let holds = || {
        let instance = state.instance(&task.instance);
        instance.is_some_and(|instance| instance.holds(&task.from.digest))
    };
    // What is being swapped is not held for much longer.
    published().unwrap_or(false) || (!is_ordered(task) && holds())
}

/// The stages that have to be undone, the last first, each with its tasks whose instances go back.
fn to_undo<'a>(state: &'a State, plan: &Plan) -> Vec<(u32, Vec<&'a Task>)> {
    let mut held = BTreeMap::<&InstanceId, &ReleaseRef>::new();
    let forward = plan.stages.iter().filter(|stage| stage.undoes.is_none());
    let count = u32::try_from(forward.count()).unwrap_or(u32::MAX);
    let mut stages = Vec::new();
    for index in (0..count).rev() {
        let mut members = Vec::new();
        for task in state.tasks_of_stage(plan.id, index).map(AsRef::as_ref) {
            let Some(instance) = state.instance(&task.instance) else {
                continue;
            };
            let goes_back = match held.get(&task.instance) {
                Some(held) => **held == task.to,
                None => is_away(instance, task),
            };
            if goes_back {
                held.insert(&task.instance, &task.from);
                members.push(task);
            }
        }
        if !members.is_empty() {
            stages.push((index, members));
        }
    }
    stages
}

/// Whether an instance is not, or not well, where it was before a task that is over.
fn is_away(instance: &Instance, task: &Task) -> bool {
    let current = instance.report.current.as_ref();
    let is_back = current == Some(&task.from) && instance.is_healthy();
    // What its agent has not said the end of may be anywhere, whatever it said last.
    let ended = || {
        let progress = instance.progress_of(task.generation);
        progress.is_some_and(|progress| progress.step.ended())
    };
    let slot = instance.slot.as_ref();
    let is_out = slot.is_some_and(|slot| slot.generation == task.generation) && !ended();
    current == Some(&task.to) || is_out || (task.generation > 0 && !is_back)
}

/// The stage that undoes one of the plan; nothing if that cannot be undone.
fn undoing(plan: &Plan, index: u32) -> Option<Stage> {
    let stage = plan.stage_at(index)?;
    let undo = match stage.way.method {
        Method::InPlace => Undo::InPlace,
        Method::Rebuild => Undo::Rebuild,
    };
    Some(Stage {
        component: stage.component.clone(),
        from: stage.to.clone(),
        to: stage.from.clone(),
        way: Way {
            method: stage.way_back()?,
            level: stage.way.level,
            reversed: !stage.way.reversed,
            undo,
            undo_when_final: undo,
        },
        finalizes_itself: false,
        instances: 0,
        through: Vec::new(),
        out_of_order: false,
        note: String::new(),
        reachable_back: Vec::new(),
        confirmed_by: None,
        confirmed_at: None,
        undoes: Some(index),
    })
}

/// The next tasks that the plan leaves as they are, now that nothing of it is on its way.
fn leave_out(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let rests = tasks(state, plan).filter(|task| !task.state.is_over());
    let skipped: Vec<_> = rests.take(LEFT_OUT_AT_ONCE).map(left_out).collect();
    if skipped.is_empty() {
        return None;
    }
    let mut rolling = Plan {
        progressed_at: now,
        ..plan.clone()
    };
    count_skipped(&mut rolling, skipped.len());
    let cause = format!("{} has nothing on its way any more", plan.id);
    Some((cause, [vec![Resource::Plan(rolling)], skipped].concat()))
}

/// The stages that undo what the plan has begun, and their tasks.
fn lay_out(state: &State, plan: &Plan, reason: &str, now: Timestamp) -> Decision {
    let mut rolling = Plan {
        progressed_at: now,
        ..plan.clone()
    };
    let mut tasks = Vec::new();
    for (index, members) in to_undo(state, plan) {
        let Some(stage) = undoing(plan, index) else {
            continue;
        };
        let number = u32::try_from(rolling.stages.len()).unwrap_or(u32::MAX);
        rolling.stages.push(Stage {
            instances: u32::try_from(members.len()).unwrap_or(u32::MAX),
            ..stage
        });
        let back = |task: &Task| Task {
            stage: number,
            wave: 0,
            from: task.to.clone(),
            to: task.from.clone(),
            generation: 0,
            yielded: None,
            ..task.again()
        };
        tasks.extend(members.into_iter().map(|task| Resource::Task(back(task))));
    }
    if tasks.is_empty() {
        return rolled_back(plan, reason, now);
    }
    let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
    rolling.tasks_total = rolling.tasks_total.saturating_add(count);
    let cause = format!("the way back of {} laid out", plan.id);
    (cause, [vec![Resource::Plan(rolling)], tasks].concat())
}

fn rolled_back(plan: &Plan, reason: &str, now: Timestamp) -> Decision {
    ended(plan, PlanState::RolledBack(reason.to_owned()), now)
}

fn is_laid_out(plan: &Plan) -> bool {
    plan.stages.iter().any(|stage| stage.undoes.is_some())
}

/// Whether an order of it is on its way.
fn is_ordered(task: &Task) -> bool {
    task.state.ordered() && task.admitted_at.is_some()
}

fn tasks<'a>(state: &'a State, plan: &Plan) -> impl Iterator<Item = &'a Task> {
    state.tasks_of(plan.id).map(AsRef::as_ref)
}

fn left_out(task: &Task) -> Resource {
    let reason = match task.state.reason() {
        "" => "the plan is rolled back".to_owned(),
        reason => format!(
            "the plan is rolled back; it was {}: {}",
            task.state.name(),
            cut(reason.to_owned(), NESTED_BYTES_MAX)
        ),
    };
    Resource::Task(Task {
        state: TaskState::Skipped(reason),
        yielded: None,
        ..task.clone()
    })
}

fn count_skipped(plan: &mut Plan, skipped: usize) {
    let skipped = u32::try_from(skipped).unwrap_or(u32::MAX);
    plan.tasks_skipped = plan.tasks_skipped.saturating_add(skipped);
}
