//! What a host really has, under an agent that carries out what the core decides and may die at any moment.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{BOOT, release};
use evenkeel_agent_core::{
    Action, DataMove, Event, Method, Phase, Record, Rejoin, Release, Settings, State, step,
};

/// How far the agent gets with a transition before it dies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Death {
    None,
    BeforeTheRecord,
    AfterTheRecord,
    AfterTheEffect,
}

/// What is in a data folder: whatever began there with the order of this generation, or ever (0).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) begun_by: u64,
    /// The releases that an order said may run on it.
    allowed: BTreeSet<u8>,
}

/// What does not work on a host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ills {
    /// Releases that start but never answer their probes.
    pub(crate) sick: Vec<u8>,
    /// Releases that end as soon as they are started.
    pub(crate) broken: Vec<u8>,
    /// Nothing can be drained.
    pub(crate) undrainable: bool,
    /// The storage system never lets a process be stopped.
    pub(crate) unstoppable: bool,
    /// Nothing can be quiesced.
    pub(crate) unquiescable: bool,
    /// Releases that answer their probes and are never whole again among the others.
    pub(crate) behind: Vec<u8>,
    /// Releases that say that they are another.
    pub(crate) lying: Vec<u8>,
    /// How many of the next moves of data fail half way.
    pub(crate) stuck_moves: u32,
}

/// A host with one instance, which has two data folders.
pub(crate) struct Host {
    pub(crate) state: State,
    pub(crate) durable: Record,
    pub(crate) process: Option<u8>,
    pub(crate) current: u8,
    pub(crate) now: u64,
    pub(crate) ills: Ills,
    pub(crate) folders: [Data; 2],
    /// What is set aside of each folder, by generation.
    pub(crate) aside: [BTreeMap<u64, Data>; 2],
    /// The storage system moved away what the instance serves, and was not told that it stays or is back.
    pub(crate) drained: bool,
    /// The storage system made the process ready to be stopped, and was not told that it is back.
    pub(crate) quiesced: bool,
    /// Which start of a process the driver is being asked about, while it is.
    asked_of: Option<u32>,
    /// How often a process was started.
    starts: u32,
    /// The process has served since it was started.
    has_served: bool,
    /// The newest order for which the storage system gave leave to stop the process.
    leave_for: Option<u64>,
    settings: Settings,
    /// Every (generation, release) that was swapped to, in order.
    pub(crate) swaps: Vec<(u64, u8)>,
    accepted: (u64, u64),
}

fn major(release: &Release) -> u8 {
    u8::try_from(release.version.major).unwrap()
}

impl Host {
    pub(crate) fn new(ills: Ills, settings: Settings) -> Self {
        let state = State::new(settings);
        let before = Data {
            begun_by: 0,
            allowed: BTreeSet::from([1]),
        };
        let mut host = Self {
            durable: Record::of(&state),
            state,
            process: Some(1),
            current: 1,
            now: 1_000,
            ills,
            folders: [before.clone(), before],
            aside: [BTreeMap::new(), BTreeMap::new()],
            drained: false,
            quiesced: false,
            asked_of: None,
            starts: 0,
            has_served: true,
            leave_for: None,
            settings,
            swaps: Vec::new(),
            accepted: (0, 0),
        };
        host.begin();
        host
    }

    /// A new agent starts.
    fn begin(&mut self) {
        self.asked_of = None;
        self.state = self.durable.clone().revive(self.settings);
        let found = Event::Recovered {
            boot: BOOT,
            process: self.process.map(release),
            current: Some(release(self.current)),
        };
        self.tell(found, Death::None);
    }

