//! What there is no way back from: a person says so first.
//!
//! - A stage that cannot be undone at all begins when a person has confirmed it.
//! - A stage whose new format takes hold by itself with the last instance keeps that one back until then.
//! - A plan whose finalizing takes a way back away is ready to be finalized, and stays so until then.

use evenkeel_words::planted::{self, Bug};
use std::{collections::BTreeSet, sync::Arc};

use evenkeel_compat::Undo;
use evenkeel_words::{names::InstanceId, timestamp::Timestamp};
use semver::Version;

use super::{
    Decision, finalizing, hold,
    undo::is_behind,
    waits::{self, WaitKind},
};
use crate::{
    change::Resource,
    plan::{Plan, PlanKind, PlanState, Stage, Task},
    state::State,
};

/// The stage that waits for a person to confirm it, and which it is; nothing if none does now.
#[must_use]
pub fn unconfirmed<'a>(state: &State, plan: &'a Plan) -> Option<(u32, &'a Stage)> {
    let index = state.stage_under_way(plan.id)?;
    let stage = plan.stage_at(index)?;
    let tally = state.tally(plan.id)?.stage(index)?;
    // Before the last one goes the others have to have stayed good: until then they may still come back.
    let asked = stage.way.undo == Undo::NotAtAll || tally.in_flight().is_empty();
    let held = || match hold(state, stage) {
        Hold::None => false,
        Hold::All => !tally.to_begin().is_empty(),
        Hold::Only(last) => tally.to_begin().contains(&last),
    };
    (asked && held()).then_some((index, stage))
}

/// Which instances may not begin a stage before a person has confirmed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hold {
    /// None.
    None,
    /// All that have not begun.
    All,
    /// The last one that is behind.
    Only(InstanceId),
}

impl Hold {
    fn holds(&self, instance: &InstanceId) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(last) => last == instance,
        }
    }
}

/// Which instances may not begin the stage before a person has confirmed it.
pub(super) fn hold(state: &State, stage: &Stage) -> Hold {
    if stage.confirmed_by.is_some() || planted::is(Bug::FinalityIgnored) {
        return Hold::None;
    }
    match stage.way.undo {
        Undo::NotAtAll => Hold::All,
        Undo::InPlace | Undo::Rebuild => {
            let final_with_last = stage.finalizes_itself && stage.is_final_when_finalized();
            match final_with_last {
                true => last_behind(state, stage),
                false => Hold::None,
            }
        }
    }
}

/// What nothing of the component stays behind without: whoever brought the others there, and those that are on their
/// way counted in.
fn last_behind(state: &State, stage: &Stage) -> Hold {
    let Some(members) = state.members(&stage.component) else {
        return Hold::None;
    };
    let behind = |version: &Version| is_behind(state, &stage.component, version, &stage.to);
    let counts = members.coming().iter();
    let count: u32 = counts
        .filter(|(version, _)| behind(version))
        .map(|(_, count)| count)
        .sum();
    match count {
        0 => Hold::All,
        1 => {
            let mut instances = state.instances_of(&stage.component);
            let last = instances.find(|instance| instance.comes_to().is_some_and(&behind));
            last.map_or(Hold::All, |last| Hold::Only(last.id.clone()))
        }
        _ => Hold::None,
    }
}

/// What keeps a task from getting its order until a person has confirmed its stage; nothing if it may.
pub(super) fn holds_back(state: &State, plan: &Plan, task: &Task) -> Option<String> {
    let stage = plan.stage(task)?;
    if !hold(state, stage).holds(&task.instance) {
        return None;
    }
    Some(match unconfirmed(state, plan) {
        Some(_) => sentence(plan, stage, &task.instance),
        None => format!(
            "{} is the last instance of {} that is behind {}, and once it runs that there is no way back for any of them: the others have to be done before a person is asked",
            task.instance, stage.component, stage.to
        ),
    })
}

/// Whether all that the plan could begin now waits for a person's word and nothing else: that is no lack of progress.
pub(super) fn waits_for_word(state: &State, plan: &Plan) -> bool {
    held_task(state, plan).is_some()
}

/// The task that a person's word would let go, if nothing else could go either.
fn held_task<'a>(state: &'a State, plan: &Plan) -> Option<&'a Arc<Task>> {
    let (index, stage) = unconfirmed(state, plan)?;
    let ready = state.barrier(plan.id)?.ready();
    let (_, groups) = ready.get_min()?;
    let hold = hold(state, stage);
    let held = match &hold {
        Hold::None => None,
        Hold::All => groups.get_min()?.1.get_min(),
        // Whatever else there is to begin is not held by it.
        Hold::Only(last) => {
            let to_begin = state.tally(plan.id)?.stage(index)?.to_begin();
            Some(last).filter(|last| to_begin.len() == 1 && to_begin.contains(*last))
        }
    };
    let task = state.task_under_way(plan.id, held?)?;
    waits::before_wave(state, plan, task)
        .is_none()
        .then_some(task)
}

