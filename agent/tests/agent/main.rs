//! The agent's own program with real storage processes and, where one is needed, a coordinator that says over
//! real mTLS what a test tells it to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may be blunt"
)]

mod crashes;
mod downloads;
mod gates;
mod holds;
mod numbers;
mod orders;
mod processes;
mod rebuilds;
mod service;
mod settings;
mod support;
mod units;
mod vitals;
