//! Rebuilds: an instance that is started without its data, and gets it back if that will not do.

use std::{fs, os::unix::fs::symlink};

use evenkeel_proto::v1::{OrderMethod, OrderResult, OrderStep};

use rustix::process::Signal;

use crate::support::{
    Agent, Coordinator, Data, Place, Scene, agent::ProcessId, desired, order, outcome, rebuild,
    wait_for,
};

/// An instance with data, which may be rebuilt, and a release like this that it could be rebuilt to.
fn scene(mode: &str, keep_for: &str) -> (Scene, Data) {
    let place = Place::new();
    let data = Data::new(&place);
    let scene = Scene::at(place, mode, &data.extra(keep_for));
    (scene, data)
}

#[test]
fn a_rebuild_starts_the_release_without_the_data_which_is_kept_beside() {
    let (scene, data) = scene("foreign", "1h");
    let agent = scene.agent();
    let report = scene.coordinator.report().unwrap();
    assert!(report.may_rebuild && report.rebuild_obstacle.is_empty());
    let before = agent.storage().unwrap();
    scene.carry_out(rebuild(1, &scene.new, Some(&scene.old)), OrderResult::Done);
    assert!(!before.is_alive());
    agent.wait_until_it_serves("1.1.0");
    assert_eq!(data.names("").unwrap(), ["written-by-1.1.0"]);
    data.assert_mode();
    assert_eq!(data.whereabouts(), ".before-1");
    assert_eq!(
        data.names(".before-1").unwrap(),
        ["blob", "written-by-1.0.0"]
    );
    assert_eq!(data.verbs(), ["drain", "drain-status", "join"]);
}

#[test]
fn the_driver_is_told_who_is_drained_and_for_what() {
    let (scene, data) = scene("good", "1h");
    let _agent = scene.agent();
    scene.carry_out(rebuild(1, &scene.new, Some(&scene.old)), OrderResult::Done);
    let expected = serde_json::json!({
        "format": 1,
        "verb": "drain",
        "node": "n1",
        "instance": "s1",
        "component": "store",
        "data_dirs": [data.folder()],
        "settings": { "endpoint": "here" },
        "arguments": {
            "generation": 1,
            "release": { "version": "1.1.0", "digest": scene.new.digest.to_string() },
        },
    });
    assert_eq!(data.told("drain"), expected);
}

#[test]
fn a_release_on_the_data_of_another_shows_that_it_is_not_rebuilt_in_place() {
    let (scene, data) = scene("foreign", "1h");
    let _agent = scene.agent();
    let report = scene.upgrade(1, OrderResult::Reverted);
    let reason = report.progress.unwrap().reason;
    assert!(reason.contains("cannot read the data"), "{reason}");
    assert_eq!(data.whereabouts(), "");
    assert_eq!(data.verbs(), [""; 0]);
}

#[test]
fn a_rebuild_that_will_not_do_gets_the_data_back() {
    for (mode, failed) in [
        ("sick", Some(vec!["written-by-1.1.0".to_owned()])),
        ("broken", None),
    ] {
        let (scene, data) = scene(mode, "1h");
        let agent = scene.agent();
        let mut order = rebuild(1, &scene.new, Some(&scene.old));
        order.ready_within_ms = 2_000;
        scene.carry_out(order, OrderResult::Reverted);
        agent.wait_until_it_serves("1.0.0");
        assert_eq!(scene.place.current(), "1.0.0");
        assert_eq!(data.whereabouts(), "");
        assert_eq!(data.names("").unwrap(), ["blob", "written-by-1.0.0"]);
        data.assert_mode();
        assert_eq!(data.names(".failed-1"), failed);
        assert_eq!(data.verbs().last().unwrap(), "cancel-drain");
    }
}

