//! Why a view has to be made again, and what can go wrong while working with one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why a view cannot be used. The ledger has all that is needed to make it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RebuildReason {
    /// There is no view; the first start is such a case.
    #[error("there is no view")]
    Missing,
    /// Making it was interrupted.
    #[error("making the view was interrupted")]
    RebuildInterrupted,
    /// The process ended while it was being opened.
    #[error("the process ended while it opened the view")]
    OpenInterrupted,
    /// sled was interrupted while it wrote a snapshot, and will not open.
    #[error("a snapshot of the view was interrupted")]
    SnapshotInterrupted,
    /// sled said no.
    #[error("the view's database cannot be read ({message})")]
    Unreadable {
        /// What sled said.
        message: String,
    },
    /// sled panicked.
    #[error("the view's database panicked ({message})")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// Opening did not come to an end.
    #[error("opening the view did not end within {} s", patience.as_secs())]
    TimedOut {
        /// How long was waited.
        patience: Duration,
    },
    /// The record of what should be there is not there.
    #[error("the view does not say what it stands for")]
    MetaMissing,
    /// That record is damaged.
    #[error("the view's record of what it stands for is damaged")]
    MetaInvalid,
    /// Another release wrote it.
    #[error("the view has format version {found}")]
    FormatVersion {
        /// Its format version.
        found: u32,
    },
    /// An entry is damaged, or something is there that is no entry.
    #[error("an entry of the view is damaged")]
    EntryInvalid,
    /// Entries are missing, changed or too many.
    #[error("the view holds {found} entries that do not add up to the {expected} it should hold")]
    ContentDiffers {
        /// How many entries there should be.
        expected: u64,
        /// How many were read before reading ended.
        found: u64,
    },
    /// The ledger has another history.
    #[error("the view at revision {revision} disagrees with the ledger")]
    Disagrees {
        /// The revision that the view stands for.
        revision: u64,
    },
}

/// Why a view could not be opened, filled or kept current.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else has it open.
    #[error("view {} is in use by another process; stop that coordinator first", folder.display())]
    InUse {
        /// The view's folder.
        folder: PathBuf,
    },
    /// The database refused.
    #[error("cannot {action} the view's database")]
    Database {
        /// What was tried, as a verb.
        action: &'static str,
        /// What the database said.
        #[source]
        source: sled::Error,
    },
    /// The database panicked.
    #[error("the view's database panicked ({message})")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The database hangs.
    #[error("the view's database did not answer within {} s", patience.as_secs())]
    TimedOut {
        /// How long was waited.
        patience: Duration,
    },
    /// No thread could be started.
    #[error("cannot start a thread for the view")]
    Thread {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// An entry is damaged in the database that is open.
    #[error("an entry of the open view is damaged; it is made again at the next start")]
    EntryInvalid,
    /// A key is empty or over its limit, or a value is over its limit.
    #[error(
        "entry has a key of {key_bytes} and a value of {value_bytes} bytes, allowed are 1 to {} and {}",
        super::KEY_BYTES_MAX,
        super::VALUE_BYTES_MAX
    )]
    EntryTooLarge {
        /// The key's length in bytes.
        key_bytes: usize,
        /// The value's length in bytes.
        value_bytes: usize,
    },
    /// An update does not come after the one before it.
    #[error("update to revision {revision} does not come after revision {after}")]
    OutOfOrder {
        /// The revision of the update.
        revision: u64,
        /// The revision of the update before.
        after: u64,
    },
    /// The database has fallen so far behind that updates are no longer collected.
    #[error("the view has {changes} changes to write and is given up until the next start")]
    FellBehind {
        /// How many changes wait.
        changes: usize,
    },
    /// An update failed; the view stays where it was until the next start.
    #[error("the view was given up after a failure; it stays as it is until the next start")]
    GivenUp {
        /// The first failure.
        #[source]
        cause: Arc<ViewError>,
    },
}
