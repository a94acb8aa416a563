//! Release manifests: the signed statement that these bytes are this version of this component.
//!
//! A manifest has one encoding, a few lines of text under a heading, so that what was signed is what is read and a
//! person can check both. The signature covers a prefix of its own, so that it can never be taken for one over
//! something else made with the same key.

mod keys;

use std::fmt::Write as _;

use semver::Version;

use crate::digest::{Digest, InvalidDigest};
use crate::names::{ComponentName, NameError};
use crate::platform::{PLATFORMS, PlatformError};
use crate::tree_path::{TreePath, TreePathError};

pub use keys::{
    InvalidPublicKey, KeyId, KeyIdError, PublicKey, SIGNATURE_BYTES, SigningKey, SigningKeyError,
    TrustedKeys,
};

/// Longest manifest in bytes; the longest possible one is under 1,000.
pub const MANIFEST_BYTES_MAX: usize = 1024;

/// Longest version in a manifest.
pub const VERSION_CHARS_MAX: usize = 128;

/// Longest path of a tree's executable in a manifest, in bytes.
pub const EXECUTABLE_BYTES_MAX: usize = 255;

const HEADING: &str = "evenkeel release manifest v1";

/// What a signature over a manifest begins with.
const SIGNATURE_PREFIX: &[u8] = b"evenkeel release manifest signature v1\0";

/// What is released: these bytes are this version of this component, for this platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseManifest {
    /// The component.
    pub component: ComponentName,
    /// Its version, at most [`VERSION_CHARS_MAX`] long.
    pub version: Version,
    /// What the bytes run on: one of [`PLATFORMS`].
    pub platform: String,
    /// The digest of the bytes.
    pub sha256: Digest,
    /// How many they are.
    pub size_bytes: u64,
    /// What has to be unpacked from them; unset where they are the executable itself.
    pub tree: Option<Tree>,
}

/// What an artifact unpacks to, where it is an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// How it is packed.
    pub format: ArchiveFormat,
    /// The file in it that is the storage process: at most [`EXECUTABLE_BYTES_MAX`] long.
    pub executable: TreePath,
    /// The space that it takes once it is unpacked, in bytes: each file's size rounded up to 4,096, and 4,096 for each
    /// file, folder and link.
    pub unpacked_bytes: u64,
}

/// How a tree is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A tar file in one frame of Zstandard.
    TarZst,
    /// A tar file in gzip.
    TarGz,
}

impl ArchiveFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::TarZst, Self::TarGz];

    /// Its name, which is also what such a file's name ends with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TarZst => "tar.zst",
            Self::TarGz => "tar.gz",
        }
    }

    /// Whether bytes begin as those of this format do.
    #[must_use]
    pub fn begins(self, bytes: &[u8]) -> bool {
        bytes.starts_with(match self {
            Self::TarZst => &[0x28, 0xb5, 0x2f, 0xfd],
            Self::TarGz => &[0x1f, 0x8b],
        })
    }
}

/// A manifest as it travels and is kept: its bytes, and who vouches for them. Trusted by nobody until verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// The manifest's one encoding.
    pub manifest: Vec<u8>,
    /// Which key signed it.
    pub key_id: KeyId,
    /// The Ed25519 signature, of [`SIGNATURE_BYTES`].
    pub signature: Vec<u8>,
}