#[test]
fn an_instance_is_stopped_only_once_it_is_drained() {
    let (scene, data) = scene("good", "1h");
    let agent = scene.agent();
    let before = agent.storage().unwrap();
    data.answer(
        "drain-status",
        "echo '{\"reason\": \"7 blobs to go\"}'; exit 1",
    );
    let ordered = rebuild(1, &scene.new, Some(&scene.old));
    scene.coordinator.desire(desired(&[], Some(ordered)));
    let report = scene.coordinator.wait_for("what it waits for", |report| {
        report.reason.contains("drain-status: 7 blobs to go")
    });
    assert_eq!(report.progress.unwrap().step(), OrderStep::Draining);
    assert_eq!(agent.wait_until_it_serves("1.0.0"), before);
    data.answer("drain-status", "exit 0");
    scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 1) == Some(OrderResult::Done)
        });
    assert!(!before.is_alive());
}

#[test]
fn an_instance_that_cannot_be_drained_in_time_is_left_alone() {
    // A no, a crash, and an answer that never comes.
    for answer in [
        "echo '{\"reason\": \"never\"}'; exit 1",
        "exit 7",
        "sleep 1000",
    ] {
        let (scene, data) = scene("good", "1h");
        let agent = scene.agent();
        let before = agent.storage().unwrap();
        data.answer("drain", answer);
        let mut order = rebuild(1, &scene.new, Some(&scene.old));
        order.ready_within_ms = 500;
        let report = scene.carry_out(order, OrderResult::Reverted);
        let reason = report.progress.unwrap().reason;
        assert!(
            reason.contains("not ready within 0 s, still draining"),
            "{reason}"
        );
        assert_eq!(agent.wait_until_it_serves("1.0.0"), before);
        assert_eq!(data.verbs(), ["drain", "cancel-drain"]);
    }
}

#[test]
fn an_instance_that_does_not_join_in_time_goes_back() {
    let (scene, data) = scene("good", "1h");
    let agent = scene.agent();
    data.answer("join", "echo '{\"reason\": \"not caught up\"}'; exit 1");
    let mut order = rebuild(1, &scene.new, Some(&scene.old));
    order.ready_within_ms = 2_000;
    let report = scene.carry_out(order, OrderResult::Reverted);
    let reason = report.progress.unwrap().reason;
    assert!(reason.contains("join: not caught up"), "{reason}");
    agent.wait_until_it_serves("1.0.0");
    assert_eq!(data.whereabouts(), "");
}

#[test]
fn a_driver_need_not_know_any_verb() {
    let (scene, data) = scene("good", "1h");
    let _agent = scene.agent();
    for verb in ["drain", "drain-status", "join"] {
        data.answer(verb, "exit 64");
    }
    scene.carry_out(rebuild(1, &scene.new, Some(&scene.old)), OrderResult::Done);
}

/// An order that may need the data set aside is refused with this reason.
#[track_caller]
fn refused(scene: &Scene, generation: u64, reason: &str) {
    let ordered = rebuild(generation, &scene.new, Some(&scene.old));
    scene
        .coordinator
        .desire(desired(&[&scene.new], Some(ordered)));
    let report = scene
        .coordinator
        .wait_for("the refusal", |report| report.reason.contains(reason));
    assert!(report.accepted_generation < generation);
}

#[test]
fn an_instance_is_not_rebuilt_unless_its_configuration_says_so() {
    let place = Place::new();
    let data = Data::new(&place);
    let scene = Scene::at(place, "good", &data.extra_without_leave());
    let agent = scene.agent();
    let before = agent.storage().unwrap();
    let report = scene.coordinator.report().unwrap();
    assert!(!report.may_rebuild && report.rebuild_obstacle.is_empty());
    refused(&scene, 1, "does not allow it to be rebuilt");
    let mut back_from_empty = order(2, &scene.new, Some(&scene.old));
    back_from_empty.fallback_method = OrderMethod::Rebuild.into();
    scene
        .coordinator
        .desire(desired(&[], Some(back_from_empty)));
    scene.coordinator.wait_for("the refusal", |report| {
        report
            .reason
            .contains("order 2 needs the instance to be rebuilt")
    });
    assert_eq!(agent.wait_until_it_serves("1.0.0"), before);
    assert_eq!(data.whereabouts(), "");
}

