//! The pure heart of the coordinator: from a state, a time and something that happened, to what is
//! different and what every agent ought to hear. There is no clock, no file, no thread and no chance in
//! here; Cargo keeps that promise, because nothing this crate depends on has one.
//!
//! Start reading at [`state`], what is known; then [`calls`] and [`reports`], what people and agents
//! say; [`engine`], what follows from it; and [`desired`], what the agents hear.

pub mod calls;
pub mod change;
pub mod compatibility;
pub mod desired;
pub mod engine;
pub mod freeze;
pub mod instance;
pub mod invariants;
pub mod measures;
pub mod node;
pub mod plan;
pub mod planner;
pub mod refusal;
pub mod release;
pub mod reports;
pub mod state;
