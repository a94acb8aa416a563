//! What the storage system is asked before a process is stopped and after it was started, told step by step.

use crate::{
    story::{Story, exited, ready, started, tick},
    support::{BOOT, WITH_DRIVER, desired, order, rebuild, release, serving_by},
};
use evenkeel_agent_core::{
    BootId, Event, Finality, Hold, Order, OrderResult, Phase, Run, Status, StepName,
};

fn serving() -> Story {
    Story::of(serving_by(WITH_DRIVER))
}

fn version(major: u64) -> Event {
    Event::VersionTold {
        version: Some(semver::Version::new(major, 0, 0)),
    }
}

fn quiesce_failed() -> Event {
    Event::QuiesceFailed {
        reason: "the leader would not move".to_owned(),
    }
}

/// An instance whose order has got as far as the new release's good probes.
fn recovering() -> Story {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .then(Event::Quiesced, "quiescing", &["ask once"])
        .then(Event::OkToStop, "stopping", &["stop"])
        .then(exited(), "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "verifying", &["verify", "unquiesce"])
        .then(ready(2), "recovering", &["ask version"]);
    story
}

#[test]
fn an_order_asks_quiesces_stops_swaps_starts_verifies_unquiesces_recovers_and_is_done() {
    let mut story = recovering();
    assert_eq!(story.state.progress().unwrap().step, StepName::Recovering);
    assert!(story.durable.quiesced);
    story
        .then(version(2), "recovering", &["unquiesce"])
        .then(Event::Unquiesced, "recovering", &["ask recovered"])
        .then(Event::CaughtUp, "serving", &[]);
    story.ended(OrderResult::Done, "");
    assert!(!story.durable.quiesced);
    assert_eq!(story.state.progress().unwrap().stop_to_ready_us, 1_300);
}

#[test]
fn an_order_says_that_it_asks_and_quiesces() {
    let mut story = serving();
    story.then(desired(1, order(1), 1_000), "asking", &["ask to stop"]);
    assert_eq!(story.state.progress().unwrap().step, StepName::Asking);
    assert_eq!(story.state.status(), Status::Upgrading);
    story.then(Event::OkToStop, "quiescing", &["quiesce"]);
    assert_eq!(story.state.progress().unwrap().step, StepName::Quiescing);
}

#[test]
fn a_process_that_may_not_be_stopped_in_time_is_not_touched() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .at(10_999)
        .then(tick(), "asking", &[])
        .at(11_000)
        .then(tick(), "serving", &[]);
    story.ended(
        OrderResult::Declined,
        "not ready within 10 s, still asking: tcp 127.0.0.1:1: refused",
    );
    assert_eq!(story.state.status(), Status::Running);
    story.restart(BOOT, Some(1), 1, "serving", &[]);
    story.then(desired(1, order(2), 11_000), "asking", &["ask to stop"]);
}

#[test]
fn an_order_has_its_time_from_when_the_process_may_be_stopped() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .at(9_000)
        .then(Event::OkToStop, "quiescing", &["quiesce"]);
    assert_eq!(story.state.wake_at_ms(), Some(19_000));
}

#[test]
fn what_cannot_be_quiesced_is_unquiesced_and_not_touched() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .then(quiesce_failed(), "declining", &["unquiesce"]);
    assert!(story.state.reason().contains("the leader would not move"));
    story
        .restart(BOOT, Some(1), 1, "declining", &["unquiesce"])
        .then(Event::Unquiesced, "serving", &[]);
    story.ended(OrderResult::Declined, "the leader would not move");
    assert!(!story.durable.quiesced);
}

#[test]
fn what_cannot_be_unquiesced_in_time_is_tried_on() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .then(quiesce_failed(), "declining", &["unquiesce"])
        .at(11_000)
        .then(tick(), "serving", &["unquiesce"])
        .restart(BOOT, Some(1), 1, "serving", &["unquiesce"])
        .then(Event::Unquiesced, "serving", &[]);
    story.ended(OrderResult::Declined, "the leader would not move");
    assert!(!story.durable.quiesced);
}

