//! The Evenkeel coordinator: owns the plan and the state, and serves the API.
//!
//! The way of whatever happens: [`api`] → [`writer`], which asks the pure core what follows → [`ledger`] →
//! snapshot, sessions and [`view`]. [`startup`] is the same way backwards.

pub mod api;
pub mod artifacts;
pub mod convert;
pub mod downloads;
pub mod failpoints;
pub mod ledger;
pub mod settings;
pub mod startup;
pub mod view;
pub mod vitals;
pub mod writer;
