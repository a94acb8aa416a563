//! An agent that may die at any moment, on a host that only does what the core says.

use crate::support::{BOOT, desired, order, release};
use evenkeel_agent_core::{
    Action, Event, OrderResult, Phase, Record, RestartPolicy, State, Status, StepName, step,
};
use proptest::prelude::*;

/// What a host really has, under an agent that carries out what the core decides.
struct Host {
    state: State,
    durable: Record,
    process: Option<u8>,
    current: u8,
    now: u64,
    /// Releases that start but never answer their probes.
    sick: Vec<u8>,
    /// Releases that end as soon as they are started.
    broken: Vec<u8>,
    /// Every (generation, release) that was swapped to, in order.
    swaps: Vec<(u64, u8)>,
    accepted: (u64, u64),
}

/// How far the agent gets with a transition before it dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    None,
    BeforeTheRecord,
    AfterTheRecord,
    AfterTheEffect,
}

impl Host {
    fn new(sick: Vec<u8>, broken: Vec<u8>) -> Self {
        let state = State::new(RestartPolicy::default());
        let mut host = Self {
            durable: Record::of(&state),
            state,
            process: Some(1),
            current: 1,
            now: 1_000,
            sick,
            broken,
            swaps: Vec::new(),
            accepted: (0, 0),
        };
        host.begin();
        host
    }

    /// A new agent starts.
    fn begin(&mut self) {
        self.state = self.durable.clone().revive(RestartPolicy::default());
        let found = Event::Recovered {
            boot: BOOT,
            process: self.process.map(release),
            current: Some(release(self.current)),
        };
        self.tell(found, Death::None);
    }

    fn tell(&mut self, event: Event, death: Death) {
        let transition = step(&self.state, event, self.now).unwrap();
        if matches!(death, Death::BeforeTheRecord) {
            return self.begin();
        }
        if let Some(record) = transition.record {
            let accepted = (record.fence.epoch, record.fence.generation());
            assert!(
                accepted.0 >= self.accepted.0 && accepted.1 >= self.accepted.1,
                "the fence fell"
            );
            self.accepted = accepted;
            self.durable = record;
        }
        self.state = transition.state;
        if matches!(death, Death::AfterTheRecord) {
            return self.begin();
        }
        for action in transition.actions {
            let result = self.perform(&action);
            if matches!(death, Death::AfterTheEffect) {
                return self.begin();
            }
            if let Some(event) = result {
                self.tell(event, Death::None);
            }
        }
    }

    fn perform(&mut self, action: &Action) -> Option<Event> {
        match action {
            Action::EnsureStopped(ticket) => {
                assert!(ticket.is_backed_by(&self.durable));
                self.process = None;
                Some(Event::Stopped)
            }
            Action::SwapCurrent(ticket, release) => {
                assert!(ticket.is_backed_by(&self.durable));
                assert_eq!(self.process, None, "current changed under a process");
                self.current = u8::try_from(release.version.major).unwrap();
                self.swaps.push((ticket.generation, self.current));
                Some(Event::Swapped)
            }
            Action::Start(ticket, release) => {
                assert!(ticket.is_backed_by(&self.durable));
                let major = u8::try_from(release.version.major).unwrap();
                assert_eq!(
                    major, self.current,
                    "something else than current is started"
                );
                if self.process.is_some() {
                    return Some(Event::Started {
                        running: crate::support::release(self.process?),
                    });
                }
                if self.broken.contains(&major) {
                    return Some(Event::StartFailed {
                        reason: "broken".to_owned(),
                    });
                }
                self.process = Some(major);
                Some(Event::Started {
                    running: crate::support::release(major),
                })
            }
            Action::Verify => None,
        }
    }

    /// Lets time pass until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..50 {
            match self.process {
                Some(major) if !self.sick.contains(&major) => {
                    let ready = Event::Ready {
                        running: release(major),
                        stop_to_ready_us: 1,
                    };
                    self.tell(ready, Death::None);
                }
                Some(_) | None => {}
            }
            let Some(wake_at_ms) = self.state.wake_at_ms() else {
                return;
            };
            self.now = self.now.max(wake_at_ms);
            self.tell(
                Event::Tick {
                    trouble: String::new(),
                },
                Death::None,
            );
        }
        panic!("it does not end: {:?}", self.state);
    }
}

#[derive(Clone, Debug)]
enum Move {
    Order {
        epoch: u64,
        generation: u64,
        release: u8,
        fallback: Option<u8>,
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

fn moves() -> impl Strategy<Value = Vec<(Move, Death)>> {
    let order = (
        1..4_u64,
        1..6_u64,
        1..4_u8,
        proptest::option::of(1..4_u8),
        0..40_000_u64,
    )
        .prop_map(
            |(epoch, generation, release, fallback, late_ms)| Move::Order {
                epoch,
                generation,
                release,
                fallback,
                late_ms: if late_ms > 30_000 { late_ms } else { 0 },
            },
        );
    let one = prop_oneof![
        3 => order,
        1 => Just(Move::Crash),
        2 => (0..15_000_u64).prop_map(|ms| Move::Pass { ms }),
        2 => Just(Move::Answer),
    ];
    proptest::collection::vec((one, death()), 1..40)
}

fn few() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1..4_u8, 0..2)
}

proptest! {
    #[test]
    fn whatever_happens_the_fence_never_falls_and_it_ends(moves in moves(), sick in few(), broken in few()) {
        let mut host = Host::new(sick, broken);
        for (one, death) in moves {
            match one {
                Move::Order { epoch, generation, release: major, fallback, late_ms } => {
                    host.now += late_ms;
                    let mut order = order(generation);
                    order.release = release(major);
                    order.fallback = fallback.map(release);
                    host.tell(desired(epoch, order, host.now - late_ms), death);
                }
                Move::Crash if host.process.is_some() => {
                    host.process = None;
                    host.tell(Event::Exited { reason: "killed".to_owned() }, death);
                }
                Move::Pass { ms } => {
                    host.now += ms;
                    host.tell(Event::Tick { trouble: String::new() }, death);
                }
                Move::Answer => {
                    if let Some(major) = host.process.filter(|major| !host.sick.contains(major)) {
                        host.tell(Event::Ready { running: release(major), stop_to_ready_us: 1 }, death);
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
        // It is down only where it says so.
        prop_assert!(host.process.is_some() || host.state.status() == Status::Error);
    }

    #[test]
    fn an_order_that_a_crash_interrupts_anywhere_ends_like_one_that_is_not(
        first in death(), second in death(), sick in any::<bool>(), broken in any::<bool>(),
    ) {
        let bad = |is: bool| if is { vec![2] } else { Vec::new() };
        let mut host = Host::new(bad(sick), bad(broken));
        host.tell(desired(1, order(1), host.now), first);
        // An agent that died before it wrote anything down is told again.
        host.tell(desired(1, order(1), host.now), second);
        if host.durable.fence.generation() == 0 {
            host.tell(desired(1, order(1), host.now), Death::None);
        }
        host.settle();
        let (running, result) = if sick || broken { (1, OrderResult::Reverted) } else { (2, OrderResult::Done) };
        prop_assert_eq!(host.process, Some(running));
        prop_assert_eq!(host.current, running);
        let progress = host.state.progress().unwrap();
        prop_assert_eq!((progress.step, progress.result), (StepName::Ended, Some(result)));
        prop_assert!(matches!(host.state.phase, Phase::Serving(_)));
        prop_assert_eq!(host.durable.clone().revive(RestartPolicy::default()).progress(), Some(progress));
    }
}
