//! How well one version gets on with another.

use std::{fmt, str::FromStr};

/// What a rule says of version *a* with respect to version *b*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Side by side, and from either to the other in place.
    Full,
    /// *b* reads what *a* wrote: side by side; *a* to *b* in place; back only until finalized.
    Backward,
    /// *a* accepts what *b* writes: side by side; *a* to *b* by rebuild; back in place.
    Forward,
    /// Neither side by side nor from one to the other.
    None,
}

/// A text that is none of the four levels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a level: full, backward, forward or none")]
pub struct LevelError {
    text: String,
}

impl Level {
    /// All of them, the friendliest first.
    pub const ALL: [Self; 4] = [Self::Full, Self::Backward, Self::Forward, Self::None];

    /// The level as it is written in files and plans.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::None => "none",
        }
    }

    /// Whether a rule of this level says the same of both directions.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Full | Self::None)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| LevelError {
                text: evenkeel_words::limits::cut(text.to_owned(), 60),
            })
    }
}
