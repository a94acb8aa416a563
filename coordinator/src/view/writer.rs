//! The thread that keeps the view current.
//!
//! Updates are merged by key while they wait, so that what waits is never more than the state itself, whoever submits
//! never waits, and a burst of changes to one key is written once. The thread takes all that waits as one batch.

use std::any::Any;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::ViewError;
use super::folder::ViewFolder;
use super::isolation::panic_message;
use super::store::{Changes, Store, check_entry};
use crate::ledger::Position;

/// Changes that may wait while the database is slow. Far more than a fleet has entries: at this point it hangs.
const WAITING_CHANGES_MAX: usize = 1_000_000;

/// How updates are collected.
#[derive(Clone, Copy, Debug)]
pub struct ViewWriterSettings {
    /// How long after the first change others are waited for.
    pub collect_for: Duration,
    /// With this many changes the wait is over.
    pub collect_changes: usize,
}

impl Default for ViewWriterSettings {
    fn default() -> Self {
        Self {
            collect_for: Duration::from_millis(200),
            collect_changes: 10_000,
        }
    }
}

/// A step of the view from one ledger position to a later one.
#[derive(Clone, Debug)]
pub struct ViewUpdate {
    /// Keys and their new values.
    pub upserts: Vec<(Bytes, Bytes)>,
    /// Keys to delete; one that is not there is fine.
    pub deletes: Vec<Bytes>,
    /// The ledger position that the view stands for with this update.
    pub position: Position,
}

/// How the view fares.
#[derive(Clone, Debug)]
pub struct ViewHealth {
    /// The position that is flushed.
    pub written: Position,
    /// How many changed keys are not flushed yet.
    pub waiting_changes: usize,
    /// Why the view was given up, if it was. It then stays at its position until the next start.
    pub failure: Option<Arc<ViewError>>,
}

/// The submitting end of the view's thread. Dropping it lets the thread finish what waits; [`ViewWriter::close`] waits
/// for that.
#[derive(Debug)]
pub struct ViewWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Changes,
    /// The position of the last update submitted.
    submitted: Position,
    written: Position,
    in_progress: usize,
    /// Somebody waits: do not collect any longer.
    hurry: bool,
    closing: bool,
    ended: bool,
    failure: Option<Arc<ViewError>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None => self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(left) => {
                self.changed
                    .wait_timeout(state, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
    }
}

impl ViewWriter {
    pub(super) fn start(
        store: Store,
        folder: ViewFolder,
        settings: ViewWriterSettings,
    ) -> Result<Self, ViewError> {
        let position = store.position();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                waiting: Changes::new(),
                submitted: position,
                written: position,
                in_progress: 0,
                hurry: false,
                closing: false,
                ended: false,
                failure: None,
            }),
            changed: Condvar::new(),
        });
        let thread = std::thread::Builder::new()
            .name("view-writer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || run(store, folder, settings, &shared)
            })
            .map_err(|source| ViewError::Thread { source })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Gives the thread another update. Never waits for the database.
    ///
    /// # Errors
    /// Once an update could not be taken or written, the view is given up: it stays at its last position, every later
    /// update is refused, and the next start replays the ledger from there. Nothing is lost but time.
    pub fn submit(&self, update: ViewUpdate) -> Result<(), ViewError> {
        let mut state = self.shared.state();
        state.check()?;
        let merged = state.merge(update);
        let result = merged.map_err(|error| state.give_up(error));
        drop(state);
        self.shared.changed.notify_all();
        result
    }

    /// How the view fares right now.
    #[must_use]
    pub fn health(&self) -> ViewHealth {
        let state = self.shared.state();
        ViewHealth {
            written: state.written,
            waiting_changes: state.waiting.len() + state.in_progress,
            failure: state.failure.clone(),
        }
    }

    /// Waits until all that was submitted is flushed, for `patience` at most.
    ///
    /// # Errors
    /// If the view was given up, or patience ends.
    pub fn flush(&self, patience: Duration) -> Result<Position, ViewError> {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.state();
        let target = state.submitted;
        state.hurry = true;
        self.shared.changed.notify_all();
        loop {
            state.check()?;
            if state.written.revision >= target.revision {
                return Ok(state.written);
            }
            if Instant::now() >= deadline {
                return Err(ViewError::TimedOut { patience });
            }
            state = self.shared.wait(state, Some(deadline));
        }
    }

    /// Writes what waits and closes the database, waiting for `patience` at most.
    ///
    /// # Errors
    /// If the view was given up, or patience ends; then the thread is left to itself.
    pub fn close(mut self, patience: Duration) -> Result<Position, ViewError> {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.state();
        state.closing = true;
        self.shared.changed.notify_all();
        while !state.ended {
            if Instant::now() >= deadline {
                return Err(ViewError::TimedOut { patience });
            }
            state = self.shared.wait(state, Some(deadline));
        }
        let result = state.check().map(|()| state.written);
        drop(state);
        if let Some(thread) = self.thread.take() {
            // It has said that it ended, and has caught its panics.
            let _ = thread.join();
        }
        result
    }
}

