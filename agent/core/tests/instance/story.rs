//! Stories about one instance, told event by event.

use crate::support::{name, release};
use evenkeel_agent_core::{BootId, Event, OrderResult, Record, State, StepName, step};

/// A story about one instance: each line is an event and what has to follow from it.
pub(crate) struct Story {
    pub(crate) state: State,
    pub(crate) durable: Record,
    pub(crate) now: u64,
}

impl Story {
    pub(crate) fn of(state: State) -> Self {
        Self {
            durable: Record::of(&state),
            state,
            now: 1_000,
        }
    }

    /// After this event the instance is in this phase, and these actions begin.
    #[track_caller]
    pub(crate) fn then(&mut self, event: Event, phase: &str, actions: &[&str]) -> &mut Self {
        let transition = step(&self.state, event.clone(), self.now).unwrap();
        let begun: Vec<String> = transition.actions.iter().map(name).collect();
        assert_eq!(transition.state.phase.name(), phase, "after {event:?}");
        assert_eq!(begun, actions, "after {event:?}");
        if let Some(record) = transition.record {
            self.durable = record;
        }
        assert_eq!(
            self.durable,
            Record::of(&transition.state),
            "nothing durable is left unsaid"
        );
        self.state = transition.state;
        self
    }

    pub(crate) fn at(&mut self, now: u64) -> &mut Self {
        self.now = now;
        self
    }

    pub(crate) fn later(&mut self, ms: u64) -> &mut Self {
        self.now += ms;
        self
    }

    /// The agent dies, and a new one finds this.
    pub(crate) fn restart(
        &mut self,
        boot: BootId,
        process: Option<u8>,
        current: u8,
        phase: &str,
        actions: &[&str],
    ) -> &mut Self {
        self.state = self.durable.clone().revive(self.state.settings);
        let found = Event::Recovered {
            boot,
            process: process.map(release),
            current: Some(release(current)),
        };
        self.then(found, phase, actions)
    }

    #[track_caller]
    pub(crate) fn ended(&self, result: OrderResult, reason: &str) {
        let progress = self.state.progress().unwrap();
        assert_eq!(progress.step, StepName::Ended);
        assert_eq!(progress.result, Some(result));
        assert_eq!(progress.reason, reason);
    }
}

pub(crate) fn started(major: u8) -> Event {
    Event::Started {
        running: release(major),
    }
}

pub(crate) fn ready(major: u8) -> Event {
    Event::Ready {
        running: release(major),
        stop_to_ready_us: 1_300,
    }
}

pub(crate) fn tick() -> Event {
    Event::Tick {
        trouble: "tcp 127.0.0.1:1: refused".to_owned(),
    }
}

pub(crate) fn exited() -> Event {
    Event::Exited {
        reason: "exit status 1".to_owned(),
    }
}
