//! Entries in sled: how they are laid out, read as a whole and changed.
//!
//! One tree. `m` is the key of the [`Meta`] record; an entry's key is `e` and the key, its value the crc32c of key and
//! value, then the value. sled runs without its background flusher: what is durable is decided by blocking flushes of
//! the one thread that has the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use sled::{Batch, Db, IVec};

use super::error::{RebuildReason, ViewError};
use super::meta::Meta;
use super::{Entries, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::ledger::Position;

const META_KEY: &[u8] = b"m";
/// The file of sled's that it locks.
const LOCKED_NAME: &str = "db";
const ENTRY_PREFIX: u8 = b'e';
/// Memory that sled may keep pages in, in bytes. The view is read once and then only written.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Entries a batch when a view is made: a few megabytes.
const FILL_BATCH_ENTRIES: usize = 10_000;

/// Changes by key: a new value, or `None` for a key to delete.
pub(super) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// The open database and what it adds up to.
#[derive(Debug)]
pub(super) struct Store {
    db: Db,
    meta: Meta,
}

impl Store {
    /// Opens the database at `path` and reads and checks everything in it. May panic or hang if it is damaged.
    pub(super) fn load(path: &Path) -> Result<(Self, Entries), RebuildReason> {
        wait_for_closing(path).map_err(|error| RebuildReason::Unreadable {
            message: error.to_string(),
        })?;
        let db = open(path).map_err(unreadable)?;
        let raw_meta = db
            .get(META_KEY)
            .map_err(unreadable)?
            .ok_or(RebuildReason::MetaMissing)?;
        let meta = Meta::decode(&raw_meta)?;
        let mut found = Meta::empty(meta.position);
        let mut entries = Entries::new();
        for item in db.iter() {
            let (stored_key, stored_value) = item.map_err(unreadable)?;
            if stored_key == META_KEY {
                continue;
            }
            let (key, value) =
                decode_entry(&stored_key, &stored_value).ok_or(RebuildReason::EntryInvalid)?;
            found.add(key, value);
            if found.count > meta.count {
                // A damaged tree may have no end.
                break;
            }
            entries.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        }
        if found != meta {
            return Err(RebuildReason::ContentDiffers {
                expected: meta.count,
                found: found.count,
            });
        }
        Ok((Self { db, meta }, entries))
    }

    /// Makes the database at `path`, where there is none yet. The meta record comes last, so that nothing less than
    /// all of it can be loaded.
    pub(super) fn fill(
        path: &Path,
        entries: &Entries,
        position: Position,
    ) -> Result<Self, ViewError> {
        let db = open(path).map_err(|source| ViewError::Database {
            action: "make",
            source,
        })?;
        let write = |batch| {
            db.apply_batch(batch).map_err(|source| ViewError::Database {
                action: "fill",
                source,
            })
        };
        let mut meta = Meta::empty(position);
        let mut batch = Batch::default();
        for (number, (key, value)) in entries.iter().enumerate() {
            check_entry(key, value)?;
            meta.add(key, value);
            batch.insert(stored_key(key), stored_value(key, value));
            if (number + 1) % FILL_BATCH_ENTRIES == 0 {
                write(std::mem::take(&mut batch))?;
            }
        }
        batch.insert(META_KEY, meta.encode().as_slice());
        write(batch)?;
        let store = Self { db, meta };
        store.flush()?;
        Ok(store)
    }

    pub(super) fn position(&self) -> Position {
        self.meta.position
    }

    /// Applies `changes` and moves to `position`, all in one batch; not durable before [`Store::flush`].
    pub(super) fn apply(&mut self, changes: &Changes, position: Position) -> Result<(), ViewError> {
        let mut meta = Meta {
            position,
            ..self.meta
        };
        let mut batch = Batch::default();
        for (key, change) in changes {
            let stored_key = stored_key(key);
            let before = self
                .db
                .get(&stored_key)
                .map_err(|source| ViewError::Database {
                    action: "read from",
                    source,
                })?;
            if let Some(stored_value) = &before {
                let (key, value) =
                    decode_entry(&stored_key, stored_value).ok_or(ViewError::EntryInvalid)?;
                meta.remove(key, value);
            }
            match change {
                Some(value) => {
                    meta.add(key, value);
                    batch.insert(stored_key, stored_value(key, value));
                }
                None => batch.remove(stored_key),
            }
        }
        batch.insert(META_KEY, meta.encode().as_slice());
        self.db
            .apply_batch(batch)
            .map_err(|source| ViewError::Database {
                action: "change",
                source,
            })?;
        self.meta = meta;
        Ok(())
    }

    /// Spoils an entry behind the back of whoever writes.
    #[cfg(test)]
    pub(super) fn damage_for_test(&self, key: &[u8]) {
        self.db
            .insert(stored_key(key), b"spoilt".as_slice())
            .expect("the database is open");
    }

    /// Hands everything applied to the operating system, so that it survives this process.
    pub(super) fn flush(&self) -> Result<(), ViewError> {
        self.db
            .flush()
            .map(drop)
            .map_err(|source| ViewError::Database {
                action: "flush",
                source,
            })
    }
}

/// Checks an entry against the limits.
pub(super) fn check_entry(key: &[u8], value: &[u8]) -> Result<(), ViewError> {
    let (key_bytes, value_bytes) = (key.len(), value.len());
    if (1..=KEY_BYTES_MAX).contains(&key_bytes) && value_bytes <= VALUE_BYTES_MAX {
        Ok(())
    } else {
        Err(ViewError::EntryTooLarge {
            key_bytes,
            value_bytes,
        })
    }
}

fn open(path: &Path) -> sled::Result<Db> {
    sled::Config::new()
        .path(path)
        .flush_every_ms(None)
        .cache_capacity(CACHE_BYTES)
        .open()
}

/// Waits until the last user of the database has let go of it. sled's own threads do that a moment after the database
/// is dropped, and sled itself does not wait but fails.
fn wait_for_closing(path: &Path) -> io::Result<()> {
    match File::open(path.join(LOCKED_NAME)) {
        Ok(file) => Ok(flock(&file, FlockOperation::LockExclusive)?),
        // Opening says what is wrong.
        Err(_) => Ok(()),
    }
}

fn unreadable(error: sled::Error) -> RebuildReason {
    RebuildReason::Unreadable {
        message: error.to_string(),
    }
}

fn stored_key(key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(key.len() + 1);
    stored.push(ENTRY_PREFIX);
    stored.extend_from_slice(key);
    stored
}

fn stored_value(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(value.len() + 4);
    stored.extend_from_slice(&checksum(key, value).to_le_bytes());
    stored.extend_from_slice(value);
    stored
}

/// Key and value of an entry as stored, `None` if it is none or damaged.
fn decode_entry<'a>(stored_key: &'a [u8], stored_value: &'a IVec) -> Option<(&'a [u8], &'a [u8])> {
    let (prefix, key) = stored_key.split_first()?;
    let (found, value) = stored_value.split_first_chunk::<4>()?;
    (*prefix == ENTRY_PREFIX && *found == checksum(key, value).to_le_bytes())
        .then_some((key, value))
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}
