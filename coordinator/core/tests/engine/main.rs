//! The coordinator's core under people who ask, agents that work and fail, and time that passes.
//!
//! `world` drives the core and asks it for its invariants after every change; `host` is an agent in
//! small. `scenarios` are transcripts to read, in `scripts/`; `lives` are random.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may be blunt"
)]
#![allow(clippy::disallowed_methods, reason = "transcripts are files")]

mod host;
mod lives;
mod pages;
mod scenarios;
mod script;
mod world;
