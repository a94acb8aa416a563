//! One instance's life, under the core.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may be blunt")]

mod properties;
mod scenarios;
mod support;
