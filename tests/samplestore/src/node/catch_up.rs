//! Fetching what was written while the node was away.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;

use super::Node;
use super::member::{Member, MemberError};
use super::peer::Peer;
use crate::errors::chain;
use crate::limits::{
    CATCH_UP_FETCHES_MAX, CATCH_UP_PAUSE_MAX, CATCH_UP_PAUSE_MIN, COMPARE_INTERVAL,
    PEER_PAGE_KEYS_MAX,
};
use crate::store::MarkerError;
use crate::{Key, Stamp};

/// How far the node has come since it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is not complete yet, and this is what it waits for.
    CatchingUp(String),
    /// It has everything that was acknowledged before it was started.
    CaughtUp,
}

impl Default for Progress {
    fn default() -> Self {
        Self::CatchingUp("just started".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
enum CatchUpError {
    #[error("{0}")]
    TooFewPeers(String),
    #[error("a blob that peers hold cannot be fetched")]
    Fetch(#[source] MemberError),
    #[error("the copy cannot be marked as complete")]
    Marker(#[from] MarkerError),
}

/// What one peer holds and this node lacks.
struct Lacking {
    established: bool,
    stamps: Vec<(Key, Stamp)>,
}

/// Catches up, and then again from time to time: a write that found this node's connection broken is known to a
/// majority of others and not to this one.
pub(crate) async fn catch_up_forever(node: Arc<Node>) {
    let mut pause = CATCH_UP_PAUSE_MIN;
    loop {
        match node.catch_up().await {
            Ok(fetched) => {
                if fetched > 0 || node.progress() != Progress::CaughtUp {
                    tracing::info!(fetched, "caught up");
                }
                node.set_progress(Progress::CaughtUp);
                tokio::time::sleep(COMPARE_INTERVAL).await;
            }
            Err(error) => {
                if node.progress() != Progress::CaughtUp {
                    node.set_progress(Progress::CatchingUp(chain(&error)));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(CATCH_UP_PAUSE_MAX);
            }
        }
    }
}

impl Node {
    /// Fetches every value that enough peers to be sure of all acknowledged ones have and this node has not. Returns
    /// how many there were.
    async fn catch_up(self: &Arc<Self>) -> Result<usize, CatchUpError> {
        let mut wanted: BTreeMap<Key, (Stamp, Vec<Arc<Peer>>)> = BTreeMap::new();
        for (peer, lacking) in self.compare().await? {
            for (key, stamp) in lacking.stamps {
                let entry = wanted.entry(key).or_insert_with(|| (stamp, Vec::new()));
                if stamp > entry.0 {
                    *entry = (stamp, Vec::new());
                }
                if stamp == entry.0 {
                    entry.1.push(Arc::clone(&peer));
                }
            }
        }
        let fetched = wanted.len();
        stream::iter(wanted)
            .map(|(key, (_, holders))| self.fetch_missing(key, holders))
            .buffer_unordered(CATCH_UP_FETCHES_MAX)
            .try_collect::<()>()
            .await
            .map_err(CatchUpError::Fetch)?;
        self.store.establish()?;
        Ok(fetched)
    }

    /// Compares this copy with those of enough peers.
    ///
    /// A copy that has once been complete lacks only what it was not asked to take, and every acknowledged value is
    /// with one of any majority: this node and enough others make one. A new or lost copy brings nothing to that, so
    /// the majority has to be one of others, or everyone there is: that is also how a new cluster begins, in which
    /// nobody's copy was ever complete.
    async fn compare(self: &Arc<Self>) -> Result<Vec<(Arc<Peer>, Lacking)>, CatchUpError> {
        let needed = if self.store.is_established() {
            self.majority() - 1
        } else {
            self.majority()
        };
        let mut calls = JoinSet::new();
        for peer in self.peers.iter().cloned() {
            let node = Arc::clone(self);
            calls.spawn(async move {
                let lacking = node.lacking(&peer).await;
                (peer, lacking)
            });
        }
        let mut compared: Vec<(Arc<Peer>, Lacking)> = Vec::new();
        let mut refusals = Vec::new();
        while let Some(done) = calls.join_next().await {
            match done {
                Ok((peer, Ok(lacking))) => compared.push((peer, lacking)),
                Ok((peer, Err(error))) => {
                    refusals.push(format!("{}: {}", peer.address(), chain(&error)))
                }
                Err(error) => refusals.push(chain(&error)),
            }
            let established = compared
                .iter()
                .filter(|(_, lacking)| lacking.established)
                .count();
            if established >= needed || compared.len() == self.peers.len() {
                calls.detach_all();
                return Ok(compared);
            }
        }
        let established = compared
            .iter()
            .filter(|(_, lacking)| lacking.established)
            .count();
        let all = self.peers.len();
        let rule = if needed < self.majority() {
            format!("{established} of {needed} peers needed have answered")
        } else {
            format!(
                "the data directory is new: {established} of {needed} complete peers needed, or all {all}, have answered"
            )
        };
        Err(CatchUpError::TooFewPeers(format!(
            "{rule} ({})",
            refusals.join("; ")
        )))
    }

    async fn lacking(&self, peer: &Peer) -> Result<Lacking, MemberError> {
        let mut lacking = Lacking {
            established: true,
            stamps: Vec::new(),
        };
        let mut after = None;
        loop {
            let page = peer.page(after.as_ref(), PEER_PAGE_KEYS_MAX).await?;
            lacking.established &= page.established;
            let full = page.stamps.len() >= PEER_PAGE_KEYS_MAX;
            let last = page.stamps.last().map(|(key, _)| key.clone());
            if last.is_some() && last <= after {
                return Err(MemberError::Nonsense("a page that goes back"));
            }
            let missing = |(key, stamp): &(Key, Stamp)| self.store.stamp(key) < Some(*stamp);
            lacking
                .stamps
                .extend(page.stamps.into_iter().filter(missing));
            if !full {
                return Ok(lacking);
            }
            after = last;
        }
    }

    async fn fetch_missing(
        self: &Arc<Self>,
        key: Key,
        holders: Vec<Arc<Peer>>,
    ) -> Result<(), MemberError> {
        let mut result = Err(MemberError::Nonsense("nothing"));
        for holder in holders {
            result = match holder.blob(&key).await {
                Ok(Some(blob)) => {
                    return Member::Own(Arc::clone(&self.store))
                        .put(&key, &blob, None)
                        .await;
                }
                Ok(None) => Err(MemberError::Nonsense("a stamp without a blob")),
                Err(error) => Err(error),
            };
        }
        result
    }
}
