//! (skeleton)

pub mod ledger;
pub mod view;
