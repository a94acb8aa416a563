//! A driver being asked until it says yes, beside all else that happens to the instance.

use std::{pin::Pin, sync::Arc};

use evenkeel_agent_core::{Event, Rejoin, State};
use evenkeel_common::failpoint;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    driver::{Driver, Verb},
    failpoints,
    report::sentence,
};

/// What a driver is being asked. Dropping it ends the driver.
pub(super) struct Asking {
    answer: Pin<Box<dyn Future<Output = Event> + Send>>,
    trouble: watch::Receiver<String>,
}

impl Asking {
    /// Asks the driver; without one every answer is a yes. The test that dies before or after the answer does so at
    /// `places`.
    fn begin<A>(
        (driver, state): (Option<Arc<Driver>>, &State),
        places: [&'static str; 2],
        without: Event,
        ask: impl FnOnce(Arc<Driver>, Value, watch::Sender<String>) -> A + Send + 'static,
    ) -> Self
    where
        A: Future<Output = Event> + Send + 'static,
    {
        let (trouble, receiver) = watch::channel(String::new());
        let arguments = arguments(state);
        let answer = async move {
            failpoint::hit(places[0]);
            let event = match driver {
                Some(driver) => ask(driver, arguments, trouble).await,
                None => without,
            };
            failpoint::hit(places[1]);
            event
        };
        Self {
            answer: Box::pin(answer),
            trouble: receiver,
        }
    }

    /// Until the driver says yes to the verb.
    fn until_yes(
        of: (Option<Arc<Driver>>, &State),
        places: [&'static str; 2],
        verb: Verb,
        yes: Event,
    ) -> Self {
        let without = yes.clone();
        Self::begin(
            of,
            places,
            without,
            move |driver, arguments, trouble| async move {
                driver.until_yes(verb, &arguments, &trouble).await;
                yes
            },
        )
    }

    /// Until what the instance serves is with the others.
    pub(super) fn drain(driver: Option<Arc<Driver>>, state: &State) -> Self {
        Self::begin(
            (driver, state),
            failpoints::DRAIN,
            Event::Drained,
            |driver, arguments, trouble| async move {
                driver.until_drained(&arguments, &trouble).await;
                Event::Drained
            },
        )
    }

    /// Until the storage system has taken in that the instance is there.
    pub(super) fn rejoin(driver: Option<Arc<Driver>>, state: &State, rejoin: Rejoin) -> Self {
        let verb = match rejoin {
            Rejoin::Join => Verb::Join,
            Rejoin::CancelDrain => Verb::CancelDrain,
        };
        Self::until_yes((driver, state), failpoints::REJOIN, verb, Event::Rejoined)
    }

    /// Until the process may be stopped.
    pub(super) fn ok_to_stop(driver: Option<Arc<Driver>>, state: &State) -> Self {
        let of = (driver, state);
        Self::until_yes(of, failpoints::ASK, Verb::OkToStop, Event::OkToStop)
    }

    /// Whether the process that is ready to be stopped still may be.
    pub(super) fn once(driver: Option<Arc<Driver>>, state: &State) -> Self {
        Self::begin(
            (driver, state),
            failpoints::ASK,
            Event::OkToStop,
            |driver, arguments, trouble| async move {
                match driver.still_ok_to_stop(&arguments, &trouble).await {
                    Ok(()) => Event::OkToStop,
                    Err(reason) => Event::NotOkToStop { reason },
                }
            },
        )
    }

    /// Until the process is ready to be stopped, or cannot be made so.
    pub(super) fn quiesce(driver: Option<Arc<Driver>>, state: &State) -> Self {
        Self::begin(
            (driver, state),
            failpoints::QUIESCE,
            Event::Quiesced,
            |driver, arguments, trouble| async move {
                match driver.quiesce(&arguments, &trouble).await {
                    Ok(()) => Event::Quiesced,
                    Err(error) => Event::QuiesceFailed {
                        reason: sentence(&error),
                    },
                }
            },
        )
    }

    /// Until what was done to stop the process is undone.
    pub(super) fn unquiesce(driver: Option<Arc<Driver>>, state: &State) -> Self {
        let of = (driver, state);
        Self::until_yes(
            of,
            failpoints::UNQUIESCE,
            Verb::Unquiesce,
            Event::Unquiesced,
        )
    }

    /// Until the process has said which version it is.
    pub(super) fn version(driver: Option<Arc<Driver>>, state: &State) -> Self {
        Self::begin(
            (driver, state),
            failpoints::VERSION,
            Event::VersionTold { version: None },
            |driver, arguments, trouble| async move {
                let version = driver.version(&arguments, &trouble).await;
                Event::VersionTold { version }
            },
        )
    }

    /// Until the instance is whole again among the others.
    pub(super) fn recovered(driver: Option<Arc<Driver>>, state: &State) -> Self {
        let of = (driver, state);
        Self::until_yes(of, failpoints::RECOVERED, Verb::Recovered, Event::CaughtUp)
    }

    /// Until an upgrade is final, or cannot be made so.
    pub(super) fn finalize(driver: Option<Arc<Driver>>, state: &State, id: String) -> Self {
        let ended = |id, outcome| Event::FinalizeEnded { id, outcome };
        let without = ended(id.clone(), Ok(()));
        Self::begin(
            (driver, state),
            failpoints::FINALIZE,
            without,
            move |driver, mut arguments, trouble| async move {
                if let Some(arguments) = arguments.as_object_mut() {
                    arguments.insert("id".to_owned(), id.clone().into());
                }
                let outcome = driver.finalize(&arguments, &trouble).await;
                ended(id, outcome)
            },
        )
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
    let journey = state.phase.journey();
    let target = journey.map(|journey| &journey.target);
    let target = target.or(state.current.as_ref());
    json!({
        "generation": order.map(|order| order.generation),
        "release": target.map(|release| json!({
            "version": release.version.to_string(),
            "digest": release.digest.to_string(),
        })),
    })
}
