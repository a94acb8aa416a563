//! What happens to one instance that is rebuilt, told step by step.

use crate::{
    story::{Story, exited, ready, started, tick},
    support::{BOOT, desired, order, rebuild, release, serving},
};
use evenkeel_agent_core::{
    BootId, Event, Fallback, Hold, Incoming, Method, Order, OrderResult, Refusal, Status, StepName,
};

fn no_space() -> Event {
    Event::DataNotMoved {
        reason: "no space".to_owned(),
    }
}

fn without_fallback(order: Order) -> Order {
    Order {
        fallback: None,
        ..order
    }
}

/// An instance whose rebuild has got as far as the start of the new release.
fn rebuilding() -> Story {
    let mut story = Story::of(serving());
    story
        .then(desired(1, rebuild(1), 1_000), "draining", &["drain"])
        .then(Event::Drained, "stopping", &["stop"])
        .then(exited(), "emptying", &["set data aside"])
        .then(Event::DataMoved, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"]);
    story
}

#[test]
fn a_rebuild_drains_stops_empties_swaps_starts_joins_verifies_and_is_done() {
    let mut story = rebuilding();
    assert_eq!(story.state.progress().unwrap().step, StepName::Starting);
    story
        .then(started(2), "rejoining", &["join"])
        .then(Event::Rejoined, "verifying", &["verify"])
        .then(ready(2), "serving", &[]);
    story.ended(OrderResult::Done, "");
    assert!(!story.durable.drained);
}

#[test]
fn a_rebuild_says_that_it_drains_and_empties() {
    let mut story = Story::of(serving());
    story.then(desired(1, rebuild(1), 1_000), "draining", &["drain"]);
    assert_eq!(story.state.progress().unwrap().step, StepName::Draining);
    assert_eq!(story.state.status(), Status::Upgrading);
    story.then(Event::Drained, "stopping", &["stop"]).then(
        Event::Stopped,
        "emptying",
        &["set data aside"],
    );
    assert_eq!(story.state.progress().unwrap().step, StepName::Emptying);
}

#[test]
fn the_release_that_runs_is_rebuilt_without_a_swap() {
    let mut story = Story::of(serving());
    let again = Order {
        release: release(1),
        ..without_fallback(rebuild(1))
    };
    story
        .then(desired(1, again, 1_000), "draining", &["drain"])
        .then(Event::Drained, "stopping", &["stop"])
        .then(Event::Stopped, "emptying", &["set data aside"])
        .then(Event::DataMoved, "starting", &["start 1"])
        .then(started(1), "rejoining", &["join"]);
}

#[test]
fn a_rebuild_that_does_not_start_gets_its_data_back() {
    let mut story = rebuilding();
    let fails = Event::StartFailed {
        reason: "no such program".to_owned(),
    };
    story
        .then(fails, "stopping", &["stop"])
        .then(Event::Stopped, "emptying", &["put data back"])
        .then(Event::DataMoved, "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"])
        .then(started(1), "rejoining", &["cancel drain"])
        .then(Event::Rejoined, "verifying", &["verify"])
        .then(ready(1), "serving", &[]);
    story.ended(OrderResult::Reverted, "no such program");
}

#[test]
fn a_rebuild_that_cannot_be_drained_in_time_leaves_the_process_alone() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, rebuild(1), 1_000), "draining", &["drain"])
        .at(11_000)
        .then(tick(), "starting", &["start 1"])
        .then(started(1), "rejoining", &["cancel drain"])
        .then(Event::Rejoined, "verifying", &["verify"])
        .then(ready(1), "serving", &[]);
    story.ended(
        OrderResult::Reverted,
        "not ready within 10 s, still draining: tcp 127.0.0.1:1: refused",
    );
}

#[test]
fn a_process_that_ends_while_it_is_drained_is_started_again() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, rebuild(1), 1_000), "draining", &["drain"])
        .then(exited(), "starting", &["start 1"])
        .then(started(1), "rejoining", &["cancel drain"]);
}

