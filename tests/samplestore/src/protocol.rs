//! What nodes say to each other: protocol numbers and header names.
//!
//! A call to a peer goes to `/internal/v<protocol>/…`. A node that does not speak that protocol answers 426 and names
//! the ones it does; the caller changes to the best they share, or reports that there is none.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;

/// A version of what peers say to each other.
///
/// Protocol 2 sends a blob's checksum along with it, end to end from disk to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Without checksums.
    One,
    /// With checksums.
    Two,
}

impl Protocol {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// Whether blobs travel with their checksum.
    pub(crate) fn has_checksums(self) -> bool {
        match self {
            Self::One => false,
            Self::Two => true,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// On every internal answer: the protocols the node speaks, as `1,2`.
pub(crate) const PROTOCOLS: &str = "x-samplestore-protocols";
/// The stamp of the blob that the message carries.
pub(crate) const STAMP: &str = "x-samplestore-stamp";
/// The crc32c of the blob, in hexadecimal.
pub(crate) const CHECKSUM: &str = "x-samplestore-crc32c";
/// On a page of stamps: whether the node's answers count towards a majority, `true` or `false`.
pub(crate) const ESTABLISHED: &str = "x-samplestore-established";
/// On a write: the Unix time in milliseconds from which on nobody may carry it out any more, because whoever asked has
/// given up and may have asked another node. Clocks that disagree only make this refuse earlier or later.
pub(crate) const EXPIRES: &str = "x-samplestore-expires-unix-ms";

/// The protocols in list form, for a header or a message.
pub(crate) fn list(protocols: &[Protocol]) -> String {
    let numbers: Vec<_> = protocols.iter().map(Protocol::to_string).collect();
    numbers.join(",")
}

/// The best protocol that both the other side (by its answer's headers) and `own` speak.
pub(crate) fn best_common(headers: &HeaderMap, own: &[Protocol]) -> Option<Protocol> {
    let theirs = headers.get(PROTOCOLS)?.to_str().ok()?;
    let spoken = |p: &&Protocol| theirs.split(',').any(|t| t.trim() == p.to_string());
    own.iter().filter(spoken).max().copied()
}

/// A crc32c as the header says it.
pub(crate) fn checksum(crc: u32) -> String {
    format!("{crc:08x}")
}

/// A time as the header says it.
pub(crate) fn unix_ms(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
        .to_string()
}

/// The time that a header says.
pub(crate) fn from_unix_ms(text: &str) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_shared_protocol_is_chosen() {
        let answer = |value: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(PROTOCOLS),
                http::HeaderValue::from_static(value),
            )])
        };
        let both = [Protocol::One, Protocol::Two];
        assert_eq!(best_common(&answer("1,2"), &both), Some(Protocol::Two));
        assert_eq!(best_common(&answer("1"), &both), Some(Protocol::One));
        assert_eq!(best_common(&answer("2, 3"), &both), Some(Protocol::Two));
        assert_eq!(best_common(&answer("1"), &[Protocol::Two]), None);
        assert_eq!(best_common(&HeaderMap::new(), &both), None);
    }
}
