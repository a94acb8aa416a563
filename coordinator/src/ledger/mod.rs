//! The ledger: the append-only, hash-chained record of everything decided and observed.
//!
//! [`Ledger`] is what the one writer needs from it and what a replicated log could offer just as well;
//! [`local::LocalLedger`] is the home in local files. Payloads are opaque bytes here: what they mean is decided
//! where domain types become records. Start reading at [`local`], then [`frame`] for the bytes on disk and
//! [`tail`] for what may be dropped after a crash and what may not.

mod chain;
mod error;
mod frame;
pub mod local;
mod preallocation;
mod recovery;
mod replay;
mod segment;
mod tail;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use chain::ChainHash;
pub use error::{Damage, Fault, LedgerError};

/// Largest payload of one record, in bytes. Larger content belongs in an artifact, not in a record.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest sum of a batch's frames, in bytes: what one append may hold in memory and write in one call.
pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A place in the ledger: the last record it includes and the chain's digest there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the last record; records are numbered from 1 without gaps, 0 is before the first one.
    pub revision: u64,
    /// Digest of the chain up to and including that record.
    pub hash: ChainHash,
}

/// One record as replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's own position.
    pub position: Position,
    /// What was appended.
    pub payload: Bytes,
}

/// Records in order. After an error it ends.
pub type Replay<'a> = Box<dyn Iterator<Item = Result<Record, LedgerError>> + Send + 'a>;

/// An append-only, hash-chained log that one thread owns. All calls block.
pub trait Ledger: Send {
    /// The last durable position.
    fn position(&self) -> Position;

    /// The position before the first record. Its digest is bound to the cluster, so that two clusters' chains
    /// never agree.
    fn genesis(&self) -> Position;

    /// Appends `batch` as a whole and returns the position of its last record once it is durable: after a crash
    /// either all of an unacknowledged batch is there or nothing of it. An empty batch changes nothing.
    ///
    /// # Errors
    /// A payload over [`PAYLOAD_BYTES_MAX`] or a batch over [`BATCH_BYTES_MAX`] is refused and changes nothing.
    /// After an error of the storage nothing is known about what is durable, so the ledger refuses every later
    /// append with [`LedgerError::Poisoned`]; only opening it again tells.
    fn append(&mut self, batch: &[Bytes]) -> Result<Position, LedgerError>;

    /// Reads the records from `from_revision` (0 and 1 both mean the first) to the last one, lazily, checking each.
    ///
    /// # Errors
    /// When the first record cannot be reached; later ones come out of the iterator.
    fn replay(&self, from_revision: u64) -> Result<Replay<'_>, LedgerError>;

    /// The chain's digest at `revision`, `None` beyond the last record.
    ///
    /// # Errors
    /// When the record cannot be read.
    fn hash_at(&self, revision: u64) -> Result<Option<ChainHash>, LedgerError> {
        if revision == 0 {
            return Ok(Some(self.genesis().hash));
        }
        if revision > self.position().revision {
            return Ok(None);
        }
        let first = self.replay(revision)?.next().transpose()?;
        Ok(first.map(|record| record.position.hash))
    }
}