/// What a person has to confirm, and how.
fn sentence(plan: &Plan, stage: &Stage, instance: &InstanceId) -> String {
    let Stage {
        component,
        from,
        to,
        ..
    } = stage;
    let why = match stage.way.undo {
        Undo::NotAtAll => format!("there is no way back from {component} {to} to {from}"),
        Undo::InPlace | Undo::Rebuild => format!(
            "{instance} is the last instance of {component} that is behind {to}, and once it runs {to} there is no way back for any of them"
        ),
    };
    format!(
        "{why}; `evenkeel plan finalize {}` says that there need be none",
        plan.id
    )
}

/// What a plan waits for a person to say, if it waits for that and nothing else.
#[must_use]
pub fn asked_for(state: &State, plan: &Plan) -> Option<String> {
    if plan.state == PlanState::Running
        && let Some(held) = held_task(state, plan)
    {
        return Some(sentence(plan, plan.stage(held)?, &held.instance));
    }
    ready(state, plan)
}

/// Why the plan as a whole waits for a person, if it does.
#[must_use]
pub(super) fn ready(state: &State, plan: &Plan) -> Option<String> {
    if plan.state != PlanState::ReadyToFinalize {
        return None;
    }
    if let Some(why) = keeps_from_ending(state, plan) {
        return Some(format!("every task is over, but {why}"));
    }
    let stages: Vec<_> = plan.stages.iter().filter(|stage| loses(stage)).collect();
    if stages.is_empty() {
        return Some(format!(
            "every task is over; `evenkeel plan finalize {}` ends it",
            plan.id
        ));
    }
    let lost: Vec<_> = stages
        .iter()
        .map(|stage| format!("from {} {} to {}", stage.component, stage.to, stage.from))
        .collect();
    Some(format!(
        "every task is done; finalizing takes the way back away ({}); `evenkeel plan finalize {}` does it",
        lost.join(", "),
        plan.id
    ))
}

fn loses(stage: &Stage) -> bool {
    stage.is_final_when_finalized() && stage.confirmed_by.is_none()
}

/// Why a running plan does not end though every task is over and nobody is asked; nothing if it is not so.
pub(super) fn waits_to_end(
    state: &State,
    plan: &Plan,
    now: Timestamp,
) -> Option<(WaitKind, String)> {
    let over = plan.state == PlanState::Running && state.stage_under_way(plan.id).is_none();
    if !over || plan.kind != PlanKind::Upgrade {
        return None;
    }
    let hold = hold::keeps_ways_back(state, now).map(|hold| (hold.kind, hold.sentence));
    let lacks = || Some((WaitKind::Agent, keeps_from_ending(state, plan)?));
    let (kind, sentence) = hold.or_else(lacks)?;
    Some((kind, format!("every task is over, but {sentence}")))
}

/// The plan's end, when every task is done.
pub(super) fn finish(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    if state.stage_under_way(plan.id).is_some() {
        return None;
    }
    // Where an instance was left out, or came later, a person looks at what that means.
    let left_out = match (plan.kind, plan.tasks_skipped > 0) {
        (_, true) => keeps_from_ending(state, plan).is_some(),
        (PlanKind::Upgrade, false) => behind(state, plan).is_some(),
        (PlanKind::Restart | PlanKind::Reconfigure | PlanKind::CatchUp, false) => false,
    };
    let asks = plan.policy.pause_before_finalize || left_out;
    if asks || plan.stages.iter().any(loses) {
        let ready = Plan {
            state: PlanState::ReadyToFinalize,
            ..plan.clone()
        };
        let cause = format!("{} {}", plan.id, ready.state.name());
        return Some((cause, vec![Resource::Plan(ready)]));
    }
    if waits_to_end(state, plan, now).is_some() {
        return None;
    }
    let next = finalizing::begun(state, plan, now);
    let cause = format!("{} {}", plan.id, next.state.name());
    Some((cause, vec![Resource::Plan(next)]))
}

