//! The chain of digests that ties every record to all before it.

use std::fmt;

use ring::digest::{Context, SHA256};

/// SHA-256 over the previous digest, a record's fields and its payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; ChainHash::BYTES]);

impl ChainHash {
    /// Length of a digest.
    pub const BYTES: usize = 32;

    /// A digest that was stored somewhere else.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The chain's start in the cluster named `cluster`.
    pub(super) fn genesis(cluster: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(b"evenkeel ledger genesis 1\0");
        context.update(cluster.as_bytes());
        Self::finish(context)
    }

    /// The digest after a record with these `fields` and this `payload`. The fields are of one fixed length, so
    /// no two different records hash the same bytes.
    pub(super) fn next(&self, fields: &[u8; 18], payload: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(fields);
        context.update(payload);
        Self::finish(context)
    }

    fn finish(context: Context) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ChainHash({self})")
    }
}
