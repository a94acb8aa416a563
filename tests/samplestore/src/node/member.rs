//! One holder of a copy: this node or another.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::peer::Peer;
use crate::http_client::CallError;
use crate::store::{Blob, StoreError};
use crate::{Key, Stamp, Store};

/// A holder of a copy.
#[derive(Clone, Debug)]
pub(super) enum Member {
    /// This node.
    Own(Arc<Store>),
    /// Another one.
    Peer(Arc<Peer>),
}

/// Why a member did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum MemberError {
    #[error("cannot be called")]
    Call(#[from] CallError),
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
    #[error("refused with {0}")]
    Refused(String),
    #[error("no protocol in common, {0}")]
    NoCommonProtocol(String),
    #[error("sent {0}")]
    Nonsense(&'static str),
    #[error("too many calls under way")]
    Busy,
    #[error("its own copy is not complete yet")]
    NotEstablished,
    #[error("its own copy failed")]
    Store(#[from] StoreError),
}

impl Member {
    /// The newest stamp the member knows for the key; counts towards a majority.
    pub(super) async fn stamp(&self, key: &Key) -> Result<Option<Stamp>, MemberError> {
        match self {
            Self::Own(store) if store.is_established() => Ok(store.stamp(key)),
            Self::Own(_) => Err(MemberError::NotEstablished),
            Self::Peer(peer) => peer.stamp(key).await,
        }
    }

    pub(super) async fn blob(&self, key: &Key) -> Result<Option<Blob>, MemberError> {
        match self {
            Self::Own(store) => Ok(store.read(key)?),
            Self::Peer(peer) => peer.blob(key).await,
        }
    }

    /// Makes the member hold the value, or a newer one, durably. After `expires` it does not begin.
    pub(super) async fn put(
        &self,
        key: &Key,
        blob: &Blob,
        expires: Option<SystemTime>,
    ) -> Result<(), MemberError> {
        match self {
            Self::Own(store) => Ok(store
                .append(key.clone(), blob.stamp, blob.bytes.clone())
                .await?),
            Self::Peer(peer) => peer.put(key, blob, expires).await,
        }
    }

    /// Whether the member is there.
    pub(super) async fn ping(&self) -> Result<(), MemberError> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Peer(peer) => peer.ping().await,
        }
    }

    /// A page of what the member holds; counts towards a majority.
    pub(super) async fn page(
        &self,
        after: Option<&Key>,
        keys_max: usize,
    ) -> Result<Vec<(Key, Stamp)>, MemberError> {
        match self {
            Self::Own(store) if store.is_established() => Ok(store.page(after, keys_max)),
            Self::Own(_) => Err(MemberError::NotEstablished),
            Self::Peer(peer) => {
                let page = peer.page(after, keys_max).await?;
                if page.established {
                    Ok(page.stamps)
                } else {
                    Err(MemberError::NotEstablished)
                }
            }
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Own(_) => None,
            Self::Peer(peer) => Some(peer.address()),
        }
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(_) => f.write_str("this node"),
            Self::Peer(peer) => write!(f, "{}", peer.address()),
        }
    }
}
