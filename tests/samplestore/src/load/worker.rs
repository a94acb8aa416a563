//! One stream of requests, over keys that nobody else writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::history::{History, Verdict};
use super::tally::Tally;
use super::values;
use crate::client::Client;

pub(super) struct Worker {
    client: Client,
    tally: Arc<Tally>,
    keys: Vec<(String, History)>,
    blob_bytes_max: usize,
}

impl Worker {
    pub(super) fn new(
        client: Client,
        tally: Arc<Tally>,
        keys: Vec<String>,
        blob_bytes_max: usize,
    ) -> Self {
        let keys = keys
            .into_iter()
            .map(|key| (key, History::default()))
            .collect();
        Self {
            client,
            tally,
            keys,
            blob_bytes_max,
        }
    }

    /// Makes a request every `pause` until told to stop, then reads everything back.
    pub(super) async fn run(mut self, pause: Duration, mut stopped: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(pause);
        // Requests missed while one was slow are not made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // An error means that whoever could say so is gone.
                _ = stopped.wait_for(|stop| *stop) => break,
                _ = ticks.tick() => {}
            }
            let chosen = rand::random_range(0..self.keys.len());
            if rand::random() {
                self.write(chosen).await
            } else {
                self.read(chosen, false).await
            }
        }
        for key in 0..self.keys.len() {
            self.read(key, true).await;
        }
    }

    async fn write(&mut self, chosen: usize) {
        let (key, history) = &mut self.keys[chosen];
        let Some(number) = history.begin_write() else {
            return;
        };
        let begun = Instant::now();
        match self
            .client
            .put(key, values::make(key, number, self.blob_bytes_max))
            .await
        {
            Ok(()) => {
                history.acknowledge(number);
                self.tally.written(begun.elapsed());
            }
            Err(error) => self.tally.failed(&crate::errors::chain(&error)),
        }
    }

    async fn read(&mut self, chosen: usize, last: bool) {
        let (key, history) = &self.keys[chosen];
        let begun = Instant::now();
        match self.client.get(key).await {
            Ok(found) => {
                self.tally.read(begun.elapsed());
                let verdict = match found {
                    None => history.judge(None),
                    Some(bytes) => match values::recognise(key, &bytes, self.blob_bytes_max) {
                        Some(number) => history.judge(Some(number)),
                        None => Verdict::Wrong,
                    },
                };
                match verdict {
                    Verdict::Right => {}
                    Verdict::Gone if last => self.tally.lost(key),
                    Verdict::Gone | Verdict::Wrong => self.tally.wrong(key),
                }
            }
            Err(error) => self.tally.failed(&crate::errors::chain(&error)),
        }
    }
}
