//! Probes: what a storage process is asked, how often, and what its answers add up to.
//!
//! [`Prober`] runs the probes of one instance as tasks of the one runtime. After a start they ask fast, so
//! that ready is noticed promptly; then at their interval. [`Health`] is what the answers add up to.

mod health;
mod http;
mod prober;
mod tcp;

use std::{fmt, net::SocketAddr, time::Duration};

pub use health::{Health, Tally};
pub use http::HttpProbe;
pub use prober::{Prober, Vitality};

/// One probe.
#[derive(Debug, Clone)]
pub struct ProbeSettings {
    /// What is asked.
    pub question: Question,
    /// How often, once the process is ready.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many good answers in a row make it good.
    pub success_threshold: u32,
    /// How many bad answers in a row make it bad.
    pub failure_threshold: u32,
    /// How long after a start bad answers do not count.
    pub start_period: Duration,
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Question {
    /// Whether it takes connections.
    Tcp(SocketAddr),
    /// Whether it answers a GET as expected.
    Http(HttpProbe),
}

impl Question {
    /// Asks once.
    ///
    /// # Errors
    /// Says what was wrong with the answer, in a few words.
    async fn ask(&self) -> Result<(), String> {
        match self {
            Self::Tcp(address) => tcp::ask(*address).await,
            Self::Http(probe) => probe.ask().await,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Http(probe) => probe.fmt(f),
        }
    }
}
