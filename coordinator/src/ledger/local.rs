//! The ledger's home in local files.
//!
//! A folder of segments, each named for its first revision; [`LocalLedger::open`] reads and checks all of them. Only
//! the newest is written, at its end, and only by the process that holds the folder's lock.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use evenkeel_common::failpoint;
use evenkeel_common::files::{FolderLock, create_private_folder, sync_folder};

use super::error::LedgerError;
use super::frame::{Cursor, encode_batch, encode_seal, frame_bytes};
use super::preallocation::Preallocation;
use super::recovery::{Recovered, SegmentFile, has_room, io_error, recover};
use super::replay::LocalReplay;
use super::segment::{CLUSTER_BYTES_MAX, SECTOR_BYTES, SEGMENT_HEADER_BYTES, SpareSegment};
use super::{BATCH_BYTES_MAX, ChainHash, Ledger, PAYLOAD_BYTES_MAX, Position, Replay};
use crate::failpoints;

pub use super::recovery::TornTail;

/// Length of a segment unless set otherwise, in bytes: some 50,000 records of 256 bytes, read in a few
/// milliseconds and written out as zeros in a tenth of a second.
pub const SEGMENT_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;
/// Shortest segment that may be set, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 4 * 1024;
/// Longest segment that may be set, in bytes; a segment is read into memory as a whole.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const SPARE_NAME: &str = "spare.tmp";
const OVERSIZE_NAME: &str = "oversize.tmp";
/// Capacity of the encoding buffer that is kept between appends, in bytes.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

/// How to open a local ledger.
#[derive(Clone, Debug)]
pub struct LocalLedgerSettings {
    /// The folder; it is made if it is not there.
    pub folder: PathBuf,
    /// Name of the cluster that the ledger belongs to, 1 to 255 bytes. It is part of the chain.
    pub cluster: String,
    /// Length of new segments in bytes, rounded up to whole sectors.
    pub segment_bytes: u64,
    /// Whether to make an empty ledger where there is none. Who knows that there must be one says no.
    pub may_create: bool,
}

impl LocalLedgerSettings {
    /// Settings with the default segment length, for a ledger that may be made.
    pub fn new(folder: impl Into<PathBuf>, cluster: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            cluster: cluster.into(),
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            may_create: true,
        }
    }

    fn check(&self) -> Result<(), LedgerError> {
        let ranges = [
            (
                "ledger segment length in bytes",
                SEGMENT_BYTES_MIN,
                SEGMENT_BYTES_MAX,
                self.segment_bytes,
            ),
            (
                "cluster name length in bytes",
                1,
                CLUSTER_BYTES_MAX as u64,
                self.cluster.len() as u64,
            ),
        ];
        match ranges
            .into_iter()
            .find(|(_, min, max, found)| !(min..=max).contains(&found))
        {
            Some((what, min, max, found)) => Err(LedgerError::Setting {
                what,
                min,
                max,
                found,
            }),
            None => Ok(()),
        }
    }
}

/// What opening found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// There was no segment, so a first one was made.
    pub created: bool,
    /// How many segments there are.
    pub segments: usize,
    /// What an interrupted append had left, now dropped.
    pub torn: Option<TornTail>,
}

/// A ledger in a folder of local files.
#[derive(Debug)]
pub struct LocalLedger {
    settings: LocalLedgerSettings,
    segments: Vec<SegmentFile>,
    active: File,
    active_bytes: u64,
    /// Where the next batch goes in the active segment.
    offset: usize,
    end: Position,
    preallocation: Preallocation,
    buffer: Vec<u8>,
    poisoned: bool,
    /// Held for as long as anything of this ledger may write; so the last field.
    _lock: FolderLock,
}

