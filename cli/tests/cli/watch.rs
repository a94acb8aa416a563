//! Watching: from where it broke off, to the end, and an exit status that says which end.

use std::io::{BufRead as _, BufReader};

use evenkeel_common::problem::{ErrorCode, Problem};
use evenkeel_proto::v1::watch_plan_response::Change;
use evenkeel_proto::v1::*;

use crate::coordinator::{Coordinator, End, State};
use crate::sample::{self, plan, task};

fn plan_at(revision: u64, plan: Plan) -> WatchPlanResponse {
    WatchPlanResponse {
        revision,
        change: Some(Change::Plan(plan)),
    }
}

fn task_at(revision: u64, task: Task) -> WatchPlanResponse {
    WatchPlanResponse {
        revision,
        change: Some(Change::Task(task)),
    }
}

fn synced(revision: u64) -> WatchPlanResponse {
    WatchPlanResponse {
        revision,
        change: None,
    }
}

fn watching(watches: Vec<(Vec<WatchPlanResponse>, End)>) -> Coordinator {
    Coordinator::start(State {
        plan_watches: watches.into(),
        ..sample::fleet()
    })
}

fn broken_off() -> End {
    End::Failed(Problem::new(ErrorCode::Unavailable, "going down").into())
}

fn a_plan_that_goes_well() -> Vec<(Vec<WatchPlanResponse>, End)> {
    let first = vec![
        plan_at(5, plan(PlanState::Running, 1)),
        task_at(5, task("n1/store", 0, TaskState::Done, 0)),
        task_at(5, task("n2/store", 1, TaskState::Admitted, 1)),
        task_at(5, task("n3/store", 1, TaskState::Pending, 0)),
        synced(5),
        task_at(6, task("n2/store", 1, TaskState::Stopped, 2)),
    ];
    let second = vec![
        // What was sent before may come again.
        task_at(6, task("n2/store", 1, TaskState::Stopped, 2)),
        synced(6),
        task_at(7, task("n2/store", 1, TaskState::Done, 3)),
        plan_at(7, plan(PlanState::Running, 2)),
    ];
    let third = vec![
        task_at(9, task("n3/store", 1, TaskState::Done, 5)),
        plan_at(9, plan(PlanState::Finalized, 3)),
    ];
    vec![
        (first, broken_off()),
        (second, End::Closed),
        (third, End::Closed),
    ]
}

#[test]
fn a_watch_goes_on_where_it_broke_off_and_ends_well_with_the_plan() {
    let coordinator = watching(a_plan_that_goes_well());
    let run = coordinator.run(&["plan", "watch", "p1"]);
    assert!(run.err.contains("going down; trying again"), "{run:?}");
    assert_eq!(
        run.good(),
        "\
2026-09-21T14:13:20.000Z  p1  running (1/3 done)
2026-09-21T14:13:21.000Z  n2/store  admitted
2026-09-21T14:13:22.000Z  n2/store  stopped
2026-09-21T14:13:23.000Z  n2/store  done
2026-09-21T14:13:25.000Z  n3/store  done
2026-09-21T14:13:20.000Z  p1  finalized (3/3 done)
"
    );
    assert_eq!(coordinator.state().watched_after, [0, 6, 7]);
}

#[test]
fn a_coordinator_that_is_killed_and_comes_back_is_watched_on() {
    let before = vec![plan_at(5, plan(PlanState::Running, 2)), synced(5)];
    let after = vec![plan_at(8, plan(PlanState::Finalized, 3)), synced(8)];
    let mut coordinator = watching(vec![(before, End::Open), (after, End::Closed)]);
    let mut command = coordinator.cluster.command(&["plan", "watch", "p1"]);
    let mut program = command.spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.ends_with("p1  running (2/3 done)"), "{first}");
    coordinator.restart();
    let second = lines.next().unwrap().unwrap();
    assert!(second.ends_with("p1  finalized (3/3 done)"), "{second}");
    let ended = program.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    let remarks = String::from_utf8(ended.stderr).unwrap();
    assert!(
        remarks.contains("the connection to the coordinator broke"),
        "{remarks}"
    );
    assert!(!remarks.contains("https://"), "{remarks}");
    assert_eq!(coordinator.state().watched_after, [0, 5]);
}

