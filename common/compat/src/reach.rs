//! Which versions a [`Versions`] matches, as a few intervals of one axis.
//!
//! [`semver::VersionReq`] treats pre-releases apart: a range reaches those of one `x.y.z` only if it names one of them. So
//! the axis has all releases first, by number, and after them all pre-releases, by precedence. On it whatever a
//! requirement matches is one interval of releases and, for each `x.y.z` whose pre-releases it names, one more; as
//! a requirement is a conjunction, at most two of these are not empty (the lowest bound's and the highest's).
//!
//! Both parts of the axis are discrete: `1.2.4` follows `1.2.3`, and nothing is between `1.2.3-rc` and `1.2.3-rc.0`. So
//! every interval is half open, and is empty only if its ends are the same.

use std::collections::BTreeSet;

use semver::{Comparator, Prerelease, Version, VersionReq};

use crate::Versions;

/// A place on the axis.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// A release: major, minor, patch.
    Release(u64, u64, u64),
    /// Behind the last release.
    ReleasesEnd,
    /// A pre-release, without build metadata; or, without one, the place behind the pre-releases of its `x.y.z`.
    Pre(Version),
}

impl Point {
    /// Where a version is.
    pub(crate) fn of(version: &Version) -> Self {
        if version.pre.is_empty() {
            Self::Release(version.major, version.minor, version.patch)
        } else {
            Self::Pre(plain(version))
        }
    }

    /// The version that is there, if there is one.
    pub(crate) fn version(&self) -> Option<Version> {
        match self {
            Self::Release(major, minor, patch) => Some(Version::new(*major, *minor, *patch)),
            Self::Pre(version) if !version.pre.is_empty() => Some(version.clone()),
            Self::ReleasesEnd | Self::Pre(_) => None,
        }
    }

    /// The place right behind a release.
    fn behind(major: u64, minor: u64, patch: u64) -> Self {
        if let Some(patch) = patch.checked_add(1) {
            Self::Release(major, minor, patch)
        } else {
            Self::behind_minor(major, minor)
        }
    }

    /// The place right behind the releases of a minor.
    fn behind_minor(major: u64, minor: u64) -> Self {
        if let Some(minor) = minor.checked_add(1) {
            Self::Release(major, minor, 0)
        } else {
            Self::behind_major(major)
        }
    }

    /// The place right behind the releases of a major.
    fn behind_major(major: u64) -> Self {
        major
            .checked_add(1)
            .map_or(Self::ReleasesEnd, |major| Self::Release(major, 0, 0))
    }
}

/// The version without its build metadata, which no comparison looks at.
pub(crate) fn plain(version: &Version) -> Version {
    with_pre(
        (version.major, version.minor, version.patch),
        version.pre.clone(),
    )
}

fn with_pre((major, minor, patch): (u64, u64, u64), pre: Prerelease) -> Version {
    Version {
        pre,
        ..Version::new(major, minor, patch)
    }
}

/// The pre-release right behind one.
fn behind_pre(pre: &Prerelease) -> Prerelease {
    // Well-formed, because `pre` is; were it refused, the end of the pre-releases would take its place.
    Prerelease::new(&format!("{pre}.0")).unwrap_or_default()
}

/// What a [`Versions`] matches: half-open intervals, rising, none of them empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach(Vec<(Point, Point)>);

impl Reach {
    /// What `versions` matches.
    pub(crate) fn of(versions: &Versions) -> Self {
        Self(match versions {
            Versions::Exact(version) => vec![just(version)],
            Versions::Range(range) => {
                let mut intervals = Vec::with_capacity(1);
                intervals.extend(releases(range));
                let named: BTreeSet<_> = range.comparators.iter().filter_map(named_pre).collect();
                intervals.extend(named.into_iter().filter_map(|xyz| pres(range, xyz)));
                intervals
            }
        })
    }

    /// The intervals.
    pub(crate) fn intervals(&self) -> &[(Point, Point)] {
        &self.0
    }

    /// Whether the point is in one of them.
    pub(crate) fn contains(&self, point: &Point) -> bool {
        self.0.iter().any(|(lo, hi)| lo <= point && point < hi)
    }

    /// The one version it has, if it has just one.
    pub(crate) fn single(&self) -> Option<Version> {
        let [interval] = self.0.as_slice() else {
            return None;
        };
        let version = interval.0.version()?;
        (just(&version) == *interval).then_some(version)
    }
}

/// The interval of one version.
fn just(version: &Version) -> (Point, Point) {
    let (major, minor, patch) = (version.major, version.minor, version.patch);
    let behind = if version.pre.is_empty() {
        Point::behind(major, minor, patch)
    } else {
        Point::Pre(with_pre((major, minor, patch), behind_pre(&version.pre)))
    };
    (Point::of(version), behind)
}

