//! Artifacts are sent to a few hosts at a time, and no faster than is allowed all together: what a fleet fetches before
//! a plan goes on must not be in the way of what it serves.
//!
//! Who comes while all turns are taken waits for a moment, first come, first served; when that does not help, or too
//! many wait already, it is told to come again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use evenkeel_common::{
    names::NodeName,
    problem::{ErrorCode, Problem},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

use crate::settings::DownloadSettings;

/// How long one that waits for its turn is kept: less than any agent waits for the first bytes.
const WAIT: Duration = Duration::from_secs(10);

/// As many may wait.
const WAITING_MAX: usize = 256;

/// Turns that one node may have or wait for, so that none can take them all: more than an agent uses at once.
const OF_NODE_MAX: usize = 2;

/// The turns, and how fast bytes may leave.
#[derive(Debug, Clone)]
pub struct Downloads {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// How many each node has or waits for.
    of_nodes: Arc<Mutex<BTreeMap<NodeName, usize>>>,
    bytes_per_second: u64,
    /// When the next bytes may leave.
    next_at: Arc<Mutex<Instant>>,
}

/// A turn; it ends with this.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    _place: Place,
    of: Downloads,
}

/// One of the turns that a node may have; it is given back with this.
#[derive(Debug)]
struct Place {
    node: NodeName,
    of_nodes: Arc<Mutex<BTreeMap<NodeName, usize>>>,
}

impl Place {
    fn take(node: &NodeName, of_nodes: &Arc<Mutex<BTreeMap<NodeName, usize>>>) -> Option<Self> {
        let mut taken = of_nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let of_node = taken.entry(node.clone()).or_default();
        if *of_node >= OF_NODE_MAX {
            return None;
        }
        *of_node += 1;
        Some(Self {
            node: node.clone(),
            of_nodes: Arc::clone(of_nodes),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of_nodes.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.node) {
            Some(of_node) if *of_node > 1 => *of_node -= 1,
            Some(_) | None => {
                taken.remove(&self.node);
            }
        }
    }
}

impl Downloads {
    /// All turns free.
    #[must_use]
    pub fn new(settings: &DownloadSettings) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(settings.concurrent)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            of_nodes: Arc::default(),
            bytes_per_second: settings.bytes_per_second,
            next_at: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Takes a turn for a node.
    ///
    /// # Errors
    /// When there is none for too long, or the node has as many as one may have.
    pub async fn turn(&self, node: &NodeName) -> Result<Turn, Problem> {
        let busy = || {
            Problem::new(
                ErrorCode::TooMuch,
                "as many downloads as allowed are going on",
            )
        };
        let place = Place::take(node, &self.of_nodes).ok_or_else(|| {
            Problem::new(
                ErrorCode::TooMuch,
                format!("{node} has {OF_NODE_MAX} downloads going on or waiting, as many as one node may have"),
            )
        })?;
        let _waits = self.waiting.try_acquire().map_err(|_| busy())?;
        let turn = timeout(WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        // It is closed by nobody.
        let permit = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        Ok(Turn {
            _permit: permit,
            _place: place,
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

    fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    #[tokio::test]
    async fn who_waits_gets_the_turn_that_is_given_back() {
        let downloads = downloads(1, 1 << 30);
        let first = downloads.turn(&node("n1")).await.unwrap();
        let second = tokio::spawn({
            let downloads = downloads.clone();
            async move { downloads.turn(&node("n2")).await.is_ok() }
        });
        assert!(downloads.turns.try_acquire().is_err());
        drop(first);
        assert!(second.await.unwrap());
    }

    #[tokio::test]
    async fn no_more_may_wait_than_so_many() {
        let downloads = downloads(1, 1 << 30);
        let _all = downloads.waiting.try_acquire_many(256).unwrap();
        assert!(downloads.turn(&node("n1")).await.is_err());
    }

    #[tokio::test]
    async fn no_node_takes_all_turns() {
        let downloads = downloads(4, 1 << 30);
        let first = downloads.turn(&node("n1")).await.unwrap();
        let _second = downloads.turn(&node("n1")).await.unwrap();
        assert!(downloads.turn(&node("n1")).await.is_err());
        assert!(downloads.turn(&node("n2")).await.is_ok());
        drop(first);
        assert!(downloads.turn(&node("n1")).await.is_ok());
        assert_eq!(
            downloads.of_nodes.lock().unwrap().get(&node("n1")),
            Some(&1)
        );
    }

    #[tokio::test]
    async fn all_together_send_no_faster_than_allowed() {
        let downloads = downloads(2, 1_000_000);
        let (one, other) = (
            downloads.turn(&node("n1")).await.unwrap(),
            downloads.turn(&node("n1")).await.unwrap(),
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
