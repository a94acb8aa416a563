//! A driver being asked until it says yes, beside all else that happens to the instance.

use std::{pin::Pin, sync::Arc};

use evenkeel_agent_core::{Event, Rejoin, State};
use evenkeel_common::failpoint;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    driver::{Driver, Verb},
    failpoints,
};

/// What a driver is being asked. Dropping it ends the driver.
pub(super) struct Asking {
    answer: Pin<Box<dyn Future<Output = Event> + Send>>,
    trouble: watch::Receiver<String>,
}

impl Asking {
    /// Until what the instance serves is with the others.
    pub(super) fn drain(driver: Option<Arc<Driver>>, state: &State) -> Self {
        let (trouble, receiver) = watch::channel(String::new());
        let arguments = arguments(state);
        let answer = async move {
            failpoint::hit(failpoints::DRAIN[0]);
            if let Some(driver) = driver {
                driver.until_drained(&arguments, &trouble).await;
            }
            failpoint::hit(failpoints::DRAIN[1]);
            Event::Drained
        };
        Self {
            answer: Box::pin(answer),
            trouble: receiver,
        }
    }

    /// Until the storage system has taken in that the instance is there.
    pub(super) fn rejoin(driver: Option<Arc<Driver>>, state: &State, rejoin: Rejoin) -> Self {
        let (trouble, receiver) = watch::channel(String::new());
        let arguments = arguments(state);
        let verb = match rejoin {
            Rejoin::Join => Verb::Join,
            Rejoin::CancelDrain => Verb::CancelDrain,
        };
        let answer = async move {
            failpoint::hit(failpoints::REJOIN[0]);
            if let Some(driver) = driver {
                driver.until_yes(verb, &arguments, &trouble).await;
            }
            failpoint::hit(failpoints::REJOIN[1]);
            Event::Rejoined
        };
        Self {
            answer: Box::pin(answer),
            trouble: receiver,
        }
    }

    /// Waits for the answer, or for news of what is in the way of it, which is none. May be dropped and called again.
    pub(super) async fn heard(&mut self) -> Option<Event> {
        tokio::select! {
            biased;
            event = &mut self.answer => Some(event),
            // Its end comes with the answer.
            Ok(()) = self.trouble.changed() => None,
        }
    }

    /// What is in the way of a yes; empty if nothing is known to be.
    pub(super) fn trouble(&self) -> String {
        self.trouble.borrow().clone()
    }
}

/// What the driver is told of the order.
fn arguments(state: &State) -> Value {
    let order = state.fence.order.as_ref();
    let target = state.phase.journey().map(|journey| &journey.target);
    json!({
        "generation": order.map(|order| order.generation),
        "release": target.map(|release| json!({
            "version": release.version.to_string(),
            "digest": release.digest.to_string(),
        })),
    })
}
