//! Probes: what a storage process is asked, how often, and what its answers add up to.
//!
//! [`Prober`] runs the probes of one instance as tasks of the one runtime. After a start they ask fast, so
//! that ready is noticed promptly; then at their interval. [`Health`] is what the answers add up to.

mod exec;
mod grpc;
mod health;
mod http;
mod prober;
mod target;
mod tcp;
mod tls;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

pub use exec::{ExecProbe, PROGRAMS_MAX};
pub use grpc::GrpcProbe;
pub use health::{Health, Tally};
pub use http::HttpProbe;
pub use prober::{Prober, Vitality};
use target::Target;
pub use tls::ProbeTls;

use crate::{
    driver::{Answer, Driver},
    report::sentence,
    supervisor::ExitWatcher,
};

/// How soon after each other programs are run, at the least: they cost more than a connection.
const PROGRAM_WAIT_MIN: Duration = Duration::from_millis(250);

/// The probes of one instance, and what they need to ask.
#[derive(Debug, Clone)]
pub struct Probes {
    /// The probes.
    pub settings: Arc<[ProbeSettings]>,
    /// Who knows its storage system.
    pub driver: Option<Arc<Driver>>,
    /// Who sees programs end.
    pub watcher: Arc<ExitWatcher>,
    /// What all programs of a host that are probes share, of [`PROGRAMS_MAX`].
    pub programs: Arc<Semaphore>,
}

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
    /// Whether it says that it serves.
    Grpc(GrpcProbe),
    /// Whether a program says that it is well.
    Exec(ExecProbe),
    /// Whether its driver says that it is well.
    Driver,
}

impl Question {
    /// Asks once, for at most `time`. Programs wait for their turn for `patience` before.
    ///
    /// # Errors
    /// Says what was wrong with the answer, in a few words.
    async fn ask(&self, probes: &Probes, time: Duration, patience: Duration) -> Result<(), String> {
        let asked = async {
            match self {
                Self::Tcp(address) => tcp::ask(*address).await,
                Self::Http(probe) => probe.ask().await,
                Self::Grpc(probe) => probe.ask().await,
                Self::Exec(probe) => probe.ask(probes, time, patience).await,
                Self::Driver => ask_driver(probes.driver.as_deref(), time, patience).await,
            }
        };
        // Programs have their time from when their turn has come: that others are asked for long is nothing that is
        // wrong with this instance.
        if matches!(self, Self::Exec(_) | Self::Driver) {
            return asked.await;
        }
        match tokio::time::timeout(time, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {time:?}")),
        }
    }

    /// How long after a start, and after each other, it may be asked at the soonest.
    fn wait_min(&self) -> Duration {
        match self {
            Self::Tcp(_) | Self::Http(_) | Self::Grpc(_) => prober::WAIT_MIN,
            Self::Exec(_) | Self::Driver => PROGRAM_WAIT_MIN,
        }
    }
}

async fn ask_driver(
    driver: Option<&Driver>,
    time: Duration,
    patience: Duration,
) -> Result<(), String> {
    let Some(driver) = driver else {
        return Err("there is no driver".to_owned());
    };
    match driver.health(time, patience).await {
        Ok(Answer::Yes(_)) => Ok(()),
        Ok(Answer::No(reason)) => Err(reason),
        Ok(Answer::Unsupported) => Err("the driver does not know whether it is well".to_owned()),
        Err(error) => Err(sentence(&error)),
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Http(probe) => probe.fmt(f),
            Self::Grpc(probe) => probe.fmt(f),
            Self::Exec(probe) => probe.fmt(f),
            Self::Driver => f.write_str("driver health"),
        }
    }
}

#[cfg(test)]
mod tests;