#[test]
fn a_watch_for_programs_has_one_object_a_line() {
    let coordinator = watching(a_plan_that_goes_well());
    let text = coordinator
        .run(&["-o", "json", "plan", "watch", "p1"])
        .good();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[0]["plan"]["state"], "running");
    assert_eq!(lines[4], serde_json::json!({"revision": 5}));
    assert_eq!(lines[5]["revision"], 6);
    assert_eq!(lines[5]["task"]["state"], "stopped");
    assert_eq!(lines[11]["plan"]["state"], "finalized");
}

#[test]
fn a_plan_that_pauses_ends_the_watch_with_10_the_reason_and_what_to_do() {
    let mut paused = plan(PlanState::Paused, 1);
    paused.reason = "n2/store was put back to 1.0.0: probe failed".to_owned();
    let changes = vec![
        plan_at(5, plan(PlanState::Running, 1)),
        synced(5),
        plan_at(6, paused),
        task_at(6, task("n2/store", 1, TaskState::Reverted, 3)),
    ];
    let coordinator = watching(vec![(changes, End::Open)]);
    let run = coordinator.run(&["plan", "watch", "p1"]);
    // Of the same moment, and told although the plan's pause came first.
    assert!(run.out.ends_with("n2/store  reverted\n"), "{run:?}");
    run.refused(
        10,
        "the plan p1 is paused: n2/store was put back",
        "`evenkeel plan resume p1` goes on, `evenkeel plan rollback p1` brings back what was moved",
    );
}

#[test]
fn a_watch_that_is_to_go_on_over_pauses_sees_the_end() {
    let changes = vec![
        plan_at(5, plan(PlanState::Paused, 1)),
        synced(5),
        plan_at(6, plan(PlanState::Running, 1)),
        plan_at(7, plan(PlanState::Aborted, 1)),
    ];
    let coordinator = watching(vec![(changes, End::Closed)]);
    let run = coordinator.run(&["plan", "watch", "p1", "--follow"]);
    assert_eq!(run.out.lines().count(), 3, "{run:?}");
    run.refused(11, "the plan p1 is aborted", "evenkeel plan show p1");
}

#[test]
fn a_coordinator_that_fell_back_is_watched_from_the_start() {
    let first = vec![plan_at(9, plan(PlanState::Running, 2)), synced(9)];
    let behind = Problem::new(ErrorCode::RevisionAhead, "revision 9 is not reached yet");
    let again = vec![plan_at(4, plan(PlanState::Finalized, 3)), synced(4)];
    let coordinator = watching(vec![
        (first, broken_off()),
        (Vec::new(), End::Failed(behind.into())),
        (again, End::Closed),
    ]);
    let run = coordinator.run(&["plan", "watch", "p1"]);
    assert!(run.err.contains("watching from the start"), "{run:?}");
    run.good();
    assert_eq!(coordinator.state().watched_after, [0, 9, 0]);
}

#[test]
fn a_watch_of_a_plan_that_is_not_there_is_not_tried_again() {
    let missing = Problem::new(ErrorCode::NotFound, "there is no plan p9");
    let coordinator = watching(vec![(Vec::new(), End::Failed(missing.into()))]);
    coordinator
        .run(&["plan", "watch", "p9"])
        .refused(4, "there is no plan p9", "list");
    assert_eq!(coordinator.state().watched_after, [0]);
}

