//! So many, or a share of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no amount; write a number like 3, or a share of 1% to 100%")]
pub struct NoAmount {
    text: String,
}

/// A number of instances, or a share of however many there are: `3`, `25%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many in a hundred, 1 to 100.
    Percent(u8),
}

impl Amount {
    /// All there are.
    pub const ALL: Self = Self::Percent(100);

    /// How many of `n` that is, rounded down: for what may be taken away.
    #[must_use]
    pub fn of_rounded_down(self, n: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => share(percent, n, 0),
        }
    }

    /// How many of `n` that is, rounded up: for what must be kept, and for how many go together.
    #[must_use]
    pub fn of_rounded_up(self, n: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => share(percent, n, 99),
        }
    }

    /// Whether it is within what is allowed: a count of any size, or 1 % to 100 %.
    #[must_use]
    pub fn is_valid(self) -> bool {
        match self {
            Self::Count(_) => true,
            Self::Percent(percent) => (1..=100).contains(&percent),
        }
    }
}

fn share(percent: u8, n: u32, extra: u64) -> u32 {
    let share = (u64::from(n) * u64::from(percent) + extra) / 100;
    u32::try_from(share).unwrap_or(u32::MAX)
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Amount {
    type Err = NoAmount;

    fn from_str(text: &str) -> Result<Self, NoAmount> {
        let plain = |digits: &str| !digits.starts_with('+');
        let amount = match text.strip_suffix('%') {
            Some(digits) if plain(digits) => digits.parse().ok().map(Self::Percent),
            None if plain(text) => text.parse().ok().map(Self::Count),
            Some(_) | None => None,
        };
        amount
            .filter(|amount| amount.is_valid())
            .ok_or_else(|| NoAmount {
                text: text.to_owned(),
            })
    }
}

/// As configuration files have it: a number, or a text.
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Text(String),
        }
        let written = Written::deserialize(deserializer)
            .map_err(|_| D::Error::custom("write a number like 3, or a share like \"25%\""))?;
        match written {
            Written::Number(count) => Ok(Self::Count(count)),
            Written::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_number_or_a_share() {
        for (text, amount) in [
            ("0", Amount::Count(0)),
            ("3", Amount::Count(3)),
            ("4294967295", Amount::Count(u32::MAX)),
            ("1%", Amount::Percent(1)),
            ("100%", Amount::ALL),
        ] {
            assert_eq!(text.parse(), Ok(amount), "{text}");
            assert_eq!(amount.to_string(), text);
        }
        for bad in [
            "",
            "%",
            "0%",
            "101%",
            "300%",
            "-1",
            "+1",
            "+1%",
            "1.5%",
            "1 %",
            " 1",
            "25%%",
            "4294967296",
            "ten",
        ] {
            assert!(bad.parse::<Amount>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_share_is_rounded_the_way_it_is_asked_for() {
        let of = |text: &str, n| {
            let amount: Amount = text.parse().unwrap();
            (amount.of_rounded_down(n), amount.of_rounded_up(n))
        };
        assert_eq!(of("25%", 3), (0, 1));
        assert_eq!(of("25%", 4), (1, 1));
        assert_eq!(of("25%", 5), (1, 2));
        assert_eq!(of("10%", 20), (2, 2));
        assert_eq!(of("100%", 7), (7, 7));
        assert_eq!(of("1%", 0), (0, 0));
        assert_eq!(of("99%", u32::MAX), (4_252_017_622, 4_252_017_623));
        assert_eq!(of("3", 1), (3, 3), "a number is that number");
    }
}