    pub(crate) fn tell(&mut self, event: Event, death: Death) {
        let transition = step(&self.state, event.clone(), self.now).unwrap();
        let unasked = transition.actions.iter().any(|action| {
            matches!(action, Action::EnsureStopped(_))
                && matches!(self.state.phase, Phase::Recovering { .. })
                && !transition.state.fence.order.as_ref().unwrap().way_back
        });
        let is_there = self.process.is_some() && !matches!(event, Event::Exited { .. });
        assert!(
            !(unasked && is_there && self.settings.driver),
            "what answers its probes was stopped without leave"
        );
        if event == Event::OkToStop {
            self.leave_for = Some(self.state.fence.generation());
        }
        if matches!(death, Death::BeforeTheRecord) {
            return self.begin();
        }
        if let Some(record) = transition.record {
            self.make_durable(record);
        }
        self.state = transition.state;
        self.has_served |= matches!(self.state.phase, Phase::Serving(_));
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

    fn make_durable(&mut self, record: Record) {
        let accepted = (record.fence.epoch, record.fence.generation());
        assert!(
            accepted.0 >= self.accepted.0 && accepted.1 >= self.accepted.1,
            "the fence fell"
        );
        if accepted.1 > self.accepted.1 {
            assert!(self.is_whole(), "an order was begun on half moved data");
            let order = record.fence.order.as_ref().unwrap();
            if order.method == Method::InPlace {
                for folder in &mut self.folders {
                    folder.allowed.insert(major(&order.release));
                }
            }
        }
        self.accepted = accepted;
        self.durable = record;
    }

    fn is_whole(&self) -> bool {
        self.folders[0].begun_by == self.folders[1].begun_by
    }

    fn perform(&mut self, action: &Action) -> Option<Event> {
        match action {
            Action::Drain(ticket) => {
                assert!(ticket.is_backed_by(&self.durable));
                self.drained = true;
                None
            }
            Action::EnsureStopped(ticket) => {
                assert!(ticket.is_backed_by(&self.durable));
                let order = self.durable.fence.order.as_ref().unwrap();
                let asked = self.settings.driver && !order.way_back && self.process.is_some();
                if asked && self.has_served {
                    assert_eq!(
                        self.leave_for,
                        Some(ticket.generation),
                        "stopped without leave"
                    );
                    assert!(self.quiesced, "stopped without being quiesced");
                }
                self.end_process();
                Some(Event::Stopped)
            }
            Action::MoveData(ticket, data) => {
                assert!(ticket.is_backed_by(&self.durable));
                Some(self.move_data(*data, ticket.generation))
            }
            Action::SwapCurrent(ticket, release) => {
                assert!(ticket.is_backed_by(&self.durable));
                assert_eq!(self.process, None, "current changed under a process");
                self.current = major(release);
                self.swaps.push((ticket.generation, self.current));
                Some(Event::Swapped)
            }
            Action::Start(ticket, release) => {
                assert!(ticket.is_backed_by(&self.durable));
                Some(self.start(major(release)))
            }
            Action::Rejoin(ticket, rejoin) => {
                assert!(ticket.is_backed_by(&self.durable));
                let is_new = self.folders[0].begun_by == ticket.generation;
                assert_eq!(*rejoin == Rejoin::Join, is_new, "it is told a lie");
                self.drained = false;
                Some(Event::Rejoined)
            }
            Action::Verify | Action::Finalize(_, _) => None,
            Action::AskToStop(ticket) => {
                assert!(ticket.is_backed_by(&self.durable));
                None
            }
            Action::AskOnce(ticket) => {
                assert!(ticket.is_backed_by(&self.durable));
                assert!(self.quiesced, "asked once more before it was ready");
                Some(Event::OkToStop)
            }
            Action::Quiesce(ticket) => {
                assert!(ticket.is_backed_by(&self.durable));
                assert!(self.durable.quiesced, "done before it was written down");
                self.quiesced = true;
                None
            }
            Action::Unquiesce(ticket) => {
                assert!(ticket.is_backed_by(&self.durable));
                assert!(self.process.is_some(), "what is down stays quiesced");
                self.quiesced = false;
                Some(Event::Unquiesced)
            }
            Action::AskVersion(ticket) => {
                assert!(ticket.is_backed_by(&self.durable));
                let running = self.process.unwrap();
                let told = running + u8::from(self.ills.lying.contains(&running));
                Some(Event::VersionTold {
                    version: Some(release(told).version),
                })
            }
            Action::AskRecovered(ticket) => {
                assert!(ticket.is_backed_by(&self.durable));
                assert!(!self.quiesced, "asked while it is quiesced");
                self.asked_of = Some(self.starts);
                None
            }
        }
    }

    /// The process is not there any more.
    pub(crate) fn end_process(&mut self) {
        self.process = None;
        self.asked_of = None;
    }

    fn move_data(&mut self, data: DataMove, generation: u64) -> Event {
        assert_eq!(self.process, None, "data moved under a process");
        let fails = self.ills.stuck_moves > 0;
        self.ills.stuck_moves = self.ills.stuck_moves.saturating_sub(1);
        let moved = if fails { 1 } else { 2 };
        for (folder, aside) in self.folders.iter_mut().zip(&mut self.aside).take(moved) {
            match data {
                DataMove::SetAside if aside.contains_key(&generation) => {}
                DataMove::SetAside => {
                    let new = Data {
                        begun_by: generation,
                        allowed: BTreeSet::new(),
                    };
                    aside.insert(generation, std::mem::replace(folder, new));
                }
                DataMove::PutBack => {
                    if let Some(before) = aside.remove(&generation) {
                        *folder = before;
                    }
                }
            }
        }
        if fails {
            return Event::DataNotMoved {
                reason: "no space".to_owned(),
            };
        }
        Event::DataMoved
    }

    fn start(&mut self, major: u8) -> Event {
        assert_eq!(
            major, self.current,
            "something else than current is started"
        );
        if let Some(running) = self.process {
            return Event::Started {
                running: release(running),
            };
        }
        assert!(self.is_whole(), "started on half moved data");
        let generation = self.durable.fence.generation();
        let order = self.durable.fence.order.as_ref();
        let begun_by = self.folders[0].begun_by;
        if let Some(journey) = self.state.phase.journey() {
            let ordered = order.map(|order| order.method);
            match journey.data {
                Some(DataMove::SetAside) => assert_eq!(begun_by, generation, "not started empty"),
                Some(DataMove::PutBack) => assert_ne!(begun_by, generation, "not put back"),
                None if ordered == Some(Method::Rebuild) => {
                    assert_ne!(begun_by, generation, "not the data of before");
                }
                None => {}
            }
            for folder in &mut self.folders {
                folder.allowed.insert(major);
            }
        }
        let allowed = &self.folders[0].allowed;
        assert!(
            allowed.is_empty() || allowed.contains(&major),
            "started on data of another release: {allowed:?}, not {major}"
        );
        if self.ills.broken.contains(&major) {
            return Event::StartFailed {
                reason: "broken".to_owned(),
            };
        }
        self.process = Some(major);
        self.starts += 1;
        self.has_served = false;
        Event::Started {
            running: release(major),
        }
    }

    /// What happens by itself, if something does now.
    pub(crate) fn answer(&self) -> Option<Event> {
        let running = self.process.filter(|it| !self.ills.sick.contains(it));
        match &self.state.phase {
            Phase::Draining(_) => (!self.ills.undrainable).then_some(Event::Drained),
            Phase::Asking(_) => (!self.ills.unstoppable).then_some(Event::OkToStop),
            Phase::Quiescing(_) if self.ills.unquiescable => Some(Event::QuiesceFailed {
                reason: "it cannot be quiesced".to_owned(),
            }),
            Phase::Quiescing(_) => Some(Event::Quiesced),
            Phase::Recovering { .. } | Phase::Failed(_, _) if self.asked_of.is_some() => {
                let of_this_process = self.asked_of == Some(self.starts);
                let behind = running.is_none_or(|major| self.ills.behind.contains(&major));
                (of_this_process && !behind).then_some(Event::CaughtUp)
            }
            Phase::Serving(_) | Phase::Verifying(_) | Phase::Failed(_, _) => {
                running.map(|major| Event::Ready {
                    running: release(major),
                    stop_to_ready_us: 1,
                })
            }
            Phase::Declining(_)
            | Phase::Recovering { .. }
            | Phase::Stopping(_)
            | Phase::Emptying(_)
            | Phase::Swapping(_)
            | Phase::Starting(_)
            | Phase::Rejoining(_) => None,
        }
    }

    /// Lets time pass until nothing changes any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..50 {
            while let Some(event) = self.answer() {
                let before = (self.state.clone(), self.asked_of);
                self.tell(event, Death::None);
                if before == (self.state.clone(), self.asked_of) {
                    break;
                }
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
