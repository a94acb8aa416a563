//! What goes wrong, told with a sentence, what to do, and a status for scripts.

use std::time::Duration;

use evenkeel_common::identity::Usage;

use crate::cluster::{Cluster, around_now};
use crate::coordinator::Coordinator;
use crate::sample;

#[test]
fn a_name_that_does_not_exist_ends_with_4() {
    let coordinator = Coordinator::start(sample::fleet());
    let run = coordinator.run(&["node", "show", "n9"]);
    run.refused(4, "there is no node n9", "list what there is");
    coordinator
        .run(&["plan", "show", "p9"])
        .refused(4, "there is no plan p9", "list");
    coordinator
        .run(&["instance", "show", "n1/x"])
        .refused(4, "there is no instance n1/x", "list");
    coordinator
        .run(&["release", "show", "store", "9.0.0"])
        .refused(4, "no such release", "list");
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2_and_calls_nobody() {
    let cluster = Cluster::new();
    for arguments in [
        &["node", "show", "Not A Name"][..],
        &["instance", "show", "n1"],
        &["plan", "create"],
        &["plan", "create", "--to", "store=1.1"],
        &[
            "plan",
            "create",
            "--to",
            "store=1.1.0",
            "--dry-run",
            "--start",
        ],
        &["compat", "report", "client-sdk", "--source", "gateway"],
        &[
            "compat",
            "report",
            "client-sdk",
            "--source",
            "gateway",
            "1.0.0",
            "--none",
        ],
        &["plan", "start", "p1", "--request-id", "again"],
        &["node", "list", "--timeout", "0s"],
        &["node", "list", "--coordinator", "nowhere"],
        &["fly"],
        &[],
    ] {
        assert_eq!(cluster.run(arguments).status, Some(2), "{arguments:?}");
    }
}

#[test]
fn without_a_configuration_the_places_are_named() {
    let cluster = Cluster::new();
    cluster
        .run(&["node", "list"])
        .refused(2, "evenkeel.toml", "evenkeel init");
    let run = cluster.run(&["node", "list", "--config", "other.toml"]);
    assert_eq!(run.status, Some(2), "{run:?}");
    assert!(run.err.contains("other.toml"), "{run:?}");
    std::fs::write(cluster.path("evenkeel.toml"), "coordinator = 3\n").unwrap();
    let run = cluster.run(&["node", "list"]);
    assert!(run.err.contains("evenkeel.toml:1:15: "), "{run:?}");
}

#[test]
fn the_configuration_is_found_by_option_variable_and_folder() {
    let coordinator = Coordinator::start(sample::fleet());
    let cluster = &coordinator.cluster;
    let elsewhere = tempfile::tempdir().unwrap();
    let config = cluster.path("evenkeel.toml");
    let mut by_variable = cluster.command(&["node", "list"]);
    by_variable
        .current_dir(elsewhere.path())
        .env("EVENKEEL_CONFIG", &config);
    assert!(by_variable.status().unwrap().success());
    let mut by_option = cluster.command(&["node", "list", "--config", config.as_str()]);
    by_option
        .current_dir(elsewhere.path())
        .env("EVENKEEL_CONFIG", "/nowhere");
    assert!(by_option.status().unwrap().success());
    std::fs::create_dir(cluster.path("evenkeel")).unwrap();
    for file in [
        "evenkeel.toml",
        "ca.pem",
        "operator-ada-operator.pem",
        "operator-ada-operator.key",
    ] {
        std::fs::copy(cluster.path(file), cluster.path("evenkeel").join(file)).unwrap();
    }
    let mut by_folder = cluster.command(&["node", "list"]);
    by_folder
        .current_dir(elsewhere.path())
        .env("XDG_CONFIG_HOME", cluster.path(""));
    assert!(by_folder.status().unwrap().success());
}

#[test]
fn a_coordinator_that_is_not_there_ends_with_7() {
    let coordinator = Coordinator::start(sample::fleet());
    // Nothing listens on the discard port of the loopback.
    let run = coordinator.run(&["node", "list", "--coordinator", "127.0.0.1:9"]);
    run.refused(7, "nothing listens at 127.0.0.1:9", "--coordinator");
}

#[test]
fn a_certificate_that_has_expired_ends_with_6() {
    let coordinator = Coordinator::start(sample::fleet());
    let cluster = &coordinator.cluster;
    let hour = Duration::from_secs(3600);
    let mut validity = around_now(2 * hour, hour);
    validity.not_after -= 2 * hour;
    let expired = cluster.end("operator/old/viewer", Usage::Client, validity);
    let text = std::fs::read_to_string(cluster.path("evenkeel.toml")).unwrap();
    let address = text.lines().next().unwrap().split('"').nth(1).unwrap();
    cluster.configure_with(address, &expired);
    cluster
        .run(&["node", "list"])
        .refused(6, "operator-old-viewer.pem is valid from", "[tls]");
}

#[test]
fn another_clusters_coordinator_ends_with_6() {
    let coordinator = Coordinator::start(sample::fleet());
    let stranger = Cluster::new();
    let text = std::fs::read_to_string(coordinator.cluster.path("evenkeel.toml")).unwrap();
    let address = text.lines().next().unwrap().split('"').nth(1).unwrap();
    stranger.configure(address);
    let run = stranger.run(&["node", "list"]);
    run.refused(6, "is not signed by the CA in", "the cluster's CA");
}

#[test]
fn the_help_lists_every_exit_status() {
    let help = Cluster::new().run(&["--help"]).good();
    for line in [
        "    6  a certificate or role",
        "   10  plan watch: the plan is paused",
    ] {
        assert!(help.contains(line), "{help}");
    }
}
