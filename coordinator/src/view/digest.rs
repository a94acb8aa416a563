//! A digest of a set of entries that does not depend on their order and can be kept up to date one entry at a time.

use ring::digest::{Context, SHA256};

/// The sum, modulo 2²⁵⁶, of the SHA-256 of every entry.
///
/// This finds accidents. It is no defence against somebody who can choose entries freely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ContentDigest([u64; 4]);

impl ContentDigest {
    pub(super) const BYTES: usize = 32;

    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut carry = false;
        for (sum, part) in self.0.iter_mut().zip(entry_digest(key, value)) {
            (*sum, carry) = sum.carrying_add(part, carry);
        }
    }

    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        let mut borrow = false;
        for (sum, part) in self.0.iter_mut().zip(entry_digest(key, value)) {
            (*sum, borrow) = sum.borrowing_sub(part, borrow);
        }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (place, part) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *place = part.to_le_bytes();
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(limbs(&bytes))
    }
}

/// SHA-256 over the key's length, the key and the value, as little-endian limbs.
fn entry_digest(key: &[u8], value: &[u8]) -> [u64; 4] {
    let mut context = Context::new(&SHA256);
    context.update(&(key.len() as u64).to_le_bytes());
    context.update(key);
    context.update(value);
    limbs(context.finish().as_ref())
}

fn limbs(bytes: &[u8]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*chunk);
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(entries: &[(&str, &str)]) -> ContentDigest {
        let mut digest = ContentDigest::default();
        for (key, value) in entries {
            digest.add(key.as_bytes(), value.as_bytes());
        }
        digest
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let digest = digest_of(&[("a", "1"), ("b", "2")]);
        assert_eq!(digest, digest_of(&[("b", "2"), ("a", "1")]));
        assert_ne!(digest, digest_of(&[("a", "2"), ("b", "1")]));
        assert_ne!(digest, digest_of(&[("a", "1")]));
        assert_ne!(digest_of(&[("ab", "c")]), digest_of(&[("a", "bc")]));
    }

    #[test]
    fn removing_undoes_adding_in_any_order() {
        let mut digest = ContentDigest::default();
        for round in 0..1_000_u32 {
            digest.add(&round.to_le_bytes(), b"value");
        }
        assert_eq!(ContentDigest::from_bytes(digest.to_bytes()), digest);
        for round in 0..1_000_u32 {
            digest.remove(&round.to_le_bytes(), b"value");
        }
        assert_eq!(digest, ContentDigest::default());
    }
}
