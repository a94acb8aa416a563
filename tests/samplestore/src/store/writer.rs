//! The one thread that appends: it makes what has come in durable together and then answers everyone.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::index::Entry;
use super::log::{Log, LogError};
use super::record::Record;
use super::{Shared, StoreError};
use crate::errors::chain;
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, WASTE_BYTES_MIN};
use crate::{Key, Stamp};

/// A value to keep, and who wants to know when it is durable.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) key: Key,
    pub(super) stamp: Stamp,
    pub(super) bytes: Bytes,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// Runs until every sender is gone. After an error of the file system the log's end is unknown, so nothing is
/// appended any more.
pub(super) fn run(mut log: Log, shared: &Arc<Shared>, mut appends: mpsc::Receiver<Append>) {
    let mut batch = Batch::default();
    while let Some(first) = appends.blocking_recv() {
        batch.take(first, &log, shared);
        while batch.has_room() {
            let Ok(next) = appends.try_recv() else { break };
            batch.take(next, &log, shared);
        }
        if let Err(error) = batch.commit(&mut log, shared) {
            let reason = chain(&error);
            tracing::error!(reason, "the log cannot be written");
            let _ = shared.failure.set(reason);
        }
        batch.answer(shared);
    }
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    records: Vec<(Record, u64)>,
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.waiting.len() < BATCH_RECORDS_MAX && self.bytes.len() < BATCH_BYTES_MAX
    }

    fn take(&mut self, append: Append, log: &Log, shared: &Shared) {
        let index = shared.index();
        if index.wants(&append.key, append.stamp) {
            if let Err(full) = index.check_room(
                self.records.len(),
                (self.bytes.len() + append.bytes.len()) as u64,
            ) {
                // Whoever asked may have gone; then nobody needs the answer.
                let _ = append.done.send(Err(full));
                return;
            }
            let record_at = log.len() + self.bytes.len() as u64;
            let record =
                log.format()
                    .encode(&append.key, append.stamp, &append.bytes, &mut self.bytes);
            self.records.push((record, record_at));
        }
        self.waiting.push(append.done);
    }

    fn commit(&mut self, log: &mut Log, shared: &Shared) -> Result<(), LogError> {
        if self.records.is_empty() || shared.failure.get().is_some() {
            return Ok(());
        }
        log.append(&self.bytes)?;
        let live_bytes = {
            let mut index = shared.index();
            for (record, at) in self.records.drain(..) {
                let entry = Entry::new(&record, at, log.file());
                index.insert(record.key, entry);
            }
            index.live_bytes()
        };
        if log.len() - live_bytes > WASTE_BYTES_MIN.max(live_bytes) {
            // Nobody else changes the index, so readers need not wait for the copying.
            let values = shared.index().all();
            let (rewritten, moved) = Log::rewrite(log.directory(), log.format(), &values)?;
            shared.index().relocate(moved);
            *log = rewritten;
        }
        Ok(())
    }

    fn answer(&mut self, shared: &Shared) {
        for done in self.waiting.drain(..) {
            let result = shared
                .failure
                .get()
                .map_or(Ok(()), |reason| Err(StoreError::Broken(reason.clone())));
            let _ = done.send(result);
        }
        self.bytes.clear();
        self.records.clear();
    }
}
