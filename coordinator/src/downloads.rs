//! Artifacts are sent to a few hosts at a time, and no faster than is allowed all together: what a fleet fetches before
//! a plan goes on must not be in the way of what it serves.
//!
//! Who comes while all turns are taken waits for a moment, first come, first served; when that does not help, or too
//! many wait already, it is told to come again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use evenkeel_common::problem::{ErrorCode, Problem};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

use crate::settings::DownloadSettings;

/// How long one that waits for its turn is kept: less than any agent waits for the first bytes.
const WAIT: Duration = Duration::from_secs(10);

/// As many may wait.
const WAITING_MAX: usize = 256;

/// The turns, and how fast bytes may leave.
#[derive(Debug, Clone)]
pub struct Downloads {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    bytes_per_second: u64,
    /// When the next bytes may leave.
    next_at: Arc<Mutex<Instant>>,
}

/// A turn; it ends with this.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    of: Downloads,
}

impl Downloads {
    /// All turns free.
    #[must_use]
    pub fn new(settings: &DownloadSettings) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(settings.concurrent)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            bytes_per_second: settings.bytes_per_second,
            next_at: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Takes a turn.
    ///
    /// # Errors
    /// When there is none for too long.
    pub async fn turn(&self) -> Result<Turn, Problem> {
        let busy = || {
            Problem::new(
                ErrorCode::TooMuch,
                "as many downloads as allowed are going on",
            )
        };
        let _waits = self.waiting.try_acquire().map_err(|_| busy())?;
        let turn = timeout(WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        // It is closed by nobody.
        let permit = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        Ok(Turn {
            _permit: permit,
            of: self.clone(),
        })
    }
}

impl Turn {
    /// Waits until so many bytes may leave.
    pub async fn pace(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.of.bytes_per_second.max(1));
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let at = {
            let mut next_at = self
                .of
                .next_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let at = (*next_at).max(Instant::now());
            *next_at = at + takes;
            at
        };
        sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn downloads(concurrent: usize, bytes_per_second: u64) -> Downloads {
        Downloads::new(&DownloadSettings {
            concurrent,
            bytes_per_second,
        })
    }

    #[tokio::test]
    async fn who_waits_gets_the_turn_that_is_given_back() {
        let downloads = downloads(1, 1 << 30);
        let first = downloads.turn().await.unwrap();
        let second = tokio::spawn({
            let downloads = downloads.clone();
            async move { downloads.turn().await.is_ok() }
        });
        assert!(downloads.turns.try_acquire().is_err());
        drop(first);
        assert!(second.await.unwrap());
    }

    #[tokio::test]
    async fn no_more_may_wait_than_so_many() {
        let downloads = downloads(1, 1 << 30);
        let _all = downloads.waiting.try_acquire_many(256).unwrap();
        assert!(downloads.turn().await.is_err());
    }

    #[tokio::test]
    async fn all_together_send_no_faster_than_allowed() {
        let downloads = downloads(2, 1_000_000);
        let (one, other) = (
            downloads.turn().await.unwrap(),
            downloads.turn().await.unwrap(),
        );
        let begun = Instant::now();
        for _ in 0..5 {
            one.pace(20_000).await;
            other.pace(20_000).await;
        }
        // The first bytes leave at once.
        assert!(begun.elapsed() >= Duration::from_millis(180));
    }
}
