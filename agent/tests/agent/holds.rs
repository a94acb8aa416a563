//! What a new agent does that finds no process: it waits for the coordinator's word.

use evenkeel_proto::v1::{DesiredInstance, InstanceStatus};

use crate::support::{Agent, Place, Scene, desired};

/// An instance whose agent, when it finds no process, starts one after this long if nobody says anything.
fn scene(start_alone_after: &str) -> Scene {
    let extra = format!("start_alone_after = \"{start_alone_after}\"");
    Scene::at(Place::new(), "good", &extra)
}

fn held(reason: &str) -> DesiredInstance {
    DesiredInstance {
        hold: reason.to_owned(),
        ..desired(&[], None)
    }
}

#[test]
fn a_process_is_started_at_the_coordinators_word() {
    let scene = scene("1h");
    let agent = Agent::start(&scene.place);
    scene.coordinator.wait_for("what it waits for", |report| {
        report
            .reason
            .contains("the coordinator's word is waited for")
    });
    assert!(agent.storage().is_none());
    scene.coordinator.desire(desired(&[], None));
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn a_process_is_held_down_until_that_is_lifted_also_by_another_agent() {
    let scene = scene("1h");
    let mut agent = Agent::start(&scene.place);
    let is_held = |report: &evenkeel_proto::v1::InstanceReport| {
        report.status() == InstanceStatus::Stopped
            && report.reason.contains("held down: it may not meet 2.0.0")
    };
    for _ in 0..2 {
        scene.coordinator.desire(held("it may not meet 2.0.0"));
        scene.coordinator.wait_for("it to be held", is_held);
        assert!(agent.storage().is_none());
        scene.coordinator.until_another_session(|| agent.restart());
    }
    scene.coordinator.desire(desired(&[], None));
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn a_process_is_started_without_a_word_after_a_while() {
    let scene = scene("300ms");
    scene.coordinator.end();
    let agent = Agent::start(&scene.place);
    agent.wait_until_it_serves("1.0.0");
    assert!(agent.log().contains("no session"));
}

#[test]
fn a_process_that_lives_is_left_alone_by_a_hold() {
    let scene = scene("0s");
    let mut agent = Agent::start(&scene.place);
    let before = agent.wait_until_it_serves("1.0.0");
    agent.restart();
    scene.coordinator.desire(held("it may not meet 2.0.0"));
    scene.coordinator.wait_until_healthy("1.0.0");
    assert_eq!(agent.wait_until_it_serves("1.0.0"), before);
}
