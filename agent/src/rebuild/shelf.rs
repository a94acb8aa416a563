//! What is written down about the data that was set aside: by which order, of which folders, and since when that
//! order has ended well.

use std::{fs, io};

use camino::Utf8PathBuf;
use evenkeel_agent_core::BootId;
use evenkeel_common::{
    digest::{from_hex, to_hex},
    files::write_atomically,
};
use serde::{Deserialize, Serialize};

use super::{RebuildError, failed, folder::Folder};

/// Only the agent may read it.
const MODE: u32 = 0o600;

/// The file.
#[derive(Debug)]
pub(super) struct Shelf {
    path: Utf8PathBuf,
}

/// What one order set aside, or was about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) generation: u64,
    pub(super) folders: Vec<Moved>,
    /// Since when the order has ended well, if it has.
    pub(super) ended: Option<Ended>,
}

/// A folder that was set aside, or was about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moved {
    pub(super) path: Utf8PathBuf,
    /// By this number it is known again: not every folder of that name is it, as when a disk is not mounted.
    pub(super) inode: u64,
}

/// A moment, by the boot clock and by the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) boot: BootId,
    pub(super) clock_ms: u64,
    pub(super) at_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Written {
    generation: u64,
    folders: Vec<Moved>,
    ended: Option<WrittenEnd>,
}

#[derive(Serialize, Deserialize)]
struct WrittenEnd {
    boot_id: String,
    clock_ms: u64,
    at_ms: u64,
}

impl Shelf {
    pub(super) fn at(path: Utf8PathBuf) -> Self {
        Self { path }
    }

    /// All entries, by generation.
    pub(super) fn read(&self) -> Result<Vec<Entry>, RebuildError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.path)(error)),
        };
        let written: Vec<Written> = serde_json::from_slice(&bytes)
            .map_err(|error| failed("understand", &self.path)(error.into()))?;
        Ok(written.into_iter().map(Entry::from).collect())
    }

    fn write(&self, entries: Vec<Entry>) -> Result<(), RebuildError> {
        let written: Vec<Written> = entries.into_iter().map(Written::from).collect();
        serde_json::to_vec(&written)
            .map_err(io::Error::from)
            .and_then(|bytes| write_atomically(&self.path, &bytes, MODE))
            .map_err(failed("write", &self.path))
    }

    /// An order is about to set these folders aside. What they are is written down the first time that this is said,
    /// when they still are. Entries of which nothing is left are dropped.
    pub(super) fn add(
        &mut self,
        generation: u64,
        folders: &[Utf8PathBuf],
    ) -> Result<Entry, RebuildError> {
        let mut entries = self.read()?;
        let known = entries.iter().find(|entry| entry.generation == generation);
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let moved = folders.iter().map(|path| {
            let inode = Folder::open(path).and_then(|folder| folder.inode());
            Ok(Moved {
                path: path.clone(),
                inode: inode.map_err(failed("look at", path))?,
            })
        });
        let entry = Entry {
            generation,
            folders: moved.collect::<Result<_, RebuildError>>()?,
            ended: None,
        };
        entries.retain(Entry::is_there);
        entries.push(entry.clone());
        self.write(entries)?;
        Ok(entry)
    }

    /// An order has ended well, unless that was said before. An entry of which nothing is left is dropped.
    pub(super) fn end(&mut self, generation: u64, ended: Ended) -> Result<(), RebuildError> {
        let mut entries = self.read()?;
        let Some(entry) = entries
            .iter_mut()
            .find(|entry| entry.generation == generation && entry.ended.is_none())
        else {
            return Ok(());
        };
        entry.ended = Some(ended);
        entries.retain(|entry| entry.generation != generation || entry.is_there());
        self.write(entries)
    }

    /// Nothing of an order's is left.
    pub(super) fn remove(&mut self, generation: u64) -> Result<(), RebuildError> {
        let mut entries = self.read()?;
        entries.retain(|entry| entry.generation != generation);
        self.write(entries)
    }
}

impl Entry {
    /// Whether anything of it is still there, or may be.
    fn is_there(&self) -> bool {
        self.folders.iter().any(|moved| {
            Folder::open(&moved.path)
                .and_then(|folder| folder.copies())
                .map_or(true, |copies| {
                    copies.iter().any(|copy| copy.generation == self.generation)
                })
        })
    }
}

impl From<Written> for Entry {
    fn from(written: Written) -> Self {
        let ended = written.ended.map(|ended| Ended {
            // One that nobody wrote like this is that of another boot.
            boot: from_hex(&ended.boot_id).map(BootId).unwrap_or_default(),
            clock_ms: ended.clock_ms,
            at_ms: ended.at_ms,
        });
        Self {
            generation: written.generation,
            folders: written.folders,
            ended,
        }
    }
}

impl From<Entry> for Written {
    fn from(entry: Entry) -> Self {
        let ended = entry.ended.map(|ended| WrittenEnd {
            boot_id: to_hex(&ended.boot.0),
            clock_ms: ended.clock_ms,
            at_ms: ended.at_ms,
        });
        Self {
            generation: entry.generation,
            folders: entry.folders,
            ended,
        }
    }
}