/// Why bytes are no manifest, or no trusted one.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than any manifest has.
    #[error("a release manifest is at most {MANIFEST_BYTES_MAX} bytes long, this one has {length}")]
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// Not the lines a manifest consists of.
    #[error("this is no release manifest: line {line} should read {expected:?}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What it begins with or is.
        expected: &'static str,
    },
    /// A component that cannot exist.
    #[error("the component in the release manifest is not allowed")]
    Component(#[source] NameError),
    /// A version that is none.
    #[error("the version in the release manifest is no semantic version")]
    Version(#[source] semver::Error),
    /// A version that is too long.
    #[error("the version in a release manifest is at most {VERSION_CHARS_MAX} characters long")]
    VersionTooLong,
    /// A platform that is not known.
    #[error("the platform in the release manifest is not allowed")]
    Platform(#[source] PlatformError),
    /// A digest that is none.
    #[error("the digest in the release manifest is not allowed")]
    Digest(#[source] InvalidDigest),
    /// A size that is none.
    #[error("the size in the release manifest is no number of bytes")]
    Size(#[source] std::num::ParseIntError),
    /// A kind of archive that is not known.
    #[error("the format in the release manifest is not known; known are tar.zst and tar.gz")]
    Format,
    /// An executable that cannot be in a tree.
    #[error("the executable in the release manifest is not allowed")]
    Executable(#[source] TreePathError),
    /// An executable's path that is too long.
    #[error(
        "the path of the executable in a release manifest is at most {EXECUTABLE_BYTES_MAX} bytes long"
    )]
    ExecutableTooLong,
    /// It says the same as a manifest would, but is written in another way.
    #[error("the release manifest is not written in its one canonical way")]
    NotCanonical,
    /// Signed by a key that is not trusted here.
    #[error("the release manifest is signed by key {key_id}, which is not among the trusted keys")]
    UntrustedKey {
        /// The key it names.
        key_id: KeyId,
    },
    /// The signature does not fit the bytes.
    #[error(
        "the signature of the release manifest does not fit: it was changed, or key {key_id} did not sign it"
    )]
    Signature {
        /// The key it names.
        key_id: KeyId,
    },
}

impl ReleaseManifest {
    /// The manifest's one encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::with_capacity(256);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{HEADING}\ncomponent: {}\nversion: {}\nplatform: {}\nsha256: {}\nsize_bytes: {}\n",
            self.component, self.version, self.platform, self.sha256, self.size_bytes
        );
        if let Some(tree) = &self.tree {
            let _ = write!(
                text,
                "format: {}\nexecutable: {}\nunpacked_bytes: {}\n",
                tree.format.as_str(),
                tree.executable,
                tree.unpacked_bytes
            );
        }
        text.into_bytes()
    }

    /// Reads a manifest's encoding; nothing but the very bytes that [`ReleaseManifest::encode`] gives is accepted.
    ///
    /// # Errors
    /// When the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLong {
                length: bytes.len(),
            });
        }
        let text = str::from_utf8(bytes).map_err(|_| ManifestError::NotCanonical)?;
        let mut lines = text.split('\n');
        let mut line_after = |expected: &'static str, line| {
            lines
                .next()
                .and_then(|text| text.strip_prefix(expected))
                .ok_or(ManifestError::Line { line, expected })
        };
        line_after(HEADING, 1)?;
        let component = line_after("component: ", 2)?;
        let version = line_after("version: ", 3)?;
        let platform = line_after("platform: ", 4)?;
        let sha256 = line_after("sha256: ", 5)?;
        let size_bytes = line_after("size_bytes: ", 6)?;
        // Nothing follows on the size of what is an executable itself, but the end of its line.
        let tree = match line_after("format: ", 7) {
            Ok(format) => Some(Tree {
                format: ArchiveFormat::ALL
                    .into_iter()
                    .find(|known| known.as_str() == format)
                    .ok_or(ManifestError::Format)?,
                executable: line_after("executable: ", 8)?
                    .parse()
                    .map_err(ManifestError::Executable)?,
                unpacked_bytes: line_after("unpacked_bytes: ", 9)?
                    .parse()
                    .map_err(ManifestError::Size)?,
            }),
            Err(_) => None,
        };
        if tree
            .as_ref()
            .is_some_and(|tree| tree.executable.as_str().len() > EXECUTABLE_BYTES_MAX)
        {
            return Err(ManifestError::ExecutableTooLong);
        }
        if version.len() > VERSION_CHARS_MAX {
            return Err(ManifestError::VersionTooLong);
        }
        if !PLATFORMS.contains(&platform) {
            return Err(ManifestError::Platform(PlatformError::Unknown(
                platform.to_owned(),
            )));
        }
        let manifest = Self {
            component: component.parse().map_err(ManifestError::Component)?,
            version: version.parse().map_err(ManifestError::Version)?,
            platform: platform.to_owned(),
            sha256: sha256.parse().map_err(ManifestError::Digest)?,
            size_bytes: size_bytes.parse().map_err(ManifestError::Size)?,
            tree,
        };
        if manifest.encode() == bytes {
            Ok(manifest)
        } else {
            Err(ManifestError::NotCanonical)
        }
    }

    /// Signs the manifest.
    ///
    /// # Errors
    /// When the manifest could not be read back: its version is too long or its platform unknown.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedManifest, ManifestError> {
        let manifest = self.encode();
        Self::decode(&manifest)?;
        Ok(SignedManifest {
            signature: key.sign(&signed_bytes(&manifest)),
            key_id: key.public_key().id(),
            manifest,
        })
    }
}

impl SignedManifest {
    /// The manifest, once it is sure that a trusted key signed exactly these bytes.
    ///
    /// # Errors
    /// When no trusted key did, or what was signed is no manifest. With no trusted keys nothing is trusted.
    pub fn verify(&self, trusted: &TrustedKeys) -> Result<ReleaseManifest, ManifestError> {
        if self.manifest.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLong {
                length: self.manifest.len(),
            });
        }
        let key_id = self.key_id;
        let key = trusted
            .get(key_id)
            .ok_or(ManifestError::UntrustedKey { key_id })?;
        if !key.verifies(&signed_bytes(&self.manifest), &self.signature) {
            return Err(ManifestError::Signature { key_id });
        }
        ReleaseManifest::decode(&self.manifest)
    }
}

fn signed_bytes(manifest: &[u8]) -> Vec<u8> {
    [SIGNATURE_PREFIX, manifest].concat()
}

#[cfg(test)]
mod tests;
