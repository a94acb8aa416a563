//! How a host and the disks under its data are.

use evenkeel_proto::v1;
use serde::Serialize;

/// A host and its data folders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Vitals {
    /// How long ago that was heard.
    pub(crate) age_ms: u64,
    pub(crate) host: Option<Host>,
    pub(crate) folders: Vec<DataFolder>,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Host {
    pub(crate) processors: u32,
    pub(crate) busy_percent: f64,
    pub(crate) io_wait_percent: f64,
    pub(crate) load: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) memory_available_bytes: u64,
    pub(crate) received_bytes_per_s: u64,
    pub(crate) sent_bytes_per_s: u64,
    pub(crate) network_errors: u64,
}

/// A data folder of an instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DataFolder {
    pub(crate) instance: String,
    /// Which of its `data_dirs`, from 0.
    pub(crate) index: u32,
    pub(crate) device: String,
    pub(crate) bytes: u64,
    pub(crate) available_bytes: u64,
    pub(crate) inodes: u64,
    pub(crate) available_inodes: u64,
    pub(crate) read_only: bool,
    pub(crate) io_errors: Option<u64>,
    pub(crate) file_system_errors: Option<u64>,
    pub(crate) check_us: u64,
    pub(crate) trouble: String,
}

impl Vitals {
    /// What was said, and heard this long ago.
    pub(crate) fn new(vitals: v1::NodeVitals, age: Option<prost_types::Duration>) -> Self {
        let age = age.and_then(|age| std::time::Duration::try_from(age).ok());
        let age_ms = age.unwrap_or_default().as_millis();
        Self {
            age_ms: u64::try_from(age_ms).unwrap_or(u64::MAX),
            host: vitals.host.map(Into::into),
            folders: vitals.folders.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<v1::HostVitals> for Host {
    fn from(host: v1::HostVitals) -> Self {
        Self {
            processors: host.processors,
            busy_percent: f64::from(host.busy_permille) / 10.0,
            io_wait_percent: f64::from(host.io_wait_permille) / 10.0,
            load: f64::from(host.load_centi) / 100.0,
            memory_bytes: host.memory_bytes,
            memory_available_bytes: host.memory_available_bytes,
            received_bytes_per_s: host.received_bytes_per_s,
            sent_bytes_per_s: host.sent_bytes_per_s,
            network_errors: host.network_errors,
        }
    }
}

impl From<v1::DataFolderVitals> for DataFolder {
    fn from(folder: v1::DataFolderVitals) -> Self {
        Self {
            instance: folder.instance,
            index: folder.index,
            device: folder.device,
            bytes: folder.bytes,
            available_bytes: folder.available_bytes,
            inodes: folder.inodes,
            available_inodes: folder.available_inodes,
            read_only: folder.read_only,
            io_errors: folder.io_errors,
            file_system_errors: folder.file_system_errors,
            check_us: folder.check_us,
            trouble: folder.trouble,
        }
    }
}
