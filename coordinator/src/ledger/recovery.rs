//! Opening what is on disk: every record of every segment is read and checked, and the end is found.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::{Damage, Fault, LedgerError};
use super::frame::{Cursor, FRAME_HEADER_BYTES, FrameRead, encode_seal, is_zero};
use super::segment::{
    HeaderFault, SEGMENT_HEADER_BYTES, SegmentHeader, first_revision_of, segment_path,
};
use super::{Position, tail};

/// A segment that was found and checked.
#[derive(Clone, Debug)]
pub(super) struct SegmentFile {
    pub(super) path: PathBuf,
    /// The position before its first record.
    pub(super) start: Position,
}

/// What an interrupted append left behind, dropped at open. None of it was ever acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment file.
    pub path: PathBuf,
    /// Where the dropped bytes began, in bytes.
    pub offset: u64,
    /// How many bytes were zeroed, up to the last one that was not zero.
    pub bytes: u64,
    /// The last revision that was kept.
    pub after_revision: u64,
}

/// Everything that opening found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) segments: Vec<SegmentFile>,
    /// The newest segment, open for writing.
    pub(super) active: File,
    /// The last position and where in the newest segment the next batch goes.
    pub(super) end: Cursor,
    /// Length of the newest segment in bytes.
    pub(super) active_bytes: u64,
    pub(super) torn: Option<TornTail>,
}

/// Checks all segments in `folder`; `None` if there are none. Only when everything is in order is anything changed
/// on disk: a torn tail is zeroed, and a seal that a crash left out is written.
pub(super) fn recover(
    folder: &Path,
    cluster: &str,
    genesis: Position,
) -> Result<Option<Recovered>, LedgerError> {
    let names = segment_names(folder)?;
    let mut segments = Vec::with_capacity(names.len());
    let mut end = Cursor {
        offset: SEGMENT_HEADER_BYTES,
        position: genesis,
        index: 0,
    };
    let mut active_bytes = 0;
    let mut torn = None;
    let mut unsealed = None;
    for (place, first_revision) in names.iter().copied().enumerate() {
        let path = segment_path(folder, first_revision);
        let start = end.position;
        let expected_revision = start.revision + 1;
        if first_revision != expected_revision {
            let fault = Fault::SegmentMissing {
                first_revision: expected_revision,
            };
            return Err(damaged(
                &segment_path(folder, expected_revision),
                0,
                expected_revision,
                fault,
            ));
        }
        let bytes = read_segment(&path, cluster, start)?;
        active_bytes = bytes.len() as u64;
        let newest = place + 1 == names.len();
        let (found, outcome) = verify(&path, &bytes, start, newest)?;
        end = found;
        match outcome {
            SegmentEnd::Open if !newest => unsealed = Some((path.clone(), end)),
            SegmentEnd::Open | SegmentEnd::Sealed => {}
            SegmentEnd::Torn { bytes } => {
                torn = Some(TornTail {
                    path: path.clone(),
                    offset: end.offset as u64,
                    bytes,
                    after_revision: end.position.revision,
                });
            }
        }
        segments.push(SegmentFile { path, start });
    }
    let Some(newest) = segments.last() else {
        return Ok(None);
    };
    let active = open_for_writing(&newest.path)?;
    if let Some(torn) = &torn {
        overwrite(
            &active,
            &torn.path,
            torn.offset,
            &vec![0; torn.bytes as usize],
        )?;
    }
    if let Some((path, end)) = unsealed {
        overwrite(
            &open_for_writing(&path)?,
            &path,
            end.offset as u64,
            &encode_seal(end.position),
        )?;
    }
    Ok(Some(Recovered {
        segments,
        active,
        end,
        active_bytes,
        torn,
    }))
}

