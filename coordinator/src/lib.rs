//! (skeleton)

pub mod ledger;
