//! What the tests share: a place with certificates and releases, the agent in it, and a coordinator.

pub(crate) mod agent;
mod coordinator;
mod data;
mod place;
mod scene;
mod systemd;

use std::{
    thread,
    time::{Duration, Instant},
};

pub(crate) use agent::Agent;
pub(crate) use coordinator::{Coordinator, Flaw, desired, order, outcome, rebuild};
pub(crate) use data::Data;
pub(crate) use place::{NUMBER_OUTSIDE, Place, Program};
pub(crate) use scene::Scene;
pub(crate) use systemd::{BUS, Systemd, UNIT};

/// How long anything may take that a test waits for; far longer than it does.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until this gives something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
