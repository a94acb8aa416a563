//! The record that says what the rest of the view must be.
//!
//! ```text
//!  0  format version   4
//!  4  ledger revision  8
//! 12  chain hash      32    at that revision
//! 44  count            8    entries
//! 52  content digest  32    see `digest`
//! 84  checksum         4    crc32c of the 84 bytes before
//! ```

use super::digest::ContentDigest;
use super::error::RebuildReason;
use crate::ledger::{ChainHash, Position};

const FORMAT_VERSION: u32 = 1;
const META_BYTES: usize = 88;
const CHECKSUM_OFFSET: usize = META_BYTES - 4;

/// What the entries stand for and what they add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) position: Position,
    pub(super) count: u64,
    pub(super) digest: ContentDigest,
}

impl Meta {
    /// For a view without entries that stands for `position`.
    pub(super) fn empty(position: Position) -> Self {
        Self {
            position,
            count: 0,
            digest: ContentDigest::default(),
        }
    }

    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.count += 1;
        self.digest.add(key, value);
    }

    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.saturating_sub(1);
        self.digest.remove(key, value);
    }

    pub(super) fn encode(&self) -> [u8; META_BYTES] {
        let mut raw = [0; META_BYTES];
        raw[0..4].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        raw[4..12].copy_from_slice(&self.position.revision.to_le_bytes());
        raw[12..44].copy_from_slice(self.position.hash.as_bytes());
        raw[44..52].copy_from_slice(&self.count.to_le_bytes());
        raw[52..84].copy_from_slice(&self.digest.to_bytes());
        let checksum = crc32c::crc32c(&raw[..CHECKSUM_OFFSET]);
        raw[CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
        raw
    }

    pub(super) fn decode(raw: &[u8]) -> Result<Self, RebuildReason> {
        let raw: &[u8; META_BYTES] = raw.try_into().map_err(|_| RebuildReason::MetaInvalid)?;
        let (covered, checksum) = raw.split_at(CHECKSUM_OFFSET);
        if checksum != crc32c::crc32c(covered).to_le_bytes() {
            return Err(RebuildReason::MetaInvalid);
        }
        let version = u32::from_le_bytes(field(covered, 0)?);
        if version != FORMAT_VERSION {
            return Err(RebuildReason::FormatVersion { found: version });
        }
        let hash = ChainHash::from_bytes(field(covered, 12)?);
        Ok(Self {
            position: Position {
                revision: u64::from_le_bytes(field(covered, 4)?),
                hash,
            },
            count: u64::from_le_bytes(field(covered, 44)?),
            digest: ContentDigest::from_bytes(field(covered, 52)?),
        })
    }
}

fn field<const N: usize>(raw: &[u8], offset: usize) -> Result<[u8; N], RebuildReason> {
    raw.get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(RebuildReason::MetaInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_any_flip_or_cut_is_seen() {
        let mut meta = Meta::empty(Position {
            revision: 7,
            hash: ChainHash::from_bytes([9; 32]),
        });
        meta.add(b"key", b"value");
        let raw = meta.encode();
        assert_eq!(Meta::decode(&raw).unwrap(), meta);
        for at in 0..raw.len() {
            let mut flipped = raw;
            flipped[at] ^= 0x10;
            assert_eq!(
                Meta::decode(&flipped).unwrap_err(),
                RebuildReason::MetaInvalid
            );
            assert_eq!(
                Meta::decode(&raw[..at]).unwrap_err(),
                RebuildReason::MetaInvalid
            );
        }
    }
}