/// First revisions of all segments, ascending.
fn segment_names(folder: &Path) -> Result<Vec<u64>, LedgerError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| io_error("list", folder, source))? {
        let entry = entry.map_err(|source| io_error("list", folder, source))?;
        names.extend(entry.file_name().to_str().and_then(first_revision_of));
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads the segment at `path` after checking that it is one that continues the chain at `start`.
pub(super) fn read_segment(
    path: &Path,
    cluster: &str,
    start: Position,
) -> Result<Vec<u8>, LedgerError> {
    let read = |source| io_error("read", path, source);
    let fault = |fault| damaged(path, 0, start.revision + 1, fault);
    let mut file = File::open(path).map_err(read)?;
    let file_bytes = file.metadata().map_err(read)?.len();
    let mut bytes = Vec::new();
    (&mut file)
        .take(SEGMENT_HEADER_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(read)?;
    let header = SegmentHeader::decode(&bytes).map_err(|header_fault| match header_fault {
        HeaderFault::Unreadable => fault(Fault::SegmentHeader),
        HeaderFault::Version(found) => LedgerError::UnsupportedVersion {
            path: path.to_owned(),
            found,
            supported: SegmentHeader::format_version(),
        },
    })?;
    if header.cluster != cluster {
        return Err(LedgerError::WrongCluster {
            path: path.to_owned(),
            expected: cluster.to_owned(),
            found: header.cluster,
        });
    }
    header.check(start, file_bytes).map_err(fault)?;
    // The header bounds what is read: a file longer than that has just been refused.
    bytes.reserve_exact((file_bytes as usize).saturating_sub(bytes.len()));
    file.take(file_bytes - bytes.len() as u64)
        .read_to_end(&mut bytes)
        .map_err(read)?;
    Ok(bytes)
}

enum SegmentEnd {
    Sealed,
    Open,
    Torn { bytes: u64 },
}

/// Checks every record of a segment and finds where its last complete batch ends.
fn verify(
    path: &Path,
    bytes: &[u8],
    start: Position,
    newest: bool,
) -> Result<(Cursor, SegmentEnd), LedgerError> {
    let mut cursor = Cursor {
        offset: SEGMENT_HEADER_BYTES,
        position: start,
        index: 0,
    };
    let mut committed = cursor;
    let mut payload = Vec::new();
    let fault = loop {
        match cursor.read(bytes, &mut payload) {
            Ok(FrameRead::Record) => {
                if cursor.index == 0 {
                    committed = cursor;
                }
            }
            Ok(FrameRead::Seal) if newest => {
                let first_revision = cursor.position.revision + 1;
                return Err(damaged(
                    path,
                    cursor.offset as u64,
                    first_revision,
                    Fault::SegmentMissing { first_revision },
                ));
            }
            Ok(FrameRead::Seal) => return Ok((cursor, SegmentEnd::Sealed)),
            Ok(FrameRead::Nothing) => break None,
            Err(fault) => break Some(fault),
        }
    };
    let behind = &bytes[committed.offset..];
    if cursor.offset == committed.offset && fault.is_none() && is_zero(behind) {
        return Ok((committed, SegmentEnd::Open));
    }
    let verdict = if newest {
        tail::judge(bytes, &committed, &cursor, fault)
    } else {
        Err(fault.unwrap_or(Fault::RecordsMissing))
    };
    verdict.map_err(|fault| {
        damaged(
            path,
            cursor.offset as u64,
            cursor.position.revision + 1,
            fault,
        )
    })?;
    let kept = behind
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    Ok((committed, SegmentEnd::Torn { bytes: kept as u64 }))
}

fn open_for_writing(path: &Path) -> Result<File, LedgerError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(|source| io_error("open for writing", path, source))
}

/// Overwrites a part of a segment, durably.
fn overwrite(file: &File, path: &Path, offset: u64, bytes: &[u8]) -> Result<(), LedgerError> {
    file.write_all_at(bytes, offset)
        .and_then(|()| file.sync_data())
        .map_err(|source| io_error("mend the end of", path, source))
}

/// Whether a segment of `segment_bytes` still has room at `offset` for `batch_bytes` and its seal.
pub(super) fn has_room(segment_bytes: u64, offset: usize, batch_bytes: usize) -> bool {
    (offset + batch_bytes + FRAME_HEADER_BYTES) as u64 <= segment_bytes
}

pub(super) fn damaged(path: &Path, offset: u64, revision: u64, fault: Fault) -> LedgerError {
    LedgerError::Damaged(Box::new(Damage {
        path: path.to_owned(),
        offset,
        revision,
        fault,
    }))
}

pub(super) fn io_error(action: &'static str, path: &Path, source: io::Error) -> LedgerError {
    LedgerError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
