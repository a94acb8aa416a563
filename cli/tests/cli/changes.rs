//! Changing things: each call with an id of its own, and the same id when it is made again.

use evenkeel_common::problem::{ErrorCode, Problem};
use evenkeel_proto::v1::{Fleet, PlanKind, PlanState, PlanTarget};

use crate::coordinator::Coordinator;
use crate::sample;

const ID: &str = "6f7dd4f5-3a46-4f33-8d3a-0d2f1e0a9c10";

fn unavailable() -> tonic::Status {
    Problem::new(ErrorCode::Unavailable, "the ledger is being replayed").into()
}

#[test]
fn a_plan_is_made_shown_and_not_started() {
    let coordinator = Coordinator::start(sample::fleet());
    let run = coordinator.run(&[
        "plan",
        "create",
        "--to",
        "store=1.1.0",
        "--to",
        "meta=0.9.0",
        "--allow-downgrade",
        "meta",
        "--max-unavailable",
        "2",
        "--failure-domain",
        "zone",
        "--canary",
        "1",
        "--soak",
        "2m",
        "--instance-deadline",
        "5m",
        "--progress-deadline",
        "1500ms",
    ]);
    assert!(run.err.contains("evenkeel plan start p1"), "{run:?}");
    let text = run.good();
    assert!(text.contains("State:        draft"), "{text}");
    assert!(text.contains("1       n3/store   1      pending"), "{text}");

    let state = coordinator.state();
    let created = state.created.clone().unwrap();
    let target = |component: &str, version: &str, allow_downgrade| PlanTarget {
        component: component.to_owned(),
        version: version.to_owned(),
        allow_downgrade,
    };
    assert_eq!(
        created.targets,
        [
            target("store", "1.1.0", false),
            target("meta", "0.9.0", true)
        ]
    );
    let policy = created.policy.unwrap();
    assert_eq!(policy.max_unavailable, Some(2));
    assert_eq!(policy.failure_domain.as_deref(), Some("zone"));
    assert_eq!(policy.canary, Some(1));
    assert_eq!(policy.soak.unwrap().seconds, 120);
    assert_eq!(policy.instance_deadline.unwrap().seconds, 300);
    let deadline = policy.progress_deadline.unwrap();
    assert_eq!((deadline.seconds, deadline.nanos), (1, 500_000_000));
    assert_eq!(state.changes.len(), 1);
}

#[test]
fn what_is_not_said_of_the_policy_is_left_to_the_coordinator() {
    let coordinator = Coordinator::start(sample::fleet());
    coordinator
        .run(&["plan", "create", "--to", "store=1.1.0"])
        .good();
    let policy = coordinator.state().created.clone().unwrap().policy.unwrap();
    assert_eq!(policy, evenkeel_proto::v1::PlanPolicy::default());
}

#[test]
fn a_plan_that_is_started_at_once_takes_a_second_call_with_a_second_id() {
    let coordinator = Coordinator::start(sample::fleet());
    let create = [
        "plan",
        "create",
        "--to",
        "store=1.1.0",
        "--start",
        "--request-id",
        ID,
        "-o",
        "json",
    ];
    let plan = coordinator.run(&create).json();
    assert_eq!(plan["state"], "running");
    let again = coordinator.run(&create).json();
    assert_eq!(again["name"], "p1");
    let changes = coordinator.state().changes.clone();
    let methods: Vec<_> = changes.iter().map(|(method, _)| *method).collect();
    assert_eq!(
        methods,
        ["CreatePlan", "StartPlan", "CreatePlan", "StartPlan"]
    );
    assert_eq!(changes[0].1, ID);
    assert_ne!(changes[1].1, ID);
    // To repeat the command is to repeat both calls, not to make new ones.
    assert_eq!(changes[..2], changes[2..]);
}

#[test]
fn a_call_that_found_nobody_is_made_again_with_the_same_id() {
    let coordinator = Coordinator::start(sample::fleet());
    coordinator.state().failures = [unavailable(), unavailable()].into();
    let text = coordinator.run(&["plan", "start", "p1"]).good();
    assert_eq!(text, "plan p1 is running\n");
    let changes = coordinator.state().changes.clone();
    assert_eq!(changes.len(), 3);
    assert!(
        changes.iter().all(|change| *change == changes[0]),
        "{changes:?}"
    );
    assert!(changes[0].1.parse::<uuid::Uuid>().is_ok());

    coordinator.run(&["plan", "start", "p1"]).good();
    let changes = coordinator.state().changes.clone();
    assert_ne!(changes[3].1, changes[0].1);
}

#[test]
fn a_call_is_not_made_again_for_ever_and_then_says_how_to_repeat_it() {
    let coordinator = Coordinator::start(sample::fleet());
    coordinator.state().failures = std::iter::repeat_n(unavailable(), 100).collect();
    let run = coordinator.run(&["plan", "start", "p1", "--request-id", ID]);
    run.refused(
        7,
        "the ledger is being replayed",
        &format!("--request-id {ID}"),
    );
    assert_eq!(coordinator.state().changes.len(), 5);
}

