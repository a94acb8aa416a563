//! A freeze: a person's word that nothing new starts anywhere.

use evenkeel_words::timestamp::Timestamp;

/// The newest freeze of the fleet; while it is not lifted nothing new starts anywhere. What is in flight goes on, and so
/// do ways back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
    /// Who lifted it and when, if anyone has.
    pub lifted: Option<(String, Timestamp)>,
    /// The revision at which something of this changed last.
    pub revision: u64,
}
