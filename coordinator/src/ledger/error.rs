//! What can go wrong with a ledger, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why a ledger did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The settings are outside what the ledger supports.
    #[error("{what} must be between {min} and {max}, not {found}")]
    Setting {
        /// The setting, with its unit.
        what: &'static str,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
        /// The value given.
        found: u64,
    },
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
    #[error("ledger {} is in use by another process; stop that coordinator first", folder.display())]
    InUse {
        /// The ledger's folder.
        folder: PathBuf,
    },
    /// There is no ledger where there must be one.
    #[error("there is no segment in ledger {}; bring the ledger back from a backup or a standby", folder.display())]
    Missing {
        /// The ledger's folder.
        folder: PathBuf,
    },
    /// The ledger belongs to another cluster.
    #[error("ledger file {} belongs to cluster {found:?}, not to {expected:?}; check the state folder's path",
        path.display())]
    WrongCluster {
        /// The file that says so.
        path: PathBuf,
        /// The cluster this coordinator serves.
        expected: String,
        /// The cluster named in the file.
        found: String,
    },
    /// Written by a later release.
    #[error("ledger file {} has format version {found}, this release reads {supported}; use a later release",
        path.display())]
    UnsupportedVersion {
        /// The file that says so.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The format version this release reads and writes.
        supported: u32,
    },
    /// Acknowledged records cannot be read. Nothing on disk was changed.
    #[error(transparent)]
    Damaged(Box<Damage>),
    /// A payload is over the limit. Nothing was appended.
    #[error(
        "record {index} of the batch has {bytes} bytes, allowed are {}",
        super::PAYLOAD_BYTES_MAX
    )]
    RecordTooLarge {
        /// Its place in the batch, from 0.
        index: usize,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The batch as a whole is over the limit. Nothing was appended.
    #[error(
        "batch takes {bytes} bytes, allowed are {}; append it in parts",
        super::BATCH_BYTES_MAX
    )]
    BatchTooLarge {
        /// What it would take on disk, in bytes.
        bytes: usize,
    },
    /// An earlier write or sync failed, so nobody knows what is durable.
    #[error(
        "an earlier write to the ledger failed; restart the coordinator, which verifies what is on disk"
    )]
    Poisoned,
}

/// Where a ledger is damaged and how.
#[derive(Debug, thiserror::Error)]
#[error(
    "ledger is damaged: {fault}, in {} at byte {offset}, where revision {revision} should be; \
     nothing was changed: keep the folder, and restore this file from a backup or a standby",
    path.display()
)]
pub struct Damage {
    /// The segment file.
    pub path: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The revision that is expected there.
    pub revision: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// One way in which bytes on disk are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A segment is shorter or longer than it was made.
    #[error("the segment has {found} bytes instead of {expected}")]
    SegmentLength {
        /// Length it was made with, in bytes.
        expected: u64,
        /// Length of the file, in bytes.
        found: u64,
    },
    /// The segment's header fails its checksum.
    #[error("the segment header is unreadable")]
    SegmentHeader,
    /// The header names another first revision than the file's name does.
    #[error("the segment header says that it starts with revision {found}")]
    SegmentName {
        /// The revision in the header.
        found: u64,
    },
    /// The segment continues another chain.
    #[error("the segment does not continue the chain before it")]
    SegmentChain,
    /// A segment between two others, or after a sealed one, is not there.
    #[error("the segment that holds revision {first_revision} is missing")]
    SegmentMissing {
        /// The first revision nobody holds.
        first_revision: u64,
    },
    /// A frame's header is not one.
    #[error("the record's header is unreadable")]
    FrameHeader,
    /// A frame claims more bytes than there are.
    #[error("the record claims {bytes} bytes, more than can be there")]
    FrameLength {
        /// The payload length claimed, in bytes.
        bytes: u32,
    },
    /// A frame carries another revision or place in its batch.
    #[error("the record there says it is revision {found}")]
    Revision {
        /// The revision it carries.
        found: u64,
    },
    /// The payload fails its checksum.
    #[error("the record's content fails its checksum")]
    Content,
    /// The digest stored is not the digest of what is there.
    #[error("the record does not continue the chain before it")]
    Chain,
    /// Zeros where records must be.
    #[error("records end in the middle of a batch or before others")]
    RecordsMissing,
    /// Something lies behind the damage that an interrupted append cannot explain.
    #[error("the record is damaged, and records follow it")]
    DamagedBeforeOthers,
}
