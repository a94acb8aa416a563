//! Plans and tasks in columns.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::look::Look;
use crate::table::Table;
use crate::time::{age, micros};
use crate::view::{Plan, PlanTarget, Task};

/// Plans in columns.
pub(super) fn plans(plans: &[Plan], look: Look, now: SystemTime) -> String {
    let heading = ["NAME", "STATE", "DONE", "CREATED", "TARGETS: REASON"];
    let mut table = Table::new(look, &heading);
    for plan in plans {
        table.row([
            plan.name.clone(),
            plan.state.clone(),
            done(plan),
            age(plan.created_at.as_deref(), now),
            // Both may be long, and only the last column of a table may.
            match plan.reason.as_str() {
                "" => targets(plan),
                reason => format!("{}: {reason}", targets(plan)),
            },
        ]);
    }
    table.render()
}

/// Where a plan goes.
pub(super) fn targets(plan: &Plan) -> String {
    if plan.kind == "restart" || plan.kind == "reconfigure" {
        let components: BTreeSet<_> = plan.stages.iter().map(|s| s.component.as_str()).collect();
        let components: Vec<_> = components.into_iter().collect();
        return format!("{} {}", plan.kind, components.join(", "));
    }
    in_words(&plan.targets)
}

/// Targets in words.
pub(super) fn in_words(targets: &[PlanTarget]) -> String {
    let targets = targets.iter().map(|target| {
        let text = format!("{} {}", target.component, target.version);
        match target.allow_downgrade {
            true => format!("{text} (downgrade allowed)"),
            false => text,
        }
    });
    targets.collect::<Vec<_>>().join(", ")
}

/// Tasks, in the order in which they go. People count stages from 1.
pub(super) fn tasks_in_columns(tasks: &[Task], look: Look) -> String {
    let heading = ["STAGE", "INSTANCE", "WAVE", "STATE", "DOWN", "REASON"];
    let mut table = Table::new(look, &heading);
    let mut tasks: Vec<_> = tasks.iter().collect();
    tasks.sort_by_key(|task| (task.stage, task.wave, &task.instance));
    for task in tasks {
        table.row([
            stage_number(task.stage),
            task.instance.clone(),
            task.wave.to_string(),
            task.state.clone(),
            micros(task.stop_to_ready_us),
            reason(task),
        ]);
    }
    table.render()
}

/// Why it is where it is; of one that waits, why it could not be spared when it was asked for last.
fn reason(task: &Task) -> String {
    let waits = task.state == "pending" || task.state == "prefetched";
    match (task.yielded_at.is_some() && waits, task.reason.as_str()) {
        (true, "") => format!("could not be spared: {}", task.yield_reason),
        (true, reason) => format!("{reason}; could not be spared: {}", task.yield_reason),
        (false, reason) => reason.to_owned(),
    }
}

/// A stage's number as people count.
pub(super) fn stage_number(stage: u32) -> String {
    (u64::from(stage) + 1).to_string()
}

/// Whether nothing but a person's word lets it go on. A coordinator that does not say so is an earlier one.
pub(super) fn waits_for_word(plan: &Plan) -> bool {
    plan.waits_for_finalize || plan.state == "ready-to-finalize"
}

/// How many tasks are done, of how many, and how many are left out.
pub(super) fn done(plan: &Plan) -> String {
    match plan.tasks_skipped {
        0 => format!("{}/{}", plan.tasks_done, plan.tasks_total),
        skipped => format!(
            "{}/{}, {skipped} left out",
            plan.tasks_done, plan.tasks_total
        ),
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_proto::v1::{self, PlanState};

    use super::super::samples::{WIDTHS, etcd, now, preview, wide};
    use super::*;

    #[test]
    fn plans_are_listed_with_where_they_go_and_why_they_stand() {
        let draft = v1::Plan {
            name: "plan-3".to_owned(),
            ..preview()
        };
        let reason =
            "n2/etcd was put back to 3.4.23: the probe http://127.0.0.1:2379/health answered 503";
        let paused = etcd(PlanState::Paused, reason);
        let ready = v1::Plan {
            name: "plan-5".to_owned(),
            ..etcd(PlanState::ReadyToFinalize, "")
        };
        let listed = [draft, paused, ready].map(Plan::from);
        for width in WIDTHS {
            let page = plans(&listed, wide(Some(width)), now());
            insta::assert_snapshot!(format!("plans_{width}"), page);
        }
    }
}
