//! A plan on a page: where it goes, stage by stage, how carefully, and what was not chosen.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::policy;
use super::stages::{self, finalize_command};
use super::text::{done, in_words, stage_number, targets, tasks_in_columns, waits_for_word};
use crate::look::Look;
use crate::table::Table;
use crate::time::age;
use crate::view::{ComponentFinalize, Plan, Stage, Task};

/// A plan, with its tasks if it has any.
pub(super) fn plan(plan: &Plan, tasks: &[Task], look: Look, now: SystemTime) -> String {
    let mut page = summary(plan, look, now);
    let mut done: BTreeMap<usize, usize> = BTreeMap::new();
    for task in tasks {
        let done = done.entry(task.stage as usize).or_default();
        *done += usize::from(task.state == "done");
    }
    let done = |stage| (!tasks.is_empty()).then(|| done.get(&stage).copied().unwrap_or(0));
    page.push_str(&stages::sections(&plan.stages, &plan.name, done, look, now));
    page.push_str(&stages::ruled_out(&plan.ruled_out, look));
    if !tasks.is_empty() {
        page.push('\n');
        page.push_str(&tasks_in_columns(tasks, look));
    }
    page
}

fn summary(plan: &Plan, look: Look, now: SystemTime) -> String {
    let is_kept = !plan.name.is_empty();
    let mut pairs = Table::pairs(look);
    if is_kept {
        pairs.pair("Name", &plan.name);
        pairs.pair("State", &plan.state);
    }
    if !plan.reason.is_empty() {
        pairs.pair("Reason", &plan.reason);
    }
    if !plan.superseded_by.is_empty() {
        pairs.pair("Superseded", format!("by {}", plan.superseded_by));
    } else if let Some(successor) = &plan.successor {
        let text = format!(
            "to {} by {}",
            in_words(&successor.targets),
            successor.asked_by
        );
        pairs.pair("Retargeted", text);
    }
    if waits_for_word(plan) {
        let command = finalize_command(&plan.name);
        pairs.pair("Next", format!("{command}, once there need be no way back"));
    }
    pairs.pair("Targets", targets(plan));
    pairs.pair(
        "Stages",
        match plan.stages.len() {
            0 => "none: every instance runs its target".to_owned(),
            stages => stages.to_string(),
        },
    );
    pairs.pair("Restarts", restarts(&plan.stages));
    for told in &plan.finalizing {
        pairs.pair("Final", made_final(told));
    }
    if plan.ended_at.is_none() && plan.rollback_began_at.is_none() && plan.finalizing.is_empty() {
        pairs.pair("Finalizing", finalizing(plan));
    }
    if let Some(policy) = &plan.policy {
        pairs.pair("Policy", policy::told(policy));
    }
    for compared in &plan.compared {
        let stage = stage_number(compared.stage);
        let said = format!(
            "before wave {} of stage {stage}: {} ({})",
            compared.wave, compared.sentence, compared.verdict
        );
        pairs.pair("Compared", said);
    }
    pairs.pair("Matrix", format!("version {}", plan.matrix_version));
    if is_kept {
        pairs.pair("Done", done(plan));
        let age_of = |time: &Option<String>| format!("{} ago", age(time.as_deref(), now));
        pairs.pair(
            "Created",
            match plan.created_by.as_str() {
                "" => age_of(&plan.created_at),
                who => format!("{} by {who}", age_of(&plan.created_at)),
            },
        );
        let times = [
            ("Started", &plan.started_at),
            ("Rollback", &plan.rollback_began_at),
            ("Ended", &plan.ended_at),
        ];
        for (name, time) in times {
            if time.is_some() {
                pairs.pair(name, age_of(time));
            }
        }
    }
    pairs.render()
}

/// How many instances are restarted, counted once for each stage.
fn restarts(stages: &[Stage]) -> String {
    let count = |stages: &mut dyn Iterator<Item = &Stage>| -> u64 {
        stages.map(|stage| u64::from(stage.instances)).sum()
    };
    let all = count(&mut stages.iter());
    let rebuilds = count(&mut stages.iter().filter(|stage| stage.method == "rebuild"));
    match rebuilds {
        0 => all.to_string(),
        rebuilds => format!("{all}, {rebuilds} of them by rebuild"),
    }
}

fn waits_for_a_person(plan: &Plan) -> bool {
    let policy = plan.policy.as_ref();
    policy.is_some_and(|policy| policy.pause_before_finalize == Some(true))
}

/// How far a component is with being final.
fn made_final(told: &ComponentFinalize) -> String {
    let instance = match told.instance.as_str() {
        "" => "no instance yet",
        instance => instance,
    };
    let before = match told.reason.as_str() {
        "" => String::new(),
        reason => format!("; before: {reason}"),
    };
    match told.done {
        true => format!("{}, told to {instance}", told.component),
        false => format!("{} not yet, told to {instance}{before}", told.component),
    }
}