impl LocalLedger {
    /// Opens the ledger and checks all of it, or makes an empty one where there is none.
    ///
    /// # Errors
    /// Refuses, without having changed anything, a ledger that is missing and may not be made, in use, of another cluster, of a later format or with
    /// damage to anything that was acknowledged.
    pub fn open(mut settings: LocalLedgerSettings) -> Result<(Self, OpenReport), LedgerError> {
        settings.check()?;
        settings.segment_bytes = settings.segment_bytes.next_multiple_of(SECTOR_BYTES as u64);
        let lock = lock_folder(&settings.folder)?;
        remove_leftovers(&settings.folder)?;
        let genesis = Position {
            revision: 0,
            hash: ChainHash::genesis(&settings.cluster),
        };
        let (found, created) = match recover(&settings.folder, &settings.cluster, genesis)? {
            Some(found) => (found, false),
            None if settings.may_create => (create_first(&settings, genesis)?, true),
            None => {
                return Err(LedgerError::Missing {
                    folder: settings.folder,
                });
            }
        };
        let report = OpenReport {
            created,
            segments: found.segments.len(),
            torn: found.torn,
        };
        let ledger = Self {
            settings,
            segments: found.segments,
            active: found.active,
            active_bytes: found.active_bytes,
            offset: found.end.offset,
            end: found.end.position,
            preallocation: Preallocation::default(),
            buffer: Vec::new(),
            poisoned: false,
            _lock: lock,
        };
        Ok((ledger, report))
    }

    /// Makes every later write fail, as a full or dying disk would.
    #[cfg(test)]
    pub(super) fn fail_writes_for_test(&mut self) {
        self.active = File::open(&self.settings.folder).expect("the folder is there");
    }

    fn write_batch(
        &mut self,
        batch: &[Bytes],
        batch_bytes: usize,
    ) -> Result<Position, LedgerError> {
        if !has_room(self.active_bytes, self.offset, batch_bytes) {
            self.rotate(batch_bytes)?;
        }
        self.buffer.clear();
        self.buffer.reserve(batch_bytes);
        let end = encode_batch(&mut self.buffer, self.end, batch);
        let write = |bytes: &[u8]| {
            self.active
                .write_all_at(bytes, self.offset as u64)
                .and_then(|()| self.active.sync_data())
        };
        // Sectors are written whole or not at all.
        let write_sectors = |half: &[u8]| {
            let end = (self.offset + half.len()) / SECTOR_BYTES * SECTOR_BYTES;
            write(&half[..end.saturating_sub(self.offset)])
        };
        failpoint::tear(failpoints::APPEND_TORN, &self.buffer, write_sectors);
        write(&self.buffer)
            .map_err(|source| io_error("append to ledger", &self.settings.folder, source))?;
        self.offset += self.buffer.len();
        self.end = end;
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        if self.offset as u64 > self.active_bytes / 2 {
            self.preallocation.begin(
                self.settings.folder.join(SPARE_NAME),
                self.settings.segment_bytes,
            );
        }
        Ok(end)
    }

    /// Goes on in a new segment that has room for `batch_bytes`. The seal comes after the new segment is durable:
    /// a sealed segment without its successor then always means that the successor was lost.
    fn rotate(&mut self, batch_bytes: usize) -> Result<(), LedgerError> {
        let normal_bytes = self.settings.segment_bytes;
        let (active, segment, active_bytes) =
            if has_room(normal_bytes, SEGMENT_HEADER_BYTES, batch_bytes) {
                match self.preallocation.take() {
                    Some(spare) => activate(&self.settings, spare, self.end)?,
                    None => create_segment(&self.settings, SPARE_NAME, normal_bytes, self.end)?,
                }
            } else {
                let bytes = (SEGMENT_HEADER_BYTES + batch_bytes + SECTOR_BYTES)
                    .next_multiple_of(SECTOR_BYTES);
                create_segment(&self.settings, OVERSIZE_NAME, bytes as u64, self.end)?
            };
        self.active
            .write_all_at(&encode_seal(self.end), self.offset as u64)
            .and_then(|()| self.active.sync_data())
            .map_err(|source| {
                io_error("seal a segment of ledger", &self.settings.folder, source)
            })?;
        self.active = active;
        self.active_bytes = active_bytes;
        self.offset = SEGMENT_HEADER_BYTES;
        self.segments.push(segment);
        Ok(())
    }
}

