//! The agent dies at each of its failpoints, as if the power went; a new one takes up what it left.

use evenkeel_agent::failpoints;
use evenkeel_common::manifest::ArchiveFormat;
use evenkeel_proto::v1::OrderResult;

use crate::support::{
    Agent, Coordinator, Data, Flaw, Place, desired, order, outcome, rebuild, wait_for,
};

/// What is ordered, and how it has to end.
#[derive(Clone, Copy)]
struct Ordered {
    /// What the new release is like.
    mode: &'static str,
    /// How it is packed, if it is.
    packed: Option<ArchiveFormat>,
    /// By rebuild, on a store with data.
    rebuild: bool,
    /// In place, with a driver that is asked and answers so when it is to quiesce.
    quiesce: Option<&'static str>,
    result: OrderResult,
    ready_within_ms: u32,
}

const UPGRADE: Ordered = Ordered {
    mode: "good",
    packed: None,
    rebuild: false,
    quiesce: None,
    result: OrderResult::Done,
    ready_within_ms: 10_000,
};

const REBUILD: Ordered = Ordered {
    mode: "foreign",
    rebuild: true,
    ..UPGRADE
};

const REBUILD_UNDONE: Ordered = Ordered {
    mode: "broken",
    result: OrderResult::Reverted,
    ..REBUILD
};

/// One that gets as far as its join before it is undone.
const REBUILD_UNDONE_LATE: Ordered = Ordered {
    mode: "sick",
    ready_within_ms: 2_000,
    ..REBUILD_UNDONE
};

/// One whose storage system is asked.
const GATED: Ordered = Ordered {
    quiesce: Some("exit 0"),
    ..UPGRADE
};

/// One whose process cannot be made ready to be stopped.
const DECLINED: Ordered = Ordered {
    quiesce: Some("exit 7"),
    result: OrderResult::Declined,
    ..UPGRADE
};

/// One whose release has to be unpacked.
const PACKED: Ordered = Ordered {
    packed: Some(ArchiveFormat::TarZst),
    ..UPGRADE
};

/// Upgrades an instance with an agent that dies at this place on the way, or never gets there.
#[track_caller]
fn upgrade_with_a_death_at(failpoint: &str, ordered: Ordered) {
    let place = Place::new();
    let coordinator = Coordinator::start(&place, 1);
    let data = ordered.rebuild.then(|| Data::new(&place));
    let gates = ordered.quiesce.map(|answer| {
        let data = Data::new(&place);
        data.answer("quiesce", answer);
        data
    });
    let extra = data.as_ref().map(|data| data.extra("1h"));
    let extra = extra.or_else(|| gates.as_ref().map(Data::extra_without_leave));
    place.configure(coordinator.address, &extra.unwrap_or_default());
    let old = place.program("1.0.0", "good");
    let new = match ordered.packed {
        None => place.program("1.1.0", ordered.mode),
        Some(format) => place.packed("1.1.0", ordered.mode, format),
    };
    coordinator.offer(&new, Flaw::None);
    // Getting the instance to run is not what this is about.
    let mut agent = Agent::start(&place);
    let first = agent.wait_until_it_serves("1.0.0");
    agent.restart_with(failpoint);
    let expected = if ordered.result == OrderResult::Done {
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
                // Whatever the moment: what is current is whole, no process died with the agent, and no data.
                place.current();
                if let Some(data) = &data {
                    data.whereabouts();
                }
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
                let mut order = match ordered.rebuild {
                    true => rebuild(1, &new, Some(&old)),
                    false => order(1, &new, Some(&old)),
                };
                order.ready_within_ms = ordered.ready_within_ms;
                coordinator.try_to_desire(desired(&[&new], Some(order)));
            }
            (outcome(&report, 1) == Some(ordered.result) && deaths == 1).then_some(())
        },
    );
    assert_eq!(deaths, 1, "the agent never got to {failpoint}");
    assert_eq!(place.current(), expected);
    let last = agent.wait_until_it_serves(expected);
    assert_eq!(first.is_alive(), ordered.result == OrderResult::Declined);
    assert!(storage == first || storage == last || !storage.is_alive());
    if let Some(gates) = gates {
        let verbs = gates.all_verbs();
        let last = |verb: &str| verbs.iter().rposition(|asked| asked == verb);
        assert!(last("quiesce") < last("unquiesce"), "{verbs:?}");
        if ordered.result == OrderResult::Done {
            assert!(last("unquiesce") < last("recovered"), "{verbs:?}");
        }
    }
    if let Some(data) = data {
        data.assert_mode();
        let (at, left) = match ordered.result {
            OrderResult::Done => (".before-1", vec!["written-by-1.1.0"]),
            _ => ("", vec!["blob", "written-by-1.0.0"]),
        };
        assert_eq!(data.whereabouts(), at);
        assert_eq!(data.names("").unwrap(), left);
        // Whatever it was told, the storage system knows in the end that the instance is there.
        let verbs = data.verbs();
        let told_last = verbs.last().map(String::as_str);
        match ordered.result {
            OrderResult::Done => assert_eq!(told_last, Some("join")),
            _ => assert_eq!(told_last, Some("cancel-drain")),
        }
    }
}

