//! The agent dies at each of its failpoints, as if the power went; a new one takes up what it left.

use evenkeel_agent::failpoints;
use evenkeel_proto::v1::OrderResult;

use crate::support::{Agent, Coordinator, Flaw, Place, desired, order, outcome, wait_for};

/// Upgrades an instance with an agent that dies at this place on the way, or never gets there.
#[track_caller]
fn upgrade_with_a_death_at(failpoint: &str, mode: &str, result: OrderResult) {
    let place = Place::new();
    let coordinator = Coordinator::start(&place, 1);
    place.configure(coordinator.address, "");
    let (old, new) = (place.program("1.0.0", "good"), place.program("1.1.0", mode));
    coordinator.offer(&new, Flaw::None);
    // Getting the instance to run is not what this is about.
    let mut agent = Agent::start(&place);
    let first = agent.wait_until_it_serves("1.0.0");
    agent.restart_with(failpoint);
    let expected = if result == OrderResult::Done {
        "1.1.0"
    } else {
        "1.0.0"
    };
    let mut deaths = 0;
    let mut hellos = 0;
    let mut storage = first;
    wait_for(
        &format!("the order to end, with a death at {failpoint}"),
        || {
            if agent.has_ended() {
                deaths += 1;
                // Whatever the moment: what is current is whole, and no process died with the agent.
                place.current();
                let before = agent.storage();
                agent.restart();
                if let Some(before) = before {
                    assert!(before.is_alive());
                    storage = before;
                }
            }
            // A coordinator says what it wants to each new session, and whenever it hears something.
            if coordinator.hellos() > hellos {
                hellos = coordinator.hellos();
                coordinator.try_to_desire(desired(&[&new], None));
            }
            let report = coordinator.report()?;
            let at_hand = report
                .staged
                .iter()
                .any(|staged| staged.state() == evenkeel_proto::v1::StageState::Ready);
            if at_hand && report.accepted_generation == 0 {
                coordinator.try_to_desire(desired(&[&new], Some(order(1, &new, Some(&old)))));
            }
            (outcome(&report, 1) == Some(result) && deaths == 1).then_some(())
        },
    );
    assert_eq!(deaths, 1, "the agent never got to {failpoint}");
    assert_eq!(place.current(), expected);
    let last = agent.wait_until_it_serves(expected);
    assert!(!first.is_alive());
    assert!(storage == first || storage == last || !storage.is_alive());
}

macro_rules! deaths {
    ($($test:ident: $place:expr;)*) => {$(
        #[test]
        fn $test() {
            upgrade_with_a_death_at($place, "good", OrderResult::Done);
        }
    )*};
}

deaths! {
    before_a_download_is_a_release: failpoints::INSTALL[0];
    after_a_download_is_a_release: failpoints::INSTALL[1];
    before_the_order_is_accepted: failpoints::JOURNAL_STOPPING[0];
    after_the_order_is_accepted: failpoints::JOURNAL_STOPPING[1];
    before_the_stop_signal: failpoints::STOP[0];
    after_the_stop_signal: failpoints::STOP[1];
    before_the_swap_is_meant: failpoints::JOURNAL_SWAPPING[0];
    after_the_swap_is_meant: failpoints::JOURNAL_SWAPPING[1];
    before_the_swap: failpoints::SWAP[0];
    after_the_swap: failpoints::SWAP[1];
    before_the_start_is_meant: failpoints::JOURNAL_STARTING[0];
    after_the_start_is_meant: failpoints::JOURNAL_STARTING[1];
    before_the_start: failpoints::START[0];
    in_the_middle_of_the_start: failpoints::START[1];
    after_the_start: failpoints::START[2];
    before_the_end_is_written_down: failpoints::JOURNAL_SETTLED[0];
    after_the_end_is_written_down: failpoints::JOURNAL_SETTLED[1];
}

#[test]
fn every_failpoint_has_a_test() {
    let source = include_str!("crashes.rs");
    for name in failpoints::ALL {
        let (group, at) = name.rsplit_once('.').unwrap();
        let index = match at {
            "before" => 0,
            "begun" => 1,
            "after" if group == "start" => 2,
            _ => 1,
        };
        let constant = format!(
            "failpoints::{}[{index}];",
            group.replace('.', "_").to_uppercase()
        );
        assert!(source.contains(&constant), "{constant}");
    }
}

#[test]
fn a_death_on_the_way_back_does_not_keep_the_instance_from_coming_back() {
    for failpoint in [
        "journal.stopping.after@2",
        "swap.after@2",
        "start.begun@2",
        "journal.settled.before",
    ] {
        upgrade_with_a_death_at(failpoint, "broken", OrderResult::Reverted);
    }
}
