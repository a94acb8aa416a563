//! Releases: versions of components, and the signed bytes that are them.

use std::collections::BTreeMap;

use evenkeel_words::{digest::Digest, names::ComponentName, timestamp::Timestamp};
use semver::Version;

/// A version of a component, and the bytes that are it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRef {
    /// The version.
    pub version: Version,
    /// The artifact.
    pub digest: Digest,
}

/// What a release manifest says, with its signature; checked where it comes in, opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// The manifest's canonical text.
    pub manifest: Vec<u8>,
    /// Which key signed it.
    pub key_id: String,
    /// The signature.
    pub signature: Vec<u8>,
}

/// The bytes of a release for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its name.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
    /// The manifest that names this digest.
    pub manifest: SignedManifest,
}

/// A version of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The component.
    pub component: ComponentName,
    /// The version.
    pub version: Version,
    /// The artifacts by platform.
    pub artifacts: BTreeMap<String, Artifact>,
    /// When something of this changed last.
    pub changed_at: Timestamp,
    /// The revision at which something of this changed last.
    pub revision: u64,
}
