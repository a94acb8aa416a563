//! Blobs that say which write they are from, and of which every byte can be checked.

use std::fmt::Write;

use bytes::Bytes;

/// The blob of a key's write with that number. Their sizes differ, up to `bytes_max` or what the name needs.
pub(super) fn make(key: &str, number: u64, bytes_max: usize) -> Bytes {
    let head = format!("{key} {number}\n");
    let seed = u64::from(crc32c::crc32c(head.as_bytes()));
    let len = (seed as usize % bytes_max.max(1)).max(head.len());
    let mut text = head;
    let mut state = seed;
    while text.len() < len {
        // Knuth's multiplier and increment of MMIX; any fixed sequence would do.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Writing to a string cannot fail.
        let _ = write!(text, "{state:016x}");
    }
    text.truncate(len);
    text.into()
}

/// The number of the write that made these bytes; none if no write of this key did.
pub(super) fn recognise(key: &str, bytes: &[u8], bytes_max: usize) -> Option<u64> {
    let head = bytes.split(|&b| b == b'\n').next()?;
    let number = std::str::from_utf8(head)
        .ok()?
        .strip_prefix(key)?
        .strip_prefix(' ')?
        .parse()
        .ok()?;
    (make(key, number, bytes_max) == bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_recognised_only_whole_and_under_its_own_key() {
        for number in 1..200 {
            let blob = make("key", number, 300);
            assert!(blob.len() < 300);
            assert_eq!(recognise("key", &blob, 300), Some(number));
            assert_eq!(recognise("other", &blob, 300), None);
            assert_eq!(recognise("key", &blob[..blob.len() - 1], 300), None);
            let mut changed = blob.to_vec();
            *changed.last_mut().unwrap() ^= 1;
            assert_eq!(recognise("key", &changed, 300), None);
        }
    }
}