#[test]
fn the_fleet_is_watched_line_by_line() {
    use watch_fleet_response::Change;
    let change = |revision, change| WatchFleetResponse { revision, change };
    let mut sick = sample::instance("n1/store", InstanceStatus::Error, InstanceHealth::Error);
    sick.reason = "it ended".to_owned();
    sick.changed_at = None;
    let mut node = sample::node("n1", Liveness::Suspect);
    node.changed_at = None;
    let coordinator = Coordinator::start(State {
        fleet_watches: [
            (
                vec![change(1, Some(Change::Node(node))), change(1, None)],
                End::Closed,
            ),
            (vec![change(2, Some(Change::Instance(sick)))], End::Open),
        ]
        .into(),
        ..State::default()
    });
    let mut program = coordinator
        .cluster
        .command(&["fleet", "watch"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "-  n1  suspect");
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "-  n1/store  store 1.0.0  error  error  it ended"
    );
    program.kill().unwrap();
    program.wait().unwrap();
    assert_eq!(coordinator.state().watched_after, [0, 1]);
}

#[test]
fn a_plan_that_waits_to_be_finalized_ends_the_watch_with_12_and_says_how() {
    let changes = vec![
        plan_at(5, plan(PlanState::Running, 2)),
        synced(5),
        plan_at(6, plan(PlanState::ReadyToFinalize, 3)),
    ];
    let coordinator = watching(vec![(changes, End::Open)]);
    let run = coordinator.run(&["plan", "watch", "p1"]);
    run.refused(
        12,
        "the plan p1 is done and waits to be finalized",
        "`evenkeel plan finalize p1`",
    );
}

#[test]
fn a_plan_that_holds_its_last_instance_ends_the_watch_with_12_and_says_why() {
    let held = Plan {
        waits_for_finalize: true,
        reason: "once the last store runs 1.1.0 there is no way back".to_owned(),
        ..plan(PlanState::Running, 2)
    };
    let changes = vec![
        plan_at(5, plan(PlanState::Running, 1)),
        synced(5),
        plan_at(6, held),
        task_at(6, task("n2/store", 1, TaskState::Done, 3)),
    ];
    let over = [
        changes.clone(),
        vec![plan_at(9, plan(PlanState::Finalized, 3))],
    ];
    let run = watching(vec![(changes, End::Open)]).run(&["plan", "watch", "p1"]);
    assert!(
        run.out
            .contains("p1  running (2/3 done): once the last store runs 1.1.0"),
        "{run:?}"
    );
    run.refused(
        12,
        "the plan p1 waits to be finalized: once the last store runs 1.1.0 there is no way back",
        "`evenkeel plan finalize p1`",
    );
    let on = watching(vec![(over.concat(), End::Closed)]);
    on.run(&["plan", "watch", "p1", "--follow"]).good();
}

#[test]
fn of_a_plan_of_several_stages_each_line_says_which() {
    let two_stages = |state, done| Plan {
        stages: vec![
            sample::stage("1.0.0", "1.1.0"),
            sample::stage("1.1.0", "1.2.0"),
        ],
        tasks_total: 6,
        ..plan(state, done)
    };
    let second = |state, seconds| Task {
        stage: 1,
        ..task("n1/store", 0, state, seconds)
    };
    let changes = vec![
        plan_at(5, two_stages(PlanState::Running, 0)),
        task_at(5, task("n1/store", 0, TaskState::Started, 1)),
        task_at(5, second(TaskState::Pending, 0)),
        synced(5),
        task_at(6, task("n1/store", 0, TaskState::Done, 2)),
        // The same instance in the next stage is another task: also what it was before is not forgotten.
        task_at(7, second(TaskState::Done, 3)),
        plan_at(8, two_stages(PlanState::Finalized, 6)),
    ];
    let coordinator = watching(vec![(changes, End::Closed)]);
    assert_eq!(
        coordinator.run(&["plan", "watch", "p1"]).good(),
        "\
2026-09-21T14:13:20.000Z  p1  running (0/6 done)
2026-09-21T14:13:21.000Z  n1/store  stage 1/2  started
2026-09-21T14:13:22.000Z  n1/store  stage 1/2  done
2026-09-21T14:13:23.000Z  n1/store  stage 2/2  done
2026-09-21T14:13:20.000Z  p1  finalized (6/6 done)
"
    );
}