#[test]
fn a_second_rebuild_waits_until_what_the_first_set_aside_was_kept_long_enough() {
    let (scene, data) = scene("good", "3s");
    let _agent = scene.agent();
    let report = scene.carry_out(rebuild(1, &scene.new, Some(&scene.old)), OrderResult::Done);
    let kept =
        "data.before-1, which order 1 set aside, is still kept, for 3s from that order's end";
    assert!(
        !report.may_rebuild && report.rebuild_obstacle.contains(kept),
        "{report:?}"
    );
    refused(&scene, 2, kept);
    assert_eq!(data.whereabouts(), ".before-1");
    scene
        .coordinator
        .wait_for("it to be removed", |report| report.may_rebuild);
    assert_eq!(data.names(".before-1"), None);
    scene.carry_out(rebuild(2, &scene.new, Some(&scene.old)), OrderResult::Done);
    assert_eq!(data.names("").unwrap(), ["written-by-1.1.0"]);
    assert_eq!(data.names(".before-2").unwrap(), ["written-by-1.1.0"]);
}

#[test]
fn what_an_order_that_did_not_end_well_set_aside_is_kept_for_a_person() {
    let (scene, data) = scene("broken", "1ms");
    let mut agent = scene.agent();
    scene.carry_out(rebuild(1, &scene.new, None), OrderResult::Failed);
    scene.coordinator.until_another_session(|| agent.restart());
    refused(
        &scene,
        2,
        "that order did not end well, so it is for a person to remove",
    );
    assert_eq!(data.whereabouts(), ".before-1");
}

#[test]
fn data_that_is_not_where_it_was_is_not_set_aside() {
    let (scene, data) = scene("good", "1h");
    let agent = scene.agent();
    // While it is being drained, somebody moves it.
    let (folder, elsewhere) = (data.folder(), scene.place.root.join("elsewhere"));
    let moves = format!("mv {folder} {elsewhere} && ln -s {elsewhere} {folder}; exit 0");
    data.answer("drain-status", &moves);
    let ordered = rebuild(1, &scene.new, Some(&scene.old));
    let report = scene.carry_out(ordered, OrderResult::Reverted);
    let reason = report.progress.unwrap().reason;
    assert!(reason.contains("the data cannot be set aside"), "{reason}");
    assert!(reason.contains("it is a link"), "{reason}");
    agent.wait_until_it_serves("1.0.0");
    assert_eq!(data.whereabouts(), "");
    // It is not even begun where that is known before.
    refused(&scene, 2, "is a link; name the folder that it leads to");
}

#[test]
fn a_way_back_that_has_to_be_empty_sets_the_data_aside() {
    let (scene, data) = scene("sick", "1h");
    let agent = scene.agent();
    let mut ordered = order(1, &scene.new, Some(&scene.old));
    ordered.fallback_method = OrderMethod::Rebuild.into();
    ordered.ready_within_ms = 1_000;
    scene.carry_out(ordered, OrderResult::Reverted);
    agent.wait_until_it_serves("1.0.0");
    assert_eq!(data.names("").unwrap(), ["written-by-1.0.0"]);
    assert_eq!(data.whereabouts(), ".before-1");
    assert_eq!(data.verbs(), ["join"]);
}

/// An instance whose first release leaves a child behind in this way.
fn leaving_a_child(mode: &str) -> (Scene, Data) {
    let place = Place::new();
    let data = Data::new(&place);
    let leaving = place.program("1.0.0", mode);
    fs::write(place.root.join("store-1.0.0"), &leaving.bytes).unwrap();
    let mut scene = Scene::at(place, "foreign", &data.extra("1h"));
    scene.old = leaving;
    (scene, data)
}

#[test]
fn children_that_a_process_left_behind_do_not_see_the_data_go() {
    let (scene, data) = leaving_a_child("forking");
    let agent = scene.agent();
    let children = agent.storage().unwrap().children();
    assert_eq!(children.len(), 1);
    scene.carry_out(rebuild(1, &scene.new, Some(&scene.old)), OrderResult::Done);
    assert!(!children[0].is_alive());
    assert_eq!(data.whereabouts(), ".before-1");
}