#[test]
fn a_process_that_cannot_be_stopped_keeps_its_data() {
    let mut story = Story::of(serving());
    let cannot = || Event::StopFailed {
        reason: "it is another process".to_owned(),
    };
    story
        .then(desired(1, rebuild(1), 1_000), "draining", &["drain"])
        .then(Event::Drained, "stopping", &["stop"])
        .then(cannot(), "stopping", &["stop"])
        .then(cannot(), "failed", &[]);
    assert!(story.durable.drained, "it is told so with the next order");
    story
        .then(desired(1, order(2), 1_000), "stopping", &["stop"])
        .then(exited(), "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "rejoining", &["cancel drain"]);
}

#[test]
fn data_that_cannot_be_set_aside_is_put_back_and_without_a_fallback_as_well() {
    for order in [rebuild(1), without_fallback(rebuild(1))] {
        let mut story = Story::of(serving());
        story
            .then(desired(1, order, 1_000), "draining", &["drain"])
            .then(Event::Drained, "stopping", &["stop"])
            .then(Event::Stopped, "emptying", &["set data aside"])
            .then(no_space(), "stopping", &["stop"])
            .then(Event::Stopped, "emptying", &["put data back"])
            .then(Event::DataMoved, "starting", &["start 1"])
            .then(started(1), "rejoining", &["cancel drain"])
            .then(Event::Rejoined, "verifying", &["verify"])
            .then(ready(1), "serving", &[]);
        story.ended(OrderResult::Reverted, "no space");
    }
}

#[test]
fn a_rebuild_without_a_fallback_fails_where_it_stands_once_its_release_is_current() {
    let mut story = Story::of(serving());
    story
        .then(
            desired(1, without_fallback(rebuild(1)), 1_000),
            "draining",
            &["drain"],
        )
        .then(Event::Drained, "stopping", &["stop"])
        .then(Event::Stopped, "emptying", &["set data aside"])
        .then(Event::DataMoved, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "rejoining", &["join"])
        .then(exited(), "failed", &[]);
    story
        .at(story.state.wake_at_ms().unwrap())
        .then(tick(), "failed", &["start 2"]);
}

#[test]
fn data_that_cannot_be_put_back_is_tried_again_and_nothing_started_meanwhile() {
    let mut story = rebuilding();
    story
        .then(started(2), "rejoining", &["join"])
        .then(exited(), "stopping", &["stop"])
        .then(Event::Stopped, "emptying", &["put data back"])
        .then(no_space(), "emptying", &[]);
    assert!(
        story
            .state
            .reason()
            .contains("no space; tried again until it works"),
        "{}",
        story.state.reason()
    );
    // Long past the deadline of the way back.
    for _ in 0..10 {
        let again_at = story.state.wake_at_ms().unwrap();
        story
            .at(again_at - 1)
            .then(tick(), "emptying", &[])
            .at(again_at)
            .then(tick(), "emptying", &["put data back"])
            .then(no_space(), "emptying", &[]);
    }
    story
        .restart(BOOT, None, 2, "emptying", &["put data back"])
        .then(Event::DataMoved, "swapping", &["swap to 1"])
        .then(
            Event::SwapFailed {
                reason: "no space".to_owned(),
            },
            "swapping",
            &[],
        );
    story
        .at(story.state.wake_at_ms().unwrap())
        .then(tick(), "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"]);
    assert!(!story.state.reason().contains("no space; tried again"));
}

#[test]
fn an_order_in_place_whose_way_back_has_to_be_empty_sets_the_data_aside_on_it() {
    let mut story = Story::of(serving());
    let back_from_empty = || Order {
        fallback: Some(Fallback {
            release: release(1),
            method: Method::Rebuild,
        }),
        ..order(1)
    };
    story
        .then(desired(1, back_from_empty(), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(started(2), "verifying", &["verify"])
        .then(exited(), "stopping", &["stop"])
        .then(Event::Stopped, "emptying", &["set data aside"])
        .then(Event::DataMoved, "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"])
        .then(started(1), "rejoining", &["join"])
        .then(Event::Rejoined, "verifying", &["verify"])
        .then(ready(1), "serving", &[]);
    // Where the release never ran, the data is as it was.
    let mut story = Story::of(serving());
    story
        .then(desired(1, back_from_empty(), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(
            Event::SwapFailed {
                reason: "no space".to_owned(),
            },
            "stopping",
            &["stop"],
        )
        .then(Event::Stopped, "starting", &["start 1"])
        .then(started(1), "verifying", &["verify"]);
}

#[test]
fn a_new_agent_takes_up_the_step_of_a_rebuild_that_the_former_one_left() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, rebuild(1), 1_000), "draining", &["drain"])
        .restart(BOOT, Some(1), 1, "draining", &["drain"])
        .then(Event::Drained, "stopping", &["stop"])
        .restart(BOOT, Some(1), 1, "stopping", &["stop"])
        .then(Event::Stopped, "emptying", &["set data aside"])
        // It was set aside, or a part of it was, and that was never written down.
        .restart(BOOT, None, 1, "emptying", &["set data aside"])
        // Whoever started a process now: nothing is moved under it.
        .restart(BOOT, Some(1), 1, "stopping", &["stop"])
        .then(Event::Stopped, "emptying", &["set data aside"])
        .then(Event::DataMoved, "swapping", &["swap to 2"])
        .restart(BOOT, None, 1, "swapping", &["swap to 2"])
        .restart(BOOT, None, 2, "starting", &["start 2"])
        .restart(BOOT, Some(2), 2, "rejoining", &["join"])
        .then(Event::Rejoined, "verifying", &["verify"])
        .restart(BOOT, Some(2), 2, "rejoining", &["join"])
        .then(Event::Rejoined, "verifying", &["verify"])
        .then(ready(2), "serving", &[])
        .restart(BOOT, Some(2), 2, "serving", &[]);
    story.ended(OrderResult::Done, "");
}

