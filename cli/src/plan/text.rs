//! Plans and tasks as text for people.

use std::time::SystemTime;

use crate::table::Table;
use crate::time::{age, micros, readable};
use crate::view::{Plan, Task};

/// Plans in columns.
pub(super) fn plans(plans: &[Plan], colour: bool, now: SystemTime) -> String {
    let heading = [
        "NAME",
        "COMPONENT",
        "FROM",
        "TO",
        "STATE",
        "DONE",
        "CREATED",
        "REASON",
    ];
    let mut table = Table::new(colour, &heading);
    for plan in plans {
        let stage = plan.stages.first();
        table.row([
            plan.name.clone(),
            stage.map(|s| s.component.clone()).unwrap_or_default(),
            stage.map(|s| s.from_version.clone()).unwrap_or_default(),
            plan.stages
                .last()
                .map(|s| s.to_version.clone())
                .unwrap_or_default(),
            plan.state.clone(),
            done(plan),
            age(plan.created_at.as_deref(), now),
            plan.reason.clone(),
        ]);
    }
    table.render()
}

/// A plan and its tasks.
pub(super) fn plan(plan: &Plan, tasks: &[Task], colour: bool, now: SystemTime) -> String {
    let mut pairs = Table::pairs(colour);
    pairs.pair("Name", &plan.name);
    pairs.pair("State", &plan.state);
    if !plan.reason.is_empty() {
        pairs.pair("Reason", &plan.reason);
    }
    for stage in &plan.stages {
        pairs.pair(
            "Stage",
            format!(
                "{} {} -> {}",
                stage.component, stage.from_version, stage.to_version
            ),
        );
    }
    if let Some(policy) = &plan.policy {
        pairs.pair("Max unavailable", number(policy.max_unavailable));
        pairs.pair(
            "Failure domain",
            policy.failure_domain.clone().unwrap_or_default(),
        );
        pairs.pair("Canary", number(policy.canary));
        pairs.pair("Soak", readable(policy.soak.as_deref()));
        pairs.pair(
            "Instance deadline",
            readable(policy.instance_deadline.as_deref()),
        );
        pairs.pair(
            "Progress deadline",
            readable(policy.progress_deadline.as_deref()),
        );
    }
    pairs.pair("Done", done(plan));
    pairs.pair("Created", created(plan, now));
    for (name, time) in [("Started", &plan.started_at), ("Ended", &plan.ended_at)] {
        if time.is_some() {
            pairs.pair(name, format!("{} ago", age(time.as_deref(), now)));
        }
    }
    let mut text = pairs.render();
    if !tasks.is_empty() {
        text.push('\n');
        text.push_str(&tasks_in_columns(tasks, colour));
    }
    text
}

fn tasks_in_columns(tasks: &[Task], colour: bool) -> String {
    let heading = [
        "INSTANCE",
        "WAVE",
        "FROM",
        "TO",
        "STATE",
        "STOP TO READY",
        "REASON",
    ];
    let mut table = Table::new(colour, &heading);
    // In the order in which they go.
    let mut tasks: Vec<_> = tasks.iter().collect();
    tasks.sort_by_key(|task| (task.stage, task.wave, &task.instance));
    for task in tasks {
        let version = |release: &Option<crate::view::ReleaseRef>| {
            release
                .as_ref()
                .map(|r| r.version.clone())
                .unwrap_or_default()
        };
        table.row([
            task.instance.clone(),
            task.wave.to_string(),
            version(&task.from),
            version(&task.to),
            task.state.clone(),
            micros(task.stop_to_ready_us),
            task.reason.clone(),
        ]);
    }
    table.render()
}

/// How many tasks are done, of how many.
pub(super) fn done(plan: &Plan) -> String {
    format!("{}/{}", plan.tasks_done, plan.tasks_total)
}

fn created(plan: &Plan, now: SystemTime) -> String {
    let age = age(plan.created_at.as_deref(), now);
    match plan.created_by.as_str() {
        "" => format!("{age} ago"),
        who => format!("{age} ago by {who}"),
    }
}

fn number(number: Option<u32>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}
