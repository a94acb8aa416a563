//! The program as its users run it, against a coordinator of canned answers over real mTLS.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which fail by panicking"
)]

mod changes;
mod cluster;
mod compat;
mod coordinator;
mod lists;
mod preview;
mod publish;
mod refusals;
mod sample;
mod watch;
