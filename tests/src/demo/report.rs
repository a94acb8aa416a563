//! What is said at the end: whether it held, what it took and where things are.

use std::{fmt::Write as _, time::Duration};

use camino::Utf8Path;
use evenkeel_proto::v1::PlanState;
use evenkeel_samplestore::load::Report;

use super::{
    shell,
    upgrade::Upgrade,
    words::{count, seconds},
};

/// What did not hold, in words; empty when all of it held.
pub(super) fn broken(upgrade: &Upgrade, load: &Report) -> Vec<String> {
    let mut broken = Vec::new();
    let plan = &upgrade.plan;
    if plan.state() != PlanState::Finalized {
        let state = plan.state().as_str_name();
        let state = state.trim_start_matches("PLAN_STATE_").to_lowercase();
        broken.push(format!("{} is {state}: {}", plan.name, plan.reason));
    }
    if load.writes == 0 || load.reads == 0 {
        broken.push("the client did not get to write and read".to_owned());
    }
    broken.extend(load.complaints.iter().cloned());
    broken
}

/// Whether it held, in words.
pub(super) fn verdict(broken: &[String]) -> String {
    if broken.is_empty() {
        return "It held: the fleet runs the new release, and the client noticed nothing.\n"
            .to_owned();
    }
    let mut text = String::from("It did NOT hold:\n");
    for what in broken {
        let _ = writeln!(text, "  {what}");
    }
    text
}

/// The figures.
pub(super) fn figures(upgrade: &Upgrade, load: &Report) -> String {
    let requests = load.writes + load.reads + load.failed;
    let active = upgrade
        .wall
        .saturating_sub(upgrade.prefetch)
        .saturating_sub(upgrade.soak);
    let ideal = upgrade.stop_to_ready();
    let added = active.saturating_sub(ideal);
    let tasks = u32::try_from(upgrade.tasks.len()).unwrap_or(u32::MAX);
    let added_each = added.checked_div(tasks).unwrap_or_default();
    let build = if cfg!(debug_assertions) {
        ", in a debug build"
    } else {
        ""
    };
    let rows = [
        (
            "failed requests",
            count(load.failed),
            format!(
                "of {}; longest time without an answer: {}",
                count(requests),
                seconds(load.longest_gap)
            ),
        ),
        (
            "lost or wrong blobs",
            count(load.lost + load.wrong),
            format!("{} writes; every blob read back", count(load.writes)),
        ),
        (
            "wall time",
            figure(upgrade.wall),
            "from the plan's start to its end".to_owned(),
        ),
        (
            "  prefetch",
            figure(upgrade.prefetch),
            "every node fetches and verifies the release".to_owned(),
        ),
        (
            "  soak",
            figure(upgrade.soak),
            "nothing is touched: does what is new stay good?".to_owned(),
        ),
        (
            "  upgrade",
            figure(active),
            format!("{tasks} processes, one at a time"),
        ),
        (
            "ideal",
            figure(ideal),
            "the sum of their own stop-to-ready times".to_owned(),
        ),
        (
            "added to it",
            figure(added),
            format!("{} a process{build}", seconds(added_each)),
        ),
    ];
    let mut text = String::new();
    for (name, figure, remark) in rows {
        let _ = writeln!(text, "  {name:19} {figure:>8}   {remark}");
    }
    text
}

/// Seconds under each other.
fn figure(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// Where everything is.
pub(super) fn places(folder: &Utf8Path) -> String {
    format!(
        "Everything is in {}:\n\
         \x20 state          coordinator/data, agents/*/data, storage/*\n\
         \x20 logs           coordinator.log, agent-*.log;\n\
         \x20                agents/*/data/instances/store/output.log\n\
         \x20 certificates   ca, coordinator, agents/*, operators/admin\n",
        shell::path(folder)
    )
}
