//! What a new agent does that finds no process, told step by step.

use crate::{
    story::{Story, exited, started, tick},
    support::{BOOT, desired, order, recovered},
};
use evenkeel_agent_core::{BootId, Event, Hold, Settings, State, Status};

/// A new agent that found no process, at 1,000 ms.
fn found_nothing() -> Story {
    let mut story = Story::of(State::new(Settings {
        start_alone_after_ms: 60_000,
        ..Settings::default()
    }));
    story.then(recovered(None, Some(1)), "serving", &[]);
    story
}

fn hold(word: u64, reason: Option<&str>) -> Hold {
    Hold {
        word,
        reason: reason.map(str::to_owned),
    }
}

fn said(epoch: u64, hold: Hold) -> Event {
    Event::Desired {
        epoch,
        incoming: None,
        hold,
        finalize: None,
    }
}

fn word(reason: Option<&str>) -> Event {
    said(1, hold(1, reason))
}

#[test]
fn the_coordinators_first_word_starts_it() {
    let mut story = found_nothing();
    assert_eq!(story.state.wake_at_ms(), Some(61_000));
    assert!(story.state.reason().contains("word"));
    story.then(word(None), "serving", &["start 1"]);
}

#[test]
fn it_starts_alone_when_nobody_says_anything() {
    found_nothing()
        .at(60_999)
        .then(tick(), "serving", &[])
        .at(61_000)
        .then(tick(), "serving", &["start 1"])
        .then(started(1), "serving", &[]);
}

#[test]
fn one_that_is_held_stays_down_until_that_is_lifted() {
    let mut story = found_nothing();
    story.then(word(Some("it may not meet 2.0.0")), "serving", &[]);
    assert_eq!(story.state.status(), Status::Stopped);
    assert_eq!(story.state.reason(), "held down: it may not meet 2.0.0");
    assert_eq!(story.state.wake_at_ms(), None);
    story
        .at(900_000)
        .then(tick(), "serving", &[])
        .then(word(None), "serving", &["start 1"]);
}

#[test]
fn an_order_ends_a_hold() {
    let mut story = found_nothing();
    story
        .then(word(Some("it may not meet 2.0.0")), "serving", &[])
        .then(desired(1, order(1), 1_000), "stopping", &["stop"]);
}

#[test]
fn a_word_that_is_fenced_is_not_heard() {
    let mut story = found_nothing();
    let mut of = |epoch, reason: Option<&str>, actions: &[&str]| {
        story.then(said(epoch, hold(1, reason)), "serving", actions);
    };
    of(5, Some("wait"), &[]);
    of(4, None, &[]);
    of(5, None, &["start 1"]);
}

#[test]
fn a_hold_does_not_stop_what_runs_and_keeps_down_what_ends() {
    let mut story = found_nothing();
    story
        .then(word(None), "serving", &["start 1"])
        .then(started(1), "serving", &[])
        .then(word(Some("wait")), "serving", &[]);
    assert_eq!(story.state.status(), Status::Running);
    assert!(!story.state.is_held());
    story.then(exited(), "serving", &[]);
    assert_eq!(story.state.status(), Status::Stopped);
    assert!(story.state.is_held());
}

#[test]
fn what_waits_for_its_restart_is_held_at_once() {
    let mut story = found_nothing();
    story
        .then(word(None), "serving", &["start 1"])
        .then(started(1), "serving", &[])
        .then(exited(), "serving", &[])
        .then(word(Some("wait")), "serving", &[]);
    assert!(story.state.is_held());
    story.then(said(1, hold(2, None)), "serving", &["start 1"]);
}

#[test]
fn an_older_word_is_not_heeded_but_in_a_later_epoch() {
    let mut story = found_nothing();
    story
        .then(said(1, hold(7, Some("wait"))), "serving", &[])
        .then(said(1, hold(6, None)), "serving", &[]);
    assert!(story.state.is_held());
    story.then(said(2, hold(6, None)), "serving", &["start 1"]);
}

#[test]
fn a_hold_outlives_the_agent_and_the_boot() {
    let mut story = found_nothing();
    story
        .then(word(Some("wait")), "serving", &[])
        .restart(BOOT, None, 1, "serving", &[])
        .restart(BootId([2; 16]), None, 1, "serving", &[])
        .at(900_000)
        .then(tick(), "serving", &[]);
    assert!(story.state.is_held());
    story.then(word(None), "serving", &["start 1"]);
}

#[test]
fn one_that_is_held_stays_down_when_its_order_fails_and_it_has_nothing_to_go_back_to() {
    let mut story = found_nothing();
    let mut order = order(1);
    order.fallback = None;
    let Event::Desired { incoming, .. } = desired(1, order, 1_000) else {
        panic!("it is an order");
    };
    let held = hold(1, Some("wait"));
    let ordered = Event::Desired {
        epoch: 1,
        incoming,
        hold: held.clone(),
        finalize: None,
    };
    let failed = Event::StartFailed {
        reason: "no such file".to_owned(),
    };
    story
        .then(said(1, held), "serving", &[])
        .then(ordered, "stopping", &["stop"]);
    assert!(story.state.is_held());
    story
        .then(Event::Stopped, "swapping", &["swap to 2"])
        .then(Event::Swapped, "starting", &["start 2"])
        .then(failed, "failed", &[])
        .at(900_000)
        .then(tick(), "failed", &[]);
    assert!(story.state.is_held());
    story.then(said(1, hold(2, None)), "failed", &["start 2"]);
}
