//! What a view is worth beside a ledger.

use super::error::RebuildReason;
use crate::ledger::{Ledger, LedgerError, Position};

/// What to do with a view at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reconciliation {
    /// The view is the ledger's state at its position; only what follows has to be replayed.
    Usable {
        /// The first revision to replay; one past the ledger's end if the view is current.
        replay_from: u64,
    },
    /// The view has another history and has to be made again.
    Rebuild(RebuildReason),
    /// The view stands for records that the ledger does not have. They were acknowledged, so the ledger has lost them
    /// or is not the one that belongs here; going on would decide on a state that never was.
    LedgerLostRecords {
        /// The last revision in the ledger.
        ledger_revision: u64,
        /// The revision that the view stands for.
        view_revision: u64,
    },
}

/// Compares the position that a view stands for with the ledger.
///
/// # Errors
/// If the ledger cannot be read.
pub fn reconcile(view: Position, ledger: &dyn Ledger) -> Result<Reconciliation, LedgerError> {
    Ok(match ledger.hash_at(view.revision)? {
        None => Reconciliation::LedgerLostRecords {
            ledger_revision: ledger.position().revision,
            view_revision: view.revision,
        },
        Some(hash) if hash == view.hash => Reconciliation::Usable {
            replay_from: view.revision + 1,
        },
        Some(_) => Reconciliation::Rebuild(RebuildReason::Disagrees {
            revision: view.revision,
        }),
    })
}
