//! Which of two values of a key is the newer one.

use std::fmt;
use std::str::FromStr;

use crate::limits::STAMP_COUNTER_MAX;

/// The place of one write in its key's history.
///
/// The counter is one above the highest that a majority knew, so it rises with every acknowledged write whatever the
/// clocks say. The nonce tells apart two writes that took the same counter at the same time, also when they came
/// through the same node; no two writes share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// How many writes deep this one stands.
    pub counter: u64,
    /// Random; decides between equals.
    pub nonce: u64,
}

/// Why a text is no stamp.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a stamp is COUNTER-NONCE, with a counter of at most {STAMP_COUNTER_MAX}")]
pub struct InvalidStamp;

impl Stamp {
    /// A new stamp that is newer than `newest`, the highest that a majority knows.
    #[must_use]
    pub fn after(newest: Option<Self>) -> Self {
        Self {
            counter: newest.map_or(0, |s| s.counter).saturating_add(1),
            nonce: rand::random(),
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.counter, self.nonce)
    }
}

impl FromStr for Stamp {
    type Err = InvalidStamp;

    fn from_str(text: &str) -> Result<Self, InvalidStamp> {
        let (counter, nonce) = text.split_once('-').ok_or(InvalidStamp)?;
        let counter = counter.parse().map_err(|_| InvalidStamp)?;
        let nonce = u64::from_str_radix(nonce, 16).map_err(|_| InvalidStamp)?;
        if counter > STAMP_COUNTER_MAX {
            return Err(InvalidStamp);
        }
        Ok(Self { counter, nonce })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_write_is_newer_whatever_its_nonce() {
        let mut newest = None;
        for _ in 0..100 {
            let next = Stamp::after(newest);
            assert!(Some(next) > newest);
            newest = Some(next);
        }
    }

    #[test]
    fn two_writes_at_once_have_an_order() {
        let (a, b) = (Stamp::after(None), Stamp::after(None));
        assert_eq!(a.counter, b.counter);
        assert_ne!(a, b);
    }

    #[test]
    fn a_stamp_survives_its_text_form() {
        let stamp = Stamp {
            counter: STAMP_COUNTER_MAX,
            nonce: u64::MAX,
        };
        assert_eq!(stamp.to_string().parse(), Ok(stamp));
        for bad in ["", "1", "-", "1-g", "-1-0", "4611686018427387905-0"] {
            assert_eq!(bad.parse::<Stamp>(), Err(InvalidStamp), "{bad:?}");
        }
    }
}
