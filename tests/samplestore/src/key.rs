//! The name of a blob.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits::KEY_BYTES_MAX;

/// A blob's name: 1 to [`KEY_BYTES_MAX`] characters of `A-Z a-z 0-9 . _ -`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Arc<str>);

/// Why a text is no key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a key is 1 to {KEY_BYTES_MAX} characters of A-Z a-z 0-9 . _ -")]
pub struct InvalidKey;

impl Key {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidKey)
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_length_and_an_alphabet() {
        for good in ["a", "A-z_0.9", &"k".repeat(KEY_BYTES_MAX)] {
            assert_eq!(good.parse::<Key>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a/b",
            "a b",
            "ä",
            "a%20",
            &"k".repeat(KEY_BYTES_MAX + 1),
        ] {
            assert_eq!(bad.parse::<Key>(), Err(InvalidKey), "{bad:?}");
        }
    }
}