#[test]
fn a_refusal_is_final() {
    let coordinator = Coordinator::start(sample::fleet());
    let changed = Problem::new(ErrorCode::FleetChanged, "n1/store runs 1.1.0 now");
    coordinator.state().failures = [changed.into()].into();
    let run = coordinator.run(&["plan", "start", "p1"]);
    run.refused(
        5,
        "n1/store runs 1.1.0 now",
        ErrorCode::FleetChanged.remedy(),
    );
    assert_eq!(coordinator.state().changes.len(), 1);
}

#[test]
fn pausing_resuming_aborting_and_finalizing_say_what_became_of_the_plan() {
    let mut state = sample::fleet();
    state.plans = vec![sample::plan(PlanState::Running, 1)];
    let coordinator = Coordinator::start(state);
    let said = |arguments: &[&str]| coordinator.run(arguments).good();
    assert_eq!(
        said(&["plan", "pause", "p1", "--reason", "lunch"]),
        "plan p1 is paused: lunch\n"
    );
    assert_eq!(said(&["plan", "resume", "p1"]), "plan p1 is running\n");
    assert_eq!(said(&["plan", "abort", "p1"]), "plan p1 is aborting\n");
    let json = coordinator
        .run(&["plan", "abort", "p1", "--reason", "no", "-o", "json"])
        .json();
    assert_eq!(
        (&json["state"], &json["reason"]),
        (&"aborting".into(), &"no".into())
    );
    assert_eq!(said(&["plan", "finalize", "p1"]), "plan p1 is finalized\n");
    let changes = coordinator.state().changes.clone();
    let methods: Vec<_> = changes.iter().map(|change| change.0).collect();
    assert_eq!(
        methods,
        [
            "PausePlan",
            "ResumePlan",
            "AbortPlan",
            "AbortPlan",
            "FinalizePlan"
        ]
    );
}

#[test]
fn a_plan_that_holds_its_last_instance_says_so_and_which_stage_goes_on() {
    let mut held = sample::plan(PlanState::Running, 5);
    held.stages = vec![
        sample::stage("1.0.0", "1.1.0"),
        sample::stage("1.1.0", "1.2.0"),
    ];
    held.stages[1].finalizes_itself = true;
    held.waits_for_finalize = true;
    held.reason = "once the last store runs 1.2.0 there is no way back".to_owned();
    let mut state = sample::fleet();
    state.plans = vec![held];
    let coordinator = Coordinator::start(state);
    let listed = coordinator.run(&["plan", "list"]).good();
    assert!(listed.contains(": once the last store runs"), "{listed}");
    let shown = coordinator.run(&["plan", "show", "p1"]).good();
    assert!(
        shown.contains(
            "Reason:       once the last store runs 1.2.0 there is no way back\n\
             Next:         `evenkeel plan finalize p1`, once there need be no way back\n"
        ),
        "{shown}"
    );
    let json = coordinator.run(&["plan", "show", "p1", "-o", "json"]);
    assert_eq!(json.json()["waits_for_finalize"], true);
    assert_eq!(
        coordinator.run(&["plan", "finalize", "p1"]).good(),
        "the last instance of stage 2 goes on now; plan p1 is running\n"
    );
}

#[test]
fn a_plan_that_is_refused_for_a_reason_that_says_all_points_nowhere() {
    let coordinator = Coordinator::start(sample::fleet());
    let said = "every instance of store runs 1.1.0 already; there is nothing to do";
    let refused = Problem::new(ErrorCode::TargetUnfit, said);
    coordinator.state().failures = [refused.into()].into();
    let run = coordinator.run(&["plan", "create", "--to", "store=1.1.0"]);
    assert_eq!(run.err, format!("error: {said}\n"));
    run.refused(5, said, "");
    let said = "3 instances of store run 1.1.0, which is newer than 1.0.0";
    let refused = Problem::new(ErrorCode::Downgrade, said);
    coordinator.state().failures = [refused.into()].into();
    coordinator
        .run(&["plan", "create", "--to", "store=1.0.0"])
        .refused(5, said, "`--allow-downgrade COMPONENT` does that");
}

#[test]
fn a_plan_that_is_refused_points_to_the_dry_run() {
    let coordinator = Coordinator::start(sample::fleet());
    let refused = Problem::new(ErrorCode::NotAllowedNow, "no rule relates 1.0.0 to 2.0.0");
    coordinator.state().failures = [refused.into()].into();
    coordinator
        .run(&["plan", "create", "--to", "store=2.0.0"])
        .refused(5, "no rule relates 1.0.0 to 2.0.0", "`--dry-run`");
    let unpublished = Problem::new(ErrorCode::NotFound, "store 2.0.0 is not published");
    coordinator.state().failures = [unpublished.into()].into();
    coordinator
        .run(&["plan", "create", "--to", "store=2.0.0"])
        .refused(4, "store 2.0.0 is not published", "`--dry-run`");
}

