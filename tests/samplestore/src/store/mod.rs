//! One node's copy of the blobs: durable, checksummed, alone. It knows nothing of other nodes.
//!
//! `record` is how a blob looks in the log, `log` is the file, `index` says where the newest value of each key lies,
//! `writer` is the thread that appends, `marker` is what else must survive a restart, `open` puts it together.

mod index;
mod log;
mod marker;
mod open;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub use self::log::LogError;
pub use self::marker::MarkerError;
pub use self::open::OpenError;
pub use self::record::Format;

use self::index::Index;
use self::marker::Marker;
use self::writer::Append;
use crate::{Key, Stamp};

/// A blob as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Which write this value is from.
    pub stamp: Stamp,
    /// The crc32c of `bytes`, as it was when the value was written.
    pub crc: u32,
    /// The value.
    pub bytes: Bytes,
}

/// Why a value could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The log could not be written; nothing is taken any more until a restart.
    #[error("the log cannot be written: {0}")]
    Broken(String),
    /// There are as many keys or bytes as a node keeps.
    #[error("the store is full")]
    Full,
    /// The file could not be read.
    #[error("the log cannot be read")]
    Read(#[source] std::io::Error),
    /// The bytes on disk are not those that were written.
    #[error("the blob does not match its checksum")]
    Damaged,
}

/// One node's copy of the blobs. All methods may be called at the same time.
#[derive(Debug)]
pub struct Store {
    appends: mpsc::Sender<Append>,
    shared: Arc<Shared>,
    directory: PathBuf,
    marker: Mutex<Marker>,
    /// Held for as long as the store is open, so that no second process opens it.
    _lock: File,
}

/// What the writer thread shows to everyone else.
#[derive(Debug, Default)]
struct Shared {
    index: Mutex<Index>,
    failure: OnceLock<String>,
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        // A panic cannot leave the index half changed: every change is one insertion.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Keeps a value, unless the store has a newer one. On return it is durable, here, whatever happens.
    ///
    /// # Errors
    /// If it is full or the log cannot be written.
    pub async fn append(&self, key: Key, stamp: Stamp, bytes: Bytes) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        let gone = || StoreError::Broken("its thread has ended".to_owned());
        self.appends
            .send(Append {
                key,
                stamp,
                bytes,
                done,
            })
            .await
            .map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }

    /// The stamp of the newest value of the key that is durable here.
    #[must_use]
    pub fn stamp(&self, key: &Key) -> Option<Stamp> {
        self.shared.index().get(key).map(|entry| entry.stamp)
    }

    /// The newest value of the key that is durable here. Reads the file on the calling thread: a blob is small and
    /// was most often just written.
    ///
    /// # Errors
    /// If the file cannot be read or what it holds fails its checksum.
    pub fn read(&self, key: &Key) -> Result<Option<Blob>, StoreError> {
        let Some(entry) = self.shared.index().get(key).cloned() else {
            return Ok(None);
        };
        let bytes = entry.read().map_err(StoreError::Read)?;
        if crc32c::crc32c(&bytes) != entry.blob_crc {
            return Err(StoreError::Damaged);
        }
        Ok(Some(Blob {
            stamp: entry.stamp,
            crc: entry.blob_crc,
            bytes: bytes.into(),
        }))
    }

    /// The keys behind `after` and their stamps, in order, at most `keys_max` of them.
    #[must_use]
    pub fn page(&self, after: Option<&Key>, keys_max: usize) -> Vec<(Key, Stamp)> {
        self.shared.index().page(after, keys_max)
    }

    /// Why nothing can be written any more, if so.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.shared.failure.get().map(String::as_str)
    }

    /// Whether this copy has once been complete. Until then it may lack what a lost copy in its place had
    /// acknowledged, and its answers prove nothing.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.marker().established
    }

    /// Remembers, durably, that the copy is complete.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn establish(&self) -> Result<(), MarkerError> {
        let mut marker = self.marker();
        if !marker.established {
            let changed = Marker {
                established: true,
                ..marker.clone()
            };
            changed.save(&self.directory)?;
            *marker = changed;
        }
        Ok(())
    }

    fn marker(&self) -> MutexGuard<'_, Marker> {
        self.marker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
