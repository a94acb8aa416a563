//! Why a task does not move: the rule, gate, budget or person it waits for, from the same functions that
//! hold it, so that the answer is always the true one.

use evenkeel_compat::Method;
use evenkeel_words::planted::{self, Bug};
use evenkeel_words::{names::InstanceId, timestamp::Timestamp};

use super::{
    asking,
    budget::{self, Budget, holds_back_way_back},
    cohort, finality, finalizing, follow,
    hold::{self, Hold},
    rollback, timers, yields,
};
use crate::{
    desired,
    instance::{Health, Instance, StageState, Step},
    node::Liveness,
    plan::{Plan, PlanId, PlanKind, PlanState, Stage, Task, TaskState},
    state::State,
};

/// What kind of thing a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitKind {
    /// A person: to start, resume or decide.
    Person,
    /// The artifact to be on every host of the stage.
    Prefetch,
    /// The disruption budget or the failure domains.
    Budget,
    /// The stage before to be done.
    Stage,
    /// The wave before to be done.
    Wave,
    /// The agent to do what it was told.
    Agent,
    /// The soak to pass.
    Soak,
    /// One of the plan's windows to open.
    Window,
    /// A person to lift the fleet's freeze.
    Freeze,
    /// The breaker to close.
    Breaker,
    /// Those that were changed to be compared with those that were not.
    Comparison,
}

/// Why a task does not move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The task's instance; none where the whole plan waits.
    pub instance: Option<InstanceId>,
    /// The task's stage.
    pub stage: u32,
    /// What kind of thing it waits for.
    pub kind: WaitKind,
    /// The same in one sentence.
    pub sentence: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when at the latest, where there is a deadline.
    pub until: Option<Timestamp>,
}

/// Why the task does not move; nothing if it has come to its end, or is about to move.
#[must_use]
pub fn wait(state: &State, plan: &Plan, task: &Task, now: Timestamp) -> Option<Wait> {
    let (kind, sentence, until) = match &task.state {
        TaskState::Done | TaskState::Skipped(_) => return None,
        TaskState::Reverting(reason) if task.waits_to_go_back() => {
            let (kind, sentence) = way_back(state, plan, task)?;
            let sentence = format!("it {reason}, and cannot be put back yet: {sentence}");
            (kind, sentence, None)
        }
        TaskState::Admitted
        | TaskState::Quiesced
        | TaskState::Stopped
        | TaskState::Swapped
        | TaskState::Started
        | TaskState::Verified
        | TaskState::Reverting(_) => {
            let (kind, sentence) = ordered(state, task);
            (kind, sentence, timers::order_overdue_at(plan, task))
        }
        TaskState::Rejoined => (
            WaitKind::Soak,
            soak(state, plan, task),
            timers::soaked_at(state, plan, task),
        ),
        TaskState::Pending
        | TaskState::Prefetched
        | TaskState::Reverted(_)
        | TaskState::Parked(_) => match &plan.state {
            PlanState::Running => {
                if let Some(hold) = held(state, plan, task, now) {
                    (hold.kind, hold.sentence, hold.until)
                } else {
                    let (kind, sentence) = admission(state, plan, task)?;
                    let hurries = !finality::waits_for_word(state, plan);
                    let overdue = || timers::beginning_overdue_at(state, plan, now);
                    let until = match kind == WaitKind::Comparison {
                        true => cohort::ends_at(state, plan, now),
                        false => hurries.then(overdue).flatten(),
                    };
                    (kind, sentence, until)
                }
            }
            PlanState::RollingBack(_) => {
                if let Some(hold) = hold::holds_back(state, plan, now) {
                    (hold.kind, hold.sentence, hold.until)
                } else {
                    let (kind, sentence) = admission(state, plan, task)?;
                    (kind, sentence, None)
                }
            }
            PlanState::Draft => (
                WaitKind::Person,
                format!("{} is a draft that nobody has started", plan.id),
                None,
            ),
            PlanState::Paused(reason) => (
                WaitKind::Person,
                format!("{} is paused: {reason}", plan.id),
                None,
            ),
            PlanState::ReadyToFinalize
            | PlanState::Finalizing
            | PlanState::Finalized
            | PlanState::Aborting(_)
            | PlanState::Aborted(_)
            | PlanState::RolledBack(_)
            | PlanState::Superseded(_)
            | PlanState::Failed(_) => return None,
        },
    };
    Some(Wait {
        instance: Some(task.instance.clone()),
        stage: task.stage,
        kind,
        sentence,
        since: task.changed_at.max(plan.started_at.unwrap_or_default()),
        until,
    })
}