/// The releases that the range matches.
///
/// Whatever the operator, a comparator changes its mind only at the numbers it names and right behind them; between two such
/// places one answer holds. What it says there, semver is asked.
fn releases(range: &VersionReq) -> Option<(Point, Point)> {
    let mut turns = BTreeSet::from([Point::Release(0, 0, 0), Point::ReleasesEnd]);
    for comparator in &range.comparators {
        let major = comparator.major;
        turns.insert(Point::Release(major, 0, 0));
        turns.insert(Point::behind_major(major));
        if let Some(minor) = comparator.minor {
            turns.insert(Point::Release(major, minor, 0));
            turns.insert(Point::behind_minor(major, minor));
            if let Some(patch) = comparator.patch {
                turns.insert(Point::Release(major, minor, patch));
                turns.insert(Point::behind(major, minor, patch));
            }
        }
    }
    run(range, turns)
}

/// The `x.y.z` whose pre-releases a comparator lets in.
fn named_pre(comparator: &Comparator) -> Option<(u64, u64, u64)> {
    if comparator.pre.is_empty() {
        return None;
    }
    Some((comparator.major, comparator.minor?, comparator.patch?))
}

/// The pre-releases of one `x.y.z` that the range matches; found as [`releases`] are.
fn pres(range: &VersionReq, xyz: (u64, u64, u64)) -> Option<(Point, Point)> {
    let first = Prerelease::new("0").unwrap_or_default();
    let mut turns = BTreeSet::from([
        Point::Pre(with_pre(xyz, first)),
        Point::Pre(with_pre(xyz, Prerelease::EMPTY)),
    ]);
    for comparator in &range.comparators {
        if named_pre(comparator) == Some(xyz) {
            turns.insert(Point::Pre(with_pre(xyz, behind_pre(&comparator.pre))));
            turns.insert(Point::Pre(with_pre(xyz, comparator.pre.clone())));
        }
    }
    run(range, turns)
}

/// From the first turn at which the range matches up to the next at which it does not.
fn run(range: &VersionReq, turns: BTreeSet<Point>) -> Option<(Point, Point)> {
    let matches = |point: &Point| point.version().is_some_and(|v| range.matches(&v));
    let mut turns = turns.into_iter().skip_while(|point| !matches(point));
    let first = turns.next()?;
    let behind = turns.find(|point| !matches(point))?;
    Some((first, behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::versions;
    use crate::versions::tests::{a_range, a_version};

    fn reach(text: &str) -> Reach {
        Reach::of(&versions(text))
    }

    #[test]
    fn what_nothing_can_match_has_no_interval() {
        for empty in [
            ">2.0.0, <1.0.0",
            ">1.0.0, <1.0.1",
            "<0.0.0",
            ">=1.0.0-a, <1.0.0-a",
            ">1.0.0-a, <1.0.0-a.0",
            "=1.0.0, =1.0.1",
            ">18446744073709551615.18446744073709551615.18446744073709551615",
        ] {
            assert_eq!(reach(empty).intervals(), [], "{empty}");
        }
    }

    #[test]
    fn a_range_may_have_just_one_version() {
        for (text, single) in [
            ("1.2.3", Some("1.2.3")),
            ("1.2.3-rc.1+b", Some("1.2.3-rc.1")),
            (">1.0.0, <1.0.2", Some("1.0.1")),
            ("=1.0.0-rc", Some("1.0.0-rc")),
            ("=1.0.0", Some("1.0.0")),
            ("1.0.*", None),
            (">=1.0.0-rc, <1.0.1", None),
        ] {
            let single = single.map(|text| Version::parse(text).unwrap());
            assert_eq!(reach(text).single(), single, "{text}");
        }
    }

    #[test]
    fn a_range_has_at_most_three_intervals_however_many_pre_releases_it_names() {
        let many: Vec<String> = (0..15)
            .flat_map(|n| [format!(">=1.0.{n}-a"), format!("<2.0.{n}-b")])
            .collect();
        assert_eq!(reach(&many.join(", ")).intervals().len(), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn the_intervals_hold_what_semver_matches(range in a_range(), versions in prop::collection::vec(a_version(), 20)) {
            let reach = Reach::of(&Versions::Range(range.clone()));
            for version in versions {
                prop_assert_eq!(
                    reach.contains(&Point::of(&version)),
                    range.matches(&version),
                    "{} and {}", range, version
                );
            }
            for (lo, hi) in reach.intervals() {
                prop_assert!(lo < hi);
                prop_assert!(range.matches(&lo.version().unwrap()));
            }
        }
    }
}
