//! Orders: carried out, undone, and refused.

use evenkeel_proto::v1::{InstanceHealth, InstanceStatus, OrderResult};

use crate::support::{Scene, desired, order, outcome, wait_for};

#[test]
fn an_order_upgrades_the_instance_and_says_how_long_that_took() {
    let scene = Scene::new("good", "");
    let agent = scene.agent();
    let before = agent.storage().unwrap();
    let report = scene.upgrade(1, OrderResult::Done);
    assert!(!before.is_alive());
    assert_eq!(scene.place.current(), "1.1.0");
    agent.wait_until_it_serves("1.1.0");
    assert_eq!(report.health(), InstanceHealth::Healthy);
    let took_us = report.progress.unwrap().stop_to_ready_us;
    assert!((1..5_000_000).contains(&took_us), "{took_us} µs");
}

#[test]
fn a_release_that_ends_at_once_is_reverted() {
    let scene = Scene::new("broken", "");
    let agent = scene.agent();
    let report = scene.upgrade(1, OrderResult::Reverted);
    let reason = report.progress.unwrap().reason;
    assert!(reason.contains("this release is broken"), "{reason}");
    assert_eq!(scene.place.current(), "1.0.0");
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn a_release_that_never_gets_healthy_is_reverted_at_its_deadline() {
    let scene = Scene::new("sick", "");
    let agent = scene.agent();
    let mut order = order(1, &scene.new, Some(&scene.old));
    order.ready_within_ms = 500;
    scene
        .coordinator
        .desire(desired(&[&scene.new], Some(order)));
    let report = scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 1) == Some(OrderResult::Reverted)
        });
    let reason = report.progress.unwrap().reason;
    assert!(reason.contains("503"), "{reason}");
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn when_the_release_before_does_not_start_either_the_order_has_failed() {
    let scene = Scene::new("broken", "");
    let also_broken = scene.place.program("0.9.0", "broken");
    let _agent = scene.agent();
    scene.coordinator.stage(&[&scene.new, &also_broken]);
    let order = order(1, &scene.new, Some(&also_broken));
    scene.coordinator.desire(desired(&[], Some(order)));
    let report = scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 1).is_some()
        });
    assert_eq!(outcome(&report, 1), Some(OrderResult::Failed));
    assert_eq!(report.status(), InstanceStatus::Error);
}

#[test]
fn an_order_goes_on_to_its_end_without_the_coordinator() {
    let scene = Scene::new("good", "");
    let agent = scene.agent();
    let order = order(1, &scene.new, Some(&scene.old));
    scene.coordinator.desire(desired(&[], Some(order)));
    wait_for("the order to be accepted", || {
        agent.log().contains("to=\"stopping\"").then_some(())
    });
    scene.coordinator.end();
    agent.wait_until_it_serves("1.1.0");
}

#[test]
fn a_bad_release_is_put_back_without_the_coordinator() {
    let scene = Scene::new("sick", "");
    let agent = scene.agent();
    let mut order = order(1, &scene.new, Some(&scene.old));
    order.ready_within_ms = 1_000;
    scene.coordinator.desire(desired(&[], Some(order)));
    wait_for("the order to be accepted", || {
        agent.log().contains("to=\"stopping\"").then_some(())
    });
    scene.coordinator.end();
    agent.wait_until_it_serves("1.0.0");
    assert_eq!(scene.place.current(), "1.0.0");
}

#[test]
fn the_same_order_again_has_no_second_effect_also_after_a_restart() {
    let scene = Scene::new("good", "");
    let mut agent = scene.agent();
    scene.upgrade(1, OrderResult::Done);
    let storage = agent.wait_until_it_serves("1.1.0");
    let again = || desired(&[], Some(order(1, &scene.new, Some(&scene.old))));
    scene.coordinator.desire(again());
    // By its effect it is known that a later word was heard.
    scene.coordinator.set_epoch(6);
    scene.coordinator.desire(again());
    scene
        .coordinator
        .wait_for("epoch 6", |report| report.accepted_epoch == 6);
    scene.coordinator.until_another_session(|| agent.restart());
    scene.coordinator.set_epoch(7);
    scene.coordinator.desire(again());
    let report = scene
        .coordinator
        .wait_for("epoch 7", |report| report.accepted_epoch == 7);
    assert_eq!(outcome(&report, 1), Some(OrderResult::Done));
    assert_eq!(agent.wait_until_it_serves("1.1.0"), storage);
}