/// Why the plan as a whole does not move though all its tasks are done; nothing if that is not so.
#[must_use]
pub fn wait_of_plan(state: &State, plan: &Plan, now: Timestamp) -> Option<Wait> {
    if let Some(wait) = finalizing::wait(state, plan, now) {
        return Some(wait);
    }
    let person = || Some((WaitKind::Person, finality::ready(state, plan)?));
    let (kind, sentence) = finality::waits_to_end(state, plan, now).or_else(person)?;
    Some(Wait {
        instance: None,
        stage: u32::try_from(plan.stages.len().saturating_sub(1)).unwrap_or(u32::MAX),
        kind,
        sentence,
        since: plan.progressed_at,
        until: None,
    })
}

/// What keeps the whole plan, and so a task that has not failed, from going on.
fn held(state: &State, plan: &Plan, task: &Task, now: Timestamp) -> Option<Hold> {
    hold::holds_back(state, plan, now).filter(|_| !task.state.has_failed())
}

/// What keeps a task of a running plan from getting its order; nothing if it may.
fn admission(state: &State, plan: &Plan, task: &Task) -> Option<(WaitKind, String)> {
    let rolls_back = matches!(plan.state, PlanState::RollingBack(_));
    if let TaskState::Reverted(reason) | TaskState::Parked(reason) = &task.state
        && !rolls_back
    {
        let name = task.state.name();
        return Some((WaitKind::Person, format!("the task is {name}: {reason}")));
    }
    let yields = || yields::holds_back(task).map(|sentence| (WaitKind::Agent, sentence));
    before_wave(state, plan, task)
        .or_else(|| before_order(state, plan, task))
        .or_else(yields)
}

/// What keeps the whole wave of the task from beginning.
pub(super) fn before_wave(state: &State, plan: &Plan, task: &Task) -> Option<(WaitKind, String)> {
    before_comparison(state, plan, task).or_else(|| {
        let sentence = cohort::holds_back(state, plan, task)?;
        Some((WaitKind::Comparison, sentence))
    })
}

/// The same, but for the comparison that comes last.
pub(super) fn before_comparison(
    state: &State,
    plan: &Plan,
    task: &Task,
) -> Option<(WaitKind, String)> {
    if let PlanState::RollingBack(_) = plan.state
        && let Some(sentence) = rollback::holds_back(state, plan, task)
    {
        return Some((WaitKind::Person, sentence));
    }
    if let Some(sentence) = stage_before(state, plan, task) {
        return Some((WaitKind::Stage, sentence));
    }
    if let Some(sentence) = prefetch(state, plan) {
        return Some((WaitKind::Prefetch, sentence));
    }
    wave(state, plan, task).map(|sentence| (WaitKind::Wave, sentence))
}

