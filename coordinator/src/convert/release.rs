//! Releases and manifests.

use std::collections::BTreeMap;

use evenkeel_common::{digest::Digest, manifest};
use evenkeel_coordinator_core::release::{Artifact, Release, ReleaseRef, SignedManifest};
use evenkeel_proto::v1;

use super::{Invalid, parse, required, time_from, time_to, version};

pub(super) fn reference_to(reference: &ReleaseRef) -> v1::ReleaseRef {
    v1::ReleaseRef {
        version: reference.version.to_string(),
        digest: reference.digest.to_string(),
    }
}

pub(super) fn reference_from(reference: &v1::ReleaseRef) -> Result<ReleaseRef, Invalid> {
    Ok(ReleaseRef {
        version: version("version", &reference.version)?,
        digest: parse("digest", &reference.digest)?,
    })
}

/// The manifest as the keeper of keys knows it, for verifying.
///
/// # Errors
/// When the key's id is none.
pub fn signed_manifest_from_proto(
    signed: v1::SignedManifest,
) -> Result<manifest::SignedManifest, Invalid> {
    Ok(manifest::SignedManifest {
        key_id: parse("manifest.key_id", &signed.key_id)?,
        manifest: signed.manifest,
        signature: signed.signature,
    })
}

/// The manifest as the state keeps it.
#[must_use]
pub fn signed_manifest_to_core(signed: manifest::SignedManifest) -> SignedManifest {
    SignedManifest {
        manifest: signed.manifest,
        key_id: signed.key_id.to_string(),
        signature: signed.signature,
    }
}

pub(super) fn signed_manifest_to(signed: &SignedManifest) -> v1::SignedManifest {
    v1::SignedManifest {
        manifest: signed.manifest.clone(),
        key_id: signed.key_id.clone(),
        signature: signed.signature.clone(),
    }
}

/// A release, for the API and the store.
#[must_use]
pub fn release_to_proto(release: &Release) -> v1::Release {
    v1::Release {
        component: release.component.to_string(),
        version: release.version.to_string(),
        artifacts: release
            .artifacts
            .iter()
            .map(|(platform, artifact)| artifact_to(platform, artifact))
            .collect(),
        changed_at: Some(time_to(release.changed_at)),
        revision: release.revision,
    }
}

fn artifact_to(platform: &str, artifact: &Artifact) -> v1::Artifact {
    let written = v1::Artifact {
        platform: platform.to_owned(),
        digest: artifact.digest.to_string(),
        size_bytes: artifact.size_bytes,
        manifest: Some(signed_manifest_to(&artifact.manifest)),
        ..v1::Artifact::default()
    };
    // Verified when it came in; one that cannot be read all the same stays as it is.
    let Ok(manifest) = manifest::ReleaseManifest::decode(&artifact.manifest.manifest) else {
        return written;
    };
    let Some(tree) = manifest.tree else {
        return v1::Artifact {
            format: v1::ArtifactFormat::Plain.into(),
            ..written
        };
    };
    let format = match tree.format {
        manifest::ArchiveFormat::TarZst => v1::ArtifactFormat::TarZst,
        manifest::ArchiveFormat::TarGz => v1::ArtifactFormat::TarGz,
    };
    v1::Artifact {
        format: format.into(),
        executable: tree.executable.to_string(),
        unpacked_bytes: tree.unpacked_bytes,
        ..written
    }
}

pub(super) fn release_from(release: v1::Release) -> Result<Release, Invalid> {
    let mut artifacts = BTreeMap::new();
    for artifact in release.artifacts {
        let signed = required("artifacts.manifest", artifact.manifest)?;
        artifacts.insert(
            artifact.platform,
            Artifact {
                digest: parse::<Digest>("artifacts.digest", &artifact.digest)?,
                size_bytes: artifact.size_bytes,
                manifest: SignedManifest {
                    manifest: signed.manifest,
                    key_id: signed.key_id,
                    signature: signed.signature,
                },
            },
        );
    }
    Ok(Release {
        component: parse("component", &release.component)?,
        version: version("version", &release.version)?,
        artifacts,
        changed_at: time_from("changed_at", &release.changed_at.unwrap_or_default())?,
        revision: release.revision,
    })
}
