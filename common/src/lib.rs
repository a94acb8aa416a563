//! What both sides of Evenkeel share and what may do I/O: identity and TLS, configuration, durable files,
//! logs, the table of error codes. The pure words are in `evenkeel-words` and come along from here.

#[cfg(feature = "archive")]
pub mod archive;
pub mod clock;
pub mod config;
pub mod digest;
pub mod failpoint;
pub mod files;
pub mod identity;
pub mod manifest;
#[cfg(feature = "pki")]
pub mod pki;
pub mod platform;
pub mod problem;
pub mod secrets;
pub mod service;
pub mod telemetry;
pub mod tls;
pub mod tree_path;

pub use evenkeel_words::{amount, limits, names, text, window};
