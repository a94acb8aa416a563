//! One record as bytes: a 64-byte header, then the payload, padded to 64 bytes.
//!
//! ```text
//!  0  magic           4    "EKFR"
//!  4  header checksum 4    crc32c of the rest of the header
//!  8  body checksum   4    crc32c of the body as stored, padding included
//! 12  payload length  4    bytes, before padding
//! 16  revision        8
//! 24  index in batch  4    from 0
//! 28  flags           2    bit 0: last of its batch; bit 1: seal of a full segment
//! 30  reserved        2    zero
//! 32  chain hash     32
//! 64  body                 each byte of payload and padding xor `BODY_MASK`
//! ```
//!
//! All numbers are little-endian. Segments start on a sector and frames are multiples of 64 bytes, so a header
//! never straddles two sectors: after a power failure it is there as a whole or not at all. The mask keeps long
//! runs of zeros out of bodies, so that a sector of zeros inside a frame means "never written" (see
//! [`super::tail`]) and not "the payload happens to be zero".

use super::{ChainHash, Fault, PAYLOAD_BYTES_MAX, Position};

/// Frames are multiples of this many bytes; it divides a sector.
pub(super) const FRAME_ALIGNMENT: usize = 64;
/// Length of a frame's header in bytes.
pub(super) const FRAME_HEADER_BYTES: usize = 64;

const MAGIC: [u8; 4] = *b"EKFR";
const FLAG_LAST_OF_BATCH: u16 = 1;
const FLAG_SEAL: u16 = 2;
/// Neither ASCII nor the first byte of a UTF-8 character, so that no text cancels it out.
const BODY_MASK: u8 = 0xA5;

/// Bytes that a payload of `payload_bytes` takes on disk.
pub(super) fn frame_bytes(payload_bytes: usize) -> usize {
    FRAME_HEADER_BYTES + payload_bytes.next_multiple_of(FRAME_ALIGNMENT)
}

/// A frame's header, decoded and known to pass its checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHeader {
    body_checksum: u32,
    payload_bytes: u32,
    revision: u64,
    index: u32,
    flags: u16,
    hash: ChainHash,
}

impl FrameHeader {
    /// Decodes the header at `offset`; `None` where there is none that passes its checksum.
    pub(super) fn decode(bytes: &[u8], offset: usize) -> Option<Self> {
        let raw = bytes.get(offset..)?.first_chunk::<FRAME_HEADER_BYTES>()?;
        let (head, rest) = raw.split_first_chunk::<8>()?;
        let (magic, checksum) = head.split_first_chunk::<4>()?;
        if *magic != MAGIC || checksum != crc32c::crc32c(rest).to_le_bytes() {
            return None;
        }
        Some(Self {
            body_checksum: u32::from_le_bytes(field(raw, 8)?),
            payload_bytes: u32::from_le_bytes(field(raw, 12)?),
            revision: u64::from_le_bytes(field(raw, 16)?),
            index: u32::from_le_bytes(field(raw, 24)?),
            flags: u16::from_le_bytes(field(raw, 28)?),
            hash: ChainHash::from_bytes(field(raw, 32)?),
        })
    }

    fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut raw = [0; FRAME_HEADER_BYTES];
        raw[0..4].copy_from_slice(&MAGIC);
        raw[8..12].copy_from_slice(&self.body_checksum.to_le_bytes());
        raw[12..30].copy_from_slice(&self.chained_fields());
        raw[32..64].copy_from_slice(self.hash.as_bytes());
        let checksum = crc32c::crc32c(&raw[8..]);
        raw[4..8].copy_from_slice(&checksum.to_le_bytes());
        raw
    }

    /// The fields that the chain covers, as they stand in the header.
    fn chained_fields(&self) -> [u8; 18] {
        let mut fields = [0; 18];
        fields[0..4].copy_from_slice(&self.payload_bytes.to_le_bytes());
        fields[4..12].copy_from_slice(&self.revision.to_le_bytes());
        fields[12..16].copy_from_slice(&self.index.to_le_bytes());
        fields[16..18].copy_from_slice(&self.flags.to_le_bytes());
        fields
    }

    /// Whether the batch is complete with this frame.
    pub(super) fn is_last_of_batch(&self) -> bool {
        self.flags & FLAG_LAST_OF_BATCH != 0
    }

    /// First revision of the batch that the frame belongs to; `None` for a seal and for nonsense.
    pub(super) fn batch_start(&self) -> Option<u64> {
        if self.flags & FLAG_SEAL != 0 {
            None
        } else {
            self.revision.checked_sub(u64::from(self.index))
        }
    }

    /// Bytes from this header to the next one.
    pub(super) fn frame_bytes(&self) -> usize {
        frame_bytes(self.payload_bytes as usize)
    }
}

