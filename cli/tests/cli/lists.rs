//! Looking at things: columns for people, JSON for programs, every page of it.

use std::io::Read as _;
use std::process::Stdio;

use evenkeel_proto::v1::{DataFolderVitals, HostVitals, NodeVitals, Wait, WaitKind};
use serde_json::json;

use crate::coordinator::{Coordinator, State};
use crate::sample;

#[test]
fn a_list_has_aligned_columns_and_every_page() {
    let coordinator = Coordinator::start(sample::fleet());
    let nodes = "\
NAME   LIVENESS      PLATFORM      AGENT   CHANGED   LABELS
n1     up            linux/amd64   0.1.0   3d5h      rack=r1,zone=a
n2     up (fenced)   linux/amd64   0.1.0   3d5h      rack=r1,zone=a
n3     agent-lost    linux/amd64   0.1.0   3d5h      rack=r1,zone=a
";
    assert_eq!(coordinator.run(&["node", "list"]).good(), nodes);
    let instances = "\
NAME       COMPONENT   VERSION   STATUS      HEALTH    PLAN   CHANGED   REASON
n1/meta    meta        1.0.0     running     healthy   -      3d5h      -
n1/store   store       1.0.0     running     healthy   -      3d5h      -
n2/store   store       1.0.0     upgrading   warning   -      3d5h      -
n3/store   store       1.0.0     error       error     -      3d5h      the process ended\\u{1b}[2J with 1
";
    assert_eq!(coordinator.run(&["instance", "ls"]).good(), instances);
    let plans = "\
NAME   STATE   DONE   CREATED   TARGETS: REASON
p1     draft   0/3    3d5h      store 1.1.0
";
    assert_eq!(coordinator.run(&["plan", "list"]).good(), plans);
}

#[test]
fn a_filter_is_the_coordinators_to_apply() {
    let coordinator = Coordinator::start(sample::fleet());
    let names = |arguments: &[&str]| {
        let listed = coordinator.run(arguments).json();
        let instances = listed["instances"].as_array().unwrap().iter();
        instances
            .map(|i| i["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let list = ["-o", "json", "instance", "list"];
    let stores = names(&[&list[..], &["--component", "store"]].concat());
    assert_eq!(stores, ["n1/store", "n2/store", "n3/store"]);
    let on_n1 = names(&[&list[..], &["--node", "n1"]].concat());
    assert_eq!(on_n1, ["n1/meta", "n1/store"]);
}

#[test]
fn json_has_the_apis_field_names_words_for_enumerations_and_rfc_3339() {
    let coordinator = Coordinator::start(sample::fleet());
    let nodes = coordinator.run(&["node", "list", "-o", "json"]).json();
    assert_eq!(nodes["revision"], 7);
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(nodes["nodes"][2]["liveness"], "agent-lost");
    let instance = coordinator
        .run(&["instance", "show", "n1/store", "--output=json"])
        .json();
    assert_eq!(instance["status"], "running");
    assert_eq!(instance["process"]["pid"], 4711);
    assert_eq!(instance["progress"], json!(null));
    let plan = coordinator
        .run(&["plan", "show", "p1", "-o", "json"])
        .json();
    assert_eq!(plan["state"], "draft");
    assert_eq!(plan["changed_at"], "2026-09-21T14:13:20.000Z");
    assert_eq!(plan["policy"]["soak"], "120s");
    assert_eq!(plan["policy"]["instance_deadline"], json!(null));
    assert_eq!(plan["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(plan["tasks"][1]["state"], "prefetched");
}

#[test]
fn showing_one_thing_tells_all_about_it() {
    let coordinator = Coordinator::start(sample::fleet());
    let node = "\
Name:       n2
Liveness:   up
Platform:   linux/amd64
Agent:      0.1.0
Labels:     rack=r1,zone=a
Changed:    3d5h ago
Fenced:     it follows epoch 9

NAME       COMPONENT   VERSION   STATUS      HEALTH    PLAN   CHANGED   REASON
n2/store   store       1.0.0     upgrading   warning   -      3d5h      -
";
    assert_eq!(coordinator.run(&["node", "show", "n2"]).good(), node);
    let plan = "\
Name:         p1
State:        draft
Targets:      store 1.1.0
Stages:       1
Restarts:     3
Finalizing:   by itself, once every task is done
Policy:       max unavailable 1, failure domain zone, canary 1, soak 2m
Matrix:       version 2
Done:         0/3
Created:      3d5h ago by ada

Stage 1 of 1: store 1.0.0 -> 1.1.0
  Level:     full: each reads what the other writes
  Method:    in place, 3 instances
  Way:       direct
  Undo:      in place, also once finalized
  Back to:   1.0.0
  Done:      0/3

STAGE   INSTANCE   WAVE   STATE        DOWN   REASON
1       n2/store   0      prefetched   -      -
1       n1/store   1      pending      -      -
1       n3/store   1      pending      -      -
";
    assert_eq!(coordinator.run(&["plan", "show", "p1"]).good(), plan);
    let instance = coordinator.run(&["instance", "show", "n3/store"]).good();
    assert!(
        instance.contains("Process:     pid 4711, started 3d5h ago, runs 1.0.0 (0123456789ab)\n"),
        "{instance}"
    );
    assert!(
        instance.contains("Reason:      the process ended\\u{1b}[2J with 1\n"),
        "{instance}"
    );
}

#[test]
fn what_a_task_waits_for_is_told_in_a_sentence() {
    let mut state = sample::fleet();
    state.waits = vec![
        Wait {
            kind: WaitKind::Person.into(),
            sentence: "it is a draft; somebody has to start it".to_owned(),
            ..Wait::default()
        },
        Wait {
            instance: "n1/store".to_owned(),
            kind: WaitKind::Budget.into(),
            sentence: "n2/store is down and max_unavailable is 1".to_owned(),
            stage: 1,
            ..Wait::default()
        },
    ];
    let coordinator = Coordinator::start(state);
    let text = coordinator.run(&["plan", "why", "p1"]).good();
    assert_eq!(
        text,
        "\
INSTANCE   STAGE   WAITS FOR   SINCE   AT MOST   WHY
the plan   -       person      -       -         it is a draft; somebody has to start it
n1/store   2       budget      -       -         n2/store is down and max_unavailable is 1
"
    );
    let json = coordinator
        .run(&["plan", "why", "p1", "n1/store", "-o", "json"])
        .json();
    assert_eq!(json["waits"][0]["kind"], "budget");
    let none = coordinator.run(&["plan", "why", "p1", "n9/store"]);
    assert!(none.err.contains("nothing waits"), "{none:?}");
    assert_eq!(none.good(), "");
}

#[test]
fn an_empty_list_says_so_beside_the_output() {
    let coordinator = Coordinator::start(State::default());
    for (noun, remark) in [
        ("node", "no node has reported"),
        ("instance", "no such instance"),
        ("release", "no such release"),
        ("plan", "there is no plan"),
    ] {
        let run = coordinator.run(&[noun, "list"]);
        assert!(run.err.contains(remark), "{run:?}");
        assert_eq!(run.good(), "");
        let json = coordinator.run(&[noun, "list", "-o", "json"]).json();
        assert_eq!(json[format!("{noun}s")], json!([]));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let mut state = sample::fleet();
    // More than a pipe holds, so that the write cannot have succeeded before.
    state.nodes = (0..2_000)
        .map(|n| sample::node(&format!("n{n}"), evenkeel_proto::v1::Liveness::Up))
        .collect();
    let coordinator = Coordinator::start(state);
    let mut command = coordinator.cluster.command(&["node", "list", "-o", "json"]);
    let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(program.stdout.take());
    let mut err = String::new();
    program
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(141));
    assert_eq!(err, "");
}

#[test]
fn a_nodes_page_shows_its_host_and_what_is_wrong_with_its_disks() {
    let mut state = sample::fleet();
    let folder = DataFolderVitals {
        instance: "store".to_owned(),
        device: "sda1".to_owned(),
        bytes: 100 << 30,
        available_bytes: 25 << 30,
        inodes: 1000,
        available_inodes: 990,
        io_errors: Some(3),
        check_us: 2_340,
        ..DataFolderVitals::default()
    };
    let second = DataFolderVitals {
        index: 1,
        read_only: true,
        inodes: 0,
        io_errors: None,
        check_us: 0,
        trouble: "its file system can only be read".to_owned(),
        ..folder.clone()
    };
    state.vitals = Some(NodeVitals {
        host: Some(HostVitals {
            processors: 8,
            busy_permille: 125,
            io_wait_permille: 7,
            load_centi: 150,
            memory_bytes: 16 << 30,
            memory_available_bytes: 4 << 30,
            received_bytes_per_s: 2 << 20,
            sent_bytes_per_s: 512,
            network_errors: 5,
        }),
        folders: vec![folder, second],
    });
    let coordinator = Coordinator::start(state);
    let page = coordinator.run(&["node", "show", "n2"]).good();
    let words = "\
Processor:   12.5 % busy, 0.7 % waiting for disks, load 1.50 on 8
Memory:      4.00 GiB of 16.00 GiB available
Network:     2.00 MiB/s in, 512 B/s out, 5 packets lost or damaged
Looked at:   12s ago

DATA OF    DISK   SIZE         FREE   INODES   ERRORS   CHECK    TROUBLE
store[0]   sda1   100.00 GiB   25 %   99 %     3        2.3 ms   -
store[1]   sda1   100.00 GiB   25 %   -        -        -        its file system can only be read
";
    assert!(page.contains(words), "{page}");
    let json = coordinator
        .run(&["node", "show", "n2", "-o", "json"])
        .json();
    let vitals = &json["vitals"];
    assert_eq!(vitals["age_ms"], 12_000);
    assert_eq!(vitals["host"]["busy_percent"], 12.5);
    assert_eq!(vitals["folders"][1]["read_only"], true);
    assert!(vitals["folders"][1]["io_errors"].is_null());
}
