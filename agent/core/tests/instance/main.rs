//! One instance's life, under the core.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may be blunt")]

mod host;
mod properties;
mod rebuilds;
mod scenarios;
mod story;
mod support;
