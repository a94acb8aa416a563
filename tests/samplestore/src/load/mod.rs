//! A workload that writes and reads all the while, checks every answer, and at the end reads everything back.
//!
//! `values` makes blobs that can be recognised, `history` knows which of them a read may find, `tally` counts.

mod history;
mod latencies;
mod tally;
mod values;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::tally::Report;

use self::tally::Tally;
use self::worker::Worker;
use crate::client::Client;
use crate::errors::chain;
use crate::limits::BLOB_BYTES_MAX;

/// How much a workload asks for.
#[derive(Clone, Debug)]
pub struct WorkloadOptions {
    /// How many keys are written, at least one a worker.
    pub keys: usize,
    /// How many requests may be under way at once, at least one.
    pub workers: usize,
    /// How many requests a second are made at most; about half of them write.
    pub requests_per_second: u32,
    /// The largest blob written, in bytes.
    pub blob_bytes_max: usize,
}

impl Default for WorkloadOptions {
    fn default() -> Self {
        Self {
            keys: 64,
            workers: 4,
            requests_per_second: 100,
            blob_bytes_max: 4096,
        }
    }
}

/// A running workload. It ends when this is dropped.
#[derive(Debug)]
pub struct Workload {
    workers: JoinSet<()>,
    stop: watch::Sender<bool>,
    tally: Arc<Tally>,
}

impl Workload {
    /// Starts on keys of its own, which no other workload writes. Must be called within a Tokio runtime.
    #[must_use]
    pub fn start(client: &Client, options: &WorkloadOptions) -> Self {
        let run: u64 = rand::random();
        let count = options.workers.max(1);
        let keys_each = options.keys.div_ceil(count).max(1);
        let pause = Duration::from_secs(count as u64) / options.requests_per_second.max(1);
        let blob_bytes_max = options.blob_bytes_max.min(BLOB_BYTES_MAX);
        let (stop, stopped) = watch::channel(false);
        let tally = Arc::new(Tally::default());
        let mut workers = JoinSet::new();
        for number in 0..count {
            let keys = (0..keys_each).map(|key| format!("load-{run:016x}-{number}-{key}"));
            let worker = Worker::new(
                client.clone(),
                Arc::clone(&tally),
                keys.collect(),
                blob_bytes_max,
            );
            workers.spawn(worker.run(pause, stopped.clone()));
        }
        Self {
            workers,
            stop,
            tally,
        }
    }

    /// What it has seen so far.
    #[must_use]
    pub fn progress(&self) -> Report {
        self.tally.report()
    }

    /// Stops it, reads every key back and says what it has seen.
    pub async fn finish(mut self) -> Report {
        // Fails only if every worker has ended, which is what is wanted.
        let _ = self.stop.send(true);
        while let Some(ended) = self.workers.join_next().await {
            if let Err(error) = ended {
                self.tally.failed(&chain(&error));
            }
        }
        self.tally.report()
    }
}
