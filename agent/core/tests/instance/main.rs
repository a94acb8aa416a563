//! One instance's life, under the core.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may be blunt")]

mod gates;
mod holds;
mod host;
mod properties;
mod rebuilds;
mod scenarios;
mod story;
mod support;
