//! Calls to the coordinator: connected once, each with its time limit, tried again where that is safe.

use std::time::Duration;

use evenkeel_common::tls::connect;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;

/// How often a call is tried in all.
const TRIES_MAX: u32 = 5;

/// The pause after the first try; each further one is twice as long. Five tries last 3 s: a coordinator that is
/// being restarted is back by then.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// The most things that a list may have; a fleet of 10,000 nodes has a tenth of it.
const LIST_MAX: usize = 1_000_000;

/// A connection to the coordinator.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    channel: Channel,
    /// How long a call may take.
    pub(crate) timeout: Duration,
}

/// A page of a list.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_page_token: String,
    pub(crate) revision: u64,
}

/// A whole list.
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    /// The revision of its first page: a watch from there on misses nothing.
    pub(crate) revision: u64,
}

impl Client {
    /// Connects, and finds out whether the coordinator lets us in.
    pub(crate) async fn connect(settings: &Settings, limit: Duration) -> Result<Self, Failure> {
        let address = settings.coordinator.to_string();
        let channel = persistently(async || {
            within(limit, "connecting to the coordinator", async {
                Ok(connect(&address, &settings.tls).await?)
            })
            .await
        })
        .await?;
        Ok(Self {
            channel,
            timeout: limit,
        })
    }

    /// Makes a call; tries again when the coordinator is not there. A request that changes something carries its
    /// request id, which is the same each time.
    pub(crate) async fn call<Q: Clone, A>(
        &self,
        request: Q,
        method: impl AsyncFn(Channel, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, Failure> {
        persistently(async || {
            let answer = method(self.channel.clone(), Request::new(request.clone()));
            within(self.timeout, "the call", async {
                Ok(answer.await?.into_inner())
            })
            .await
        })
        .await
    }

    /// Makes a call that changes something.
    pub(crate) async fn change<Q: Clone, A>(
        &self,
        request_id: Uuid,
        request: Q,
        method: impl AsyncFn(Channel, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, Failure> {
        let answer = self.call(request, method).await;
        answer.map_err(|failure| failure.of_change(request_id))
    }

    /// Opens a stream of answers; one try.
    pub(crate) async fn open<A>(
        &self,
        method: impl AsyncFnOnce(Channel) -> Result<Response<Streaming<A>>, Status>,
    ) -> Result<Streaming<A>, Failure> {
        within(self.timeout, "the call", async {
            Ok(method(self.channel.clone()).await?.into_inner())
        })
        .await
    }

    /// The channel, for a call that does its own waiting.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// Every item of a list, page after page.
pub(crate) async fn every<T>(
    page: impl AsyncFn(String) -> Result<Page<T>, Failure>,
) -> Result<Listed<T>, Failure> {
    let Page {
        mut items,
        next_page_token: mut token,
        revision,
    } = page(String::new()).await?;
    while !token.is_empty() {
        let next = page(token.clone()).await?;
        // A coordinator that hands out the same page again and again would keep us for ever.
        if next.next_page_token == token || items.len() > LIST_MAX {
            return Err(Failure::new(
                Exit::Coordinator,
                "the coordinator's list does not come to an end",
            ));
        }
        items.extend(next.items);
        token = next.next_page_token;
    }
    Ok(Listed { items, revision })
}

/// An answer's field that has to be set.
pub(crate) fn required<T>(field: Option<T>, what: &str) -> Result<T, Failure> {
    field.ok_or_else(|| {
        Failure::new(
            Exit::Coordinator,
            format!("the coordinator's answer has no {what} in it"),
        )
    })
}

/// Tries until it succeeds, fails for good, or has failed [`TRIES_MAX`] times.
pub(crate) async fn persistently<T>(
    attempt: impl AsyncFn() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut pause = PAUSE_MIN;
    for _ in 1..TRIES_MAX {
        match attempt().await {
            Err(failure) if failure.passing => sleep(pause).await,
            outcome => return outcome,
        }
        pause *= 2;
    }
    attempt().await
}

async fn within<T>(
    limit: Duration,
    what: &str,
    attempt: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, attempt)
        .await
        .unwrap_or_else(|_| Err(Failure::timed_out(what, limit.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_again_a_few_times_and_what_does_not_is_not() {
        let tries = Cell::new(0);
        let outcome: Result<(), _> = persistently(async || {
            tries.set(tries.get() + 1);
            Err(Failure::connection_lost("away"))
        })
        .await;
        assert_eq!(outcome.unwrap_err().sentence, "away");
        assert_eq!(tries.get(), TRIES_MAX);

        tries.set(0);
        let outcome: Result<(), _> = persistently(async || {
            tries.set(tries.get() + 1);
            Err(Failure::new(Exit::State, "no"))
        })
        .await;
        assert_eq!(outcome.unwrap_err().exit, Exit::State);
        assert_eq!(tries.get(), 1);
    }

    #[tokio::test]
    async fn pages_are_put_together_and_a_circle_of_them_is_noticed() {
        let pages = async |token: String| {
            let (item, next) = match token.as_str() {
                "" => (1, "b"),
                "b" => (2, "c"),
                _ => (3, ""),
            };
            Ok(Page {
                items: vec![item],
                next_page_token: next.to_owned(),
                revision: item,
            })
        };
        let listed = every(pages).await.unwrap();
        assert_eq!((listed.items, listed.revision), (vec![1, 2, 3], 1));

        let circle = async |_| {
            Ok(Page {
                items: vec![1],
                next_page_token: "b".to_owned(),
                revision: 1,
            })
        };
        assert_eq!(every(circle).await.err().unwrap().exit, Exit::Coordinator);
    }
}