/// The plan with a person's word that there need be no way back.
///
/// # Errors
/// Says why the word cannot be taken: nothing waits for it, something else than the stage that is meant does, or an
/// instance has not come along.
pub fn confirmed(
    state: &State,
    plan: &Plan,
    meant: Option<u32>,
    subject: &str,
    now: Timestamp,
) -> Result<Plan, String> {
    let mut confirmed = Plan {
        progressed_at: now,
        ..plan.clone()
    };
    let confirm = |stage: &mut Stage| {
        stage.confirmed_by = Some(subject.to_owned());
        stage.confirmed_at = Some(now);
    };
    let not_meant = |waits: &str| match meant {
        None => Ok(()),
        Some(meant) => Err(format!(
            "{waits} waits for it, not stage {}",
            meant.saturating_add(1)
        )),
    };
    match plan.state {
        PlanState::ReadyToFinalize => {
            not_meant("the whole plan")?;
            if let Some(why) = keeps_from_ending(state, plan) {
                return Err(why);
            }
            let stages = confirmed.stages.iter_mut();
            stages.filter(|stage| loses(stage)).for_each(confirm);
            confirmed = finalizing::begun(state, &confirmed, now);
        }
        PlanState::Running | PlanState::Paused(_) => {
            let unconfirmed = unconfirmed(state, plan);
            let (index, _) = unconfirmed.ok_or("nothing of it waits to be finalized")?;
            if meant.is_some_and(|meant| meant != index) {
                not_meant(&format!("stage {}", index.saturating_add(1)))?;
            }
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            confirmed.stages.get_mut(at).into_iter().for_each(confirm);
        }
        PlanState::Draft
        | PlanState::Finalizing
        | PlanState::Finalized
        | PlanState::Aborting(_)
        | PlanState::Aborted(_)
        | PlanState::RollingBack(_)
        | PlanState::RolledBack(_)
        | PlanState::Superseded(_)
        | PlanState::Failed(_) => return Err("nothing of it waits to be finalized".to_owned()),
    }
    Ok(confirmed)
}

/// Why the plan cannot end yet: finalizing waits for every member.
pub(super) fn keeps_from_ending(state: &State, plan: &Plan) -> Option<String> {
    behind(state, plan)
        .or_else(|| goes_back_elsewhere(state, plan))
        .or_else(|| lacks(state, plan))
}

/// An instance that is not where the plan has brought the others, and not on its way there either.
fn behind(state: &State, plan: &Plan) -> Option<String> {
    plan.targets.iter().find_map(|target| {
        let is_there =
            |version: Option<&Version>| version.is_some_and(|v| v.cmp_precedence(&target.version).is_eq());
        let mut instances = state.instances_of(&target.component);
        let behind = instances.find(|instance| {
            let current = instance.report.current.as_ref();
            !is_there(current.map(|current| &current.version)) || !is_there(instance.comes_to())
        })?;
        let current = behind.report.current.as_ref();
        let has = current.map(|current| &current.version);
        if is_there(has) {
            return Some(format!(
                "finalizing waits for every instance, and {} does not stay with {}",
                behind.id, target.version
            ));
        }
        let has = has.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        Some(format!(
            "finalizing waits for every instance, and {} has {has}, not {}: bring it there by a plan of its own first",
            behind.id, target.version
        ))
    })
}

/// Another plan that is taking instances of the same component back.
fn goes_back_elsewhere(state: &State, plan: &Plan) -> Option<String> {
    let mut others = state.plans_under_way().filter(|other| other.id != plan.id);
    others.find_map(|other| {
        let PlanState::RollingBack(_) = other.state else {
            return None;
        };
        let mut stages = plan.stages.iter();
        let stage =
            stages.find(|stage| other.stages.iter().any(|s| s.component == stage.component))?;
        Some(format!(
            "finalizing waits for every instance, and {} takes {} back",
            other.id, stage.component
        ))
    })
}

/// An instance that is there, as far as is known, and not well, or not to be left alone yet.
fn lacks(state: &State, plan: &Plan) -> Option<String> {
    if plan.kind != PlanKind::Upgrade {
        return None;
    }
    let components: BTreeSet<_> = plan.stages.iter().map(|stage| &stage.component).collect();
    let mut instances = components.into_iter().flat_map(|c| state.instances_of(c));
    instances.find_map(|instance| {
        let why = waits::node(state, instance).or_else(|| {
            let slot = || {
                instance
                    .slot
                    .as_ref()
                    .map(|slot| format!("it is held by {}", slot.plan))
            };
            let sick = || (!instance.is_healthy()).then(|| "it is not healthy".to_owned());
            sick().or_else(slot)
        })?;
        Some(format!(
            "finalizing waits for every instance, and {} is not there and well: {why}",
            instance.id
        ))
    })
}
