//! One version, or a range of them.

use std::{fmt, str::FromStr};

use semver::{Version, VersionReq};

/// The longest version, in characters.
pub const VERSION_CHARS_MAX: usize = 128;

/// The longest text that stands for versions, in characters.
pub const VERSIONS_CHARS_MAX: usize = 500;

/// Which versions a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// One version: `x.y.z`, with or without a pre-release and build metadata. The latter is carried along and shown,
    /// and ignored in every comparison.
    Exact(Version),
    /// Those that match. Every comparator has an operator or a wildcard of its own.
    Range(VersionReq),
}

/// Why a text does not stand for versions.
#[derive(Debug, thiserror::Error)]
pub enum VersionsError {
    /// Too long.
    #[error(
        "{chars} characters are too long for a version ({VERSION_CHARS_MAX} at most) or a range ({VERSIONS_CHARS_MAX} at most)"
    )]
    TooLong {
        /// How long it is.
        chars: usize,
    },
    /// A comparator without an operator that is not a whole version.
    #[error(
        "{comparator:?} is not a whole version and has no operator; write \"{comparator}.*\" for all of {comparator}, \
         or \"^{comparator}\" for anything up to the next incompatible release"
    )]
    Bare {
        /// The comparator.
        comparator: String,
    },
    /// A whole version without an operator beside other comparators.
    #[error(
        "{comparator:?} stands in a range without an operator; write \"={comparator}\" for that version alone"
    )]
    BareExact {
        /// The comparator.
        comparator: String,
    },
    /// Something else.
    #[error("{text:?} is neither a version nor a range of versions")]
    Malformed {
        /// The text, cut.
        text: String,
        /// What semver says of it.
        #[source]
        source: semver::Error,
    },
}

impl Versions {
    /// Whether `version` is among them: the same version but for build metadata, or one that the range matches as
    /// [`VersionReq`] does (a pre-release only if the range names a pre-release of the same `x.y.z`).
    #[must_use]
    pub fn matches(&self, version: &Version) -> bool {
        match self {
            Self::Exact(exact) => exact.cmp_precedence(version).is_eq(),
            Self::Range(range) => range.matches(version),
        }
    }

    /// The version, if it is one.
    #[must_use]
    pub fn exact(&self) -> Option<&Version> {
        match self {
            Self::Exact(exact) => Some(exact),
            Self::Range(_) => None,
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => fmt::Display::fmt(version, f),
            Self::Range(range) => fmt::Display::fmt(range, f),
        }
    }
}

impl FromStr for Versions {
    type Err = VersionsError;

    fn from_str(text: &str) -> Result<Self, VersionsError> {
        let chars = text.chars().count();
        let exact = Version::parse(text);
        let chars_max = if exact.is_ok() {
            VERSION_CHARS_MAX
        } else {
            VERSIONS_CHARS_MAX
        };
        if chars > chars_max {
            return Err(VersionsError::TooLong { chars });
        }
        if let Ok(exact) = exact {
            return Ok(Self::Exact(exact));
        }
        match VersionReq::parse(text) {
            Ok(range) => {
                if let Some(bare) = text.split(',').find_map(bare) {
                    return Err(bare);
                }
                Ok(Self::Range(range))
            }
            Err(source) => Err(VersionsError::Malformed {
                text: evenkeel_words::limits::cut(text.to_owned(), 60),
                source,
            }),
        }
    }
}

/// What is wrong with a well-formed comparator: neither an operator nor a wildcard says how it is meant.
fn bare(comparator: &str) -> Option<VersionsError> {
    let comparator = comparator.trim();
    let has_operator = comparator.starts_with(['=', '>', '<', '~', '^']);
    // A wildcard is an `x`, too, but not one in a pre-release.
    let numbers = comparator.split(['-', '+']).next().unwrap_or(comparator);
    if has_operator || numbers.contains(['*', 'x', 'X']) {
        return None;
    }
    let comparator = comparator.to_owned();
    Some(if Version::parse(&comparator).is_ok() {
        VersionsError::BareExact { comparator }
    } else {
        VersionsError::Bare { comparator }
    })
}