/// What keeps a task whose wave may begin from getting its order.
pub(super) fn before_order(state: &State, plan: &Plan, task: &Task) -> Option<(WaitKind, String)> {
    let instance = state.instance(&task.instance)?;
    if let Some(sentence) = surprise(plan, task, instance) {
        return Some((WaitKind::Person, sentence));
    }
    if let Some(sentence) = node(state, instance) {
        let skip = match plan.stage(task).is_some_and(|stage| stage.undoes.is_some()) {
            true => format!(
                "; `evenkeel plan skip {} {}` leaves it out",
                plan.id, task.instance
            ),
            false => String::new(),
        };
        let sentence = format!("{sentence}{skip}");
        return Some((WaitKind::Agent, sentence));
    }
    if let Some(sentence) = old_copy(state) {
        return Some((WaitKind::Person, sentence));
    }
    if let Some(sentence) = finality::holds_back(state, plan, task) {
        return Some((WaitKind::Person, sentence));
    }
    if plan.stage(task).is_some_and(Stage::may_rebuild)
        && let Some(wait) = rebuild(state, plan.id, instance)
    {
        return Some(wait);
    }
    let budget = Budget::of(state, &instance.report.component);
    let goes_back = plan.stage(task).is_some_and(|stage| stage.undoes.is_some());
    // Who is down already is not taken down by being caught up.
    let full = match goes_back || plan.kind == PlanKind::CatchUp {
        true => holds_back_way_back(state, &plan.policy, instance),
        false => {
            let full = budget.holds_back(&plan.policy, instance);
            full.map(|full| full.to_string())
        }
    };
    // What is down already takes no more down on its way back, wherever others are held.
    let takes_down = !(goes_back && budget::is_down(state, instance));
    let elsewhere = || {
        let full = takes_down.then(|| budget.held_elsewhere(&plan.policy, instance))?;
        full.map(|full| full.to_string())
    };
    // One that is mended goes without being asked for.
    let asked = || takes_down.then(|| asking::holds_back(state, instance))?;
    full.or_else(elsewhere)
        .or_else(asked)
        .map(|sentence| (WaitKind::Budget, sentence))
}

/// One agent that has accepted more than this state knows of proves that the state is old: nothing that it
/// says may be done anywhere.
fn old_copy(state: &State) -> Option<String> {
    let node = state.fenced_nodes().next()?;
    if planted::is(Bug::FencedIgnored) {
        return None;
    }
    let reason = node.fenced.as_deref().unwrap_or_default();
    Some(format!(
        "no orders are given while {} is fenced: {reason}",
        node.name
    ))
}

/// What keeps a task that got sick from getting its order to go back; nothing if it may.
pub(super) fn way_back(state: &State, plan: &Plan, task: &Task) -> Option<(WaitKind, String)> {
    let instance = state.instance(&task.instance)?;
    if let Some(sentence) = node(state, instance) {
        return Some((WaitKind::Agent, sentence));
    }
    if instance.is_absent() {
        let (id, plan) = (&instance.id, plan.id);
        let sentence = format!(
            "its agent no longer has it; put it back, or `evenkeel plan skip {plan} {id}` leaves it out"
        );
        return Some((WaitKind::Person, sentence));
    }
    if let Some(sentence) = old_copy(state) {
        return Some((WaitKind::Person, sentence));
    }
    if plan.stage(task)?.way_back() == Some(Method::Rebuild)
        && let Some(wait) = rebuild(state, plan.id, instance)
    {
        return Some(wait);
    }
    // What is held for other plans counts against the same failure domains, unless it is down already.
    let elsewhere = || {
        let budget = Budget::of(state, &instance.report.component);
        let takes_down = !budget::is_down(state, instance);
        let full = takes_down.then(|| budget.held_elsewhere(&plan.policy, instance))?;
        full.map(|full| full.to_string())
    };
    let budget = holds_back_way_back(state, &plan.policy, instance).or_else(elsewhere);
    budget.map(|sentence| (WaitKind::Budget, sentence))
}

fn stage_before(state: &State, plan: &Plan, task: &Task) -> Option<String> {
    let under_way = state.stage_under_way(plan.id)?;
    let stage = plan.stage_at(under_way)?;
    (under_way < task.stage).then(|| format!("the stage {stage} has to be done first"))
}

