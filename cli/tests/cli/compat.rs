//! The compatibility matrix: from a file to the coordinator and back, looked at offline, drawn, and what is in use.

use std::io::Write as _;
use std::process::Stdio;

use evenkeel_common::limits::MESSAGE_BYTES_MAX;
use evenkeel_common::problem::{ErrorCode, Problem};
use evenkeel_proto::v1::*;
use serde_json::json;

use crate::cluster::{Cluster, Run};
use crate::coordinator::{Coordinator, State};
use crate::sample;

const MATRIX: &str = r#"
format = 1

[components.store]
upgrade_after = ["meta"]
talks_to = ["client-sdk"]
finalizes_itself = true

[components.meta]

[components.client-sdk]
external = true

[[rules]]
from = "1.0.0"
to = ">=1.1.0, <2.0.0"
level = "full"

[[rules]]
components = ["store", "client-sdk"]
from = "1.1.0"
to = "1.0.0"
level = "backward"
note = "the old protocol is still spoken"

[[blocked]]
component = "store"
from = "1.1.0"
to = "1.1.1"
reason = "loses writes under load"
"#;

const FAULTY: &str = r#"
format = 1

[components.store]

[[rules]]
component = "sotre"
from = "1.0.0"
to = "1.1.0"
level = "full"

[[rules]]
component = "store"
from = "1.0"
to = "1.1.0"
level = "full"
"#;

/// A coordinator, and files of a matrix that is sound and of one that is not.
fn with_files(state: State) -> Coordinator {
    let coordinator = Coordinator::start(state);
    files(&coordinator.cluster);
    coordinator
}

fn files(cluster: &Cluster) {
    std::fs::write(cluster.path("matrix.toml"), MATRIX).unwrap();
    std::fs::write(cluster.path("faulty.toml"), FAULTY).unwrap();
}

