//! What whole-system tests and the demo stand on: real coordinators, real agents and real storage systems,
//! as processes on loopback, with real certificates.
//!
//! [`fleet`] runs Evenkeel, [`systems`] says how each storage system is run under it and loads it, [`api`] talks to
//! the coordinator as an operator does. [`demo`] is what `cargo demo` runs.

pub mod api;
pub mod caller;
pub mod cli;
pub mod deaths;
pub mod demo;
pub mod example;
pub mod fleet;
pub mod folder;
pub mod handbook;
pub mod keeper;
pub mod listing;
pub mod matrix;
pub mod places;
pub mod ports;
pub mod processes;
pub mod program;
pub mod scene;
pub mod systems;
pub mod wait;