/// Whether a person is asked before a way back is gone.
fn finalizing(plan: &Plan) -> String {
    let stages = plan.stages.iter().enumerate();
    let asking: Vec<_> = stages.filter(|(_, stage)| stages::asks(stage)).collect();
    let number = |&(index, _): &(usize, &Stage)| index + 1;
    let which = match asking.as_slice() {
        [] if waits_for_a_person(plan) => {
            let command = finalize_command(&plan.name);
            return format!("asks for {command}: its policy leaves the last word to a person");
        }
        [] => return "by itself, once every task is done".to_owned(),
        [one] => format!("stage {}", number(one)),
        [first, second] => format!("stages {} and {}", number(first), number(second)),
        [first, .., last] => format!(
            "{} stages between {} and {}",
            asking.len(),
            number(first),
            number(last)
        ),
    };
    let ends_as = |undo: &str| {
        asking
            .iter()
            .all(|(_, stage)| stage.undo_when_final == undo)
    };
    let can = match (ends_as("not-at-all"), ends_as("by-rebuild")) {
        (true, _) => "cannot be undone",
        (_, true) => "can be undone by rebuild only",
        _ => "can be undone by rebuild only, or not at all",
    };
    let command = finalize_command(&plan.name);
    format!("asks for {command}: after it, {which} {can}")
}

#[cfg(test)]
mod tests {
    use evenkeel_proto::v1::{PlanState, TaskState};

    use super::super::samples::{self, WIDTHS, etcd, now, task, wide};
    use super::*;

    /// The page at each width, one below the other.
    fn pages(plan: evenkeel_proto::v1::Plan, tasks: &[Task]) -> String {
        let plan = Plan::from(plan);
        let pages = WIDTHS.map(|width| {
            let page = super::plan(&plan, tasks, wide(Some(width)), now());
            let widest = page.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{page}");
            format!("{:=^width$}\n{page}", format!(" {width} columns "))
        });
        pages.join("\n")
    }

    #[test]
    fn a_dry_run_tells_each_stage_and_how_it_is_undone() {
        insta::assert_snapshot!(pages(samples::preview(), &[]));
    }

    #[test]
    fn a_plan_under_way_has_its_tasks_and_says_who_is_waited_for() {
        let reason =
            "etcd's last instance waits for a person: from then on there is no way back to 3.4.23";
        let tasks = [
            task(0, "n1/etcd", TaskState::Done, ""),
            task(0, "n2/etcd", TaskState::Done, ""),
            task(
                0,
                "node-03.west.example/etcd-member",
                TaskState::Reverted,
                "the probe http://127.0.0.1:2379/health answered 503 for 60 s; 3.4.23 was put back and answers",
            ),
        ];
        let held = evenkeel_proto::v1::Plan {
            waits_for_finalize: true,
            ..etcd(PlanState::Running, reason)
        };
        insta::assert_snapshot!(pages(held, &tasks));
    }

    #[test]
    fn a_plan_that_is_done_and_not_final_says_what_is_asked() {
        let mut ready = etcd(PlanState::ReadyToFinalize, "");
        ready.tasks_done = 3;
        ready.stages[0].finalizes_itself = false;
        insta::assert_snapshot!(pages(ready, &[]));
    }

    #[test]
    fn a_stage_says_who_confirmed_it_and_when() {
        let mut plan = etcd(PlanState::Running, "");
        plan.stages[0].confirmed_by = "grace\u{202e}".to_owned();
        let page = |plan| super::plan(&Plan::from(plan), &[], wide(None), now());
        let without_time = page(plan.clone());
        assert!(
            without_time.contains("  Confirmed:   by grace\\u{202e}\n"),
            "{without_time}"
        );
        plan.stages[0].confirmed_at = samples::before_now(840);
        let page = page(plan);
        assert!(
            page.contains("  Confirmed:   14m ago by grace\\u{202e}\n"),
            "{page}"
        );
    }

    #[test]
    fn what_a_person_is_asked_is_said_of_the_stages_that_ask() {
        let kinds = [
            ("in-place", "in-place", None),
            ("by-rebuild", "by-rebuild", None),
            ("in-place", "not-at-all", Some("cannot be undone")),
            ("not-at-all", "not-at-all", Some("cannot be undone")),
            (
                "in-place",
                "by-rebuild",
                Some("can be undone by rebuild only"),
            ),
        ];
        for (undo, undo_when_final, said) in kinds {
            let mut plan = Plan::from(etcd(PlanState::Draft, ""));
            plan.stages[0].undo = undo.to_owned();
            plan.stages[0].undo_when_final = undo_when_final.to_owned();
            let expected = match said {
                None => "by itself, once every task is done".to_owned(),
                Some(said) => {
                    format!("asks for `evenkeel plan finalize plan-4`: after it, stage 1 {said}")
                }
            };
            assert_eq!(finalizing(&plan), expected, "{undo}, {undo_when_final}");
        }
    }

    #[test]
    fn a_plan_without_stages_says_that_there_is_nothing_to_do() {
        let plan = evenkeel_proto::v1::Plan {
            stages: Vec::new(),
            ruled_out: Vec::new(),
            ..samples::preview()
        };
        let page = super::plan(&plan.into(), &[], wide(None), now());
        assert!(
            page.contains("Stages:       none: every instance runs its target\n"),
            "{page}"
        );
    }
}