impl Drop for ViewWriter {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
    }
}

impl State {
    fn check(&self) -> Result<(), ViewError> {
        match &self.failure {
            None => Ok(()),
            Some(cause) => Err(ViewError::GivenUp {
                cause: Arc::clone(cause),
            }),
        }
    }

    /// Keeps the first failure, which ends the writing, and returns it.
    fn give_up(&mut self, error: ViewError) -> ViewError {
        let cause = Arc::clone(self.failure.get_or_insert_with(|| Arc::new(error)));
        ViewError::GivenUp { cause }
    }

    fn merge(&mut self, update: ViewUpdate) -> Result<(), ViewError> {
        let (revision, after) = (update.position.revision, self.submitted.revision);
        if revision <= after {
            return Err(ViewError::OutOfOrder { revision, after });
        }
        let upserts = update
            .upserts
            .into_iter()
            .map(|(key, value)| (key, Some(value)));
        let deletes = update.deletes.into_iter().map(|key| (key, None));
        for (key, change) in upserts.chain(deletes) {
            check_entry(&key, change.as_deref().unwrap_or_default())?;
            let changes = self.waiting.len();
            match self.waiting.entry(key) {
                Entry::Occupied(mut waiting) => {
                    waiting.insert(change);
                }
                Entry::Vacant(_) if changes >= WAITING_CHANGES_MAX => {
                    return Err(ViewError::FellBehind { changes });
                }
                Entry::Vacant(vacant) => {
                    vacant.insert(change);
                }
            }
        }
        self.submitted = update.position;
        Ok(())
    }
}

fn run(mut store: Store, folder: ViewFolder, settings: ViewWriterSettings, shared: &Shared) {
    let result = catch_unwind(AssertUnwindSafe(|| {
        write_updates(&mut store, settings, shared)
    }));
    let failure = match result {
        Ok(Ok(())) => catch_unwind(AssertUnwindSafe(|| drop(store)))
            .err()
            .map(panicked),
        Ok(Err(error)) => {
            // Closing a database that failed may write, panic or hang.
            std::mem::forget(store);
            Some(error)
        }
        Err(panic) => {
            std::mem::forget(store);
            Some(panicked(panic))
        }
    };
    drop(folder);
    let mut state = shared.state();
    if let Some(error) = failure {
        state.give_up(error);
    }
    state.ended = true;
    drop(state);
    shared.changed.notify_all();
}

fn panicked(panic: Box<dyn Any + Send>) -> ViewError {
    ViewError::Panicked {
        message: panic_message(panic.as_ref()),
    }
}

/// Writes what is submitted until closed, or until the view was given up.
fn write_updates(
    store: &mut Store,
    settings: ViewWriterSettings,
    shared: &Shared,
) -> Result<(), ViewError> {
    while let Some((changes, position)) = next_batch(settings, shared) {
        store.apply(&changes, position)?;
        store.flush()?;
        let mut state = shared.state();
        state.written = position;
        state.in_progress = 0;
        drop(state);
        shared.changed.notify_all();
    }
    Ok(())
}

/// Waits for updates and collects them; `None` at the end.
fn next_batch(settings: ViewWriterSettings, shared: &Shared) -> Option<(Changes, Position)> {
    let mut state = shared.state();
    while state.submitted == state.written && !state.closing && state.failure.is_none() {
        state.hurry = false;
        state = shared.wait(state, None);
    }
    let until = Instant::now() + settings.collect_for;
    while !state.closing
        && !state.hurry
        && state.failure.is_none()
        && state.waiting.len() < settings.collect_changes
        && Instant::now() < until
    {
        state = shared.wait(state, Some(until));
    }
    if state.failure.is_some() || state.submitted == state.written {
        return None;
    }
    let changes = std::mem::take(&mut state.waiting);
    state.in_progress = changes.len();
    Some((changes, state.submitted))
}
