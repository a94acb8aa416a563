//! The Evenkeel agent: runs, watches, swaps and restarts the storage processes of one host.
//!
//! Decisions are made in `evenkeel-agent-core`; here they are carried out. Where to start reading:
//! [`run`] puts the parts together, [`instance`] is the life of one instance, [`session`] the talk with the
//! coordinator.

pub mod backoff;
pub mod clock;
pub mod config;
pub mod configuration;
pub mod driver;
pub mod failpoints;
pub mod instance;
pub mod journal;
pub mod latency;
pub mod measures;
#[cfg(test)]
mod namespace;
pub mod probes;
pub mod program;
pub mod rebuild;
pub mod releases;
pub mod report;
pub mod run;
pub mod session;
pub mod supervisor;
pub mod vitals;
