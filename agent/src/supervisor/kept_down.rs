//! An instance that is kept without a process.

use std::{fs, os::fd::OwnedFd};

use camino::Utf8PathBuf;

/// No process of the instance lives, and none comes to be, as long as this is held.
#[derive(Debug)]
pub struct KeptDown {
    _lock: OwnedFd,
    /// The file that keeps its unit from being started.
    mark: Option<Utf8PathBuf>,
}

impl KeptDown {
    pub(super) fn new(lock: OwnedFd, mark: Option<Utf8PathBuf>) -> Self {
        Self { _lock: lock, mark }
    }
}

impl Drop for KeptDown {
    fn drop(&mut self) {
        if let Some(mark) = &self.mark {
            // One that stays is removed before the next start.
            let _ = fs::remove_file(mark);
        }
    }
}
