//! Storage systems are told that the version they run is final: for each component that the plan has moved, the agent of
//! one healthy instance runs its driver's `finalize`. Where that agent does not answer within the instance deadline, or
//! its driver says no, another one is told; when every one was told the plan pauses with the last one's reason. Before
//! each of them is told, all that finalizing waits for is asked again.
//!
//! Components whose drivers know nothing of it are final at once.

use std::collections::BTreeSet;

use evenkeel_words::{
    names::ComponentName,
    planted::{self, Bug},
    timestamp::Timestamp,
};

use super::{
    Decision, ended, finality, hold, timers,
    waits::{Wait, WaitKind},
};
use crate::{
    change::Resource,
    instance::Instance,
    node::Liveness,
    plan::{ComponentFinalize, Plan, PlanKind, PlanState},
    state::State,
};

/// The plan with its finalizing begun; final at once where there is nobody to tell.
pub(super) fn begun(state: &State, plan: &Plan, now: Timestamp) -> Plan {
    let moved = plan.stages.iter().filter(|stage| stage.undoes.is_none());
    let moved: BTreeSet<_> = moved.map(|stage| &stage.component).collect();
    let moved = moved.into_iter().filter(|_| plan.kind == PlanKind::Upgrade);
    let knows = |component: &&ComponentName| {
        let mut instances = state.instances_of(component);
        instances.any(|instance| instance.report.can_finalize)
    };
    // Attempts are counted on, so that each has a name of its own.
    let before = |component: &ComponentName| {
        let mut told = plan.finalizing.iter();
        told.find(|told| told.component == *component)
    };
    let finalizing: Vec<_> = moved
        .filter(knows)
        .map(|component| ComponentFinalize {
            component: component.clone(),
            instance: None,
            attempts: before(component).map_or(0, |told| told.attempts),
            told_at: None,
            done: false,
            reason: String::new(),
        })
        .collect();
    let is_final = finalizing.is_empty();
    Plan {
        state: match is_final {
            true => PlanState::Finalized,
            false => PlanState::Finalizing,
        },
        finalizing,
        ended_at: is_final.then_some(now),
        progressed_at: now,
        ..plan.clone()
    }
}

/// What follows while a plan is being finalized.
pub(super) fn go_on(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let Some(index) = plan.finalizing.iter().position(|told| !told.done) else {
        return Some(ended(plan, PlanState::Finalized, now));
    };
    let told = plan.finalizing.get(index)?;
    let mut next = plan.clone();
    let entry = next.finalizing.get_mut(index)?;
    let cause = match outcome(state, plan, told, now) {
        Some(Ok(())) => {
            entry.done = true;
            entry.reason.clear();
            next.progressed_at = now;
            format!("{} is final", told.component)
        }
        None if told.instance.is_some() => return None,
        failed if let Some(held) = held(state, plan, now) => {
            let failed = failed.and_then(Result::err);
            if now >= timers::progress_overdue_at(plan) {
                paused(&mut next, index, held)
            } else if let Some(reason) = failed {
                (entry.instance, entry.told_at) = (None, None);
                entry.reason = reason;
                format!("{} is not final yet", told.component)
            } else {
                return None;
            }
        }
        failed => {
            let candidates = candidates(state, plan, &told.component);
            let turn = usize::try_from(told.attempts).unwrap_or(usize::MAX);
            let reason = match failed {
                Some(Err(reason)) => reason,
                Some(Ok(())) | None => String::new(),
            };
            let all_told =
                !reason.is_empty() && turn.checked_rem(candidates.len()).unwrap_or(0) == 0;
            let late = now >= timers::progress_overdue_at(plan);
            match turn
                .checked_rem(candidates.len())
                .and_then(|turn| candidates.get(turn))
            {
                Some(candidate) if !all_told => {
                    entry.instance = Some(candidate.id.clone());
                    entry.attempts = entry.attempts.saturating_add(1);
                    entry.told_at = Some(now);
                    entry.reason = reason;
                    format!("{} is to make {} final", candidate.id, told.component)
                }
                Some(_) => paused(&mut next, index, reason),
                None if late || !reason.is_empty() => {
                    let nobody = "no instance is healthy and heard of".to_owned();
                    paused(
                        &mut next,
                        index,
                        Some(reason).filter(|r| !r.is_empty()).unwrap_or(nobody),
                    )
                }
                None => return None,
            }
        }
    };
    Some((cause, vec![Resource::Plan(next)]))
}

