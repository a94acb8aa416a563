//! What the storage system is asked, through a driver, before a process is stopped and after it was started.

use std::fs;

use evenkeel_agent::failpoints;
use evenkeel_proto::v1::{DesiredInstance, Finalize, Finalized, OrderResult, OrderStep};

use crate::support::{Agent, Data, Place, Scene, desired, order, outcome, wait_for};

/// An instance whose storage system is asked, and a release like this.
fn scene(mode: &str) -> (Scene, Data) {
    let place = Place::new();
    let data = Data::new(&place);
    let scene = Scene::at(place, mode, &data.extra_without_leave());
    (scene, data)
}

const NO: &str = "echo '{\"reason\": \"it would lose the quorum\"}'; exit 1";

#[test]
fn an_order_asks_the_storage_system_before_the_stop_and_after_the_start() {
    let (scene, data) = scene("good");
    let _agent = scene.agent();
    data.answer("version", "echo '{\"version\": \"1.1.0\"}'");
    scene.upgrade(1, OrderResult::Done);
    let mut verbs = data.all_verbs();
    // Beside the probes: where these are good first, it is asked once more after the version.
    let undone = verbs.iter().position(|verb| verb == "unquiesce").unwrap();
    assert!((3..5).contains(&undone), "{verbs:?}");
    verbs.retain(|verb| verb != "unquiesce");
    assert_eq!(
        verbs,
        [
            "ok-to-stop",
            "quiesce",
            "ok-to-stop",
            "version",
            "recovered"
        ]
    );
    let told = data.told("recovered");
    assert_eq!(told["arguments"]["release"]["version"], "1.1.0");
    assert_eq!(told["arguments"]["generation"], 1);
}

#[test]
fn a_process_is_stopped_only_once_it_may_be() {
    let (scene, data) = scene("good");
    let agent = scene.agent();
    let before = agent.storage().unwrap();
    data.answer("ok-to-stop", NO);
    let ordered = order(1, &scene.new, Some(&scene.old));
    scene.coordinator.desire(desired(&[], Some(ordered)));
    let report = scene.coordinator.wait_for("what it waits for", |report| {
        report
            .reason
            .contains("ok-to-stop: it would lose the quorum")
    });
    assert_eq!(report.progress.unwrap().step(), OrderStep::Asking);
    assert_eq!(agent.wait_until_it_serves("1.0.0"), before);
    data.answer("ok-to-stop", "exit 0");
    scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 1) == Some(OrderResult::Done)
        });
    assert!(!before.is_alive());
}

#[test]
fn an_order_whose_process_cannot_be_spared_in_time_is_declined_and_the_next_one_is_not() {
    // A no, a crash, and an answer that never comes.
    for (verb, answer, reason) in [
        ("ok-to-stop", NO, "still asking: ok-to-stop: it would lose"),
        ("ok-to-stop", "exit 7", "still asking: the driver's ok-to"),
        ("ok-to-stop", "sleep 1000", "still asking"),
        ("quiesce", NO, "still quiescing: quiesce: it would lose"),
        ("quiesce", "exit 7", "the driver's quiesce failed with"),
    ] {
        let (scene, data) = scene("good");
        let agent = scene.agent();
        let before = agent.storage().unwrap();
        data.answer(verb, answer);
        let mut ordered = order(1, &scene.new, Some(&scene.old));
        ordered.ready_within_ms = 500;
        let report = scene.carry_out(ordered, OrderResult::Declined);
        let said = report.progress.unwrap().reason;
        assert!(said.contains(reason), "{said}");
        assert_eq!(agent.wait_until_it_serves("1.0.0"), before);
        let quiesced = verb == "quiesce";
        let undone = data.all_verbs().contains(&"unquiesce".to_owned());
        assert_eq!(undone, quiesced, "{:?}", data.all_verbs());
        data.answer(verb, "exit 0");
        scene.upgrade(2, OrderResult::Done);
    }
}

