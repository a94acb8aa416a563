//! Releases.

use evenkeel_common::digest::to_hex;
use evenkeel_common::manifest::ArchiveFormat;
use evenkeel_proto::v1;
use serde::Serialize;

use crate::time::rfc3339;

/// A manifest and who vouches for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SignedManifest {
    /// The manifest's text.
    pub(crate) manifest: String,
    pub(crate) key_id: String,
    /// In hexadecimal.
    pub(crate) signature: String,
}

impl From<v1::SignedManifest> for SignedManifest {
    fn from(signed: v1::SignedManifest) -> Self {
        Self {
            manifest: String::from_utf8_lossy(&signed.manifest).into_owned(),
            key_id: signed.key_id,
            signature: to_hex(&signed.signature),
        }
    }
}

/// The bytes of a release for one platform.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Artifact {
    pub(crate) platform: String,
    pub(crate) digest: String,
    pub(crate) size_bytes: u64,
    /// What the bytes are: `plain`, `tar.zst` or `tar.gz`.
    pub(crate) format: &'static str,
    /// The file in an archive that is the storage process.
    pub(crate) executable: Option<String>,
    /// The space that an archive takes once it is unpacked.
    pub(crate) unpacked_bytes: Option<u64>,
    pub(crate) manifest: Option<SignedManifest>,
}

impl From<v1::Artifact> for Artifact {
    fn from(artifact: v1::Artifact) -> Self {
        let format = match artifact.format() {
            v1::ArtifactFormat::Unspecified => "unknown",
            v1::ArtifactFormat::Plain => "plain",
            v1::ArtifactFormat::TarZst => ArchiveFormat::TarZst.as_str(),
            v1::ArtifactFormat::TarGz => ArchiveFormat::TarGz.as_str(),
        };
        Self {
            format,
            executable: Some(artifact.executable).filter(|path| !path.is_empty()),
            unpacked_bytes: Some(artifact.unpacked_bytes).filter(|bytes| *bytes > 0),
            platform: artifact.platform,
            digest: artifact.digest,
            size_bytes: artifact.size_bytes,
            manifest: artifact.manifest.map(Into::into),
        }
    }
}

/// A version of a component.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Release {
    pub(crate) component: String,
    pub(crate) version: String,
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) changed_at: Option<String>,
    pub(crate) revision: u64,
}

impl From<v1::Release> for Release {
    fn from(release: v1::Release) -> Self {
        Self {
            component: release.component,
            version: release.version,
            artifacts: release.artifacts.into_iter().map(Into::into).collect(),
            changed_at: rfc3339(release.changed_at),
            revision: release.revision,
        }
    }
}
