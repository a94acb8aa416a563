//! What stands in a release's folder about it.

use camino::Utf8Path;
use evenkeel_agent_core::Release;
use evenkeel_common::{
    digest::{Digest, to_hex},
    manifest::SignedManifest,
    secrets::{ReadError, read_small},
};
use semver::Version;
use serde::{Deserialize, Serialize};

/// Its name in the folder.
pub(super) const FILE_NAME: &str = "release.json";

/// Which release it is, and on whose word.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    version: Version,
    digest: Digest,
    size_bytes: u64,
    /// Unset for one that was there before the agent.
    signed: Option<Signed>,
}

/// A manifest that was verified when the release was installed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    manifest: String,
    key_id: String,
    signature: String,
}

/// Why a folder holds no release.
#[derive(Debug, thiserror::Error)]
pub(super) enum DescriptionError {
    /// It cannot be read.
    #[error("cannot read the description of a release")]
    Read(#[from] ReadError),
    /// It is not what was written.
    #[error("the description of a release cannot be understood")]
    Parse(#[from] serde_json::Error),
}

impl Description {
    pub(super) fn new(release: &Release, size_bytes: u64, signed: Option<&SignedManifest>) -> Self {
        Self {
            version: release.version.clone(),
            digest: release.digest,
            size_bytes,
            signed: signed.map(|signed| Signed {
                manifest: String::from_utf8_lossy(&signed.manifest).into_owned(),
                key_id: signed.key_id.to_string(),
                signature: to_hex(&signed.signature),
            }),
        }
    }

    pub(super) fn read(folder: &Utf8Path) -> Result<Self, DescriptionError> {
        Ok(serde_json::from_slice(&read_small(
            &folder.join(FILE_NAME),
        )?)?)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(self)
    }

    pub(super) fn release(self) -> Release {
        Release {
            version: self.version,
            digest: self.digest,
        }
    }
}
