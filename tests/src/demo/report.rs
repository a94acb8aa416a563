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

/// What did not hold, in words; empty when all of it held. `strays` are the instances that are not as they should be.
pub(super) fn broken(upgrade: &Upgrade, load: &Report, strays: Vec<String>) -> Vec<String> {
    let mut broken = Vec::new();
    let plan = &upgrade.plan;
    if plan.state() == PlanState::Finalized {
        broken.extend(strays);
    } else {
        let state = plan.state().as_str_name();
        let state = state.trim_start_matches("PLAN_STATE_").to_lowercase();
        broken.push(format!("{} is {state}: {}", plan.name, plan.reason));
    }
    let counts = [
        (load.failed, "requests failed"),
        (load.lost, "blobs are lost"),
        (load.wrong, "answers are wrong"),
    ];
    for (number, what) in counts.into_iter().filter(|(number, _)| *number > 0) {
        broken.push(format!("{} {what}", count(number)));
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
    let mut rows = vec![
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
            "nothing is touched; does the new stay good?".to_owned(),
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
    if upgrade.plan.state() != PlanState::Finalized {
        // Half an upgrade compares with nothing.
        rows.truncate(3);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(state: PlanState) -> Upgrade {
        let plan = evenkeel_proto::v1::Plan {
            name: "plan-1".to_owned(),
            state: state.into(),
            ..Default::default()
        };
        Upgrade {
            plan,
            tasks: std::collections::BTreeMap::new(),
            wall: Duration::from_secs(3),
            prefetch: Duration::from_secs(1),
            soak: Duration::from_secs(1),
        }
    }

    fn clean() -> Report {
        Report {
            writes: 10,
            reads: 10,
            ..Report::default()
        }
    }

    #[test]
    fn it_holds_only_when_the_plan_the_fleet_and_the_client_are_as_they_should_be() {
        let finalized = upgrade(PlanState::Finalized);
        assert!(broken(&finalized, &clean(), Vec::new()).is_empty());

        assert_eq!(
            broken(&upgrade(PlanState::Paused), &clean(), Vec::new()).len(),
            1
        );
        assert_eq!(broken(&finalized, &clean(), vec!["n1".to_owned()]), ["n1"]);
        let idle = Report::default();
        assert_eq!(broken(&finalized, &idle, Vec::new()).len(), 1);
        for report in [
            Report {
                failed: 1,
                ..clean()
            },
            Report { lost: 1, ..clean() },
            Report {
                wrong: 1,
                ..clean()
            },
        ] {
            assert!(
                !broken(&finalized, &report, Vec::new()).is_empty(),
                "{report:?}"
            );
        }
    }

    #[test]
    fn an_upgrade_that_did_not_end_is_not_compared_with_the_ideal() {
        assert!(figures(&upgrade(PlanState::Finalized), &clean()).contains("ideal"));
        let text = figures(&upgrade(PlanState::Paused), &clean());
        assert!(
            text.contains("failed requests") && !text.contains("ideal"),
            "{text}"
        );
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let text = figures(&upgrade(PlanState::Finalized), &clean());
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
    }
}
