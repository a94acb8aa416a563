//! Which process is the instance's: written by the process itself before it becomes the storage process, so that
//! there is no moment in which one runs that nobody could find.
//!
//! Replaced by rename, so that a reader sees one record whole. It is not synced: after a power failure the boot
//! is another and no process is left that it could speak of.

use std::{fs, io};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::BootId;
use evenkeel_common::{
    clock::Timestamp,
    digest::{Digest, from_hex, to_hex},
    secrets::read_small,
};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::{proc, process::Marks};

/// Who the instance's process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessRecord {
    pub(super) boot: BootId,
    pub(super) pid: Pid,
    pub(super) start_ticks: u64,
    pub(super) started_at: Timestamp,
    /// How long the output file was when the process began to write to it.
    pub(super) output_from: u64,
    /// The digest of the configuration that it was started with, if that is known.
    pub(super) configuration: Option<Digest>,
    /// Which unit's process it is; none if it is one of the agent's own children.
    pub(super) unit: Option<UnitLife>,
}

/// One life of a systemd unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitLife {
    pub(super) unit: String,
    /// What systemd calls this life of it.
    pub(super) invocation: Vec<u8>,
}

impl ProcessRecord {
    /// Whether the process lives that it speaks of, in the boot that it speaks of.
    pub(super) fn is_alive(&self) -> bool {
        proc::stat(self.pid).is_some_and(|stat| stat.alive && stat.start_ticks == self.start_ticks)
    }

    /// What to look for.
    pub(super) fn marks(&self) -> Marks {
        Marks {
            pid: self.pid,
            start_ticks: Some(self.start_ticks),
            started_at: self.started_at,
            configuration: self.configuration,
        }
    }
}

// An agent of another version may have written it, or may read it: fields come, and none ever goes.
#[derive(Serialize, Deserialize)]
struct Written {
    boot_id: String,
    pid: i32,
    start_ticks: u64,
    started_at_ms: u64,
    #[serde(default)]
    output_from: u64,
    #[serde(default)]
    configuration: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    invocation: String,
}

fn path(folder: &Utf8Path) -> Utf8PathBuf {
    folder.join("process.json")
}

/// Reads the record in an instance's folder; none if there is none, or one that a power failure cut short.
pub(super) fn read(folder: &Utf8Path) -> Option<ProcessRecord> {
    let written: Written = serde_json::from_slice(&read_small(&path(folder)).ok()?).ok()?;
    Some(ProcessRecord {
        boot: from_hex(&written.boot_id).map(BootId)?,
        pid: Pid::from_raw(written.pid)?,
        start_ticks: written.start_ticks,
        started_at: Timestamp(written.started_at_ms),
        output_from: written.output_from,
        configuration: written.configuration.parse().ok(),
        unit: (!written.unit.is_empty()).then(|| UnitLife {
            invocation: from_hex(&written.invocation)
                .map(|bytes: [u8; 16]| bytes.to_vec())
                .unwrap_or_default(),
            unit: written.unit,
        }),
    })
}

/// Writes the record into an instance's folder.
pub(super) fn write(folder: &Utf8Path, record: &ProcessRecord) -> io::Result<()> {
    let unit = record.unit.as_ref();
    let written = Written {
        boot_id: to_hex(&record.boot.0),
        pid: record.pid.as_raw_pid(),
        start_ticks: record.start_ticks,
        started_at_ms: record.started_at.0,
        output_from: record.output_from,
        configuration: record
            .configuration
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        unit: unit.map_or_else(String::new, |life| life.unit.clone()),
        invocation: unit.map_or_else(String::new, |life| to_hex(&life.invocation)),
    };
    // One process at a time holds the lock and gets here.
    let temporary = folder.join(".process.json.new");
    fs::write(&temporary, serde_json::to_vec(&written)?)?;
    fs::rename(&temporary, path(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_rubbish_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        assert_eq!(read(folder), None);
        let record = ProcessRecord {
            boot: BootId([7; 16]),
            pid: rustix::process::getpid(),
            start_ticks: 42,
            started_at: Timestamp(1),
            output_from: 7,
            configuration: Some(Digest::from_bytes([3; 32])),
            unit: None,
        };
        let of_unit = ProcessRecord {
            unit: Some(UnitLife {
                unit: "a.service".to_owned(),
                invocation: vec![9; 16],
            }),
            ..record.clone()
        };
        for record in [record, of_unit] {
            write(folder, &record).unwrap();
            assert_eq!(read(folder), Some(record));
        }
        fs::write(path(folder), "{\"boot_id\":").unwrap();
        assert_eq!(read(folder), None);
    }
}
