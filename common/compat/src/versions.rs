//! One version, or a range of them.

use std::{fmt, str::FromStr};

use semver::{Op, Version, VersionReq};

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
    /// A range of one version, written as one. It would weigh less than the version, which is never what is meant.
    #[error("\"={version}\" is a range of one version; write {version}")]
    RangeOfOne {
        /// The version.
        version: String,
    },
    /// A version as tags have it.
    #[error("{text:?} is neither a version nor a range of versions; write it without the v")]
    Tagged {
        /// The text, cut.
        text: String,
    },
    /// Alternatives, which a range has none of.
    #[error(
        "{text:?} is neither a version nor a range of versions; for what stands beside ||, write two rules"
    )]
    Alternatives {
        /// The text, cut.
        text: String,
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
                match only(&range) {
                    Some(version) => Err(VersionsError::RangeOfOne {
                        version: version.to_string(),
                    }),
                    None => Ok(Self::Range(range)),
                }
            }
            Err(source) => Err(malformed(text, source)),
        }
    }
}

/// The version, of a range that is `=x.y.z` and no more.
fn only(range: &VersionReq) -> Option<Version> {
    let [comparator] = range.comparators.as_slice() else {
        return None;
    };
    match (comparator.op, comparator.minor, comparator.patch) {
        (Op::Exact, Some(minor), Some(patch)) => Some(Version {
            pre: comparator.pre.clone(),
            ..Version::new(comparator.major, minor, patch)
        }),
        _ => None,
    }
}

