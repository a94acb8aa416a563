//! What a new agent does that finds no process, told step by step.

use crate::{
    story::{Story, exited, started, tick},
    support::{desired, order, recovered},
};
use evenkeel_agent_core::{Event, Settings, State, Status};

/// A new agent that found no process, at 1,000 ms.
fn found_nothing() -> Story {
    let mut story = Story::of(State::new(Settings {
        start_alone_after_ms: 60_000,
        ..Settings::default()
    }));
    story.then(recovered(None, Some(1)), "serving", &[]);
    story
}

fn word(hold: Option<&str>) -> Event {
    Event::Desired {
        epoch: 1,
        incoming: None,
        hold: hold.map(str::to_owned),
        finalize: None,
    }
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
    let mut of = |epoch, hold: Option<&str>, actions: &[&str]| {
        let event = Event::Desired {
            epoch,
            incoming: None,
            hold: hold.map(str::to_owned),
            finalize: None,
        };
        story.then(event, "serving", actions);
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
    story.then(exited(), "serving", &[]);
    story
        .at(story.state.wake_at_ms().unwrap())
        .then(tick(), "serving", &[]);
    assert_eq!(story.state.status(), Status::Stopped);
}
