//! A release as an instance runs it.

use std::fmt;

use evenkeel_words::digest::Digest;
use semver::Version;

/// A version of the instance's component, and the bytes that are it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The version.
    pub version: Version,
    /// SHA-256 of the artifact.
    pub digest: Digest,
}

impl fmt::Display for Release {
    /// The version and the first 12 hexadecimal digits of the digest: `1.2.3-0123456789ab`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:.12}", self.version, self.digest.to_string())
    }
}