#[test]
fn a_release_that_says_it_is_another_or_does_not_recover_goes_back() {
    for (verb, answer, reason) in [
        (
            "version",
            "echo '{\"version\": \"1.0.9\"}'",
            "the process says that it is 1.0.9, not 1.1.0",
        ),
        (
            "recovered",
            "grep -q 1.0.0 \"$0\".json || { echo '{\"reason\": \"3 blobs behind\"}'; exit 1; }",
            "still recovering: recovered: 3 blobs behind",
        ),
    ] {
        let (scene, data) = scene("good");
        let agent = scene.agent();
        let told = scene.place.root.join(format!("told-{verb}"));
        data.answer(verb, &answer.replace("\"$0\"", told.as_str()));
        let mut ordered = order(1, &scene.new, Some(&scene.old));
        ordered.ready_within_ms = 1_500;
        let report = scene.carry_out(ordered, OrderResult::Reverted);
        let said = report.progress.unwrap().reason;
        assert!(said.contains(reason), "{said}");
        agent.wait_until_it_serves("1.0.0");
        let verbs = data.all_verbs();
        assert_eq!(verbs.last().unwrap(), "recovered");
        assert!(verbs.contains(&"unquiesce".to_owned()));
    }
}

#[test]
fn what_does_not_recover_and_cannot_be_spared_is_left_running_and_asked_on() {
    let (scene, data) = scene("good");
    let agent = scene.agent();
    let may_go = scene.place.root.join("may-go");
    fs::write(&may_go, "").unwrap();
    data.answer("ok-to-stop", &format!("test -e {may_go} || {{ {NO}; }}"));
    // Another one goes while this one is away.
    data.answer(
        "recovered",
        &format!("rm -f {may_go}; echo '{{\"reason\": \"3 blobs behind\"}}'; exit 1"),
    );
    let mut ordered = order(1, &scene.new, Some(&scene.old));
    ordered.ready_within_ms = 1_500;
    let report = scene.carry_out(ordered, OrderResult::Failed);
    let said = report.progress.unwrap().reason;
    assert!(
        said.contains("3 blobs behind") && said.contains("not stopped"),
        "{said}"
    );
    let left = agent.wait_until_it_serves("1.1.0");
    data.answer("recovered", "exit 0");
    scene.coordinator.wait_until_healthy("1.1.0");
    assert!(left.is_alive());
}

#[test]
fn nobody_is_asked_before_what_would_not_do_is_put_back() {
    let (scene, data) = scene("good");
    let _agent = scene.agent();
    data.answer("ok-to-stop", NO);
    let mut ordered = order(1, &scene.new, None);
    ordered.way_back = true;
    scene.carry_out(ordered, OrderResult::Done);
    assert_eq!(data.all_verbs(), ["version", "recovered"]);
}

fn to_be_final(scene: &Scene, id: &str) -> DesiredInstance {
    DesiredInstance {
        finalize: Some(Finalize {
            id: id.to_owned(),
            generation: 0,
            release: Some(scene.old.reference()),
            begin_within_ms: 30_000,
        }),
        ..desired(&[], None)
    }
}

fn finalized(scene: &Scene, id: &str) -> Finalized {
    let is_it = |finalized: &Finalized| finalized.id == id;
    let report = scene.coordinator.wait_for("what came of it", |report| {
        report.finalized.as_ref().is_some_and(is_it)
    });
    report.finalized.unwrap()
}

fn times_asked(data: &Data, verb: &str) -> usize {
    let verbs = data.every_call();
    verbs.iter().filter(|asked| *asked == verb).count()
}

