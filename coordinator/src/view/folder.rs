//! The view's folder and what stands beside it: the lock, markers of what was under way, views set aside.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use evenkeel_common::files::{FolderLock, create_private_folder};

use super::error::{RebuildReason, ViewError};

/// How many views that were set aside are kept for whoever wants to know.
const DAMAGED_KEPT: usize = 2;

/// A view's folder, held by this process alone.
#[derive(Debug)]
pub(super) struct ViewFolder {
    path: PathBuf,
    _lock: FolderLock,
}

impl ViewFolder {
    /// Takes the lock on the view at `path`, which need not exist yet.
    pub(super) fn lock(path: &Path) -> Result<Self, ViewError> {
        if let Some(parent) = path.parent() {
            create_private_folder(parent)
                .map_err(|source| io_error("make folder", parent, source))?;
        }
        let lock_path = beside(path, ".lock");
        let lock = FolderLock::take_by(&lock_path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => ViewError::InUse {
                folder: path.to_owned(),
            },
            _ => io_error("lock", &lock_path, source),
        })?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What can be said against opening the database before it is tried.
    pub(super) fn reason_not_to_open(&self) -> Result<Option<RebuildReason>, ViewError> {
        if self.rebuilding_marker().exists() {
            return Ok(Some(RebuildReason::RebuildInterrupted));
        }
        if !self.path.exists() {
            return Ok(Some(RebuildReason::Missing));
        }
        if self.opening_marker().exists() {
            return Ok(Some(RebuildReason::OpenInterrupted));
        }
        for name in names_in(&self.path)? {
            let name = name.to_string_lossy();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                return Ok(Some(RebuildReason::SnapshotInterrupted));
            }
        }
        Ok(None)
    }

    /// Notes that the database is being opened: if that ends the process, the next start does not try again.
    pub(super) fn mark_opening(&self) -> Result<(), ViewError> {
        make_marker(&self.opening_marker())
    }

    pub(super) fn unmark_opening(&self) -> Result<(), ViewError> {
        remove_marker(&self.opening_marker())
    }

    /// Makes an empty folder for a view that is about to be filled.
    pub(super) fn begin_rebuild(&self) -> Result<(), ViewError> {
        make_marker(&self.rebuilding_marker())?;
        DirBuilder::new()
            .mode(0o700)
            .create(&self.path)
            .map_err(|source| io_error("make folder", &self.path, source))
    }

    pub(super) fn end_rebuild(&self) -> Result<(), ViewError> {
        remove_marker(&self.rebuilding_marker())
    }

    /// Moves what is there out of the way. What an interrupted rebuild left tells nobody anything and is removed.
    pub(super) fn set_aside(&self, reason: &RebuildReason) -> Result<(), ViewError> {
        let exists = self.path.symlink_metadata().is_ok();
        if exists && *reason == RebuildReason::RebuildInterrupted {
            fs::remove_dir_all(&self.path)
                .map_err(|source| io_error("remove", &self.path, source))?;
        } else if exists {
            let mut kept = self.damaged()?;
            let number = kept.last().map_or(1, |last| last + 1);
            fs::rename(&self.path, self.damaged_path(number))
                .map_err(|source| io_error("set aside", &self.path, source))?;
            kept.push(number);
            for number in kept.iter().rev().skip(DAMAGED_KEPT) {
                let path = self.damaged_path(*number);
                fs::remove_dir_all(&path)
                    .or_else(|_| fs::remove_file(&path))
                    .map_err(|source| io_error("remove", &path, source))?;
            }
        }
        self.unmark_opening()
    }

    /// Numbers of the views set aside, ascending.
    fn damaged(&self) -> Result<Vec<u64>, ViewError> {
        let Some(parent) = self.path.parent() else {
            return Ok(Vec::new());
        };
        let prefix = beside(&self.path, ".damaged-");
        let prefix = prefix.file_name().unwrap_or_default().to_string_lossy();
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        let mut numbers: Vec<u64> = names_in(parent)?
            .iter()
            .filter_map(|name| name.to_str()?.strip_prefix(&*prefix)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn damaged_path(&self, number: u64) -> PathBuf {
        beside(&self.path, &format!(".damaged-{number}"))
    }

    fn opening_marker(&self) -> PathBuf {
        beside(&self.path, ".opening")
    }

    fn rebuilding_marker(&self) -> PathBuf {
        beside(&self.path, ".rebuilding")
    }
}

/// `path` with `suffix` behind its last part.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn names_in(folder: &Path) -> Result<Vec<OsString>, ViewError> {
    match fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
    {
        Ok(names) => Ok(names),
        // Not a folder at all: opening the database will say so.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(source) => Err(io_error("list", folder, source)),
    }
}

fn make_marker(path: &Path) -> Result<(), ViewError> {
    File::create(path)
        .map(drop)
        .map_err(|source| io_error("make", path, source))
}

fn remove_marker(path: &Path) -> Result<(), ViewError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path, source))
        }
        _ => Ok(()),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> ViewError {
    ViewError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
