//! `agent.toml` as it is written: every key, its type and its default, and nothing of what it means.

use std::{collections::BTreeMap, time::Duration};

use camino::Utf8PathBuf;
use evenkeel_common::{
    config::duration,
    manifest::TrustedKeys,
    names::{ComponentName, InstanceName, NodeName},
    tls::{Address, TlsFiles},
};
use semver::Version;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) node: NodeName,
    pub(super) coordinator: Address,
    pub(super) data_dir: Utf8PathBuf,
    pub(super) trusted_release_keys: TrustedKeys,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    pub(super) tls: TlsFiles,
    #[serde(default)]
    pub(super) reconnect: Reconnect,
    #[serde(default)]
    pub(super) vitals: Vitals,
    #[serde(default, rename = "instance")]
    pub(super) instances: Vec<Instance>,
}

/// How a lost coordinator is looked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reconnect {
    #[serde(with = "duration")]
    pub(super) first_within: Duration,
    #[serde(with = "duration")]
    pub(super) backoff_min: Duration,
    #[serde(with = "duration")]
    pub(super) backoff_max: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first_within: Duration::from_millis(100),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
        }
    }
}

/// How the host and its disks are looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Vitals {
    #[serde(with = "duration")]
    pub(super) interval: Duration,
    pub(super) check: bool,
    #[serde(with = "duration")]
    pub(super) check_interval: Duration,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            check: true,
            check_interval: Duration::from_secs(300),
        }
    }
}

/// One `[[instance]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Instance {
    pub(super) name: InstanceName,
    pub(super) component: ComponentName,
    #[serde(default)]
    pub(super) supervisor: SupervisorKind,
    pub(super) unit: Option<String>,
    #[serde(default)]
    pub(super) command: Vec<String>,
    pub(super) binary: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    pub(super) working_dir: Option<Utf8PathBuf>,
    pub(super) limits: Option<Limits>,
    pub(super) stop_signal: Option<String>,
    #[serde(default = "stop_timeout", with = "duration")]
    pub(super) stop_timeout: Duration,
    #[serde(default)]
    pub(super) configuration_files: Vec<Utf8PathBuf>,
    #[serde(default)]
    pub(super) data_dirs: Vec<Utf8PathBuf>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    pub(super) initial: Option<Initial>,
    #[serde(default)]
    pub(super) restart: Restart,
    #[serde(default = "start_alone_after", with = "duration")]
    pub(super) start_alone_after: Duration,
    pub(super) rebuild: Option<Rebuild>,
    pub(super) driver: Option<Driver>,
    #[serde(default, rename = "probe")]
    pub(super) probes: Vec<Probe>,
}

fn stop_timeout() -> Duration {
    Duration::from_secs(30)
}

fn start_alone_after() -> Duration {
    Duration::from_secs(60)
}

/// Who runs an instance's process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SupervisorKind {
    #[default]
    Exec,
    Systemd,
}

/// What a process may use.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) nofile: Option<u64>,
    pub(super) core: Option<Amount>,
    pub(super) nice: Option<i32>,
    pub(super) cgroup: Option<Utf8PathBuf>,
}

/// A number of bytes, or the word for no limit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Amount {
    Bytes(u64),
    Word(String),
}

/// A local binary that is the first release where there is none yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Initial {
    pub(super) version: Version,
    pub(super) path: Utf8PathBuf,
}

/// How often a process that ends is started again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Restart {
    pub(super) attempts: u32,
    #[serde(with = "duration")]
    pub(super) window: Duration,
    #[serde(with = "duration")]
    pub(super) backoff_min: Duration,
    #[serde(with = "duration")]
    pub(super) backoff_max: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        let policy = evenkeel_agent_core::RestartPolicy::default();
        Self {
            attempts: policy.attempts,
            window: Duration::from_millis(policy.window_ms),
            backoff_min: Duration::from_millis(policy.backoff_min_ms),
            backoff_max: Duration::from_millis(policy.backoff_max_ms),
        }
    }
}

/// Leave to start the instance without its data.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rebuild {
    pub(super) empty: Vec<Utf8PathBuf>,
    #[serde(default = "keep_for", with = "duration")]
    pub(super) keep_for: Duration,
}

fn keep_for() -> Duration {
    Duration::from_secs(24 * 3600)
}

/// The program that knows the storage system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Driver {
    pub(super) command: Vec<String>,
    #[serde(default = "driver_timeout", with = "duration")]
    pub(super) timeout: Duration,
    #[serde(default = "interval", with = "duration")]
    pub(super) interval: Duration,
    #[serde(default = "ok_to_stop_interval", with = "duration")]
    pub(super) ok_to_stop_interval: Duration,
    pub(super) verbs: Option<Vec<String>>,
    #[serde(default)]
    pub(super) settings: serde_json::Map<String, serde_json::Value>,
}

fn ok_to_stop_interval() -> Duration {
    Duration::from_secs(15)
}

fn driver_timeout() -> Duration {
    Duration::from_secs(30)
}

/// One `[[instance.probe]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    #[serde(rename = "type")]
    pub(super) kind: ProbeKind,
    pub(super) address: Option<String>,
    pub(super) url: Option<String>,
    pub(super) expect_status: Option<u16>,
    pub(super) contains: Option<String>,
    pub(super) ca: Option<Utf8PathBuf>,
    pub(super) certificate: Option<Utf8PathBuf>,
    pub(super) key: Option<Utf8PathBuf>,
    pub(super) service: Option<String>,
    pub(super) command: Option<Vec<String>>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    #[serde(default = "interval", with = "duration")]
    pub(super) interval: Duration,
    #[serde(default)]
    pub(super) timeout: Option<Span>,
    #[serde(default = "success_threshold")]
    pub(super) success_threshold: u32,
    #[serde(default = "failure_threshold")]
    pub(super) failure_threshold: u32,
    #[serde(default, with = "duration")]
    pub(super) start_period: Duration,
}

/// A duration that need not be there.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Span(#[serde(with = "duration")] pub(super) Duration);

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProbeKind {
    Tcp,
    Http,
    Grpc,
    Exec,
    Driver,
}

impl ProbeKind {
    /// As it is written.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Exec => "exec",
            Self::Driver => "driver",
        }
    }
}

fn interval() -> Duration {
    Duration::from_secs(5)
}

fn success_threshold() -> u32 {
    1
}

fn failure_threshold() -> u32 {
    3
}