#[test]
fn an_upgrade_is_made_final_once_for_each_id_also_by_another_agent() {
    let (scene, data) = scene("good");
    let mut agent = scene.agent();
    assert!(scene.coordinator.report().unwrap().can_finalize);
    data.answer("finalize", "exit 7");
    scene.coordinator.desire(to_be_final(&scene, "1"));
    let said = finalized(&scene, "1");
    assert!(!said.ok && said.reason.contains("the driver's finalize failed"));
    data.answer("finalize", "exit 0");
    scene.coordinator.desire(to_be_final(&scene, "2"));
    assert!(finalized(&scene, "2").ok);
    assert_eq!(data.told("finalize")["arguments"]["id"], "2");
    scene.coordinator.until_another_session(|| agent.restart());
    scene.coordinator.desire(to_be_final(&scene, "2"));
    scene.coordinator.desire(to_be_final(&scene, "3"));
    assert!(finalized(&scene, "3").ok);
    assert_eq!(times_asked(&data, "finalize"), 3);
}

#[test]
fn an_agent_that_dies_while_an_upgrade_is_made_final_goes_on_with_it() {
    for failpoint in failpoints::OF_FINALIZING {
        let (scene, _data) = scene("good");
        let mut agent = Agent::start(&scene.place);
        agent.wait_until_it_serves("1.0.0");
        scene.coordinator.wait_until_healthy("1.0.0");
        scene
            .coordinator
            .until_another_session(|| agent.restart_with(failpoint));
        scene.coordinator.desire(to_be_final(&scene, "1"));
        wait_for("its death", || agent.has_ended().then_some(()));
        scene.coordinator.until_another_session(|| agent.restart());
        scene.coordinator.desire(to_be_final(&scene, "1"));
        assert!(finalized(&scene, "1").ok);
    }
}

#[test]
fn a_process_has_the_configuration_that_it_was_started_with() {
    let place = Place::new();
    let file = place.root.join("store.conf");
    fs::write(&file, "a").unwrap();
    let extra = format!("configuration_files = [\"{file}\"]");
    let scene = Scene::at(place, "good", &extra);
    let mut agent = scene.agent();
    let report = scene.coordinator.report().unwrap();
    let first = report.process.unwrap().configuration;
    assert_eq!(
        (first.len(), &first),
        (64, &report.configuration),
        "{first}"
    );
    fs::write(&file, "b").unwrap();
    agent.restart();
    let report = scene
        .coordinator
        .wait_for("the new configuration", |report| {
            report.configuration != first
        });
    assert_eq!(report.process.unwrap().configuration, first);
    // Restarted where it stands, it follows.
    let again = order(1, &scene.old, Some(&scene.old));
    scene.coordinator.desire(desired(&[], Some(again)));
    scene.coordinator.wait_for("it to follow", |new| {
        outcome(new, 1) == Some(OrderResult::Done)
            && new.process.as_ref().unwrap().configuration == report.configuration
    });
}

#[test]
fn what_is_measured_is_said_with_the_heartbeats() {
    let (scene, data) = scene("good");
    data.answer(
        "health",
        "echo '{\"metrics\": {\"blobs\": 7, \"lag\": 0.5, \"name\": \"s1\"}}'",
    );
    let agent = scene.agent();
    let before = agent.wait_until_it_serves("1.0.0");
    let measures = scene
        .coordinator
        .wait_for_measures(|measures| measures.probes > 3 && !measures.metrics.is_empty());
    assert!(
        measures.up_ms > 0 && measures.latency_p50_us > 0,
        "{measures:?}"
    );
    assert!(measures.latency_p99_us >= measures.latency_p50_us);
    assert_eq!((measures.name.as_str(), measures.restarts), ("s1", 0));
    assert_eq!(
        (measures.metrics["blobs"], measures.metrics["lag"]),
        (7.0, 0.5)
    );
    assert_eq!(measures.metrics.len(), 2);
    before.signal(rustix::process::Signal::KILL);
    scene
        .coordinator
        .wait_for_measures(|measures| measures.restarts == 1);
    // An order begins a new count.
    scene.upgrade(1, OrderResult::Done);
    scene
        .coordinator
        .wait_for_measures(|measures| measures.restarts == 0);
}
