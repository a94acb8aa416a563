//! The planner: against a planner that tries everything, against a checker that lists everything, and on pages to read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may be blunt"
)]

mod brute;
mod cases;
mod changes;
mod examples;
mod large;
mod mixes;
mod random;
mod refused;
mod setting;