/// What is wrong with what is no range, by what it was perhaps meant to be.
fn malformed(text: &str, source: semver::Error) -> VersionsError {
    let cut = evenkeel_words::limits::cut(text.to_owned(), 60);
    let is_tag = |comparator: &str| {
        let version = comparator.trim_start_matches(['=', '>', '<', '~', '^', ' ']);
        let number = version.strip_prefix(['v', 'V']);
        number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
    };
    if text.contains("||") {
        VersionsError::Alternatives { text: cut }
    } else if text.split(',').any(is_tag) {
        VersionsError::Tagged { text: cut }
    } else {
        VersionsError::Malformed { text: cut, source }
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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use semver::Prerelease;

    use super::*;

    /// Versions that often meet.
    pub(crate) fn a_version() -> impl Strategy<Value = Version> {
        let pre = prop_oneof![
            4 => Just(""),
            2 => prop::sample::select(vec!["0", "1", "a", "a.0", "a.1", "b", "rc.1", "rc-1"]),
        ];
        let build = prop_oneof![6 => Just(""), 1 => Just("+b.7")];
        (0_u64..3, 0_u64..3, 0_u64..3, pre, build).prop_map(|(major, minor, patch, pre, build)| {
            let pre = if pre.is_empty() {
                String::new()
            } else {
                format!("-{pre}")
            };
            Version::parse(&format!("{major}.{minor}.{patch}{pre}{build}")).unwrap()
        })
    }

    fn a_comparator() -> impl Strategy<Value = String> {
        let number = || prop_oneof![8 => 0_u64..3, 1 => Just(u64::MAX)];
        let pre = prop_oneof![
            3 => Just(""),
            2 => prop::sample::select(vec!["-0", "-a", "-a.0", "-b", "-rc.1"]),
        ];
        let operator = prop::sample::select(vec!["=", ">", ">=", "<", "<=", "~", "^"]);
        prop_oneof![
            6 => (operator.clone(), number(), number(), number(), pre)
                .prop_map(|(op, major, minor, patch, pre)| format!("{op}{major}.{minor}.{patch}{pre}")),
            1 => (operator.clone(), number(), number()).prop_map(|(op, major, minor)| format!("{op}{major}.{minor}")),
            1 => (operator, number()).prop_map(|(op, major)| format!("{op}{major}")),
            1 => (number(), number()).prop_map(|(major, minor)| format!("{major}.{minor}.*")),
            1 => number().prop_map(|major| format!("{major}.*")),
        ]
    }

    /// Ranges that often match something.
    pub(crate) fn a_range() -> impl Strategy<Value = VersionReq> {
        prop_oneof![
            1 => Just("*".to_owned()),
            20 => prop::collection::vec(a_comparator(), 1..4).prop_map(|all| all.join(", ")),
        ]
        .prop_map(|text| VersionReq::parse(&text).unwrap())
    }

    pub(crate) fn versions() -> impl Strategy<Value = Versions> {
        prop_oneof![
            a_version().prop_map(Versions::Exact),
            a_range()
                .prop_map(|range| only(&range).map_or(Versions::Range(range), Versions::Exact)),
        ]
    }

    fn refusal(text: &str) -> String {
        text.parse::<Versions>().unwrap_err().to_string()
    }

    #[test]
    fn a_whole_version_is_exact_and_all_else_a_range() {
        for exact in ["1.2.3", "0.0.0-rc.1", "1.2.3+build", "1.2.3-x+b"] {
            assert!(
                exact.parse::<Versions>().unwrap().exact().is_some(),
                "{exact}"
            );
        }
        for range in [
            "*",
            "3.4.*",
            "3.x",
            "^1.2",
            "=1.2",
            ">=1.0.0-rc.1, =1.2.3",
            ">=1.0.0-rc.1, <2",
            "~1",
            "< 2",
        ] {
            assert!(
                range.parse::<Versions>().unwrap().exact().is_none(),
                "{range}"
            );
        }
    }

    #[test]
    fn a_partial_version_without_an_operator_is_refused_with_a_hint() {
        assert_eq!(
            refusal("3.4"),
            "\"3.4\" is not a whole version and has no operator; write \"3.4.*\" for all of 3.4, or \"^3.4\" for \
             anything up to the next incompatible release"
        );
        assert!(refusal(">=1.0.0, 3").starts_with("\"3\" is not a whole version"));
        assert_eq!(
            refusal(">=1.0.0, 1.2.3"),
            "\"1.2.3\" stands in a range without an operator; write \"=1.2.3\" for that version alone"
        );
        assert!(refusal(">=1.0.0, 1.2.3-x").starts_with("\"1.2.3-x\" stands in a range"));
    }

    #[test]
    fn a_range_of_one_version_is_to_be_written_as_the_version() {
        assert_eq!(
            refusal("=1.2.3"),
            "\"=1.2.3\" is a range of one version; write 1.2.3"
        );
        assert!(refusal("= 1.2.3-rc.1").ends_with("; write 1.2.3-rc.1"));
    }

    #[test]
    fn a_version_with_a_v_is_to_be_written_without() {
        for tag in [
            "v3.5.0",
            "V3",
            "v3.4.*",
            ">=v3.4.0, <v3.5.0",
            ">=3.4.0, < v3.5.0",
        ] {
            assert!(refusal(tag).ends_with("; write it without the v"), "{tag}");
        }
        assert!(!refusal("version").contains("without"));
    }

    #[test]
    fn alternatives_are_two_rules() {
        assert_eq!(
            refusal("3.4.* || 3.3.*"),
            "\"3.4.* || 3.3.*\" is neither a version nor a range of versions; for what stands beside ||, write two rules"
        );
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for bad in [
            "", " ", "latest", "v1.2.3", "1.2.3.4", "01.2.3", ">1 <2", ">=1.0.0,", "1.2.3-",
            "*, >1",
        ] {
            assert!(
                refusal(bad).contains("is neither a version nor a range"),
                "{bad}"
            );
        }
        let long = format!("1.2.3-{}", "a".repeat(VERSION_CHARS_MAX));
        assert!(refusal(&long).contains("too long"));
        let long = format!(">1.2.3-{}", "a".repeat(VERSIONS_CHARS_MAX));
        assert!(refusal(&long).contains("too long"));
    }

    #[test]
    fn build_metadata_is_shown_and_ignored() {
        let versions: Versions = "1.2.3+a".parse().unwrap();
        assert_eq!(versions.to_string(), "1.2.3+a");
        assert!(versions.matches(&Version::parse("1.2.3+b").unwrap()));
        assert!(!versions.matches(&Version::parse("1.2.3-a").unwrap()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_range_matches_as_semver_does(range in a_range(), version in a_version()) {
            let release = Version { pre: Prerelease::EMPTY, ..version.clone() };
            for version in [version, release] {
                prop_assert_eq!(Versions::Range(range.clone()).matches(&version), range.matches(&version));
            }
        }

        #[test]
        fn versions_are_read_as_they_are_written(versions in versions()) {
            prop_assert_eq!(versions.to_string().parse::<Versions>().unwrap(), versions);
        }

        #[test]
        fn no_text_does_harm(text in "[-0-9.x*^~<>=, a+]{0,24}|\\PC{0,40}") {
            if let Ok(versions) = text.parse::<Versions>() {
                prop_assert_eq!(versions.to_string().parse::<Versions>().unwrap(), versions);
            }
        }
    }
}
