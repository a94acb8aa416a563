//! What stands in a release's folder about it.

use camino::Utf8Path;
use evenkeel_agent_core::Release;
use evenkeel_common::{
    digest::{Digest, from_hex, to_hex},
    manifest::{ManifestError, SIGNATURE_BYTES, SignedManifest},
    names::ComponentName,
    secrets::{ReadError, read_small},
    tree_path::TreePath,
};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::Trust;

/// Its name in the folder.
pub(super) const FILE_NAME: &str = "release.json";

/// Which release it is, and on whose word.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    version: Version,
    digest: Digest,
    size_bytes: u64,
    /// Where its executable is; unset if that is the one file beside the description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    executable: Option<TreePath>,
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

/// Why nobody who is trusted says that a release is one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Distrust {
    /// It came without a signature, and the configuration does not name it.
    #[error("it is not signed, and the configuration does not name it as initial")]
    Unsigned,
    /// Its manifest is no trusted one.
    #[error("its manifest is not trusted")]
    Manifest(#[from] ManifestError),
    /// What is kept cannot be a signature.
    #[error("its signature cannot be understood")]
    Signature,
    /// The manifest is that of another release.
    #[error("its manifest is that of another release")]
    Other,
}

impl Description {
    pub(super) fn new(
        release: &Release,
        size_bytes: u64,
        executable: Option<TreePath>,
        signed: Option<&SignedManifest>,
    ) -> Self {
        Self {
            executable,
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

    /// Checks that somebody who is trusted says that this is a release of the component.
    pub(super) fn verify(&self, component: &ComponentName, trust: &Trust) -> Result<(), Distrust> {
        let Some(signed) = &self.signed else {
            let named = trust
                .initial
                .contains(&(component.clone(), self.version.clone()));
            return if named {
                Ok(())
            } else {
                Err(Distrust::Unsigned)
            };
        };
        let signature =
            from_hex::<SIGNATURE_BYTES>(&signed.signature).ok_or(Distrust::Signature)?;
        let signed = SignedManifest {
            manifest: signed.manifest.clone().into_bytes(),
            key_id: signed.key_id.parse().map_err(|_| Distrust::Signature)?,
            signature: signature.to_vec(),
        };
        let manifest = signed.verify(&trust.keys)?;
        let is_this = manifest.component == *component
            && manifest.version == self.version
            && manifest.sha256 == self.digest;
        if is_this {
            Ok(())
        } else {
            Err(Distrust::Other)
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(self)
    }

    /// Which release it is, and where its executable is, if that is not the one file there.
    pub(super) fn into_parts(self) -> (Release, Option<TreePath>) {
        let release = Release {
            version: self.version,
            digest: self.digest,
        };
        (release, self.executable)
    }
}
