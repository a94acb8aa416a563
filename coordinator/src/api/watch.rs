//! Watching: everything newer than a revision, then each change as it happens. What a watcher gets is
//! always the newest value, so a slow one misses steps between, never the end.

use std::{pin::Pin, sync::Arc};

use evenkeel_common::problem::{ErrorCode, Problem};
use evenkeel_coordinator_core::state::{Key, State};
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Shared;

/// Watchers at once.
const WATCHERS_MAX: usize = 1_000;

/// Messages that wait for a slow watcher.
const QUEUE_MAX: usize = 64;

/// Lets in a bounded number of watchers.
#[derive(Debug, Clone)]
pub struct Watchers(Arc<Semaphore>);

impl Default for Watchers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WATCHERS_MAX)))
    }
}

impl Watchers {
    fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            Problem::new(
                ErrorCode::TooMuch,
                format!("{WATCHERS_MAX} watchers are there already"),
            )
        })
    }
}

/// What a watcher wants of the state.
pub(super) trait Interest: Send + Sync + 'static {
    /// What it gets.
    type Message: Send + 'static;

    /// The thing as it is now, if it is of interest.
    fn message(&self, state: &State, revision: u64, key: &Key) -> Option<Self::Message>;

    /// The message that says that all that was there at the start has been sent.
    fn caught_up(&self, revision: u64) -> Self::Message;

    /// Whether nothing more will ever come.
    fn ended(&self, state: &State) -> bool;
}

pub(super) type Watch<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// Begins to watch.
pub(super) fn watch<I: Interest>(
    shared: &Shared,
    after_revision: u64,
    interest: I,
) -> Result<Watch<I::Message>, Problem> {
    let now = shared.core.snapshot().revision();
    if after_revision > now {
        return Err(Problem::new(
            ErrorCode::RevisionAhead,
            format!("after_revision: {after_revision} is not reached yet, the state is at {now}"),
        ));
    }
    let permit = shared.core.watchers().enter()?;
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let shared = shared.clone();
    tokio::spawn(async move {
        let _permit = permit;
        tokio::select! {
            () = feed(&shared, after_revision, &interest, &sender) => {}
            () = sender.closed() => {}
            () = shared.shutdown.cancelled() => {
                let stopping = Problem::new(ErrorCode::Unavailable, "the coordinator is stopping");
                let _ = sender.try_send(Err(stopping.into()));
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

async fn feed<I: Interest>(
    shared: &Shared,
    mut after: u64,
    interest: &I,
    sender: &mpsc::Sender<Result<I::Message, Status>>,
) {
    let mut revisions = shared.core.revisions();
    let mut caught_up = false;
    loop {
        revisions.mark_unchanged();
        let state = shared.core.snapshot();
        for (revision, key) in state.newer_than(after) {
            if let Some(message) = interest.message(&state, revision, key)
                && sender.send(Ok(message)).await.is_err()
            {
                return;
            }
        }
        after = state.revision();
        if !caught_up {
            caught_up = true;
            if sender.send(Ok(interest.caught_up(after))).await.is_err() {
                return;
            }
        }
        if interest.ended(&state) || revisions.changed().await.is_err() {
            return;
        }
    }
}
