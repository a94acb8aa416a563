//! The keys that sign releases, and the set of them that a host trusts.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use camino::Utf8Path;
use ring::signature::{
    ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::{self, PemObject};
use serde::{Deserialize, Serialize};

use crate::digest::{digest_of, from_hex, to_hex};
use crate::secrets::{ReadError, read_private};

/// Length of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Length of a [`KeyId`].
const KEY_ID_BYTES: usize = 8;

/// How a public key begins as text.
const PUBLIC_KEY_PREFIX: &str = "ed25519:";

/// Names a public key: the first eight bytes of the SHA-256 of its 32. Sixteen hex digits as text.
///
/// Finds a key among those that are trusted; it proves nothing by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Why a text names no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 16 lower-case hex digits")]
pub struct KeyIdError;

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        from_hex(text).map(Self).ok_or(KeyIdError)
    }
}

/// An Ed25519 public key. As text `ed25519:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; ED25519_PUBLIC_KEY_LEN]);

impl PublicKey {
    /// The name of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest_of(&self.0).as_bytes()[..KEY_ID_BYTES]);
        KeyId(id)
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PUBLIC_KEY_PREFIX}{}", to_hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Why a text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a release key is written as {PUBLIC_KEY_PREFIX} and 64 lower-case hex digits")]
pub struct InvalidPublicKey;

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, InvalidPublicKey> {
        text.strip_prefix(PUBLIC_KEY_PREFIX)
            .and_then(from_hex)
            .map(Self)
            .ok_or(InvalidPublicKey)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = InvalidPublicKey;

    fn try_from(text: String) -> Result<Self, InvalidPublicKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// The keys whose releases a host runs. Empty means that it runs none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<PublicKey>")]
pub struct TrustedKeys(BTreeMap<KeyId, PublicKey>);

impl TrustedKeys {
    /// Holds when no key is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, id: KeyId) -> Option<&PublicKey> {
        self.0.get(&id)
    }
}

impl FromIterator<PublicKey> for TrustedKeys {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.id(), key)).collect())
    }
}

impl From<Vec<PublicKey>> for TrustedKeys {
    fn from(keys: Vec<PublicKey>) -> Self {
        keys.into_iter().collect()
    }
}

/// A private key that signs releases.
pub struct SigningKey(Ed25519KeyPair);

/// Why a private key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file cannot be read, or others may read it too.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No PEM block with a PKCS #8 private key in it.
    #[error("the release signing key is no PEM file with a `PRIVATE KEY` in it")]
    Pem(#[source] pem::Error),
    /// A private key of another kind.
    #[error("the release signing key is no Ed25519 key in PKCS #8 form")]
    NotEd25519,
}

impl SigningKey {
    /// Reads the key from a file that only its owner may read.
    ///
    /// # Errors
    /// When others may touch the file, or it holds no such key.
    pub fn load(path: &Utf8Path) -> Result<Self, SigningKeyError> {
        Self::from_pem(&read_private(path)?)
    }

    /// Reads the key from PKCS #8 PEM.
    ///
    /// # Errors
    /// When there is no Ed25519 key in it.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, SigningKeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(bytes).map_err(SigningKeyError::Pem)?;
        // Also takes a key without its public half (RFC 5208), which other tools write.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map(Self)
            .map_err(|_| SigningKeyError::NotEd25519)
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let mut bytes = [0; ED25519_PUBLIC_KEY_LEN];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("SigningKey")
            .field(&self.public_key())
            .finish()
    }
}