#[test]
fn a_process_that_ends_before_it_is_stopped_is_started_again_and_the_order_declined() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .then(exited(), "serving", &[]);
    story.ended(
        OrderResult::Declined,
        "the process ended before it was stopped: exit status 1",
    );
    story
        .at(story.state.wake_at_ms().unwrap())
        .then(tick(), "serving", &["start 1"])
        .then(started(1), "serving", &["unquiesce"])
        .then(Event::Unquiesced, "serving", &[]);
}

#[test]
fn a_release_that_says_it_is_another_is_turned_back_and_what_was_quiesced_undone() {
    let mut story = recovering();
    story
        .then(version(3), "asking", &["ask to stop"])
        .then(Event::OkToStop, "stopping", &["stop"])
        .then(exited(), "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"])
        .then(started(1), "verifying", &["verify", "unquiesce"])
        .then(ready(1), "recovering", &["unquiesce"])
        .then(Event::Unquiesced, "recovering", &["ask recovered"])
        .then(Event::CaughtUp, "serving", &[]);
    story.ended(
        OrderResult::Reverted,
        "the process says that it is 3.0.0, not 2.0.0",
    );
    assert!(!story.durable.quiesced);
}

#[test]
fn a_release_whose_version_nobody_can_ask_is_not_turned_back_for_it() {
    recovering().then(
        Event::VersionTold { version: None },
        "recovering",
        &["unquiesce"],
    );
}

/// One that is served by the new release, which did not recover in its time.
fn behind() -> Story {
    let mut story = recovering();
    story
        .then(version(2), "recovering", &["unquiesce"])
        .then(Event::Unquiesced, "recovering", &["ask recovered"])
        .at(11_000)
        .then(tick(), "asking", &["ask to stop"]);
    assert_eq!(story.state.progress().unwrap().step, StepName::Recovering);
    story
}

const NOT_RECOVERED: &str = "not ready within 10 s, still recovering: tcp 127.0.0.1:1: refused";

#[test]
fn an_instance_that_does_not_recover_in_time_is_turned_back_once_it_may_be_stopped() {
    let mut story = behind();
    story
        .restart(BOOT, Some(2), 2, "asking", &["ask to stop"])
        .then(Event::OkToStop, "stopping", &["stop"])
        .then(exited(), "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"])
        .then(started(1), "verifying", &["verify"])
        .then(ready(1), "recovering", &["ask recovered"])
        .then(Event::CaughtUp, "serving", &[]);
    story.ended(OrderResult::Reverted, NOT_RECOVERED);
}

#[test]
fn an_instance_that_does_not_recover_and_may_not_be_stopped_is_left_running_and_asked_on() {
    let mut story = behind();
    story.at(21_000).then(tick(), "failed", &[]);
    let reason = story.state.progress().unwrap().reason;
    assert!(reason.starts_with(NOT_RECOVERED), "{reason}");
    assert!(reason.contains("not stopped"), "{reason}");
    story.ended(OrderResult::Failed, &reason);
    assert_eq!(story.state.status(), Status::Error);
    story
        .then(ready(2), "failed", &["ask recovered"])
        .then(Event::CaughtUp, "serving", &[]);
    assert_eq!(story.state.status(), Status::Running);
}

#[test]
fn an_instance_that_ends_while_it_is_asked_about_goes_back_at_once() {
    behind().then(exited(), "swapping", &["swap to 1"]);
    behind().restart(BOOT, None, 2, "swapping", &["swap to 1"]);
}