/// Runs the program with a text as its input.
fn with_input(cluster: &Cluster, arguments: &[&str], input: &str) -> Run {
    let mut command = cluster.command(arguments);
    let mut program = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = program.wait_with_output().unwrap();
    Run {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_matrix_is_applied_shown_and_can_be_applied_again() {
    let coordinator = with_files(State {
        unseen_components: vec!["client-sdk".to_owned()],
        ..State::default()
    });
    let run = coordinator.run(&["compat", "apply", "matrix.toml", "--expected-version", "0"]);
    assert!(
        run.err.contains("report of client-sdk is known yet"),
        "{run:?}"
    );
    assert_eq!(
        run.good(),
        "the matrix is version 1 now: 3 components, 2 rules, 1 blocked hop\n"
    );
    let applied = coordinator.state().applied.clone().unwrap();
    assert_eq!(applied.expected_version, Some(0));
    let matrix = applied.matrix.unwrap();
    assert_eq!(matrix.version, 0);
    assert_eq!(matrix.components.len(), 3);
    assert_eq!(matrix.rules[0].components, Vec::<String>::new());
    assert_eq!(matrix.rules[1].components, ["store", "client-sdk"]);
    assert_eq!(matrix.rules[1].level(), CompatibilityLevel::Backward);
    assert_eq!(matrix.blocked[0].component, "store");

    let shown = coordinator.run(&["compat", "show"]).good();
    insta::assert_snapshot!(shown);
    with_input(&coordinator.cluster, &["compat", "apply", "-"], &shown).good();
    let again = coordinator.state().applied.clone().unwrap();
    assert_eq!(again.matrix.unwrap(), matrix);
    assert_eq!(again.expected_version, None);
}

#[test]
fn a_component_that_no_rule_speaks_of_is_warned_of_and_the_same_matrix_is_unchanged() {
    let coordinator = with_files(State {
        uncovered_components: vec!["etcd".to_owned(), "nats".to_owned()],
        ..State::default()
    });
    let apply = ["compat", "apply", "matrix.toml"];
    let run = coordinator.run(&apply);
    for component in ["etcd", "nats"] {
        let warning = format!(
            "warning: {component} has instances and no rule of this matrix speaks of it: no plan for it is possible\n"
        );
        assert!(run.err.contains(&warning), "{run:?}");
    }
    run.good();
    coordinator.state().uncovered_components.clear();
    let again = coordinator.run(&apply);
    assert_eq!(again.err, "");
    assert_eq!(
        again.good(),
        "the matrix is unchanged, version 1: 3 components, 2 rules, 1 blocked hop\n"
    );
}

#[test]
fn the_matrix_for_programs_has_the_apis_fields() {
    let coordinator = with_files(State::default());
    let applied = coordinator
        .run(&["compat", "apply", "matrix.toml", "-o", "json"])
        .json();
    assert_eq!(
        applied,
        json!({
            "version": 1,
            "unseen_components": [],
            "uncovered_components": [],
            "unchanged": false,
        })
    );
    let shown = coordinator.run(&["compat", "show", "-o", "json"]).json();
    assert_eq!(shown["version"], 1);
    assert_eq!(shown["applied_by"], "ada");
    assert_eq!(shown["rules"][1]["level"], "backward");
    assert_eq!(shown["components"][2]["finalizes_itself"], true);
}

#[test]
fn without_a_matrix_there_is_a_remark_and_a_file_without_rules() {
    let coordinator = Coordinator::start(State::default());
    let run = coordinator.run(&["compat", "show"]);
    assert!(run.err.contains("no matrix was ever applied"), "{run:?}");
    let out = run.good();
    assert!(out.starts_with("# No matrix was ever applied.\n"), "{out}");
    let check = with_input(&coordinator.cluster, &["compat", "check", "-"], &out);
    assert_eq!(
        check.good(),
        "standard input is sound: 0 components, 0 rules, 0 blocked hops\n"
    );
}

#[test]
fn a_file_is_checked_without_a_coordinator_and_without_a_configuration() {
    let cluster = Cluster::new();
    files(&cluster);
    assert_eq!(
        cluster.run(&["compat", "check", "matrix.toml"]).good(),
        "matrix.toml is sound: 3 components, 2 rules, 1 blocked hop\n"
    );
    let json = cluster
        .run(&["compat", "check", "matrix.toml", "-o", "json"])
        .json();
    assert_eq!(
        json,
        json!({
            "file": "matrix.toml",
            "sound": true,
            "components": 3,
            "rules": 2,
            "blocked": 1,
            "faults": [],
        })
    );
}

#[test]
fn what_is_wrong_with_a_file_is_shown_beside_its_line_and_not_sent() {
    let coordinator = with_files(State::default());
    let run = coordinator.run(&["compat", "apply", "faulty.toml"]);
    insta::assert_snapshot!(run.err);
    assert_eq!(run.out, "");
    run.refused(1, "faulty.toml has 2 faults", "nothing was sent");
    assert_eq!(coordinator.state().changes, []);

    let check = ["compat", "check", "faulty.toml", "-o", "json"];
    let run = coordinator.run(&check);
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(
        (&json["sound"], &json["rules"]),
        (&json!(false), &json!(null))
    );
    assert_eq!(json["faults"][0]["line"], 7);
    run.refused(1, "faulty.toml has 2 faults", "");
}

#[test]
fn a_file_that_is_too_large_or_no_text_is_not_sent() {
    let coordinator = Coordinator::start(State::default());
    let cluster = &coordinator.cluster;
    let large = format!("format = 1\n{}", "# a comment\n".repeat(800_000));
    std::fs::write(cluster.path("large.toml"), large).unwrap();
    cluster.run(&["compat", "apply", "large.toml"]).refused(
        1,
        "large.toml is larger than 8 MiB",
        "ranges",
    );
    std::fs::write(cluster.path("program"), b"\x7fELF\xff").unwrap();
    cluster
        .run(&["compat", "check", "program"])
        .refused(1, "byte 4 is not UTF-8", "");
    cluster
        .run(&["compat", "check", "nowhere.toml"])
        .refused(1, "cannot read nowhere.toml", "");
    assert_eq!(coordinator.state().changes, []);
}

#[test]
fn a_matrix_of_many_megabytes_fits_both_ways() {
    let coordinator = Coordinator::start(State::default());
    let cluster = &coordinator.cluster;
    let mut text = "format = 1\n[components.store]\n".to_owned();
    let note = "n".repeat(500);
    for patch in 0..8_200 {
        text.push_str(&format!(
            "[[rules]]\ncomponent = \"store\"\nfrom = \"1.0.{patch}\"\nto = \"2.0.{patch}\"\nlevel = \"full\"\nnote = \"{note}\"\n"
        ));
    }
    std::fs::write(cluster.path("many.toml"), text).unwrap();
    cluster.run(&["compat", "apply", "many.toml"]).good();
    let shown = cluster.run(&["compat", "show"]).good();
    assert!(shown.len() > MESSAGE_BYTES_MAX, "{}", shown.len());
}

#[test]
fn a_matrix_that_is_not_the_expected_one_is_left_alone() {
    let coordinator = with_files(State::default());
    let newer = Problem::new(ErrorCode::NotAllowedNow, "the matrix is version 3, not 2");
    coordinator.state().failures = [newer.into()].into();
    coordinator
        .run(&["compat", "apply", "matrix.toml", "--expected-version", "2"])
        .refused(
            5,
            "the matrix is version 3, not 2",
            "look at the present state",
        );
}

#[test]
fn a_graph_is_drawn_from_a_file_or_from_what_the_coordinator_knows() {
    let mut state = sample::fleet();
    state.releases = vec![Release {
        component: "store".to_owned(),
        version: "1.2.0".to_owned(),
        ..Release::default()
    }];
    state.reports = vec![sample::reported("client-sdk", "gateway", &[("0.9.0", 3)])];
    let coordinator = with_files(state);
    let offline = ["compat", "graph", "--file", "matrix.toml"];
    let drawn = coordinator.run(&offline).good();
    insta::assert_snapshot!("graph_of_a_file", drawn);

    coordinator.run(&["compat", "apply", "matrix.toml"]).good();
    let drawn = coordinator.run(&["compat", "graph"]).good();
    for version in ["1.2.0", "0.9.0", "1.1.1"] {
        assert!(drawn.contains(version), "{drawn}");
    }
    let one = ["compat", "graph", "--component", "store", "--format", "svg"];
    let svg = coordinator.run(&one).good();
    assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{svg}");
    assert!(svg.contains("1.2.0") && !svg.contains("0.9.0"), "{svg}");
    coordinator
        .run(&["compat", "graph", "-c", "stroe"])
        .refused(4, "nothing is known of a component stroe", "compat show");
    let json = coordinator
        .run(&[&offline[..], &["-o", "json"]].concat())
        .json();
    assert_eq!(json["format"], "dot");
}

#[test]
fn a_file_is_drawn_without_a_coordinator() {
    let cluster = Cluster::new();
    files(&cluster);
    let drawn = cluster.run(&["compat", "graph", "--file", "matrix.toml"]);
    assert!(drawn.good().contains("1.1.1"));
    std::fs::write(cluster.path("empty.toml"), "format = 1\n").unwrap();
    cluster
        .run(&["compat", "graph", "--file", "empty.toml"])
        .refused(1, "no version to draw", "leave out --file");
    let ranges = "format = 1\n[components.store]\n[[rules]]\nfrom = \"1.*\"\nto = \"1.*\"\nlevel = \"full\"\n";
    std::fs::write(cluster.path("ranges.toml"), ranges).unwrap();
    let none = cluster.run(&[
        "compat",
        "graph",
        "--file",
        "ranges.toml",
        "--format",
        "svg",
    ]);
    assert_eq!(none.out, "");
    none.refused(1, "no version to draw", "name versions in a rule");
    cluster
        .run(&["compat", "graph", "--file", "faulty.toml"])
        .refused(1, "faulty.toml has 2 faults", "");
}

#[test]
fn versions_in_use_are_reported_with_their_counts_or_none() {
    let coordinator = Coordinator::start(State::default());
    let report = ["compat", "report", "client-sdk", "--source", "web-gateway"];
    let said = coordinator.run(&[&report[..], &["1.0.0=12", "1.1.0"]].concat());
    assert_eq!(
        said.good(),
        "client-sdk in use at web-gateway: 1.0.0 (12), 1.1.0\n"
    );
    let sent = coordinator.state().reported.clone().unwrap();
    let versions: Vec<_> = sent
        .versions
        .iter()
        .map(|v| (v.version.as_str(), v.count))
        .collect();
    assert_eq!(versions, [("1.0.0", 12), ("1.1.0", 0)]);
    assert_eq!(
        (sent.component.as_str(), sent.source.as_str()),
        ("client-sdk", "web-gateway")
    );

    let said = coordinator.run(&[&report[..], &["--none"]].concat());
    assert_eq!(said.good(), "client-sdk in use at web-gateway: none\n");
    assert_eq!(coordinator.state().reported.clone().unwrap().versions, []);
}

#[test]
fn what_is_reported_is_listed_with_its_age_page_by_page() {
    let coordinator = Coordinator::start(State {
        reports: vec![
            sample::reported("backup-tool", "nightly", &[("3.1.0", 0)]),
            sample::reported("client-sdk", "batch", &[]),
            sample::reported("client-sdk", "web-gateway", &[("1.0.0", 12), ("1.1.0", 40)]),
        ],
        ..State::default()
    });
    insta::assert_snapshot!(coordinator.run(&["compat", "reported"]).good());
    let json = coordinator
        .run(&["compat", "reported", "client-sdk", "-o", "json"])
        .json();
    assert_eq!(json["reports"].as_array().unwrap().len(), 2);
    assert_eq!(
        json["reports"][1]["versions"][0],
        json!({"version": "1.0.0", "count": 12})
    );
    let none = coordinator.run(&["compat", "reported", "other"]);
    assert!(none.err.contains("nothing is reported"), "{none:?}");
    assert_eq!(none.good(), "");
}