impl Ledger for LocalLedger {
    fn position(&self) -> Position {
        self.end
    }

    fn genesis(&self) -> Position {
        Position {
            revision: 0,
            hash: ChainHash::genesis(&self.settings.cluster),
        }
    }

    fn append(&mut self, batch: &[Bytes]) -> Result<Position, LedgerError> {
        if self.poisoned {
            return Err(LedgerError::Poisoned);
        }
        if batch.is_empty() {
            return Ok(self.end);
        }
        let mut batch_bytes = 0;
        for (index, payload) in batch.iter().enumerate() {
            if payload.len() > PAYLOAD_BYTES_MAX {
                return Err(LedgerError::RecordTooLarge {
                    index,
                    bytes: payload.len(),
                });
            }
            batch_bytes += frame_bytes(payload.len());
        }
        if batch_bytes > BATCH_BYTES_MAX {
            return Err(LedgerError::BatchTooLarge { bytes: batch_bytes });
        }
        let result = self.write_batch(batch, batch_bytes);
        self.poisoned = result.is_err();
        result
    }

    fn replay(&self, from_revision: u64) -> Result<Replay<'_>, LedgerError> {
        Ok(Box::new(LocalReplay::new(
            &self.settings.cluster,
            &self.segments,
            from_revision.max(1),
            self.end,
        )))
    }
}

fn create_first(
    settings: &LocalLedgerSettings,
    genesis: Position,
) -> Result<Recovered, LedgerError> {
    let (active, segment, active_bytes) =
        create_segment(settings, SPARE_NAME, settings.segment_bytes, genesis)?;
    let end = Cursor {
        offset: SEGMENT_HEADER_BYTES,
        position: genesis,
        index: 0,
    };
    Ok(Recovered {
        segments: vec![segment],
        active,
        end,
        active_bytes,
        torn: None,
    })
}

fn create_segment(
    settings: &LocalLedgerSettings,
    temporary_name: &str,
    bytes: u64,
    start: Position,
) -> Result<(File, SegmentFile, u64), LedgerError> {
    let path = settings.folder.join(temporary_name);
    let spare = SpareSegment::create(path.clone(), bytes)
        .map_err(|source| io_error("fill", &path, source))?;
    activate(settings, spare, start)
}

fn activate(
    settings: &LocalLedgerSettings,
    spare: SpareSegment,
    start: Position,
) -> Result<(File, SegmentFile, u64), LedgerError> {
    let bytes = spare.bytes();
    let (file, path) = spare.activate(&settings.folder, &settings.cluster, start)?;
    Ok((file, SegmentFile { path, start }, bytes))
}

/// Makes the folder if need be, keeps others out of it, and takes its lock.
fn lock_folder(folder: &Path) -> Result<FolderLock, LedgerError> {
    let made = !folder.exists();
    create_private_folder(folder)
        .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)))
        .map_err(|source| io_error("make folder", folder, source))?;
    if let Some(parent) = folder
        .parent()
        .filter(|parent| made && !parent.as_os_str().is_empty())
    {
        sync_folder(parent).map_err(|source| io_error("sync folder", parent, source))?;
    }
    FolderLock::take(folder).map_err(|source| match source.kind() {
        ErrorKind::WouldBlock => LedgerError::InUse {
            folder: folder.to_owned(),
        },
        _ => io_error("lock", folder, source),
    })
}

/// Removes segments that were never finished: they bear temporary names and hold no record.
fn remove_leftovers(folder: &Path) -> Result<(), LedgerError> {
    for name in [SPARE_NAME, OVERSIZE_NAME] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(io_error("remove leftover", &path, source));
            }
            _ => {}
        }
    }
    Ok(())
}
