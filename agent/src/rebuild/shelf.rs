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

use super::{
    RebuildError, failed,
    folder::{Copy, Folder},
};

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
    /// The number of the folder that it is in. Only of that one it can be said that nothing is left there.
    pub(super) above: u64,
    /// The number of the folder that was there when the old one was about to return, if one was.
    #[serde(default)]
    pub(super) failed: Option<u64>,
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
            let folder = Folder::open(path);
            let inodes = folder.and_then(|folder| Ok((folder.inode()?, folder.above_inode()?)));
            let (inode, above) = inodes.map_err(failed("look at", path))?;
            Ok(Moved {
                path: path.clone(),
                inode,
                above,
                failed: None,
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

    /// What an order set aside is about to be put back. What is in the way of it is written down while it still is: it is
    /// known again by that once it is out of the way. None if nothing is known of the order.
    pub(super) fn returning(&mut self, generation: u64) -> Result<Option<Entry>, RebuildError> {
        let mut entries = self.read()?;
        let Some(entry) = entries
            .iter_mut()
            .find(|entry| entry.generation == generation)
        else {
            return Ok(None);
        };
        let mut is_new = false;
        for moved in &mut entry.folders {
            let in_the_way = Folder::open(&moved.path)
                .and_then(|folder| folder.in_the_way(generation))
                .map_err(failed("look at", &moved.path))?;
            // With nothing in the way any more, what was there before has gone out of it.
            let now = in_the_way.or(moved.failed);
            is_new |= moved.failed != now;
            moved.failed = now;
        }
        let entry = entry.clone();
        if is_new {
            self.write(entries)?;
        }
        Ok(Some(entry))
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
                .and_then(|folder| moved.copies(&folder, self.generation))
                .map_or(true, |copies| {
                    copies.is_none_or(|copies| !copies.is_empty())
                })
        })
    }
}

impl Moved {
    /// What is left of what an order set aside of this folder, or put out of its way; none if that cannot be told now,
    /// since the disk that it is on is away.
    pub(super) fn copies(&self, folder: &Folder, generation: u64) -> io::Result<Option<Vec<Copy>>> {
        if folder.above_inode()? != self.above {
            return Ok(None);
        }
        let mut copies = folder.copies()?;
        copies.retain(|copy| copy.generation == generation && self.is(copy));
        Ok(Some(copies))
    }

    /// Whether a copy is of this folder, and not only of its name.
    fn is(&self, copy: &Copy) -> bool {
        let inode = match copy.is_before {
            true => Some(self.inode),
            false => self.failed,
        };
        inode == Some(copy.inode)
    }

    /// Whether a copy, found beside any folder, is of this one.
    pub(super) fn has_left(&self, copy: &Copy) -> bool {
        self.is(copy) && copy.path.parent() == self.path.parent()
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
