//! An agent that may die at any moment, on a host that only does what the core says; [`Host`] holds it to that
//! with each action.

use crate::{
    host::{Death, Host, Ills},
    support::{WITH_DRIVER, desired, order, release},
};
use evenkeel_agent_core::{
    Event, Fallback, Method, Order, OrderResult, Phase, Run, Settings, Status, StepName,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Move {
    Order {
        epoch: u64,
        order: Order,
        late_ms: u64,
    },
    Crash,
    Pass {
        ms: u64,
    },
    Answer,
}

fn death() -> impl Strategy<Value = Death> {
    prop_oneof![
        4 => Just(Death::None),
        1 => Just(Death::BeforeTheRecord),
        1 => Just(Death::AfterTheRecord),
        1 => Just(Death::AfterTheEffect),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![Just(Method::InPlace), Just(Method::Rebuild)]
}

fn any_order() -> impl Strategy<Value = Order> {
    let fallback = (1..4_u8, method()).prop_map(|(major, method)| Fallback {
        release: release(major),
        method,
    });
    let back = proptest::bool::weighted(0.2);
    (
        1..6_u64,
        1..4_u8,
        method(),
        proptest::option::of(fallback),
        back,
    )
        .prop_map(|(generation, major, method, fallback, way_back)| Order {
            release: release(major),
            method,
            fallback,
            way_back,
            ..order(generation)
        })
}

fn moves() -> impl Strategy<Value = Vec<(Move, Death)>> {
    let order =
        (1..4_u64, any_order(), 0..40_000_u64).prop_map(|(epoch, order, late_ms)| Move::Order {
            epoch,
            order,
            late_ms: if late_ms > 30_000 { late_ms } else { 0 },
        });
    let one = prop_oneof![
        3 => order,
        1 => Just(Move::Crash),
        2 => (0..15_000_u64).prop_map(|ms| Move::Pass { ms }),
        3 => Just(Move::Answer),
    ];
    proptest::collection::vec((one, death()), 1..40)
}

fn ills() -> impl Strategy<Value = Ills> {
    let few = || proptest::collection::vec(1..4_u8, 0..2);
    let gates = (any::<bool>(), any::<bool>(), few(), few());
    (few(), few(), any::<bool>(), 0..3_u32, gates).prop_map(
        |(sick, broken, undrainable, stuck_moves, (unstoppable, unquiescable, behind, lying))| {
            Ills {
                sick,
                broken,
                undrainable,
                stuck_moves,
                unstoppable,
                unquiescable,
                behind,
                lying,
            }
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    prop_oneof![Just(Settings::default()), Just(WITH_DRIVER)]
}

proptest! {
    #[test]
    fn whatever_happens_the_fence_never_falls_and_it_ends(moves in moves(), ills in ills(), settings in settings()) {
        let mut host = Host::new(ills, settings);
        for (one, death) in moves {
            match one {
                Move::Order { epoch, order, late_ms } => {
                    host.now += late_ms;
                    host.tell(desired(epoch, order, host.now - late_ms), death);
                }
                Move::Crash if host.process.is_some() => {
                    host.end_process();
                    host.tell(Event::Exited { reason: "killed".to_owned() }, death);
                }
                Move::Pass { ms } => {
                    host.now += ms;
                    host.tell(Event::Tick { trouble: String::new() }, death);
                }
                Move::Answer => {
                    if let Some(event) = host.answer() {
                        host.tell(event, death);
                    }
                }
                Move::Crash => {}
            }
        }
        host.settle();
        prop_assert!(host.state.phase.journey().is_none());
        // An order swaps forward at most once and back at most once, however often its agent died.
        for generation in 1..6_u64 {
            let of_it = host.swaps.iter().filter(|(g, _)| *g == generation).count();
            prop_assert!(of_it <= 2, "{:?}", host.swaps);
        }
        // It is down only where it says so, and has forgotten no drain.
        prop_assert!(host.process.is_some() || host.state.status() == Status::Error);
        prop_assert!(!host.drained || host.state.drained);
        prop_assert_eq!(host.durable.drained, host.state.drained);
        // Nothing that serves is left quiesced, and what is, is known.
        prop_assert!(!host.quiesced || host.durable.quiesced);
        let serves = matches!(&host.state.phase, Phase::Serving(service) if service.run == Run::Up);
        prop_assert!(!serves || !host.durable.quiesced);
    }

    #[test]
    fn an_order_that_a_crash_interrupts_anywhere_ends_like_one_that_is_not(
        ordered in any_order(), deaths in proptest::collection::vec(death(), 8),
        sick in any::<bool>(), broken in any::<bool>(), undrainable in any::<bool>(), stuck_moves in 0..2_u32,
        settings in settings(), unstoppable in any::<bool>(), unquiescable in any::<bool>(),
        behind in any::<bool>(), lying in any::<bool>(),
    ) {
        let bad = |is: bool| if is { vec![2] } else { Vec::new() };
        let order = Order {
            release: release(2),
            fallback: Some(Fallback {
                release: release(1),
                method: ordered.fallback.map_or(Method::InPlace, |fallback| fallback.method),
            }),
            method: ordered.method,
            ..order(1)
        };
        let rebuild = order.method == Method::Rebuild;
        let ills = Ills {
            sick: bad(sick), broken: bad(broken), undrainable, stuck_moves,
            unstoppable, unquiescable, behind: bad(behind), lying: bad(lying),
        };
        let mut host = Host::new(ills, settings);
        // An agent that died before it wrote anything down is told again.
        let mut deaths = deaths.into_iter();
        while host.durable.fence.generation() == 0 {
            let death = deaths.next().unwrap_or(Death::None);
            host.tell(desired(1, order.clone(), host.now), death);
        }
        for death in deaths {
            if let Some(event) = host.answer() {
                host.tell(event, death);
            }
        }
        host.settle();
        let untouchable = settings.driver && (unstoppable || unquiescable);
        // What was drained is told that it stays, as on any way back.
        let declined = untouchable && !rebuild;
        let fails = sick || broken || (rebuild && (undrainable || untouchable || stuck_moves > 0))
            || (settings.driver && (behind || lying));
        let (running, result) = match (declined, fails) {
            (true, _) => (1, OrderResult::Declined),
            (false, true) => (1, OrderResult::Reverted),
            (false, false) => (2, OrderResult::Done),
        };
        prop_assert_eq!(host.process, Some(running));
        prop_assert_eq!(host.current, running);
        let from_empty = order.fallback.unwrap().method == Method::Rebuild;
        let emptied = match result {
            OrderResult::Declined => false,
            OrderResult::Reverted => !rebuild && from_empty,
            OrderResult::Done | OrderResult::Failed => rebuild,
        };
        prop_assert_eq!(host.folders[0].begun_by, u64::from(emptied));
        // What was there before is in its place or set aside.
        prop_assert_eq!(host.aside[0].get(&1).map(|data| data.begun_by), emptied.then_some(0));
        let progress = host.state.progress().unwrap();
        prop_assert_eq!((progress.step, progress.result), (StepName::Ended, Some(result)));
        prop_assert!(matches!(host.state.phase, Phase::Serving(_)));
        prop_assert!(!host.drained && !host.quiesced && !host.durable.quiesced);
        prop_assert_eq!(host.durable.clone().revive(Settings::default()).progress(), Some(progress));
    }
}