/// The order is refused with this reason and without an effect, also by an agent that was started meanwhile.
#[track_caller]
fn refused(
    change: impl Fn(&Scene) -> u64,
    spoil: impl Fn(&mut evenkeel_proto::v1::Order),
    reason: &str,
) {
    let scene = Scene::new("good", "");
    let mut agent = scene.agent();
    let report = scene.upgrade(3, OrderResult::Done);
    let storage = agent.wait_until_it_serves("1.1.0");
    scene.coordinator.until_another_session(|| agent.restart());
    scene.coordinator.wait_until_healthy("1.1.0");
    let answers_clock_ms = change(&scene);
    let mut order = order(4, &scene.old, Some(&scene.new));
    spoil(&mut order);
    scene
        .coordinator
        .desire_late(desired(&[], Some(order)), answers_clock_ms);
    let refused = scene
        .coordinator
        .wait_for("the refusal", |report| report.reason.contains(reason));
    assert_eq!(refused.accepted_generation, 3);
    assert_eq!(refused.accepted_epoch, report.accepted_epoch);
    assert_eq!(agent.wait_until_it_serves("1.1.0"), storage);
}

#[test]
fn a_coordinator_of_a_lower_epoch_is_fenced() {
    let lower = |scene: &Scene| {
        scene.coordinator.set_epoch(4);
        scene.coordinator.clock_ms()
    };
    refused(
        lower,
        |_| {},
        "the coordinator speaks for epoch 4, and epoch 5 was accepted before",
    );
}

#[test]
fn an_order_that_is_too_late_is_not_begun() {
    let late = |scene: &Scene| scene.coordinator.clock_ms() - 30_001;
    refused(late, |_| {}, "order 4 came too late");
}

#[test]
fn an_older_order_is_refused() {
    refused(
        |s| s.coordinator.clock_ms(),
        |order| order.generation = 2,
        "order 2 is older than order 3",
    );
}

#[test]
fn other_content_under_the_same_generation_is_refused() {
    let reason = "order 3 says something else than when it was accepted";
    refused(
        |s| s.coordinator.clock_ms(),
        |order| order.generation = 3,
        reason,
    );
}

#[test]
fn an_order_for_a_release_that_is_not_at_hand_is_refused() {
    let unknown = |order: &mut evenkeel_proto::v1::Order| {
        order.release.as_mut().unwrap().digest = "ab".repeat(32);
    };
    refused(
        |s| s.coordinator.clock_ms(),
        unknown,
        "needs release 1.0.0-abababababab, which is not at hand",
    );
}

#[test]
fn a_release_that_was_at_hand_is_not_once_its_key_is_trusted_no_more() {
    let scene = Scene::new("good", "");
    let mut agent = scene.agent();
    let storage = agent.wait_until_it_serves("1.0.0");
    scene.place.trust_another_key();
    scene.coordinator.until_another_session(|| agent.restart());
    scene.coordinator.wait_until_healthy("1.0.0");
    let order = order(1, &scene.new, Some(&scene.old));
    scene.coordinator.desire(desired(&[], Some(order)));
    let refused = scene.coordinator.wait_for("the refusal", |report| {
        report.reason.contains("which is not at hand")
    });
    assert_eq!(refused.accepted_generation, 0);
    assert_eq!(agent.wait_until_it_serves("1.0.0"), storage);
}

#[test]
fn an_instance_stays_at_its_release_and_can_leave_it_when_its_key_is_trusted_no_more() {
    let scene = Scene::new("good", "");
    let mut agent = scene.agent();
    scene.upgrade(1, OrderResult::Done);
    let storage = agent.wait_until_it_serves("1.1.0");
    scene.place.trust_another_key();
    scene.coordinator.until_another_session(|| agent.restart());
    scene.coordinator.wait_until_healthy("1.1.0");
    assert_eq!(agent.wait_until_it_serves("1.1.0"), storage);
    let order = order(2, &scene.old, Some(&scene.new));
    scene.coordinator.desire(desired(&[], Some(order)));
    scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 2) == Some(OrderResult::Done)
        });
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn a_process_that_does_not_stop_in_its_time_is_killed() {
    let scene = Scene::new("good", "stop_timeout = \"300ms\"");
    let agent = scene.agent();
    agent.storage().unwrap().freeze();
    scene.upgrade(1, OrderResult::Done);
    assert!(
        agent
            .log()
            .contains("did not stop in its time and is killed")
    );
    agent.wait_until_it_serves("1.1.0");
}

#[test]
fn a_new_order_takes_over_from_one_that_waits_for_health() {
    let scene = Scene::new("sick", "");
    let agent = scene.agent();
    scene
        .coordinator
        .desire(desired(&[], Some(order(1, &scene.new, Some(&scene.old)))));
    agent.wait_until_it_serves("1.1.0");
    scene
        .coordinator
        .desire(desired(&[], Some(order(2, &scene.old, None))));
    scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 2) == Some(OrderResult::Done)
        });
    agent.wait_until_it_serves("1.0.0");
}