#[test]
fn an_order_that_is_declined_leaves_what_has_not_passed_its_gates_failed() {
    let mut story = recovering();
    story
        .then(desired(1, order(2), 1_000), "asking", &["ask to stop"])
        .restart(BOOT, Some(2), 2, "asking", &["ask to stop"])
        .at(11_000)
        .then(tick(), "declining", &["unquiesce"])
        .then(Event::Unquiesced, "failed", &[]);
    story.ended(
        OrderResult::Failed,
        "not ready within 10 s, still asking: tcp 127.0.0.1:1: refused",
    );
    // So does one that follows, until the gates were passed.
    story
        .then(desired(1, order(3), 11_000), "asking", &["ask to stop"])
        .at(21_000)
        .then(tick(), "failed", &[])
        .then(ready(2), "failed", &["ask recovered"])
        .then(Event::CaughtUp, "serving", &[])
        .then(desired(1, order(4), 21_000), "asking", &["ask to stop"])
        .at(31_000)
        .then(tick(), "serving", &[]);
    assert!(!story.durable.unproven);
    assert_eq!(
        story.state.progress().unwrap().result,
        Some(OrderResult::Declined)
    );
}

#[test]
fn a_yes_that_does_not_stand_any_more_once_it_is_quiesced_declines() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .at(9_000)
        .then(Event::Quiesced, "quiescing", &["ask once"]);
    assert_eq!(story.state.wake_at_ms(), Some(19_000));
    let reason = "n2 is down".to_owned();
    story
        .then(Event::NotOkToStop { reason }, "declining", &["unquiesce"])
        .then(Event::Unquiesced, "serving", &[]);
    story.ended(OrderResult::Declined, "n2 is down");
}

#[test]
fn a_new_agent_that_finds_the_process_it_was_to_stop_asks_again() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .then(Event::Quiesced, "quiescing", &["ask once"])
        .then(Event::OkToStop, "stopping", &["stop"])
        .restart(BOOT, Some(1), 1, "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .then(Event::Quiesced, "quiescing", &["ask once"])
        .then(Event::OkToStop, "stopping", &["stop"])
        .at(60_000)
        .restart(BOOT, Some(1), 1, "declining", &["unquiesce"])
        .then(Event::Unquiesced, "serving", &[]);
    story.ended(
        OrderResult::Declined,
        "its time ran out while the agent was away",
    );
}

#[test]
fn what_an_earlier_order_drained_is_told_that_it_stays_when_a_later_one_is_declined() {
    let mut story = serving();
    story
        .then(desired(1, rebuild(1), 1_000), "draining", &["drain"])
        .then(desired(1, order(2), 1_000), "asking", &["ask to stop"])
        .at(11_000)
        .then(tick(), "starting", &["start 1"])
        .then(started(1), "rejoining", &["cancel drain"])
        .then(Event::Rejoined, "verifying", &["verify"])
        .then(ready(1), "recovering", &["ask recovered"])
        .then(Event::CaughtUp, "serving", &[]);
    assert!(!story.durable.drained);
}