/// What keeps an instance from being started without its data: its agent has to allow that, every other copy to be
/// whole, and no other of its group to be on the way, soak included.
pub(crate) fn rebuild(
    state: &State,
    plan: PlanId,
    instance: &Instance,
) -> Option<(WaitKind, String)> {
    let id = &instance.id;
    if !instance.report.may_rebuild {
        let why = match instance.report.rebuild_obstacle.as_str() {
            "" => "its agent's configuration does not allow that",
            obstacle => obstacle,
        };
        let sentence = format!("{id} may have to be rebuilt, and cannot be: {why}");
        return Some((WaitKind::Person, sentence));
    }
    if planted::is(Bug::RebuildBesideSick) {
        return None;
    }
    let mut others = state
        .group_of(instance)
        .filter(|other| other.id != *id)
        .peekable();
    if others.peek().is_none() {
        let sentence =
            format!("{id} may have to be rebuilt, and nothing else has a copy of its data");
        return Some((WaitKind::Person, sentence));
    }
    others.find_map(|other| {
        let soaks = || {
            let task = state.task_under_way(plan, &other.id)?;
            task.state.in_flight().then(|| "is still on its way".to_owned())
        };
        let sick = || (!other.is_healthy()).then(|| "is not healthy".to_owned());
        let why = budget::unavailable(state, other).or_else(sick).or_else(soaks)?;
        let sentence = format!(
            "{id} may have to be rebuilt from the others of its group, one at a time while all of them are whole, and {} {why}",
            other.id
        );
        Some((WaitKind::Budget, sentence))
    })
}

/// The barrier: nothing stops before every host of the stage holds the verified artifact.
fn prefetch(state: &State, plan: &Plan) -> Option<String> {
    if planted::is(Bug::BarrierSkipped) {
        return None;
    }
    let barrier = state.barrier(plan.id)?;
    let goes_back = plan
        .stage_at(barrier.stage())
        .is_some_and(|stage| stage.undoes.is_some());
    // A lost host keeps no other from going back.
    let awaited = |id: &&InstanceId| {
        let instance = || state.instance(id);
        !goes_back || instance().is_some_and(|instance| node(state, instance).is_none())
    };
    let mut missing = barrier.missing().iter().filter(awaited);
    let first = missing.next();
    let missing = missing.count();
    let first = first.or(barrier.arrived().get_min())?;
    let first = state.task_under_way(plan.id, first)?;
    let more = match missing {
        0 => String::new(),
        more => format!(" ({more} more do not either)"),
    };
    Some(format!(
        "nothing is stopped before every host holds {}, and that of {} does not{more}: {}",
        first.to.version,
        first.instance,
        not_held(state, first)
    ))
}

fn not_held(state: &State, task: &Task) -> String {
    let Some(instance) = state.instance(&task.instance) else {
        return "its agent no longer has it".to_owned();
    };
    let mut staged = instance.report.staged.iter();
    let staged = staged.find(|staged| staged.release.digest == task.to.digest);
    match (staged.map(|staged| &staged.state), node(state, instance)) {
        (Some(StageState::Failed(reason)), _) => format!("its last try failed: {reason}"),
        (_, Some(silent)) => silent,
        (Some(StageState::Fetching), None) => "it is being fetched".to_owned(),
        (Some(StageState::Waiting), None) => "it is waiting for its turn to download".to_owned(),
        (Some(StageState::Ready) | None, None) if instance.is_absent() => {
            instance.report.reason.clone()
        }
        (Some(StageState::Ready) | None, None) => "it has not begun to fetch it".to_owned(),
    }
}

fn wave(state: &State, plan: &Plan, task: &Task) -> Option<String> {
    if planted::is(Bug::WaveOrderIgnored) {
        return None;
    }
    let tally = state.tally(plan.id)?.stage(task.stage)?;
    let before = || tally.awaited().range(..task.wave);
    let (wave, first) = before().next()?;
    let first = state.task_under_way(plan.id, first.get_min()?)?;
    let more = match before().map(|(_, ids)| ids.len()).sum::<usize>() {
        0 | 1 => String::new(),
        all => format!(", {} more are not done either", all - 1),
    };
    Some(format!(
        "wave {} has to be done before wave {} begins: {} is {}{more}",
        wave,
        task.wave,
        first.instance,
        first.state.name()
    ))
}

