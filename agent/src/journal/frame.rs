//! Frames: how a record lies in the journal's file, and how damage is told from a torn end.
//!
//! ```text
//! length u32 │ CRC-32C of the length u32 │ CRC-32C of the body u32 │ body │ 0xA5 │ zeros up to the next 16
//! ```
//!
//! All little-endian. The file is as long as it will ever get and was all zeros, so that an append changes no
//! metadata and costs one short sync; a header of zeros is the end. The byte after the body is never zero: a
//! frame that ends in zeros was not written to its end.

/// The frame begins where this divides the offset, so that a header never lies across two disk sectors.
const ALIGNMENT: usize = 16;

const HEADER_BYTES: usize = 12;

/// The byte after the body; more than one bit away from zero.
const END_MARK: u8 = 0xA5;

/// What the bytes at the head of a journal's rest are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// A whole frame with this body, and how many bytes it takes.
    Frame(&'a [u8], usize),
    /// Nothing was ever written here.
    End,
    /// A frame whose writing was interrupted, with nothing after it.
    Torn,
    /// Something else.
    Damaged,
}

/// A body as a frame.
pub(super) fn build(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut frame = Vec::with_capacity(HEADER_BYTES + body.len() + ALIGNMENT);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&crc32c::crc32c(&length).to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    frame.extend_from_slice(body);
    frame.push(END_MARK);
    frame.resize(frame.len().next_multiple_of(ALIGNMENT), 0);
    frame
}

/// What is at the beginning of `rest`, which goes on to the file's end.
pub(super) fn parse(rest: &[u8]) -> Parsed<'_> {
    let is_blank = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let Some((header, after)) = rest.split_at_checked(HEADER_BYTES) else {
        return if is_blank(rest) {
            Parsed::End
        } else {
            Parsed::Damaged
        };
    };
    if is_blank(header) {
        return if is_blank(after) {
            Parsed::End
        } else {
            Parsed::Damaged
        };
    }
    let word = |at: usize| -> [u8; 4] {
        header
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or_default()
    };
    let length = word(0);
    if crc32c::crc32c(&length) != u32::from_le_bytes(word(4)) {
        return if is_blank(after) {
            Parsed::Torn
        } else {
            Parsed::Damaged
        };
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    let Some((body, after_body)) = after.split_at_checked(length) else {
        return Parsed::Damaged;
    };
    let whole = crc32c::crc32c(body) == u32::from_le_bytes(word(8))
        && after_body.first() == Some(&END_MARK);
    if whole {
        let taken = (HEADER_BYTES + length + 1).next_multiple_of(ALIGNMENT);
        return Parsed::Frame(body, taken.min(rest.len()));
    }
    if is_blank(after_body) {
        Parsed::Torn
    } else {
        Parsed::Damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(frames: &[&[u8]], length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = frames.iter().flat_map(|body| build(body)).collect();
        bytes.resize(length, 0);
        bytes
    }

    #[test]
    fn frames_are_read_back_one_after_the_other() {
        let bytes = file(&[b"one", b"", b"the third one"], 256);
        let mut at = 0;
        for expected in [&b"one"[..], b"", b"the third one"] {
            let Parsed::Frame(body, taken) = parse(&bytes[at..]) else {
                panic!("no frame at {at}")
            };
            assert_eq!(body, expected);
            at += taken;
        }
        assert_eq!(parse(&bytes[at..]), Parsed::End);
    }

    #[test]
    fn a_frame_that_was_not_written_to_its_end_is_torn() {
        let whole = file(&[b"a body of some length"], 256);
        for written in 1..(HEADER_BYTES + 21) {
            let mut bytes = whole.clone();
            bytes[written..].fill(0);
            let parsed = parse(&bytes);
            assert!(
                matches!(parsed, Parsed::Torn),
                "{written} bytes: {parsed:?}"
            );
        }
    }

    #[test]
    fn a_frame_with_any_other_byte_in_it_is_damaged() {
        let whole = file(&[b"a body of some length", b"and one more"], 256);
        for at in 0..(HEADER_BYTES + 22) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            assert_eq!(parse(&bytes), Parsed::Damaged, "byte {at}");
        }
    }
}
