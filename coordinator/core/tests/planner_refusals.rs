//! Refusals of the longest ways that are looked at: that they come, and that they name what is missing.

#![allow(clippy::unwrap_used, reason = "tests may be blunt")]

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::{Component, Level, Matrix, Rule, Scope, Versions};
use evenkeel_coordinator_core::{
    plan::Target,
    planner::{Answer, NoPath, Remedy, Request, find},
};
use evenkeel_words::names::ComponentName;
use semver::Version;

fn name() -> ComponentName {
    "data-service".parse().unwrap()
}

fn version(minor: u64) -> Version {
    Version::new(1, minor, 0)
}

/// One component whose versions each lead to the next, but for one; those in `published` have releases.
fn chain(
    versions: u64,
    without: Option<u64>,
    published: BTreeSet<Version>,
) -> Result<Answer, Box<NoPath>> {
    let there = |minor: &u64| Some(*minor) != without;
    let rules = (0..versions - 1).filter(there).map(|minor| Rule {
        scope: Scope::Component(name()),
        from: Versions::Exact(version(minor)),
        to: Versions::Exact(version(minor + 1)),
        level: Level::Backward,
        note: None,
    });
    let components = BTreeMap::from([(name(), Component::default())]);
    find(&Request {
        matrix: &Matrix::new(components, rules.collect(), Vec::new()).unwrap(),
        fleet: &BTreeMap::from([(name(), BTreeMap::from([(version(0), 3)]))]),
        reported: &BTreeMap::new(),
        published: &BTreeMap::from([(name(), published)]),
        targets: &[Target {
            component: name(),
            version: version(versions - 1),
            allow_downgrade: false,
        }],
    })
}

#[test]
fn of_thousands_of_versions_the_one_link_that_is_missing_is_named() {
    for versions in [2_000, 4_000] {
        let missing = versions / 2;
        let all = (0..versions).map(version).collect();
        let refusal = chain(versions, Some(missing), all).unwrap_err();
        let link = Remedy::AddRule {
            scope: Scope::Component(name()),
            from: version(missing),
            to: version(missing + 1),
        };
        assert_eq!(refusal.remedies, [link]);
        assert_eq!(refusal.furthest[0].version, Some(version(missing)));
        assert!(refusal.furthest[0].certain);
    }
}

#[test]
fn of_thousands_of_versions_without_a_release_all_that_the_way_needs_are_to_be_published() {
    let refusal = chain(2_000, None, BTreeSet::from([version(0)])).unwrap_err();
    let all: Vec<_> = (1..2_000).map(|minor| (name(), version(minor))).collect();
    assert_eq!(refusal.publish_first, all);
    let published: BTreeSet<Version> = (0..2_000).map(version).collect();
    let answer = chain(2_000, None, published.clone()).unwrap();
    assert_eq!(refusal.steps, answer.steps);
    for left_out in [1, 1_000, 1_999] {
        let mut fewer = published.clone();
        fewer.remove(&version(left_out));
        assert!(chain(2_000, None, fewer).is_err());
    }
}
