//! Opening a data directory: who may, in what format, and what is changed on the way.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::index::Index;
use super::log::{Log, LogError};
use super::marker::{Marker, MarkerError};
use super::{Format, Shared, Store, writer};
use crate::Release;
use crate::limits::BATCH_RECORDS_MAX;

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system said no.
    #[error("cannot open the data directory")]
    Io(#[from] io::Error),
    /// Another process has it open.
    #[error("another process uses the data directory")]
    InUse,
    /// The log cannot be used.
    #[error("cannot use the log")]
    Log(#[from] LogError),
    /// The marker cannot be used.
    #[error("cannot use the marker")]
    Marker(#[from] MarkerError),
    /// The data is of a format that this release does not know.
    #[error(
        "the data is in storage format {format} (last opened by samplestore {opened_by}), which samplestore {version} \
         cannot read"
    )]
    UnknownFormat {
        /// The data's format.
        format: u8,
        /// The release that opened the data last.
        opened_by: String,
        /// The release that was started.
        version: &'static str,
    },
    /// The data has to be opened by a release between first.
    #[error(
        "the data was last opened by samplestore {opened_by} and is not ready for storage format {format}, which \
         samplestore {version} writes: run samplestore 1.1 on it first"
    )]
    NotReady {
        /// The format it would have to be ready for.
        format: u8,
        /// The release that opened the data last.
        opened_by: String,
        /// The release that was started.
        version: &'static str,
    },
}

impl Store {
    /// Opens the data directory for a release, creating it if there is none. Data in another format that the release
    /// reads and may convert is rewritten in the format it writes.
    ///
    /// # Errors
    /// If another process has it, the data is damaged, or the release may not open it. Nothing is changed then.
    pub fn open(directory: &Path, release: &Release) -> Result<Self, OpenError> {
        fs::create_dir_all(directory)?;
        let lock = lock(directory)?;
        let before = Marker::load(directory)?;
        let format = Log::format_in(directory)?;
        check(format, before.as_ref(), release)?;

        let mut index = Index::default();
        let log = match format {
            Some(format) => Some(Log::load(directory, format, &mut index)?),
            None => None,
        };
        let log = match log {
            Some(log) if log.format() == release.writes => log,
            _ => {
                let (log, moved) = Log::rewrite(directory, release.writes, &index.all())?;
                index.relocate(moved);
                log
            }
        };
        let marker = Marker {
            opened_by: release.version.to_owned(),
            ready_for_format: release.readies_for.number(),
            // Without its log a copy is not complete, whatever it once was.
            established: format.is_some() && before.as_ref().is_some_and(|m| m.established),
        };
        if before.as_ref() != Some(&marker) {
            marker.save(directory)?;
        }

        let shared = Arc::new(Shared {
            index: Mutex::new(index),
            ..Shared::default()
        });
        let (appends, received) = mpsc::channel(BATCH_RECORDS_MAX);
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(log, &shared, received)
            })?;
        Ok(Self {
            appends,
            shared,
            directory: directory.to_owned(),
            marker: Mutex::new(marker),
            _lock: lock,
        })
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(directory.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Whether the release may open data of this format that was last opened as `before` says.
fn check(
    format: Option<Format>,
    before: Option<&Marker>,
    release: &Release,
) -> Result<(), OpenError> {
    let Some(format) = format else { return Ok(()) };
    let opened_by = before
        .map_or("an unknown release", |m| &m.opened_by)
        .to_owned();
    let version = release.version;
    if !release.reads.contains(&format) {
        return Err(OpenError::UnknownFormat {
            format: format.number(),
            opened_by,
            version,
        });
    }
    // Going back to an older format is the release's own doing; going forward needs a consent on disk.
    let ready_for = before.map_or(format.number(), |m| m.ready_for_format);
    if release.writes > format && ready_for < release.writes.number() {
        return Err(OpenError::NotReady {
            format: release.writes.number(),
            opened_by,
            version,
        });
    }
    Ok(())
}
