//! What happens to one instance, told step by step.

use crate::{
    story::{Story, exited, ready, started, tick},
    support::{desired, order, recovered, release, serving},
};
use evenkeel_agent_core::{
    BootId, Event, Hold, IllegalMove, Incoming, OrderResult, Refusal, Run, Settings, State, Status,
    step,
};

#[test]
fn an_order_stops_swaps_starts_verifies_and_is_done() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(exited(), "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "verifying", &["verify"])
        .then(ready(2), "serving", &[]);
    story.ended(OrderResult::Done, "");
    assert_eq!(story.state.status(), Status::Running);
    assert_eq!(story.state.reason(), "");
    assert_eq!(story.state.progress().unwrap().stop_to_ready_us, 1_300);
}

#[test]
fn an_order_for_the_release_that_runs_restarts_it_without_a_swap() {
    let mut story = Story::of(serving());
    let mut again = order(1);
    again.release = release(1);
    story
        .then(desired(1, again, 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "starting", &["start 1"])
        .then(started(1), "verifying", &["verify"])
        .then(ready(1), "serving", &[]);
    story.ended(OrderResult::Done, "");
}

#[test]
fn a_release_that_does_not_start_is_reverted() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(
            Event::StartFailed {
                reason: "no such program".to_owned(),
            },
            "stopping",
            &["stop"],
        )
        .then(Event::Stopped, "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"])
        .then(started(1), "verifying", &["verify"])
        .then(ready(1), "serving", &[]);
    story.ended(OrderResult::Reverted, "no such program");
}

#[test]
fn a_release_that_never_gets_ready_is_reverted_at_the_deadline_and_not_before() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "verifying", &["verify"])
        .at(10_999)
        .then(tick(), "verifying", &[])
        .at(11_000)
        .then(tick(), "stopping", &["stop"])
        .then(exited(), "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"])
        .then(started(1), "verifying", &["verify"])
        .then(ready(1), "serving", &[]);
    story.ended(
        OrderResult::Reverted,
        "not ready within 10 s, still verifying: tcp 127.0.0.1:1: refused",
    );
}

#[test]
fn when_going_back_fails_as_well_the_instance_has_failed_and_is_tried_on() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "verifying", &["verify"])
        .then(exited(), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"])
        .then(started(1), "verifying", &["verify"])
        .then(exited(), "failed", &[]);
    assert_eq!(story.state.status(), Status::Error);
    assert_eq!(
        story.state.progress().unwrap().result,
        Some(OrderResult::Failed)
    );
    story
        .at(story.state.wake_at_ms().unwrap())
        .then(tick(), "failed", &["start 1"])
        .then(started(1), "failed", &[])
        .then(ready(1), "serving", &[]);
    assert_eq!(story.state.status(), Status::Running);
}

