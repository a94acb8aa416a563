//! An instance that its storage system could not spare in time gives its place to others, and is asked for again
//! later.

use std::time::Duration;

use evenkeel_words::timestamp::Timestamp;

use super::{Decision, slots};
use crate::{
    change::Resource,
    instance::Instance,
    plan::{Plan, Task, TaskState, Yield},
};

/// For how long after it was declined a task is not admitted again: long enough for what was in the way to pass, and
/// short beside the time in which a plan has to move.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The task as it was before its order, which its agent has declined. Nothing was touched, so this is no progress.
pub(super) fn give_way(
    plan: &Plan,
    task: &Task,
    instance: &Instance,
    reason: &str,
    now: Timestamp,
) -> Decision {
    let cause = format!("{} could not be spared", task.instance);
    let again = Task {
        state: TaskState::Prefetched,
        admitted_at: None,
        yielded: Some(Yield {
            at: now,
            reason: reason.to_owned(),
        }),
        ..task.clone()
    };
    let mut resources = vec![Resource::Plan(plan.clone()), Resource::Task(again)];
    resources.extend(slots::freed(instance).map(Resource::Instance));
    (cause, resources)
}

/// When the task may be admitted again, if it had to let others go first.
pub(super) fn again_at(task: &Task) -> Option<Timestamp> {
    let waits = task.state == TaskState::Prefetched;
    let yielded = task.yielded.as_ref().filter(|_| waits)?;
    Some(yielded.at.after(AGAIN_AFTER))
}

/// Why the task is not admitted though nothing else is in its way.
pub(super) fn holds_back(task: &Task) -> Option<String> {
    again_at(task)?;
    let Yield { reason, .. } = task.yielded.as_ref()?;
    Some(format!(
        "it could not be spared when it was asked for last ({reason}); others go first, and it is asked for again {AGAIN_AFTER:?} after that"
    ))
}
