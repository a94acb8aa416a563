//! Serving requests through a majority: any two majorities share a node, so a read always meets the newest write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::Node;
use super::ask::{AtOnce, TooFew, ask};
use super::member::Member;
use crate::store::Blob;
use crate::{Key, Stamp};

/// Why a request could not be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuorumError {
    #[error("no majority")]
    NoMajority(#[from] TooFew),
    #[error("the request expired before it was carried out")]
    Expired,
}

/// A page of the keys of the whole cluster, in order.
#[derive(Debug)]
pub(crate) struct KeyPage {
    pub(crate) keys: Vec<Key>,
    /// Whether there may be more behind the last one.
    pub(crate) more: bool,
}

impl Node {
    /// Writes a value. When this returns, a majority holds it durably. From `expires` on the write is not begun, so
    /// that whoever has given up waiting by then cannot be surprised by it later.
    pub(crate) async fn put(
        self: &Arc<Self>,
        key: Key,
        bytes: Bytes,
        expires: SystemTime,
    ) -> Result<Stamp, QuorumError> {
        let answers = self.stamps(&key).await?;
        let newest = answers.into_iter().filter_map(|(_, stamp)| stamp).max();
        if SystemTime::now() >= expires {
            return Err(QuorumError::Expired);
        }
        let stamp = Stamp::after(newest);
        let blob = Blob {
            stamp,
            crc: crc32c::crc32c(&bytes),
            bytes,
        };
        self.spread(self.members(), self.majority(), &key, &blob, Some(expires))
            .await?;
        Ok(stamp)
    }

    /// The newest value that a majority knows. Before it is returned a majority holds it, so that no later read can
    /// find an older one; members seen with an older one are given it.
    pub(crate) async fn get(self: &Arc<Self>, key: &Key) -> Result<Option<Blob>, QuorumError> {
        let mut answers = self.stamps(key).await?;
        let Some(newest) = answers.iter().filter_map(|(_, stamp)| *stamp).max() else {
            return Ok(None);
        };
        // The own copy is the nearest.
        answers.sort_by_key(|(member, stamp)| {
            (*stamp != Some(newest), matches!(member, Member::Peer(_)))
        });
        let holders = answers
            .iter()
            .take_while(|(_, stamp)| *stamp == Some(newest));
        let mut holders: Vec<_> = holders.map(|(member, _)| member.clone()).collect();
        let (source, blob) = self.fetch(&holders, key, newest).await?;
        if blob.stamp > newest {
            holders = vec![source];
        }
        let mut others = self.members();
        others.retain(|member| !holders.contains(member));
        let missing = self.majority().saturating_sub(holders.len());
        if missing == 0 {
            others.retain(|member| answers.iter().any(|(answered, _)| answered == member));
        }
        self.spread(others, missing, key, &blob, None).await?;
        Ok(Some(blob))
    }

    /// The keys behind `after` that a majority knows, at most `keys_max`.
    pub(crate) async fn keys(
        self: &Arc<Self>,
        after: Option<Key>,
        keys_max: usize,
    ) -> Result<KeyPage, QuorumError> {
        let pages = ask(self.members(), AtOnce::Enough, self.majority(), |member| {
            let after = after.clone();
            async move { member.page(after.as_ref(), keys_max).await }
        });
        let pages: Vec<_> = pages.await?.into_iter().map(|(_, page)| page).collect();
        // Behind the last key of a full page that member may hold keys that nobody has named yet.
        let full = pages.iter().filter(|page| page.len() >= keys_max);
        let end = full
            .filter_map(|page| page.last())
            .map(|(key, _)| key)
            .min()
            .cloned();
        let known: BTreeMap<Key, Stamp> = pages.into_iter().flatten().collect();
        let within = known
            .into_keys()
            .filter(|key| end.as_ref().is_none_or(|end| key <= end));
        let mut keys: Vec<_> = within.collect();
        let more = end.is_some() || keys.len() > keys_max;
        keys.truncate(keys_max);
        Ok(KeyPage { keys, more })
    }

    async fn stamps(&self, key: &Key) -> Result<Vec<(Member, Option<Stamp>)>, TooFew> {
        ask(self.members(), AtOnce::Enough, self.majority(), |member| {
            let key = key.clone();
            async move { member.stamp(&key).await }
        })
        .await
    }

    async fn fetch(
        &self,
        holders: &[Member],
        key: &Key,
        newest: Stamp,
    ) -> Result<(Member, Blob), TooFew> {
        let mut last = None;
        for holder in holders {
            let found = ask(vec![holder.clone()], AtOnce::Everyone, 1, |member| {
                let key = key.clone();
                async move { member.blob(&key).await }
            });
            match found.await {
                Ok(answers) => {
                    let whole = answers
                        .into_iter()
                        .find_map(|(member, blob)| Some((member, blob?)));
                    if let Some(found) = whole.filter(|(_, blob)| blob.stamp >= newest) {
                        return Ok(found);
                    }
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(TooFew::none))
    }

    /// Gives the value to all of `members`, waiting for `needed` of them.
    async fn spread(
        &self,
        members: Vec<Member>,
        needed: usize,
        key: &Key,
        blob: &Blob,
        expires: Option<SystemTime>,
    ) -> Result<(), TooFew> {
        let done = ask(members, AtOnce::Everyone, needed, |member| {
            let (key, blob) = (key.clone(), blob.clone());
            async move { member.put(&key, &blob, expires).await }
        });
        done.await.map(drop)
    }
}