macro_rules! deaths {
    ($ordered:expr; $($test:ident: $place:expr;)*) => {$(
        #[test]
        fn $test() {
            upgrade_with_a_death_at($place, $ordered);
        }
    )*};
}

deaths! {
    UPGRADE;
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

deaths! {
    REBUILD;
    before_a_rebuild_is_accepted: failpoints::JOURNAL_DRAINING[0];
    after_a_rebuild_is_accepted: failpoints::JOURNAL_DRAINING[1];
    before_a_drain: failpoints::DRAIN[0];
    after_a_drain: failpoints::DRAIN[1];
    of_a_rebuild_before_the_stop_is_meant: "journal.stopping.before";
    of_a_rebuild_after_the_stop_is_meant: "journal.stopping.after";
    of_a_rebuild_before_the_stop_signal: "stop.before";
    of_a_rebuild_after_the_stop_signal: "stop.after";
    before_emptying_is_meant: failpoints::JOURNAL_EMPTYING[0];
    after_emptying_is_meant: failpoints::JOURNAL_EMPTYING[1];
    before_the_data_is_set_aside: failpoints::SET_ASIDE[0];
    in_the_middle_of_setting_the_data_aside: failpoints::SET_ASIDE[1];
    after_the_data_was_set_aside: failpoints::SET_ASIDE[2];
    of_a_rebuild_before_the_swap_is_meant: "journal.swapping.before";
    of_a_rebuild_after_the_swap_is_meant: "journal.swapping.after";
    of_a_rebuild_before_the_swap: "swap.before";
    of_a_rebuild_after_the_swap: "swap.after";
    of_a_rebuild_before_the_start_is_meant: "journal.starting.before";
    of_a_rebuild_after_the_start_is_meant: "journal.starting.after";
    of_a_rebuild_before_the_start: "start.before";
    of_a_rebuild_in_the_middle_of_the_start: "start.begun";
    of_a_rebuild_after_the_start: "start.after";
    before_a_join: failpoints::REJOIN[0];
    after_a_join: failpoints::REJOIN[1];
    of_a_rebuild_before_the_end_is_written_down: "journal.settled.before";
    of_a_rebuild_after_the_end_is_written_down: "journal.settled.after";
}

deaths! {
    REBUILD_UNDONE;
    before_the_way_back_of_a_rebuild: "journal.stopping.before@2";
    after_the_way_back_of_a_rebuild_is_meant: "journal.stopping.after@2";
    before_putting_back_is_meant: "journal.emptying.before@2";
    after_putting_back_is_meant: "journal.emptying.after@2";
    before_the_data_is_put_back: failpoints::PUT_BACK[0];
    in_the_middle_of_putting_the_data_back: failpoints::PUT_BACK[1];
    after_the_data_was_put_back: failpoints::PUT_BACK[2];
    before_the_swap_back_is_meant: "journal.swapping.before@2";
    before_the_swap_back: "swap.before@2";
    after_the_swap_back: "swap.after@2";
    before_the_start_of_the_old_release: "start.before@2";
    of_a_rebuild_before_it_is_written_down_that_it_was_undone: "journal.settled.before";
}

deaths! {
    REBUILD_UNDONE_LATE;
    before_a_drain_is_cancelled: "rejoin.before@2";
    after_a_drain_is_cancelled: "rejoin.after@2";
}

deaths! {
    GATED;
    before_it_is_written_down_that_is_asked: failpoints::JOURNAL_ASKING[0];
    after_it_is_written_down_that_is_asked: failpoints::JOURNAL_ASKING[1];
    before_the_storage_system_is_asked: failpoints::ASK[0];
    after_the_storage_system_was_asked: failpoints::ASK[1];
    before_quiescing_is_meant: failpoints::JOURNAL_QUIESCING[0];
    after_quiescing_is_meant: failpoints::JOURNAL_QUIESCING[1];
    before_it_is_quiesced: failpoints::QUIESCE[0];
    after_it_was_quiesced: failpoints::QUIESCE[1];
    before_its_version_is_asked: failpoints::VERSION[0];
    after_its_version_was_told: failpoints::VERSION[1];
    before_it_is_unquiesced: failpoints::UNQUIESCE[0];
    after_it_was_unquiesced: failpoints::UNQUIESCE[1];
    before_it_has_recovered: failpoints::RECOVERED[0];
    after_it_has_recovered: failpoints::RECOVERED[1];
    of_one_that_was_asked_before_the_stop_signal: "stop.before";
    of_one_that_was_asked_after_the_start: "start.after";
    of_one_that_was_asked_before_the_end_is_written_down: "journal.settled.before";
}

deaths! {
    DECLINED;
    before_declining_is_meant: failpoints::JOURNAL_DECLINING[0];
    after_declining_is_meant: failpoints::JOURNAL_DECLINING[1];
    of_one_that_is_declined_before_it_is_unquiesced: "unquiesce.before";
    of_one_that_is_declined_before_the_end_is_written_down: "journal.settled.before";
}

deaths! {
    PACKED;
    before_a_release_is_unpacked: failpoints::UNPACK[0];
    with_a_release_half_unpacked: failpoints::UNPACK[1];
    once_a_release_is_unpacked: failpoints::UNPACK[2];
    before_what_was_unpacked_is_a_release: "install.before";
    once_what_was_unpacked_is_a_release: "install.after";
    with_a_release_that_was_unpacked_half_current: "swap.after";
}

deaths! {
    UPGRADE;
    in_the_middle_of_the_first_record: failpoints::JOURNAL_TORN;
    in_the_middle_of_the_second_record: "journal.torn@2";
    in_the_middle_of_the_third_record: "journal.torn@3";
    in_the_middle_of_the_fourth_record: "journal.torn@4";
}

#[test]
fn every_failpoint_has_a_test() {
    let source = include_str!("crashes.rs");
    let listed: Vec<&str> = [
        failpoints::OF_EVERY_ORDER.as_slice(),
        &failpoints::OF_REBUILDS,
        &failpoints::OF_GATES,
        &failpoints::OF_DECLINED,
        &failpoints::OF_RECORDS,
        &failpoints::OF_TREES,
    ]
    .concat();
    for name in &listed {
        let (group, at) = name.rsplit_once('.').unwrap();
        let index = match at {
            "before" => "[0]",
            "begun" => "[1]",
            "after" if ["start", "set_aside", "put_back", "unpack"].contains(&group) => "[2]",
            "torn" => "_TORN",
            _ => "[1]",
        };
        let constant = format!(
            "failpoints::{}{index};",
            group.replace('.', "_").to_uppercase()
        );
        assert!(source.contains(&constant), "{constant}");
    }
    // And none is left out of the lists; the whole-system tests go through those of what is made final.
    let listed = [listed.as_slice(), &failpoints::OF_FINALIZING].concat();
    let declared = include_str!("../../src/failpoints.rs").split('"').skip(1);
    for name in declared.step_by(2) {
        assert!(listed.contains(&name), "{name} is in no list");
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
        let undone = Ordered {
            rebuild: false,
            ..REBUILD_UNDONE
        };
        upgrade_with_a_death_at(failpoint, undone);
    }
}