/// The instance does not run what it did when the plan was made.
fn surprise(plan: &Plan, task: &Task, instance: &Instance) -> Option<String> {
    let current = instance.report.current.as_ref();
    if current == Some(&task.from) || current == Some(&task.to) {
        return None;
    }
    let current = current.map_or_else(|| "no release".to_owned(), |c| c.version.to_string());
    Some(format!(
        "{} has {current}, not {} as when {} was made; put that right, or abort the plan",
        task.instance, task.from.version, plan.id
    ))
}

pub(super) fn node(state: &State, instance: &Instance) -> Option<String> {
    let node = state.node(&instance.id.node)?;
    if let Some(fenced) = &node.fenced {
        return Some(format!(
            "the agent of {} takes no orders: {fenced}",
            node.name
        ));
    }
    match node.liveness {
        Liveness::Up => None,
        Liveness::Unknown => Some(format!(
            "the agent of {} has not been heard of since the coordinator started",
            node.name
        )),
        Liveness::Suspect | Liveness::AgentLost => {
            Some(format!("the agent of {} is silent", node.name))
        }
    }
}

/// Why a task whose order was given does not move.
fn ordered(state: &State, task: &Task) -> (WaitKind, String) {
    let instance = state.instance(&task.instance);
    match instance.and_then(|instance| desired::withheld(state, instance)) {
        Some((kind, sentence)) => {
            let generation = task.generation;
            let sentence = format!("its agent is not told of order {generation} yet: {sentence}");
            (kind, sentence)
        }
        None => (WaitKind::Agent, agent(state, task)),
    }
}

fn agent(state: &State, task: &Task) -> String {
    let instance = state.instance(&task.instance);
    let progress = instance.and_then(|instance| instance.progress_of(task.generation));
    let doing = match progress.map(|progress| &progress.step) {
        None if instance.is_some_and(|instance| instance.is_absent()) => "no longer has it",
        None => "has not begun",
        Some(Step::Draining) => "is draining it",
        Some(Step::Asking) => "is asking whether the process may be stopped",
        Some(Step::Quiescing) => "is making the process ready to be stopped",
        Some(Step::Stopping) => "is stopping the process",
        Some(Step::Emptying) => "is setting its data aside",
        Some(Step::Swapping) => "is swapping the release",
        Some(Step::Starting) => "is starting the process",
        Some(Step::Verifying) => "is waiting for the probes",
        Some(Step::Recovering) => "is waiting until it is whole again among the others",
        Some(Step::Done | Step::Reverted(_) | Step::Failed(_) | Step::Declined(_)) => "has ended",
    };
    let silent = instance.and_then(|instance| node(state, instance));
    let said = instance.map(|instance| instance.report.reason.clone());
    let said = silent.or(said).filter(|said| !said.is_empty());
    let said = said.map_or_else(String::new, |said| format!("; {said}"));
    format!(
        "the agent of {} {doing} (order {}){said}",
        task.instance.node, task.generation
    )
}

fn soak(state: &State, plan: &Plan, task: &Task) -> String {
    let soak = format!("it has to stay good for {:?}", plan.policy.soak);
    let Some(instance) = state.instance(&task.instance) else {
        return soak;
    };
    match (node(state, instance), instance.report.health) {
        (Some(silent), _) => format!("{soak}, which cannot be seen: {silent}"),
        (None, Health::Warning | Health::Error) => {
            format!(
                "{soak} and to be healthy then; now its probes say: {}",
                instance.report.reason
            )
        }
        (None, Health::Healthy) if !follow::is_reconfigured(plan, instance) => format!(
            "{soak} and to run with the configuration that its agent has; now that is another one again"
        ),
        (None, Health::Healthy) => soak,
    }
}
