//! Tests of the whole: sentence by sentence, and against the rules read naively.

pub(crate) mod agreement;
mod naive;
mod semantics;
mod sentences;

use std::collections::BTreeMap;

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::{Blocked, Component, Faults, Matrix, Rule, Scope, Versions};

fn name(text: &str) -> ComponentName {
    text.parse().unwrap()
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

/// What a text stands for, also one that nobody may write as versions.
pub(crate) fn versions(text: &str) -> Versions {
    let range = || Versions::Range(text.parse().unwrap());
    text.parse().unwrap_or_else(|_| range())
}

/// The components `a`, `b` and `c`, nothing said of any of them.
fn components() -> BTreeMap<ComponentName, Component> {
    let names = ["a", "b", "c"].map(|text| (name(text), Component::default()));
    names.into()
}

/// `"a: 1.0.0 -> 1.1.0 full"`, `"a, b: …"` or `"all: …"`.
fn rule(text: &str) -> Rule {
    let (scope, rest) = text.split_once(": ").unwrap();
    let (from, rest) = rest.split_once(" -> ").unwrap();
    let (to, level) = rest.rsplit_once(' ').unwrap();
    Rule {
        scope: match scope.split_once(", ") {
            Some((first, second)) => Scope::Pair(name(first), name(second)),
            None if scope == "all" => Scope::All,
            None => Scope::Component(name(scope)),
        },
        from: versions(from),
        to: versions(to),
        level: level.parse().unwrap(),
        note: None,
    }
}

/// `"a: 1.0.0 -> 1.1.0"` or `"all: …"`.
fn blocked(text: &str) -> Blocked {
    let (scope, rest) = text.split_once(": ").unwrap();
    let (from, to) = rest.split_once(" -> ").unwrap();
    Blocked {
        component: (scope != "all").then(|| name(scope)),
        from: versions(from),
        to: versions(to),
        reason: "it goes wrong".to_owned(),
    }
}

fn try_matrix(rules: &[&str], hops: &[&str]) -> Result<Matrix, Faults> {
    let rules = rules.iter().map(|text| rule(text)).collect();
    let hops = hops.iter().map(|text| blocked(text)).collect();
    Matrix::new(components(), rules, hops)
}

fn matrix(rules: &[&str]) -> Matrix {
    try_matrix(rules, &[]).unwrap()
}
