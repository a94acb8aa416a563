//! The next segment, made by a thread of its own while the current one fills, so that an append that needs it does
//! not wait for megabytes of zeros.

use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;

use super::segment::SpareSegment;

/// At most one spare segment, being made or made.
#[derive(Debug, Default)]
pub(super) struct Preallocation {
    running: Option<JoinHandle<io::Result<SpareSegment>>>,
}

impl Preallocation {
    /// Begins to make a spare, unless that was done already.
    pub(super) fn begin(&mut self, path: PathBuf, bytes: u64) {
        if self.running.is_none() {
            // Without a thread the append that needs the segment makes it itself.
            self.running = std::thread::Builder::new()
                .name("ledger-spare".to_owned())
                .spawn(move || SpareSegment::create(path, bytes))
                .ok();
        }
    }

    /// The spare, once made; `None` if there is none or making it failed.
    pub(super) fn take(&mut self) -> Option<SpareSegment> {
        self.running.take()?.join().ok()?.ok()
    }
}

impl Drop for Preallocation {
    fn drop(&mut self) {
        // The folder's lock is about to be released: nothing may write there any more.
        self.take();
    }
}
