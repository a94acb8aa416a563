//! How one value looks in the log, in both formats.
//!
//! ```text
//! format 1:  length u32 | crc u32 | counter u64 | nonce u64 |                key length u8 | key | blob
//! format 2:  length u32 | crc u32 | counter u64 | nonce u64 | blob crc u32 | key length u8 | key | blob
//! ```
//!
//! Integers are little-endian; the length counts what follows the crc. In format 1 the crc covers all of that. In
//! format 2 it covers the length and everything up to the blob, and the blob has a crc of its own that goes with it
//! wherever it goes.

use std::ops::Range;

use crate::limits::{BLOB_BYTES_MAX, KEY_BYTES_MAX};
use crate::{Key, Stamp};

/// Bytes before the part that the length counts.
const HEAD: usize = 8;
/// The longest record of any format.
pub(super) const RECORD_BYTES_MAX: usize = HEAD + 21 + KEY_BYTES_MAX + BLOB_BYTES_MAX;

/// A version of how values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// One crc for the whole record.
    One,
    /// A crc for the blob alone.
    Two,
}

/// What a record says, and where in it the blob lies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: Key,
    pub(super) stamp: Stamp,
    pub(super) blob_crc: u32,
    pub(super) blob: Range<usize>,
}

/// Why bytes are no record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// They may be the beginning of one.
    Short,
    /// They are none.
    Damaged,
}

impl Format {
    /// Its number, as the data directory and `/version` say it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The format of that number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::One, Self::Two]
            .into_iter()
            .find(|format| format.number() == number)
    }

    /// Bytes of the fixed part that the length counts.
    fn fixed(self) -> usize {
        match self {
            Self::One => 17,
            Self::Two => 21,
        }
    }

    /// Appends a record to `out` and says what it is, `blob` counted from the record's first byte. The key and the
    /// bytes are within their limits, so every length fits its field.
    pub(super) fn encode(self, key: &Key, stamp: Stamp, bytes: &[u8], out: &mut Vec<u8>) -> Record {
        let start = out.len();
        let blob_crc = crc32c::crc32c(bytes);
        let key_bytes = key.as_str().as_bytes();
        let length = self.fixed() + key_bytes.len() + bytes.len();
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&stamp.counter.to_le_bytes());
        out.extend_from_slice(&stamp.nonce.to_le_bytes());
        if self == Self::Two {
            out.extend_from_slice(&blob_crc.to_le_bytes());
        }
        out.push(key_bytes.len() as u8);
        out.extend_from_slice(key_bytes);
        let blob_at = out.len() - start;
        out.extend_from_slice(bytes);
        let crc = self.crc(&out[start..], blob_at);
        out[start + 4..start + HEAD].copy_from_slice(&crc.to_le_bytes());
        Record {
            key: key.clone(),
            stamp,
            blob_crc,
            blob: blob_at..blob_at + bytes.len(),
        }
    }

    /// The record that the bytes begin with.
    pub(super) fn decode(self, bytes: &[u8]) -> Result<Record, Broken> {
        let length = u32_at(bytes, 0).ok_or(Broken::Short)? as usize;
        if length <= self.fixed() || length > RECORD_BYTES_MAX - HEAD {
            return Err(Broken::Damaged);
        }
        let record = bytes.get(..HEAD + length).ok_or(Broken::Short)?;
        self.decode_whole(record).ok_or(Broken::Damaged)
    }

    fn decode_whole(self, record: &[u8]) -> Option<Record> {
        let key_at = HEAD + self.fixed();
        let key_len = usize::from(*record.get(key_at - 1)?);
        let blob_at = key_at + key_len;
        let key = std::str::from_utf8(record.get(key_at..blob_at)?)
            .ok()?
            .parse()
            .ok()?;
        let blob = blob_at..record.len();
        if u32_at(record, 4)? != self.crc(record, blob_at) {
            return None;
        }
        let blob_crc = crc32c::crc32c(&record[blob.clone()]);
        if self == Self::Two && u32_at(record, 24)? != blob_crc {
            return None;
        }
        let stamp = Stamp {
            counter: u64_at(record, 8)?,
            nonce: u64_at(record, 16)?,
        };
        Some(Record {
            key,
            stamp,
            blob_crc,
            blob,
        })
    }

    /// What the crc field of a whole record has to be, with `blob_at` within the record.
    fn crc(self, record: &[u8], blob_at: usize) -> u32 {
        match self {
            Self::One => crc32c::crc32c(&record[HEAD..]),
            Self::Two => {
                crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[HEAD..blob_at])
            }
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(format: Format, key: &str, stamp: Stamp, blob: &[u8]) -> (Vec<u8>, Record) {
        let mut bytes = Vec::new();
        let record = format.encode(&key.parse().unwrap(), stamp, blob, &mut bytes);
        (bytes, record)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(two: bool, key in "[A-Za-z0-9._-]{1,128}", counter: u64, nonce: u64, blob: Vec<u8>) {
            let format = if two { Format::Two } else { Format::One };
            let (bytes, written) = encoded(format, &key, Stamp { counter, nonce }, &blob);
            let read = format.decode(&bytes).unwrap();
            prop_assert_eq!(&bytes[read.blob.clone()], &blob[..]);
            prop_assert_eq!(read, written);
        }

        #[test]
        fn no_bytes_make_decoding_fail_otherwise_than_by_an_error(two: bool, bytes: Vec<u8>) {
            let format = if two { Format::Two } else { Format::One };
            prop_assert!(format.decode(&bytes).is_err());
        }
    }

    #[test]
    fn every_prefix_is_short_and_every_flipped_bit_is_noticed() {
        for format in [Format::One, Format::Two] {
            let (bytes, _) = encoded(
                format,
                "key",
                Stamp {
                    counter: 7,
                    nonce: 9,
                },
                b"blob",
            );
            for end in 0..bytes.len() {
                assert_eq!(
                    format.decode(&bytes[..end]),
                    Err(Broken::Short),
                    "{format:?} cut at {end}"
                );
            }
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    format.decode(&flipped).is_err(),
                    "{format:?} with bit {bit} flipped"
                );
            }
        }
    }
}