#[test]
fn an_order_without_a_way_back_fails_where_it_stands() {
    let mut story = Story::of(serving());
    let mut order = order(1);
    order.fallback = None;
    story
        .then(desired(1, order, 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(
            Event::SwapFailed {
                reason: "the disk is full".to_owned(),
            },
            "failed",
            &[],
        );
    story.ended(
        OrderResult::Failed,
        "the disk is full; there is no release to go back to",
    );
    assert!(
        story.state.wake_at_ms().is_some(),
        "what was there before is started again"
    );
}

#[test]
fn a_process_that_cannot_be_stopped_is_left_alone_after_one_way_back() {
    let cannot = || Event::StopFailed {
        reason: "it is another process".to_owned(),
    };
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(cannot(), "stopping", &["stop"])
        .then(cannot(), "failed", &[]);
    assert_eq!(story.state.wake_at_ms(), None);
}

#[test]
fn the_same_order_again_has_no_second_effect_and_raises_the_epoch() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(desired(1, order(1), 1_000), "stopping", &[])
        .at(900_000)
        .then(desired(3, order(1), 1_000), "stopping", &[]);
    assert_eq!(story.state.refusal, None);
    assert_eq!(story.durable.fence.epoch, 3);
}

#[track_caller]
fn refused(event: Event, now: u64) -> Refusal {
    let mut story = Story::of(serving());
    story
        .then(desired(5, order(7), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "verifying", &["verify"])
        .then(ready(2), "serving", &[])
        .at(now)
        .then(event, "serving", &[]);
    assert_eq!(story.durable.fence.generation(), 7);
    assert!(!story.state.reason().is_empty());
    story.state.refusal.unwrap()
}

#[test]
fn a_lower_epoch_is_fenced() {
    let refusal = refused(desired(4, order(8), 2_000), 2_000);
    assert_eq!(
        refusal,
        Refusal::Fenced {
            epoch: 4,
            accepted: 5
        }
    );
}

#[test]
fn an_older_generation_is_refused() {
    let refusal = refused(desired(6, order(6), 2_000), 2_000);
    assert_eq!(
        refusal,
        Refusal::Outdated {
            generation: 6,
            accepted: 7
        }
    );
}

#[test]
fn the_same_generation_with_other_content_is_refused() {
    let mut other = order(7);
    other.ready_within_ms += 1;
    assert_eq!(
        refused(desired(5, other, 2_000), 2_000),
        Refusal::Conflicting { generation: 7 }
    );
}

#[test]
fn an_order_that_comes_too_late_is_not_begun() {
    let refusal = refused(desired(5, order(8), 2_000), 32_001);
    assert_eq!(
        refusal,
        Refusal::Stale {
            generation: 8,
            late_ms: 1
        }
    );
}

#[test]
fn an_order_that_answers_a_message_from_the_future_is_not_begun() {
    let refusal = refused(desired(5, order(8), 2_001), 2_000);
    assert_eq!(refusal, Refusal::OfAnotherBoot { generation: 8 });
}

#[test]
fn an_order_for_a_release_that_is_not_at_hand_is_not_begun() {
    let incoming = Incoming {
        order: order(8),
        answers_clock_ms: 2_000,
        begin_within_ms: 30_000,
        missing: Some(release(2)),
        obstacle: None,
    };
    let refusal = refused(
        Event::Desired {
            epoch: 5,
            incoming: Some(incoming),
            hold: Hold::default(),
            finalize: None,
        },
        2_000,
    );
    assert_eq!(
        refusal,
        Refusal::NotAtHand {
            generation: 8,
            release: release(2)
        }
    );
}

#[test]
fn a_newer_order_takes_over_from_one_under_way() {
    let mut story = Story::of(serving());
    let mut back = order(2);
    back.release = release(1);
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "verifying", &["verify"])
        .then(desired(1, back, 1_000), "stopping", &["stop"])
        .then(exited(), "swapping", &["swap to 1"]);
    assert_eq!(story.state.progress().unwrap().generation, 2);
}

#[test]
fn a_process_that_ends_is_started_again_until_the_cap() {
    let mut story = Story::of(serving());
    for wait in [500, 1_000, 2_000] {
        story.then(exited(), "serving", &[]);
        assert_eq!(story.state.wake_at_ms(), Some(story.now + wait));
        story
            .at(story.now + wait - 1)
            .then(tick(), "serving", &[])
            .later(1)
            .then(tick(), "serving", &["start 1"])
            .then(started(1), "serving", &[]);
    }
    story.then(exited(), "serving", &[]);
    assert_eq!(story.state.status(), Status::Error);
    assert_eq!(story.state.wake_at_ms(), None);
    assert_eq!(
        story.state.reason(),
        "not started again after 3 restarts within 1800 s; last: exit status 1"
    );
}

#[test]
fn restarts_that_are_longer_ago_than_the_window_do_not_count() {
    let mut story = Story::of(serving());
    for _ in 0..10 {
        story.then(exited(), "serving", &[]);
        story
            .at(story.state.wake_at_ms().unwrap())
            .then(tick(), "serving", &["start 1"])
            .then(started(1), "serving", &[])
            .later(30 * 60 * 1_000);
    }
    assert_eq!(story.state.status(), Status::Running);
}

#[test]
fn a_new_agent_adopts_what_runs_and_starts_what_does_not() {
    let mut story = Story::of(State::new(Settings::default()));
    story.then(recovered(Some(1), Some(1)), "serving", &[]);
    story.restart(crate::support::BOOT, None, 1, "serving", &["start 1"]);
}

#[test]
fn an_instance_with_no_release_is_stopped_and_an_order_installs_the_first() {
    let mut story = Story::of(State::new(Settings::default()));
    let mut first = order(1);
    first.fallback = None;
    story.then(recovered(None, None), "serving", &[]);
    assert_eq!(story.state.status(), Status::Stopped);
    story
        .then(desired(1, first, 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"]);
}

#[test]
fn a_new_agent_takes_up_the_step_that_the_former_one_left() {
    let boot = crate::support::BOOT;
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .restart(boot, Some(1), 1, "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .restart(boot, None, 1, "swapping", &["swap to 2"])
        // The swap was made, and its result never written down.
        .restart(boot, None, 2, "starting", &["start 2"])
        .restart(boot, None, 2, "starting", &["start 2"])
        // The process was started, and that was never written down.
        .restart(boot, Some(2), 2, "verifying", &["verify"])
        .restart(boot, Some(2), 2, "verifying", &["verify"])
        .then(ready(2), "serving", &[])
        .restart(boot, Some(2), 2, "serving", &[]);
    story.ended(OrderResult::Done, "");
}

#[test]
fn a_way_forward_whose_time_ran_out_while_nobody_looked_goes_back() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .at(60_000)
        .restart(crate::support::BOOT, None, 2, "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 1"]);
}

#[test]
fn after_a_reboot_the_deadline_is_counted_anew() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .at(60_000)
        .restart(BootId([2; 16]), None, 1, "swapping", &["swap to 2"]);
    assert_eq!(story.state.wake_at_ms(), Some(70_000));
}

#[test]
fn a_process_of_another_release_than_the_one_ordered_is_stopped_again() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, order(1), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(1), "stopping", &["stop"])
        .then(Event::Stopped, "starting", &["start 2"]);
}

#[test]
fn what_cannot_happen_is_an_error_that_names_both_sides() {
    assert_eq!(
        step(&serving(), Event::Swapped, 0),
        Err(IllegalMove {
            phase: "serving",
            event: "swapped"
        })
    );
}

#[test]
fn a_failed_instance_stays_failed_over_an_agent_restart_until_it_is_ready() {
    let mut story = Story::of(serving());
    let mut order = order(1);
    order.fallback = None;
    story
        .then(desired(1, order, 1_000), "stopping", &["stop"])
        .then(
            Event::StopFailed {
                reason: "no".to_owned(),
            },
            "failed",
            &[],
        )
        .restart(crate::support::BOOT, Some(1), 1, "failed", &[])
        .then(ready(1), "serving", &[]);
    assert!(
        matches!(story.state.phase, evenkeel_agent_core::Phase::Serving(s) if s.run == Run::Up)
    );
}
