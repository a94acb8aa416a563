//! What nodes do together: `quorum` serves requests through a majority, `catch_up` fetches what was missed, `health`
//! says whether the node may be counted on. `member` is one holder of a copy, this node's own `Store` or a `peer`, and
//! `ask` calls several of them.

mod ask;
mod catch_up;
mod health;
mod member;
mod peer;
mod quorum;

use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use self::catch_up::catch_up_forever;
pub(crate) use self::quorum::QuorumError;

use self::catch_up::Progress;
use self::member::Member;
use self::peer::Peer;
use crate::http_client::HttpClient;
use crate::{Release, Settings, Store};

/// One running node.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    release: &'static Release,
    store: Arc<Store>,
    peers: Vec<Arc<Peer>>,
    progress: Mutex<Progress>,
}

impl Node {
    pub(crate) fn new(settings: &Settings, release: &'static Release, store: Store) -> Self {
        let http = HttpClient::new();
        let peer = |&address| Arc::new(Peer::new(address, http.clone(), release.protocols));
        Self {
            name: settings.name.clone(),
            release,
            store: Arc::new(store),
            peers: settings.peers.iter().map(peer).collect(),
            progress: Mutex::new(Progress::default()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn release(&self) -> &'static Release {
        self.release
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// How many copies any two of which share one.
    fn majority(&self) -> usize {
        self.peers.len().div_ceil(2) + 1
    }

    /// All holders of copies, those first that are best asked first: this node, then its peers.
    fn members(&self) -> Vec<Member> {
        let mut members = vec![Member::Own(Arc::clone(&self.store))];
        members.extend(self.peers_in_turn());
        members
    }

    /// The peers, in a random order to share the work, those that failed last at the end.
    fn peers_in_turn(&self) -> Vec<Member> {
        let mut peers = self.peers.clone();
        let first = rand::random_range(0..peers.len().max(1));
        peers.rotate_left(first);
        peers.sort_by_key(|peer| peer.is_failing());
        peers.into_iter().map(Member::Peer).collect()
    }

    fn progress(&self) -> Progress {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}
