//! The coordinator's configuration: what the file and the environment say, and what is made of it.

mod policy;

use std::{net::SocketAddr, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::{
    config::{self, ConfigError},
    manifest::TrustedKeys,
    names::ClusterName,
    tls::TlsFiles,
};
use evenkeel_coordinator_core::{node::LivenessTimings, plan::Policy};
use serde::Deserialize;

use self::policy::PolicyDefaults;

/// Variables of the environment that lie over the file begin with this and two underscores.
pub const ENV_PREFIX: &str = "EVENKEEL_COORDINATOR";

/// The shortest heartbeat interval.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// The longest heartbeat interval: an order answers a heartbeat, and has to be begun within 30 s of it.
const HEARTBEAT_MAX: Duration = Duration::from_secs(20);

/// The most downloads at a time: each holds a file open, and a few chunks of it in memory.
const DOWNLOADS_MAX: usize = 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cluster: ClusterName,
    listen: SocketAddr,
    data_dir: Utf8PathBuf,
    tls: TlsFiles,
    #[serde(default)]
    revocation_lists: Vec<Utf8PathBuf>,
    trusted_release_keys: TrustedKeys,
    #[serde(default)]
    agents: Agents,
    #[serde(default)]
    policy: PolicyDefaults,
    #[serde(default)]
    downloads: DownloadsFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DownloadsFile {
    concurrent: usize,
    rate: String,
}

impl Default for DownloadsFile {
    fn default() -> Self {
        Self {
            concurrent: 16,
            rate: "200MiB/s".to_owned(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Agents {
    #[serde(with = "config::duration::option")]
    heartbeat_interval: Option<Duration>,
    #[serde(with = "config::duration::option")]
    suspect_after: Option<Duration>,
    #[serde(with = "config::duration::option")]
    lost_after: Option<Duration>,
}

/// What the coordinator runs by, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster that it coordinates.
    pub cluster: ClusterName,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it keeps its ledger, view and artifacts.
    pub data_dir: Utf8PathBuf,
    /// Its certificate and the cluster's CA.
    pub tls: TlsFiles,
    /// Certificates that are no longer good.
    pub revocation_lists: Vec<Utf8PathBuf>,
    /// Whose releases it takes.
    pub trusted_release_keys: TrustedKeys,
    /// How often agents send a report, ± 20 %.
    pub heartbeat_interval: Duration,
    /// After how much silence an agent is what.
    pub liveness: LivenessTimings,
    /// What a plan's policy has where its maker says nothing.
    pub policy: Policy,
    /// How artifacts are sent.
    pub downloads: DownloadSettings,
}

/// How artifacts are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadSettings {
    /// To so many hosts at a time.
    pub concurrent: usize,
    /// So fast, all together.
    pub bytes_per_second: u64,
}

fn downloads(file: &DownloadsFile) -> Result<DownloadSettings, ConfigError> {
    if !(1..=DOWNLOADS_MAX).contains(&file.concurrent) {
        return Err(ConfigError::setting(
            "downloads.concurrent",
            format!("is {}, allowed are 1 to {DOWNLOADS_MAX}", file.concurrent),
        ));
    }
    let bytes_per_second = rate(&file.rate).ok_or_else(|| {
        ConfigError::setting(
            "downloads.rate",
            format!(
                "{:?} is no rate; write it like \"500KiB/s\", \"200MiB/s\" or \"1GiB/s\"",
                file.rate
            ),
        )
    })?;
    Ok(DownloadSettings {
        concurrent: file.concurrent,
        bytes_per_second,
    })
}

/// Bytes a second, as people write them.
fn rate(text: &str) -> Option<u64> {
    let units = [("KiB/s", 10), ("MiB/s", 20), ("GiB/s", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))?;
    let number: u64 = number.trim_end().parse().ok()?;
    number.checked_mul(1 << shift).filter(|rate| *rate > 0)
}

impl Settings {
    /// Reads and checks the configuration at `path`.
    ///
    /// # Errors
    /// Names the line, the variable or the setting, and what is wrong with it.
    pub fn load(path: &Utf8Path) -> Result<Self, ConfigError> {
        let file: File = config::load(path, ENV_PREFIX)?;
        let agents = &file.agents;
        let heartbeat_interval = agents.heartbeat_interval.unwrap_or(Duration::from_secs(10));
        let settings = Self {
            cluster: file.cluster,
            listen: file.listen,
            data_dir: config::resolve(path, &file.data_dir),
            tls: file.tls.resolved(path),
            revocation_lists: file
                .revocation_lists
                .iter()
                .map(|list| config::resolve(path, list))
                .collect(),
            trusted_release_keys: file.trusted_release_keys,
            heartbeat_interval,
            liveness: LivenessTimings {
                suspect_after: agents.suspect_after.unwrap_or(heartbeat_interval * 3),
                lost_after: agents.lost_after.unwrap_or(heartbeat_interval * 6),
            },
            policy: file.policy.over(Policy::default())?,
            downloads: downloads(&file.downloads)?,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.trusted_release_keys.is_empty() {
            return Err(ConfigError::setting(
                "trusted_release_keys",
                "is empty, so that no release could ever be published; name at least one key",
            ));
        }
        if !(HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(&self.heartbeat_interval) {
            return Err(ConfigError::setting(
                "agents.heartbeat_interval",
                format!(
                    "is {:?}, allowed are {HEARTBEAT_MIN:?} to {HEARTBEAT_MAX:?}",
                    self.heartbeat_interval
                ),
            ));
        }
        // A heartbeat may come 20 % late, and one may get lost.
        if self.liveness.suspect_after < self.heartbeat_interval * 2 {
            return Err(ConfigError::setting(
                "agents.suspect_after",
                format!(
                    "is {:?}, the least is two heartbeat intervals ({:?})",
                    self.liveness.suspect_after,
                    self.heartbeat_interval * 2
                ),
            ));
        }
        if self.liveness.lost_after <= self.liveness.suspect_after {
            return Err(ConfigError::setting(
                "agents.lost_after",
                format!(
                    "is {:?}, it has to be longer than agents.suspect_after ({:?})",
                    self.liveness.lost_after, self.liveness.suspect_after
                ),
            ));
        }
        self.policy
            .check()
            .map_err(|refusal| ConfigError::setting("policy", refusal.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_that_is_shipped_is_a_configuration_and_its_policy_the_default_one() {
        let example = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../deploy/examples/coordinator.toml"
        );
        let settings = Settings::load(example.into()).unwrap();
        let defaults = PolicyDefaults::default().over(Policy::default());
        assert_eq!(settings.policy, defaults.unwrap());
        assert_eq!(
            settings.downloads,
            downloads(&DownloadsFile::default()).unwrap()
        );
    }
}
