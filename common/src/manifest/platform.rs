//! What an artifact runs on.

use std::env::consts;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest half of a platform.
const PART_CHARS_MAX: usize = 16;

/// An operating system and a processor, as `linux/amd64`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform(String);

impl Platform {
    /// The platform that this program was built for.
    #[must_use]
    pub fn host() -> Self {
        // The names that container images and most release pages use.
        let processor = match consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self(format!("{}/{processor}", consts::OS))
    }

    /// The platform as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a platform is an operating system and a processor, like linux/amd64, each 1 to {PART_CHARS_MAX} of a-z and 0-9")]
pub struct InvalidPlatform;

impl TryFrom<String> for Platform {
    type Error = InvalidPlatform;

    fn try_from(text: String) -> Result<Self, InvalidPlatform> {
        let valid = |part: &str| {
            (1..=PART_CHARS_MAX).contains(&part.len())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        match text.split_once('/') {
            Some((system, processor)) if valid(system) && valid(processor) => Ok(Self(text)),
            Some(_) | None => Err(InvalidPlatform),
        }
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        text.to_owned().try_into()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.0
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_platform_is_one() {
        let host = Platform::host();
        assert_eq!(host.as_str().parse(), Ok(host.clone()));
    }

    #[test]
    fn a_platform_has_exactly_two_plain_parts() {
        for text in ["", "linux", "linux/", "/amd64", "linux/amd64/v3", "Linux/amd64", "linux /amd64", "linux/x86_64"] {
            assert_eq!(text.parse::<Platform>(), Err(InvalidPlatform), "{text:?}");
        }
    }
}
