//! Where the newest value of each key lies.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::StoreError;
use super::record::Record;
use crate::limits::{KEYS_MAX, LIVE_BYTES_MAX};
use crate::{Key, Stamp};

/// The newest durable value of one key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) stamp: Stamp,
    pub(super) blob_crc: u32,
    pub(super) blob_at: u64,
    blob_len: u32,
    record_len: u32,
    /// The file it lies in. After a rewrite readers may still hold the one before.
    file: Arc<File>,
}

impl Entry {
    /// Of a record that begins at `record_at` in the file.
    pub(super) fn new(record: &Record, record_at: u64, file: &Arc<File>) -> Self {
        Self {
            stamp: record.stamp,
            blob_crc: record.blob_crc,
            blob_at: record_at + record.blob.start as u64,
            blob_len: record.blob.len() as u32,
            record_len: record.blob.end as u32,
            file: Arc::clone(file),
        }
    }

    /// The blob's bytes, unchecked.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.blob_len as usize];
        self.file.read_exact_at(&mut bytes, self.blob_at)?;
        Ok(bytes)
    }
}

#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeMap<Key, Entry>,
    live_bytes: u64,
}

impl Index {
    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Takes the entry unless there is a newer one.
    pub(super) fn insert(&mut self, key: Key, entry: Entry) {
        let old = self.entries.get(&key);
        if old.is_some_and(|old| old.stamp > entry.stamp) {
            return;
        }
        self.live_bytes += u64::from(entry.record_len);
        self.live_bytes -= old.map_or(0, |old| u64::from(old.record_len));
        self.entries.insert(key, entry);
    }

    /// Whether a value of the key is still wanted: not if there is one as new.
    pub(super) fn wants(&self, key: &Key, stamp: Stamp) -> bool {
        self.get(key).is_none_or(|entry| entry.stamp < stamp)
    }

    /// Whether there is room for one more key and `bytes` more, on top of `pending_keys` and `pending_bytes`.
    pub(super) fn check_room(
        &self,
        pending_keys: usize,
        pending_bytes: u64,
    ) -> Result<(), StoreError> {
        if self.entries.len() + pending_keys >= KEYS_MAX
            || self.live_bytes + pending_bytes > LIVE_BYTES_MAX
        {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(super) fn all(&self) -> Vec<(Key, Entry)> {
        self.entries
            .iter()
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }

    /// Takes over where a rewrite of the log put the values.
    pub(super) fn relocate(&mut self, moved: Vec<(Key, Entry)>) {
        for (key, entry) in moved {
            self.insert(key, entry);
        }
    }

    pub(super) fn page(&self, after: Option<&Key>, keys_max: usize) -> Vec<(Key, Stamp)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.entries.range::<Key, _>((from, Bound::Unbounded));
        behind
            .take(keys_max)
            .map(|(key, entry)| (key.clone(), entry.stamp))
            .collect()
    }
}
