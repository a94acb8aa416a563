//! What the agent is told: `agent.toml`, read and checked as a whole before anything is done.
//!
//! Instances are what the file says; nothing that comes over the wire can add one, name a path or
//! run a command. [`Settings`] is what the rest of the agent sees; `file` is what people write.

mod check;
mod file;
mod probe;
mod rebuild;
mod supervisor;
#[cfg(test)]
mod testing;

use std::{collections::BTreeMap, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::RestartPolicy;
use evenkeel_common::{
    config::{self, ConfigError},
    manifest::TrustedKeys,
    names::{ComponentName, InstanceName, NodeName},
    tls::{Address, TlsFiles},
};
use rustix::process::Signal;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{driver::Verb, probes::ProbeSettings};

/// What stands for the folder of the current release in a command.
pub const RELEASE_PLACEHOLDER: &str = "{release}";

/// The agent's settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's name.
    pub node: NodeName,
    /// Where the coordinator is.
    pub coordinator: Address,
    /// Where the agent keeps what it has to remember.
    pub data_dir: Utf8PathBuf,
    /// Whose releases may run here.
    pub trusted_release_keys: TrustedKeys,
    /// The node's labels.
    pub labels: BTreeMap<String, String>,
    /// Who the agent is.
    pub tls: TlsFiles,
    /// How a lost coordinator is looked for.
    pub reconnect: ReconnectSettings,
    /// How the host and its disks are looked at.
    pub vitals: VitalsSettings,
    /// The instances, by name.
    pub instances: Vec<InstanceSettings>,
}

/// How a lost coordinator is looked for.
#[derive(Debug, Clone, Copy)]
pub struct ReconnectSettings {
    /// The first try comes at random within this time.
    pub first_within: Duration,
    /// The longest wait before the second try.
    pub backoff_min: Duration,
    /// The longest wait of all.
    pub backoff_max: Duration,
}

/// How the host and its disks are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VitalsSettings {
    /// How often.
    pub interval: Duration,
    /// Whether something is written to data folders and read again.
    pub check: bool,
    /// How often that.
    pub check_interval: Duration,
}

/// One storage process.
#[derive(Debug, Clone)]
pub struct InstanceSettings {
    /// Its name on the node.
    pub name: InstanceName,
    /// Its component.
    pub component: ComponentName,
    /// Who runs its process.
    pub supervisor: SupervisorSettings,
    /// The program and its arguments, with [`RELEASE_PLACEHOLDER`] for the release's folder; none where a unit says it.
    pub command: Vec<String>,
    /// The name of the program in the release's folder.
    pub binary: String,
    /// What it has in its environment besides a few variables of the agent's own.
    pub env: BTreeMap<String, String>,
    /// Where it is started; its own folder where this is not set.
    pub working_dir: Option<Utf8PathBuf>,
    /// What it may use; nothing where a unit says it.
    pub limits: Limits,
    /// What asks it to stop, where no unit says it.
    pub stop_signal: Signal,
    /// How long it may take to; then it is killed.
    pub stop_timeout: Duration,
    /// Files that belong to its configuration: when what is in them changes, it has to be restarted to follow.
    pub configuration_files: Vec<Utf8PathBuf>,
    /// Folders that have to be there before it is started.
    pub data_dirs: Vec<Utf8PathBuf>,
    /// Leave to start it without its data; none: it never is.
    pub rebuild: Option<RebuildSettings>,
    /// The program that knows its storage system.
    pub driver: Option<DriverSettings>,
    /// Its own labels.
    pub labels: BTreeMap<String, String>,
    /// The first release, where there is none yet.
    pub initial: Option<InitialRelease>,
    /// How often it is started again when it ends.
    pub restart: RestartPolicy,
    /// How long a new agent that finds no process waits for the coordinator's word before it starts one.
    pub start_alone_after: Duration,
    /// What it is asked; at least one thing.
    pub probes: Vec<ProbeSettings>,
}

/// Who runs an instance's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SupervisorSettings {
    /// The agent.
    Exec,
    /// Systemd.
    Systemd {
        /// The name of the unit, which is no other instance's.
        unit: String,
    },
}

impl SupervisorSettings {
    /// The unit, where there is one.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::Exec => None,
            Self::Systemd { unit } => Some(unit),
        }
    }
}

/// What a process may use; what is not set it inherits from the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How many files it may have open.
    pub nofile: Option<u64>,
    /// The largest core file that it may leave.
    pub core: Option<CoreLimit>,
    /// How far it stands back for others: from -20, not at all, to 19.
    pub nice: Option<i32>,
    /// The control group that it belongs to: a folder that is there.
    pub cgroup: Option<Utf8PathBuf>,
}

/// The largest core file that a process may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoreLimit {
    /// In bytes.
    Bytes(u64),
    /// As large as it comes.
    Unlimited,
}

/// A local binary that is the first release where there is none yet.
#[derive(Debug, Clone)]
pub struct InitialRelease {
    /// Its version.
    pub version: Version,
    /// Where it is.
    pub path: Utf8PathBuf,
}

/// Leave to start an instance without its data.
#[derive(Debug, Clone)]
pub struct RebuildSettings {
    /// Which of its data folders are emptied; at least one.
    pub folders: Vec<Utf8PathBuf>,
    /// How long what was in them is kept once the order has ended well.
    pub keep_for: Duration,
}

/// A program that knows one storage system.
#[derive(Debug, Clone)]
pub struct DriverSettings {
    /// The program and its arguments; what it is asked comes last.
    pub command: Vec<String>,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// How long after a no it is asked again.
    pub interval: Duration,
    /// The same for whether the process may be stopped.
    pub ok_to_stop_interval: Duration,
    /// The verbs that it is asked; none: all of them.
    pub verbs: Option<Vec<Verb>>,
    /// What it is told about the storage system, as it is.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

impl DriverSettings {
    /// Whether the configuration says by name that it is to be asked this.
    #[must_use]
    pub fn names(&self, verb: Verb) -> bool {
        self.verbs
            .as_ref()
            .is_some_and(|verbs| verbs.contains(&verb))
    }

    /// Whether it is worth asking this.
    #[must_use]
    pub fn knows(&self, verb: Verb) -> bool {
        self.verbs
            .as_ref()
            .is_none_or(|verbs| verbs.contains(&verb))
    }
}

impl Settings {
    /// Reads the file at `path`, lays the environment's `EVENKEEL_AGENT__…` over it, and checks it.
    ///
    /// # Errors
    /// Names the line or the setting, and what is wrong with it.
    pub fn load(path: &Utf8Path) -> Result<Self, ConfigError> {
        let file: file::File = config::load(path, "EVENKEEL_AGENT")?;
        check::check(path, file)
    }

    /// Where an instance keeps what it has to remember.
    #[must_use]
    pub fn folder_of(&self, instance: &InstanceName) -> Utf8PathBuf {
        self.data_dir.join("instances").join(instance.as_str())
    }
}
