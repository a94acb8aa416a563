//! What there is no way back from: a person says so first.
//!
//! - A stage that cannot be undone at all begins when a person has confirmed it.
//! - A stage whose new format takes hold by itself with its last instance keeps that one back until then.
//! - A plan whose finalizing takes a way back away is ready to be finalized, and stays so until then.

use evenkeel_compat::Undo;
use evenkeel_words::timestamp::Timestamp;

use super::{Decision, ended};
use crate::{
    change::Resource,
    plan::{Plan, PlanState, Stage, Task, TaskState},
    state::State,
};

/// The stage that waits for a person to confirm it, and which it is; nothing if none does now.
#[must_use]
pub fn unconfirmed<'a>(state: &State, plan: &'a Plan) -> Option<(u32, &'a Stage)> {
    let index = state.stage_under_way(plan.id)?;
    let stage = plan.stages.get(usize::try_from(index).ok()?)?;
    if stage.confirmed_by.is_some() {
        return None;
    }
    let to_begin = state
        .tasks_of_stage(plan.id, index)
        .filter(|task| !task.state.in_flight() && task.state != TaskState::Done);
    let waits = match stage.way.undo {
        Undo::NotAtAll => to_begin.count() > 0,
        Undo::InPlace | Undo::Rebuild => {
            let last = stage.finalizes_itself && stage.is_final_when_finalized();
            last && to_begin.count() == 1
        }
    };
    waits.then_some((index, stage))
}

/// What keeps a task from getting its order until a person has confirmed its stage; nothing if it may.
pub(super) fn holds_back(state: &State, plan: &Plan, task: &Task) -> Option<String> {
    let (index, stage) = unconfirmed(state, plan)?;
    (index == task.stage).then(|| sentence(plan, stage))
}

/// What a person has to confirm, and how.
fn sentence(plan: &Plan, stage: &Stage) -> String {
    let Stage {
        component,
        from,
        to,
        ..
    } = stage;
    let why = match stage.way.undo {
        Undo::NotAtAll => format!("there is no way back from {component} {to} to {from}"),
        Undo::InPlace | Undo::Rebuild => format!(
            "this is the last instance of {component} with {from}, and once it runs {to} there is no way back for any of them"
        ),
    };
    format!(
        "{why}; `evenkeel plan finalize {}` says that there need be none",
        plan.id
    )
}

/// Why the plan as a whole waits for a person, if it does.
#[must_use]
pub fn ready(plan: &Plan) -> Option<String> {
    if plan.state != PlanState::ReadyToFinalize {
        return None;
    }
    let stages: Vec<_> = plan.stages.iter().filter(|stage| loses(stage)).collect();
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

/// The plan's end, when every task is done.
pub(super) fn finish(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    if state.stage_under_way(plan.id).is_some() {
        return None;
    }
    if plan.stages.iter().any(loses) {
        let ready = Plan {
            state: PlanState::ReadyToFinalize,
            ..plan.clone()
        };
        let cause = format!("{} {}", plan.id, ready.state.name());
        return Some((cause, vec![Resource::Plan(ready)]));
    }
    Some(ended(plan, PlanState::Finalized, now))
}

/// The plan with a person's word that there need be no way back; nothing if it waits for none.
#[must_use]
pub fn confirmed(state: &State, plan: &Plan, subject: &str, now: Timestamp) -> Option<Plan> {
    let mut confirmed = Plan {
        progressed_at: now,
        ..plan.clone()
    };
    let confirm = |stage: &mut Stage| stage.confirmed_by = Some(subject.to_owned());
    match plan.state {
        PlanState::ReadyToFinalize => {
            let stages = confirmed.stages.iter_mut();
            stages.filter(|stage| loses(stage)).for_each(confirm);
            confirmed.state = PlanState::Finalized;
            confirmed.ended_at = Some(now);
        }
        PlanState::Running | PlanState::Paused(_) => {
            let (index, _) = unconfirmed(state, plan)?;
            let stage = confirmed.stages.get_mut(usize::try_from(index).ok()?)?;
            confirm(stage);
        }
        PlanState::Draft
        | PlanState::Finalized
        | PlanState::Aborting(_)
        | PlanState::Aborted(_) => return None,
    }
    Some(confirmed)
}