#[test]
fn no_data_is_moved_while_something_that_the_process_started_lives_on_out_of_reach() {
    let (scene, data) = leaving_a_child("escaping");
    let agent = scene.agent();
    let storage = agent.storage().unwrap();
    let child = wait_for("its child", || storage.children().into_iter().next());
    let ordered = rebuild(1, &scene.new, Some(&scene.old));
    scene.coordinator.desire(desired(&[], Some(ordered)));
    let reason = "the data cannot be put back: another process of this instance holds its lock";
    scene
        .coordinator
        .wait_for("the hitch", |report| report.reason.contains(reason));
    assert_eq!(data.whereabouts(), "");
    assert!(!storage.is_alive() && agent.storage().is_none() && child.is_alive());
    child.signal(Signal::KILL);
    let report = scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 1) == Some(OrderResult::Reverted)
        });
    let reason = report.progress.unwrap().reason;
    assert!(reason.contains("the data cannot be set aside"), "{reason}");
    let storage = agent.wait_until_it_serves("1.0.0");
    assert_eq!(data.whereabouts(), "");
    wait_for("its child", || storage.children().into_iter().next()).signal(Signal::KILL);
}

#[test]
fn a_driver_ends_when_its_answer_is_no_longer_wanted() {
    let (scene, data) = scene("good", "1h");
    let _agent = scene.agent();
    let pid_file = scene.place.root.join("pid");
    data.answer("drain", &format!("sleep 1000 & echo $! > {pid_file}; wait"));
    let ordered = rebuild(1, &scene.new, Some(&scene.old));
    scene.coordinator.desire(desired(&[], Some(ordered)));
    let driven = wait_for("what the driver started", || {
        let pid = fs::read_to_string(&pid_file).ok()?;
        ProcessId::of(pid.trim().parse().ok()?)
    });
    let stay = order(2, &scene.old, None);
    scene.carry_out(stay, OrderResult::Done);
    assert!(!driven.is_alive());
    assert_eq!(data.verbs(), ["drain", "cancel-drain"]);
    assert_eq!(data.whereabouts(), "");
}

#[test]
fn a_newer_order_waits_until_the_data_is_back() {
    let (scene, data) = scene("sick", "1h");
    let agent = scene.agent();
    let mut ordered = rebuild(1, &scene.new, Some(&scene.old));
    ordered.ready_within_ms = 2_000;
    scene.coordinator.desire(desired(&[], Some(ordered)));
    agent.wait_until_it_serves("1.1.0");
    let stay = || desired(&[], Some(order(2, &scene.old, None)));
    scene.coordinator.desire(stay());
    scene.coordinator.wait_for("the refusal", |report| {
        report
            .reason
            .contains("order 2 has to wait: order 1 has set the data aside")
    });
    scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 1) == Some(OrderResult::Reverted)
        });
    scene.coordinator.desire(stay());
    scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 2) == Some(OrderResult::Done)
        });
    assert_eq!(data.whereabouts(), "");
}

#[test]
fn a_link_is_told_when_the_configuration_is_checked() {
    let place = Place::new();
    let data = Data::new(&place);
    let elsewhere = place.root.join("elsewhere");
    fs::rename(data.folder(), &elsewhere).unwrap();
    symlink(&elsewhere, data.folder()).unwrap();
    let coordinator = Coordinator::start(&place, 1);
    let config = place.configure(coordinator.address, &data.extra("1h"));
    let checked = crate::support::agent::command(&config)
        .arg("--check-config")
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(2));
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(said.contains("instance.s1.rebuild.empty"), "{said}");
    assert!(said.contains("is a link"), "{said}");
    // It keeps nothing from running.
    let agent = Agent::start(&place);
    agent.wait_until_it_serves("1.0.0");
}