/// Why nobody is told now, whoever could be.
fn held(state: &State, plan: &Plan, now: Timestamp) -> Option<String> {
    if planted::is(Bug::FinalizingNotAskedAgain) {
        return None;
    }
    let hold = || Some(hold::keeps_ways_back(state, now)?.sentence);
    finality::keeps_from_ending(state, plan).or_else(hold)
}

fn paused(plan: &mut Plan, index: usize, reason: String) -> String {
    if let Some(entry) = plan.finalizing.get_mut(index) {
        plan.state = PlanState::Paused(format!(
            "{} was not made final: {reason}; mend it and resume, or abort",
            entry.component
        ));
        (entry.instance, entry.told_at) = (None, None);
        entry.reason = reason;
    }
    format!("{} paused", plan.id)
}

/// What came of the newest attempt; nothing while that is not known and there is time.
fn outcome(
    state: &State,
    plan: &Plan,
    told: &ComponentFinalize,
    now: Timestamp,
) -> Option<Result<(), String>> {
    let id = told.instance.as_ref()?;
    let said = state
        .instance(id)
        .and_then(|instance| instance.report.finalized.as_ref());
    if let Some(said) = said.filter(|said| said.id == told.id(plan.id)) {
        return Some(
            said.outcome
                .clone()
                .map_err(|reason| format!("{id}: {reason}")),
        );
    }
    let late = answer_overdue_at(plan, told).is_some_and(|at| now >= at);
    late.then(|| {
        let deadline = plan.policy.instance_deadline;
        Err(format!(
            "the agent of {id} did not say within {deadline:?} what came of it"
        ))
    })
}

/// When another instance's agent is told, unless the one that was told answers before.
pub(super) fn answer_overdue_at(plan: &Plan, told: &ComponentFinalize) -> Option<Timestamp> {
    let told_at = told.told_at.filter(|_| !told.done)?;
    Some(told_at.after(plan.policy.instance_deadline))
}

/// Who can be told, by name.
fn candidates<'a>(state: &'a State, plan: &Plan, component: &ComponentName) -> Vec<&'a Instance> {
    let heard = |instance: &&Instance| {
        let node = state.node(&instance.id.node);
        node.is_some_and(|node| node.liveness == Liveness::Up && node.fenced.is_none())
    };
    let instances = state.instances_of(component).map(AsRef::as_ref);
    let able = instances
        .filter(|instance: &&Instance| instance.report.can_finalize && instance.is_healthy());
    let there = |instance: &&Instance| {
        let current = instance.report.current.as_ref();
        let is_there = current.is_some_and(|it| plan.brings_to(component, &it.version));
        is_there && instance.slot.is_none()
    };
    able.filter(heard).filter(there).collect()
}

/// Whose answer a plan that is being finalized waits for.
pub(super) fn wait(state: &State, plan: &Plan, now: Timestamp) -> Option<Wait> {
    if plan.state != PlanState::Finalizing {
        return None;
    }
    let told = plan.finalizing.iter().find(|told| !told.done)?;
    let after = match told.reason.as_str() {
        "" => String::new(),
        reason => format!(" (attempt {}; before that: {reason})", told.attempts),
    };
    let sentence = match &told.instance {
        Some(instance) => format!(
            "the driver of {instance} is making {} final{after}",
            told.component
        ),
        None => {
            let why = held(state, plan, now);
            let why = why.unwrap_or_else(|| "no instance of it is healthy and heard of".to_owned());
            format!("{} is to be made final, but {why}{after}", told.component)
        }
    };
    Some(Wait {
        instance: None,
        stage: u32::try_from(plan.stages.len().saturating_sub(1)).unwrap_or(u32::MAX),
        kind: WaitKind::Agent,
        sentence,
        since: told.told_at.unwrap_or(plan.progressed_at),
        until: answer_overdue_at(plan, told).or_else(|| Some(timers::progress_overdue_at(plan))),
    })
}
