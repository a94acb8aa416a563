//! The view: the current state as keys and values in sled, with the ledger position it stands for.
//!
//! It saves a replay of the whole ledger at start and nothing else hangs on it: whatever is wrong with it, it is set
//! aside and made again from the ledger. sled's own word is not taken for anything. A checksum per value, and a count
//! and a digest of all entries kept in one record ([`meta`]) that changes with them in one batch, make a lost key as
//! visible as a flipped bit, and sled's panics and hangs stay in a thread that can be given up ([`isolation`]).
//!
//! [`View::open`] reads everything there is. [`reconcile`] says what it is worth beside a ledger,
//! [`FreshView::fill`] makes it anew, and [`View::into_writer`] hands it to the one thread that keeps it current.
//! What keys and values mean is decided elsewhere.

mod digest;
mod error;
mod folder;
mod isolation;
mod meta;
mod reconcile;
mod store;
mod writer;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use crate::ledger::Position;

pub use error::{RebuildReason, ViewError};
pub use reconcile::{Reconciliation, reconcile};
pub use writer::{ViewHealth, ViewUpdate, ViewWriter, ViewWriterSettings};

use folder::ViewFolder;
use isolation::isolated;
use store::Store;

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest value in bytes.
pub const VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All entries of a view, by key.
pub type Entries = BTreeMap<Bytes, Bytes>;

/// How to open a view.
#[derive(Clone, Debug)]
pub struct ViewSettings {
    /// The view's folder. Beside it, under names that begin with its name, are its lock, markers of what was under
    /// way, and up to two views that were set aside.
    pub folder: PathBuf,
    /// How long opening or filling may take before it counts as hung.
    pub patience: Duration,
}

impl ViewSettings {
    /// Settings with a patience of a minute: reading a million entries takes a few seconds.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            patience: Duration::from_secs(60),
        }
    }
}

/// What opening found: all that was written up to some position, or a reason to make the view again. Never a part of
/// it, and never an empty view in the place of a lost one.
#[derive(Debug)]
pub enum ViewOpen {
    /// The view is whole.
    Loaded {
        /// To write on.
        view: View,
        /// Everything in it.
        entries: Entries,
        /// The ledger position it stands for.
        position: Position,
    },
    /// The view cannot be used; what was there has been set aside.
    RebuildNeeded {
        /// To fill from the ledger.
        view: FreshView,
        /// Why.
        reason: RebuildReason,
    },
}

/// A view that is whole, opened by this process alone.
#[derive(Debug)]
pub struct View {
    store: Store,
    folder: ViewFolder,
    patience: Duration,
}

/// The place for a view that has to be made again.
#[derive(Debug)]
pub struct FreshView {
    folder: ViewFolder,
    patience: Duration,
}

impl View {
    /// Opens the view and reads all of it. A view that cannot be used is moved to `<folder>.damaged-<n>`, of which the
    /// latest two are kept.
    ///
    /// # Errors
    /// Only if another process has the view open, or if the folders around it cannot be changed.
    pub fn open(settings: &ViewSettings) -> Result<ViewOpen, ViewError> {
        let folder = ViewFolder::lock(&settings.folder)?;
        let fresh = |folder| FreshView {
            folder,
            patience: settings.patience,
        };
        if let Some(reason) = folder.reason_not_to_open()? {
            folder.set_aside(&reason)?;
            return Ok(ViewOpen::RebuildNeeded {
                view: fresh(folder),
                reason,
            });
        }
        folder.mark_opening()?;
        let path = folder.path().to_owned();
        let loaded = isolated("view-open", settings.patience, move || Store::load(&path));
        folder.unmark_opening()?;
        match loaded
            .map_err(RebuildReason::from)
            .and_then(|result| result)
        {
            Ok((store, entries)) => {
                let position = store.position();
                Ok(ViewOpen::Loaded {
                    view: Self {
                        store,
                        folder,
                        patience: settings.patience,
                    },
                    entries,
                    position,
                })
            }
            Err(reason) => {
                folder.set_aside(&reason)?;
                Ok(ViewOpen::RebuildNeeded {
                    view: fresh(folder),
                    reason,
                })
            }
        }
    }

    /// The ledger position that the view stands for.
    #[must_use]
    pub fn position(&self) -> Position {
        self.store.position()
    }

    /// Sets the view aside after all, because the ledger says otherwise.
    ///
    /// # Errors
    /// If its folder cannot be moved.
    pub fn discard(self, reason: &RebuildReason) -> Result<FreshView, ViewError> {
        drop(self.store);
        self.folder.set_aside(reason)?;
        Ok(FreshView {
            folder: self.folder,
            patience: self.patience,
        })
    }

    /// Hands the view to a thread of its own that keeps it current.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn into_writer(self, settings: ViewWriterSettings) -> Result<ViewWriter, ViewError> {
        ViewWriter::start(self.store, self.folder, settings)
    }
}

impl FreshView {
    /// Makes the view that stands for `position` and holds `entries`. If this is interrupted, the next opening asks
    /// for it again.
    ///
    /// # Errors
    /// If the entries are over a limit or cannot be stored. Then there is no view, and the ledger is as good as before.
    pub fn fill(self, entries: Entries, position: Position) -> Result<View, ViewError> {
        self.folder.begin_rebuild()?;
        let path = self.folder.path().to_owned();
        let store = isolated("view-fill", self.patience, move || {
            Store::fill(&path, &entries, position)
        })
        .map_err(ViewError::from)
        .and_then(|result| result)?;
        self.folder.end_rebuild()?;
        Ok(View {
            store,
            folder: self.folder,
            patience: self.patience,
        })
    }
}
