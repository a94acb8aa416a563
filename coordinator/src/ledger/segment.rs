//! A segment file: its name, its header and how it comes into being.
//!
//! ```text
//!   0  magic           8    "EKLEDGER"
//!   8  format version  4
//!  12  cluster length  4    bytes
//!  16  segment length  8    bytes, header included
//!  24  first revision  8
//!  32  previous hash  32    the chain's digest before the first revision
//!  64  cluster         up to 255
//! 508  checksum        4    crc32c of the 508 bytes before
//! 512  frames
//! ```
//!
//! A segment is made under a temporary name, filled with zeros, given its header, synced and only then renamed.
//! Whatever bears a segment's name therefore has had its whole length and a good header since before its first
//! record, and later appends change no file size: the sync after them has no metadata to write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use evenkeel_common::files::sync_folder;

use super::error::LedgerError;
use super::{ChainHash, Fault, Position};

/// Unit in which a disk writes all or nothing, in bytes.
pub(super) const SECTOR_BYTES: usize = 512;
/// Length of a segment's header in bytes.
pub(super) const SEGMENT_HEADER_BYTES: usize = SECTOR_BYTES;
/// Longest cluster name that fits the header, in bytes; the longest trust domain of a SPIFFE id.
pub(super) const CLUSTER_BYTES_MAX: usize = 255;

const MAGIC: [u8; 8] = *b"EKLEDGER";
const FORMAT_VERSION: u32 = 1;
const NAME_SUFFIX: &str = ".segment";
const NAME_DIGITS: usize = 20;
const CHECKSUM_OFFSET: usize = SEGMENT_HEADER_BYTES - 4;

/// The path of the segment in `folder` that starts with `first_revision`.
pub(super) fn segment_path(folder: &Path, first_revision: u64) -> PathBuf {
    folder.join(format!(
        "{first_revision:0width$}{NAME_SUFFIX}",
        width = NAME_DIGITS
    ))
}

/// The first revision that a file name stands for; `None` if it is no segment's name.
pub(super) fn first_revision_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(NAME_SUFFIX)?;
    let well_formed =
        digits.len() == NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if well_formed {
        digits.parse().ok()
    } else {
        None
    }
}

/// What a segment's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) cluster: String,
    pub(super) segment_bytes: u64,
    /// The position before the segment's first record.
    pub(super) start: Position,
}

/// Why bytes are not a segment's header that this release reads.
#[derive(Debug)]
pub(super) enum HeaderFault {
    Unreadable,
    Version(u32),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut raw = [0; SEGMENT_HEADER_BYTES];
        raw[0..8].copy_from_slice(&MAGIC);
        raw[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        raw[12..16].copy_from_slice(&(self.cluster.len() as u32).to_le_bytes());
        raw[16..24].copy_from_slice(&self.segment_bytes.to_le_bytes());
        raw[24..32].copy_from_slice(&(self.start.revision + 1).to_le_bytes());
        raw[32..64].copy_from_slice(self.start.hash.as_bytes());
        raw[64..64 + self.cluster.len()].copy_from_slice(self.cluster.as_bytes());
        let checksum = crc32c::crc32c(&raw[..CHECKSUM_OFFSET]);
        raw[CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
        raw
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        Self::parse(bytes).unwrap_or(Err(HeaderFault::Unreadable))
    }

    fn parse(bytes: &[u8]) -> Option<Result<Self, HeaderFault>> {
        let raw = bytes.first_chunk::<SEGMENT_HEADER_BYTES>()?;
        let (covered, checksum) = raw.split_at(CHECKSUM_OFFSET);
        if covered.get(0..8)? != MAGIC || checksum != crc32c::crc32c(covered).to_le_bytes() {
            return None;
        }
        let version = u32::from_le_bytes(*covered.get(8..)?.first_chunk()?);
        if version != FORMAT_VERSION {
            return Some(Err(HeaderFault::Version(version)));
        }
        let cluster_bytes = u32::from_le_bytes(*covered.get(12..)?.first_chunk()?) as usize;
        let cluster = covered.get(64..64 + cluster_bytes.min(CLUSTER_BYTES_MAX))?;
        let first_revision = u64::from_le_bytes(*covered.get(24..)?.first_chunk()?);
        Some(Ok(Self {
            cluster: String::from_utf8(cluster.to_vec()).ok()?,
            segment_bytes: u64::from_le_bytes(*covered.get(16..)?.first_chunk()?),
            start: Position {
                revision: first_revision.checked_sub(1)?,
                hash: ChainHash::from_bytes(*covered.get(32..)?.first_chunk()?),
            },
        }))
    }

    /// Checks that a file named for `expected` may continue the chain at `expected` and has its full length.
    pub(super) fn check(&self, expected: Position, file_bytes: u64) -> Result<(), Fault> {
        if self.segment_bytes != file_bytes {
            return Err(Fault::SegmentLength {
                expected: self.segment_bytes,
                found: file_bytes,
            });
        }
        if self.start.revision != expected.revision {
            return Err(Fault::SegmentName {
                found: self.start.revision + 1,
            });
        }
        if self.start.hash != expected.hash {
            return Err(Fault::SegmentChain);
        }
        Ok(())
    }

    /// The format version this release reads and writes.
    pub(super) fn format_version() -> u32 {
        FORMAT_VERSION
    }
}

/// A zero-filled, synced file under a temporary name, waiting to become a segment.
#[derive(Debug)]
pub(super) struct SpareSegment {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl SpareSegment {
    /// Makes a spare of `bytes` at `path`, replacing what is there.
    pub(super) fn create(path: PathBuf, bytes: u64) -> io::Result<Self> {
        let zeros = vec![0; 256 * 1024];
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        let mut offset = 0;
        while offset < bytes {
            let chunk = zeros.len().min((bytes - offset) as usize);
            file.write_all_at(&zeros[..chunk], offset)?;
            offset += chunk as u64;
        }
        file.sync_all()?;
        Ok(Self { file, path, bytes })
    }

    /// Length of the spare in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Turns the spare into the segment that starts after `start`; durable on return.
    pub(super) fn activate(
        self,
        folder: &Path,
        cluster: &str,
        start: Position,
    ) -> Result<(File, PathBuf), LedgerError> {
        let path = segment_path(folder, start.revision + 1);
        let header = SegmentHeader {
            cluster: cluster.to_owned(),
            segment_bytes: self.bytes,
            start,
        };
        self.file
            .write_all_at(&header.encode(), 0)
            .and_then(|()| self.file.sync_all())
            .and_then(|()| std::fs::rename(&self.path, &path))
            .and_then(|()| sync_folder(folder))
            .map_err(|source| LedgerError::Io {
                action: "create ledger segment",
                path: path.clone(),
                source,
            })?;
        Ok((self.file, path))
    }
}