#[test]
fn a_new_agent_takes_up_the_way_back_of_a_rebuild() {
    let mut story = rebuilding();
    story
        .then(started(2), "rejoining", &["join"])
        .then(exited(), "stopping", &["stop"])
        .restart(BOOT, None, 2, "stopping", &["stop"])
        .then(Event::Stopped, "emptying", &["put data back"])
        .restart(BOOT, None, 2, "emptying", &["put data back"])
        .then(Event::DataMoved, "swapping", &["swap to 1"])
        .restart(BOOT, None, 2, "swapping", &["swap to 1"])
        .restart(BOOT, None, 1, "starting", &["start 1"])
        .restart(BOOT, Some(1), 1, "rejoining", &["cancel drain"])
        .then(Event::Rejoined, "verifying", &["verify"])
        // That it stays was said and need not be said again.
        .restart(BOOT, Some(1), 1, "verifying", &["verify"])
        .then(ready(1), "serving", &[]);
    story.ended(
        OrderResult::Reverted,
        "the process ended before it was ready: exit status 1",
    );
}

#[test]
fn a_process_that_is_gone_when_the_agent_comes_back_to_draining_it_is_started_again() {
    let mut story = Story::of(serving());
    story
        .then(desired(1, rebuild(1), 1_000), "draining", &["drain"])
        .restart(BootId([2; 16]), None, 1, "starting", &["start 1"])
        .then(started(1), "rejoining", &["cancel drain"]);
}

#[test]
fn a_rebuild_whose_time_ran_out_after_the_swap_without_a_fallback_does_not_get_the_old_data() {
    let mut story = Story::of(serving());
    story
        .then(
            desired(1, without_fallback(rebuild(1)), 1_000),
            "draining",
            &["drain"],
        )
        .then(Event::Drained, "stopping", &["stop"])
        .then(Event::Stopped, "emptying", &["set data aside"])
        .then(Event::DataMoved, "swapping", &["swap to 2"])
        .at(60_000)
        .restart(BOOT, None, 2, "failed", &[]);
}

#[test]
fn a_newer_order_takes_over_while_the_data_is_in_its_place_and_waits_while_it_is_not() {
    let mut story = Story::of(serving());
    let mut stay = without_fallback(order(2));
    stay.release = release(1);
    story
        .then(desired(1, rebuild(1), 1_000), "draining", &["drain"])
        .then(desired(1, stay.clone(), 1_000), "stopping", &["stop"])
        .then(Event::Stopped, "starting", &["start 1"])
        .then(started(1), "rejoining", &["cancel drain"]);

    let mut story = rebuilding();
    story.then(desired(1, stay.clone(), 1_000), "starting", &[]);
    let waits = Refusal::DataAside {
        generation: 2,
        under_way: 1,
    };
    assert_eq!(story.state.refusal, Some(waits.clone()));
    story
        .then(started(2), "rejoining", &["join"])
        .then(exited(), "stopping", &["stop"])
        .then(desired(1, stay.clone(), 1_000), "stopping", &[]);
    assert_eq!(story.state.refusal, Some(waits));
    story
        .then(Event::Stopped, "emptying", &["put data back"])
        .then(Event::DataMoved, "swapping", &["swap to 1"])
        .then(Event::Swapped, "starting", &["start 1"])
        .then(started(1), "rejoining", &["cancel drain"])
        .then(Event::Rejoined, "verifying", &["verify"])
        .then(ready(1), "serving", &[])
        .then(desired(1, stay, 1_000), "stopping", &["stop"]);
}

#[test]
fn a_rebuild_that_is_not_allowed_is_refused() {
    let refused = |order| {
        let incoming = Incoming {
            order,
            answers_clock_ms: 1_000,
            begin_within_ms: 30_000,
            missing: None,
            obstacle: Some("it is not allowed".to_owned()),
        };
        let mut story = Story::of(serving());
        let event = Event::Desired {
            epoch: 1,
            incoming: Some(incoming),
            hold: Hold::default(),
            finalize: None,
        };
        story.then(event, "serving", &[]);
        assert_eq!(story.durable.fence.generation(), 0);
        story.state.refusal.unwrap().to_string()
    };
    assert_eq!(
        refused(rebuild(1)),
        "order 1 needs the instance to be rebuilt: it is not allowed"
    );
}

#[test]
fn which_orders_may_need_the_data_set_aside() {
    assert!(!order(1).may_empty());
    assert!(rebuild(1).may_empty());
    let mut back = order(1);
    back.fallback.as_mut().unwrap().method = Method::Rebuild;
    assert!(back.may_empty());
}