#[test]
fn a_failed_instance_serves_again_once_it_has_recovered() {
    let mut story = recovering();
    story
        .then(exited(), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"])
        .then(started(1), "verifying", &["verify", "unquiesce"])
        .at(11_000)
        .then(tick(), "failed", &["unquiesce"])
        .then(Event::Unquiesced, "failed", &[])
        .then(ready(1), "failed", &["ask recovered"]);
    assert_eq!(story.state.status(), Status::Error);
    story.then(Event::CaughtUp, "serving", &[]);
}

#[test]
fn nobody_is_asked_about_what_is_put_back_or_does_not_run() {
    let back = Order {
        way_back: true,
        fallback: None,
        ..order(1)
    };
    serving().then(desired(1, back, 1_000), "stopping", &["stop"]);
    let mut story = serving();
    story
        .then(exited(), "serving", &[])
        .then(desired(1, order(1), 1_000), "stopping", &["stop"]);
}

#[test]
fn what_is_put_back_goes_on_however_late_its_agent_comes_back() {
    let back = Order {
        way_back: true,
        fallback: None,
        ..order(1)
    };
    let mut story = serving();
    story
        .then(desired(1, back, 1_000), "stopping", &["stop"])
        .at(60_000)
        .restart(BOOT, Some(1), 1, "stopping", &["stop"])
        .then(exited(), "swapping", &["swap to 2"]);
    assert_eq!(story.state.wake_at_ms(), Some(70_000));
}

#[test]
fn a_rebuild_asks_once_it_is_drained_and_is_told_to_stay_if_it_may_not_stop() {
    let mut story = serving();
    story
        .then(desired(1, rebuild(1), 1_000), "draining", &["drain"])
        .then(Event::Drained, "asking", &["ask to stop"])
        .restart(BOOT, Some(1), 1, "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .then(quiesce_failed(), "starting", &["start 1"])
        .then(started(1), "rejoining", &["unquiesce"])
        .then(Event::Unquiesced, "rejoining", &["cancel drain"])
        .then(Event::Rejoined, "verifying", &["verify"])
        .then(ready(1), "recovering", &["ask recovered"])
        .then(Event::CaughtUp, "serving", &[]);
    story.ended(OrderResult::Reverted, "the leader would not move");
    assert!(!story.durable.drained && !story.durable.quiesced);
}

#[test]
fn a_new_agent_asks_again_what_the_former_one_asked() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .restart(BOOT, Some(1), 1, "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .restart(BOOT, Some(1), 1, "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .then(Event::Quiesced, "quiescing", &["ask once"])
        .then(Event::OkToStop, "stopping", &["stop"])
        .then(exited(), "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "verifying", &["verify", "unquiesce"])
        .then(ready(2), "recovering", &["ask version"])
        .restart(BOOT, Some(2), 2, "verifying", &["verify", "unquiesce"])
        .then(ready(2), "recovering", &["ask version"])
        .then(version(2), "recovering", &["unquiesce"])
        .then(Event::Unquiesced, "recovering", &["ask recovered"])
        .restart(BOOT, Some(2), 2, "verifying", &["verify"])
        .then(ready(2), "recovering", &["ask version"])
        // That it is back was said and need not be said again.
        .then(version(2), "recovering", &["ask recovered"])
        .then(Event::CaughtUp, "serving", &[]);
    story.ended(OrderResult::Done, "");
}

#[test]
fn a_new_agent_that_comes_too_late_to_stop_a_process_leaves_it() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .at(60_000)
        .restart(BOOT, Some(1), 1, "serving", &[]);
    story.ended(
        OrderResult::Declined,
        "its time ran out while the agent was away",
    );
}

#[test]
fn a_process_that_is_gone_when_the_agent_comes_back_to_stopping_it_is_started_again() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .restart(BootId([2; 16]), None, 1, "serving", &["start 1"])
        .then(started(1), "serving", &["unquiesce"]);
    story.ended(
        OrderResult::Declined,
        "its process was gone when the agent came back to stopping it",
    );
}

#[test]
fn a_newer_order_takes_over_from_one_that_asks() {
    let mut story = serving();
    story
        .then(desired(1, order(1), 1_000), "asking", &["ask to stop"])
        .then(Event::OkToStop, "quiescing", &["quiesce"])
        .then(desired(1, order(2), 1_000), "asking", &["ask to stop"]);
    assert!(story.durable.quiesced, "it is undone when it ends");
    assert!(matches!(&story.state.phase, Phase::Asking(_)));
    story
        .at(11_000)
        .then(tick(), "declining", &["unquiesce"])
        .then(Event::Unquiesced, "serving", &[]);
    assert!(matches!(&story.state.phase, Phase::Serving(service) if service.run == Run::Up));
}

/// That release 1 is final, as of this order, in answer to what was said at this clock.
fn finality(id: &str, generation: u64, answers_clock_ms: u64) -> Finality {
    Finality {
        id: id.to_owned(),
        generation,
        release: release(1),
        answers_clock_ms,
        begin_within_ms: 30_000,
    }
}

fn to_be_final(epoch: u64, finality: Finality) -> Event {
    Event::Desired {
        epoch,
        incoming: None,
        hold: Hold::default(),
        finalize: Some(Box::new(finality)),
    }
}

#[test]
fn what_the_coordinator_may_not_say_is_not_made_final() {
    let refused = |story: &mut Story, at: u64, word: Event| {
        story.at(at).then(word, "serving", &[]);
        assert_eq!(story.durable.finalizing, None);
        story.state.refusal.clone().unwrap().to_string()
    };
    // One order of the newest epoch has been there, and was put back: what is there is release 1.
    let mut story = serving();
    let order = Order {
        way_back: true,
        fallback: None,
        release: release(1),
        ..order(4)
    };
    story
        .then(desired(2, order, 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "starting", &["start 1"])
        .then(started(1), "verifying", &["verify"]);
    let word = to_be_final(2, finality("1", 4, 1_000));
    story.then(word, "verifying", &[]);
    assert_eq!(
        story.state.refusal.clone().unwrap().to_string(),
        "1 is not made final: the instance is being moved, or does not serve"
    );
    story
        .then(ready(1), "recovering", &["ask version"])
        .then(
            Event::VersionTold { version: None },
            "recovering",
            &["ask recovered"],
        )
        .then(Event::CaughtUp, "serving", &[]);
    let told = [
        refused(&mut story, 2_000, to_be_final(1, finality("1", 4, 2_000))),
        refused(&mut story, 2_000, to_be_final(2, finality("1", 3, 2_000))),
        refused(&mut story, 40_000, to_be_final(2, finality("1", 4, 2_000))),
        refused(&mut story, 40_000, to_be_final(2, finality("1", 4, 50_000))),
        refused(
            &mut story,
            40_000,
            to_be_final(
                2,
                Finality {
                    release: release(2),
                    ..finality("1", 4, 40_000)
                },
            ),
        ),
    ];
    let other = format!("it is about {}, and {} is there", release(2), release(1));
    assert_eq!(
        told,
        [
            "the coordinator speaks for epoch 1, and epoch 2 was accepted before".to_owned(),
            "1 is not made final: it was said as of order 3, and order 4 was accepted before"
                .to_owned(),
            "1 is not made final: it came too late: 8000 ms after it could still be begun"
                .to_owned(),
            "1 is not made final: it answers a message from before the last boot".to_owned(),
            format!("1 is not made final: {other}"),
        ]
    );
    let word = to_be_final(2, finality("1", 4, 40_000));
    story.then(word, "serving", &["finalize 1"]);
    assert_eq!(
        story.durable.finalizing.as_deref(),
        Some("1"),
        "before it is told"
    );
}

#[test]
fn an_upgrade_is_made_final_once_for_each_id() {
    let word = |id: &str| to_be_final(1, finality(id, 0, 1_000));
    let ended = |id: &str, outcome| Event::FinalizeEnded {
        id: id.to_owned(),
        outcome,
    };
    let mut story = serving();
    story
        .then(word("1"), "serving", &["finalize 1"])
        .then(word("1"), "serving", &[])
        // The agent has died before it knew.
        .restart(BOOT, Some(1), 1, "serving", &[])
        .then(word("1"), "serving", &["finalize 1"])
        .then(ended("1", Err("too early".to_owned())), "serving", &[])
        .then(word("1"), "serving", &[])
        .restart(BOOT, Some(1), 1, "serving", &[])
        .then(word("1"), "serving", &[])
        .then(word("2"), "serving", &["finalize 2"])
        .then(ended("1", Ok(())), "serving", &[])
        .then(ended("2", Ok(())), "serving", &[]);
    let finalized = story.durable.finalized.clone().unwrap();
    assert_eq!((finalized.id.as_str(), finalized.outcome), ("2", Ok(())));
}