#[test]
fn the_fleet_is_frozen_for_a_reason_and_let_go_again() {
    let mut state = sample::fleet();
    state.fleet = Fleet {
        nodes: 3,
        nodes_up: 2,
        instances: 4,
        instances_available: 3,
        plans_under_way: vec!["plan-4".to_owned()],
        breaker: "the breaker is open: 1 of 3 nodes are heard".to_owned(),
        ..Fleet::default()
    };
    let coordinator = Coordinator::start(state);
    let text = coordinator.run(&["fleet", "status"]).good();
    assert_eq!(
        text,
        "\
Nodes:       3, 2 of them heard
Instances:   4, 3 of them available
Under way:   plan-4
Frozen:      no
Breaker:     the breaker is open: 1 of 3 nodes are heard
"
    );
    let freeze = ["fleet", "freeze", "--reason", "a storm", "--request-id", ID];
    let text = coordinator.run(&freeze).good();
    assert!(text.contains("ago by ada: a storm\n"), "{text}");
    let json = coordinator
        .run(&["fleet", "status", "--output=json"])
        .json();
    assert_eq!(json["freeze"]["reason"], "a storm");
    assert_eq!(json["freeze"]["lifted_at"], serde_json::json!(null));
    assert_eq!(json["frozen"], true);
    let text = coordinator.run(&["fleet", "unfreeze"]).good();
    assert!(text.contains("Frozen:      no\n"), "{text}");
    let unreasoned = coordinator.run(&["fleet", "freeze"]);
    assert!(unreasoned.err.contains("--reason"), "{unreasoned:?}");
    let state = coordinator.state();
    let methods: Vec<_> = state.changes.iter().map(|(method, _)| *method).collect();
    assert_eq!(methods, ["freeze", "unfreeze"]);
    assert_eq!(state.changes[0].1, ID);
}

#[test]
fn a_plan_is_rolled_back_with_a_reason_and_the_same_id_again() {
    let coordinator = Coordinator::start(sample::fleet());
    let run = coordinator.run(&[
        "plan",
        "rollback",
        "p1",
        "--reason",
        "too slow",
        "--request-id",
        ID,
    ]);
    assert!(run.err.contains("evenkeel plan watch p1"), "{run:?}");
    assert_eq!(run.good(), "plan p1 is rolling-back: too slow\n");
    let changes = coordinator.state().changes.clone();
    assert_eq!(changes, [("RollbackPlan", ID.to_owned())]);
}

#[test]
fn a_plan_is_retargeted_and_the_page_says_where_it_goes() {
    let coordinator = Coordinator::start(sample::fleet());
    let run = coordinator.run(&["plan", "retarget", "p1", "--to", "store=2.0.0"]);
    assert!(run.err.contains("evenkeel plan show p1"), "{run:?}");
    assert_eq!(run.good(), "plan p1 is aborting\n");
    let run = coordinator.run(&["plan", "retarget", "p1", "--to", "store=2.0.0", "--dry-run"]);
    assert_eq!(run.status, Some(8), "{run:?}");
    let state = coordinator.state();
    let previewed = state.previewed.clone().unwrap();
    assert_eq!(previewed.retargets, "p1");
    assert_eq!(previewed.targets[0].version, "2.0.0");
    assert_eq!(state.changes.len(), 1);
}

#[test]
fn a_task_is_tried_again_or_left_out_for_a_reason() {
    let coordinator = Coordinator::start(sample::fleet());
    let text = coordinator.run(&["plan", "retry", "p1", "n2/store"]).good();
    assert!(
        text.starts_with("n2/store is tried again; plan p1 is "),
        "{text}"
    );
    let decided = coordinator.state().decided.take();
    assert_eq!(decided, Some(("n2/store".to_owned(), String::new())));

    let run = coordinator.run(&["plan", "skip", "p1", "n2/store"]);
    assert_eq!(run.status, Some(2), "a reason is asked for: {run:?}");
    let skip = [
        "plan",
        "skip",
        "p1",
        "n2/store",
        "--reason",
        "its disk is new",
    ];
    let text = coordinator.run(&skip).good();
    assert!(
        text.starts_with("n2/store is left out; plan p1 is "),
        "{text}"
    );
    let decided = coordinator.state().decided.take();
    assert_eq!(
        decided,
        Some(("n2/store".to_owned(), "its disk is new".to_owned()))
    );
}

#[test]
fn what_is_restarted_is_named() {
    let coordinator = Coordinator::start(sample::fleet());
    let run = coordinator.run(&["plan", "restart"]);
    assert_eq!(run.status, Some(2), "none does not mean all: {run:?}");
    coordinator
        .run(&["plan", "restart", "store", "n9/meta", "--canary", "0"])
        .good();
    let created = coordinator.state().created.clone().unwrap();
    assert_eq!(created.kind(), PlanKind::Restart);
    assert_eq!(created.components, ["store"]);
    assert_eq!(created.instances, ["n9/meta"]);
    assert_eq!(created.policy.unwrap().canary, Some(0));

    coordinator.run(&["plan", "reconfigure", "store"]).good();
    let created = coordinator.state().created.clone().unwrap();
    assert_eq!(created.kind(), PlanKind::Reconfigure);
}