fn field<const N: usize>(raw: &[u8], offset: usize) -> Option<[u8; N]> {
    raw.get(offset..)?.first_chunk::<N>().copied()
}

/// Appends the frames of one batch to `buffer` and returns the position after them.
///
/// Payloads must be within [`PAYLOAD_BYTES_MAX`]; the caller has checked.
pub(super) fn encode_batch<P: AsRef<[u8]>>(
    buffer: &mut Vec<u8>,
    after: Position,
    batch: &[P],
) -> Position {
    let mut position = after;
    for (index, payload) in batch.iter().enumerate() {
        let payload = payload.as_ref();
        let header_start = buffer.len();
        let body_start = header_start + FRAME_HEADER_BYTES;
        buffer.resize(body_start, 0);
        buffer.extend(payload.iter().map(|byte| byte ^ BODY_MASK));
        buffer.resize(header_start + frame_bytes(payload.len()), BODY_MASK);

        let mut header = FrameHeader {
            body_checksum: crc32c::crc32c(&buffer[body_start..]),
            payload_bytes: payload.len() as u32,
            revision: position.revision + 1,
            index: index as u32,
            flags: if index + 1 == batch.len() {
                FLAG_LAST_OF_BATCH
            } else {
                0
            },
            hash: position.hash,
        };
        header.hash = position.hash.next(&header.chained_fields(), payload);
        buffer[header_start..body_start].copy_from_slice(&header.encode());
        position = Position {
            revision: header.revision,
            hash: header.hash,
        };
    }
    position
}

/// The frame that ends a full segment: it says that another segment follows.
pub(super) fn encode_seal(end: Position) -> [u8; FRAME_HEADER_BYTES] {
    let header = FrameHeader {
        body_checksum: crc32c::crc32c(&[]),
        payload_bytes: 0,
        revision: end.revision,
        index: 0,
        flags: FLAG_SEAL,
        hash: end.hash,
    };
    header.encode()
}

/// Walks the frames of one segment, checking each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// Where the next frame starts, in bytes from the start of the segment.
    pub(super) offset: usize,
    /// The last record read.
    pub(super) position: Position,
    /// Place of the next record in its batch; 0 at a batch's boundary.
    pub(super) index: u32,
}

/// What stands where a cursor is.
#[derive(Debug)]
pub(super) enum FrameRead {
    /// A good record; its payload is in the scratch buffer, and the cursor stands behind it.
    Record,
    /// The segment's seal; the cursor stays in front of it.
    Seal,
    /// Zeros, or the segment's end.
    Nothing,
}

impl Cursor {
    /// Reads the frame at the cursor. On a record, moves behind it and leaves its payload in `payload`.
    pub(super) fn read(&mut self, bytes: &[u8], payload: &mut Vec<u8>) -> Result<FrameRead, Fault> {
        let Some(raw) = bytes.get(self.offset..self.offset + FRAME_HEADER_BYTES) else {
            return Ok(FrameRead::Nothing);
        };
        if is_zero(raw) {
            return Ok(FrameRead::Nothing);
        }
        let header = FrameHeader::decode(bytes, self.offset).ok_or(Fault::FrameHeader)?;
        if header.flags & FLAG_SEAL != 0 {
            let at_end = Position {
                revision: header.revision,
                hash: header.hash,
            };
            return if at_end == self.position && self.index == 0 {
                Ok(FrameRead::Seal)
            } else {
                Err(Fault::Chain)
            };
        }
        if header.revision != self.position.revision + 1 || header.index != self.index {
            return Err(Fault::Revision {
                found: header.revision,
            });
        }
        let body_start = self.offset + FRAME_HEADER_BYTES;
        let payload_bytes = header.payload_bytes as usize;
        let body = bytes
            .get(body_start..self.offset + header.frame_bytes())
            .filter(|_| payload_bytes <= PAYLOAD_BYTES_MAX)
            .ok_or(Fault::FrameLength {
                bytes: header.payload_bytes,
            })?;
        if crc32c::crc32c(body) != header.body_checksum {
            return Err(Fault::Content);
        }
        payload.clear();
        payload.extend(body[..payload_bytes].iter().map(|byte| byte ^ BODY_MASK));
        let hash = self.position.hash.next(&header.chained_fields(), payload);
        if hash != header.hash {
            return Err(Fault::Chain);
        }
        self.offset += header.frame_bytes();
        self.position = Position {
            revision: header.revision,
            hash,
        };
        self.index = if header.is_last_of_batch() {
            0
        } else {
            header.index + 1
        };
        Ok(FrameRead::Record)
    }
}

/// Whether `bytes` holds nothing but zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}
