//! Small cases at random: a few components with up to six versions each, mixed starts, external components,
//! orders, blocked hops, rules of every level and scope, downgrades.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use evenkeel_compat::{Blocked, Component, Level, Matrix, Rule, Scope, Versions};
use evenkeel_coordinator_core::plan::Target;
use evenkeel_words::names::ComponentName;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::{select, subsequence},
};
use semver::Version;

use crate::setting::{Setting, name, version};

pub(crate) const COMPONENTS: [&str; 3] = ["alpha", "beta", "gamma"];
const OUTSIDE: &str = "outside";
const VERSIONS: [&str; 6] = ["1.0.0", "1.1.0", "1.1.0+b", "1.2.0-rc.1", "1.2.0", "2.0.0"];
const RANGES: [&str; 7] = [
    "*",
    "1.*",
    ">=1.1.0, <2.0.0",
    ">=1.2.0-rc.1",
    "<1.2.0",
    ">=1.2.0",
    "^1.1",
];

fn versions() -> impl Strategy<Value = Version> {
    select(&VERSIONS[..]).prop_map(version)
}

/// Mostly early ones, from where there is a way to go.
fn starts() -> impl Strategy<Value = Version> {
    prop_oneof![
        5 => Just("1.0.0"),
        3 => Just("1.1.0"),
        1 => Just("1.1.0+b"),
        1 => select(&VERSIONS[..]),
    ]
    .prop_map(version)
}

/// Mostly late ones.
fn goals() -> impl Strategy<Value = Version> {
    prop_oneof![
        5 => Just("2.0.0"),
        3 => Just("1.2.0"),
        2 => select(&VERSIONS[..]),
    ]
    .prop_map(version)
}

fn sides() -> impl Strategy<Value = Versions> {
    let exact = versions().prop_map(Versions::Exact);
    let range = select(&RANGES[..]).prop_map(|text| text.parse().unwrap());
    prop_oneof![2 => exact, 1 => range]
}

fn levels() -> impl Strategy<Value = Level> {
    prop_oneof![
        4 => Just(Level::Full),
        4 => Just(Level::Backward),
        3 => Just(Level::Forward),
        3 => Just(Level::None),
    ]
}

fn scopes(components: usize) -> impl Strategy<Value = Scope> {
    let ours = move || select(&COMPONENTS[..components]);
    let mut with_outside = COMPONENTS[..components].to_vec();
    with_outside.push(OUTSIDE);
    let pair = (ours(), select(with_outside));
    prop_oneof![
        4 => Just(Scope::All),
        3 => ours().prop_map(|one| Scope::Component(name(one))),
        3 => pair.prop_map(|(one, other)| match one == other {
            true => Scope::Component(name(one)),
            false => Scope::Pair(name(one), name(other)),
        }),
    ]
}

fn rules(components: usize) -> impl Strategy<Value = Vec<Rule>> {
    let rule = (scopes(components), sides(), sides(), levels());
    let rules = rule.prop_map(|(scope, from, to, level)| Rule {
        scope,
        from,
        to,
        level,
        note: None,
    });
    // Most matrices have something to go by, which the other rules then change.
    let base = prop_oneof![
        1 => Just(Vec::new()),
        2 => Just(vec![broad(Scope::All)]),
        2 => Just(of_each(components, |one| vec![broad(Scope::Component(one))])),
        3 => chain_levels().prop_map(|levels| chain(&Scope::All, &levels)),
        3 => chain_levels().prop_map(move |levels| {
            of_each(components, |one| chain(&Scope::Component(one), &levels))
        }),
    ];
    (base, vec(rules, 0..7)).prop_map(|(base, more)| [base, more].concat())
}

fn of_each(components: usize, rules: impl Fn(ComponentName) -> Vec<Rule>) -> Vec<Rule> {
    let own = COMPONENTS[..components].iter();
    own.flat_map(|one| rules(name(one))).collect()
}

/// Everything goes.
fn broad(scope: Scope) -> Rule {
    Rule {
        scope,
        from: "*".parse().unwrap(),
        to: "*".parse().unwrap(),
        level: Level::Full,
        note: None,
    }
}

fn chain_levels() -> impl Strategy<Value = Vec<Level>> {
    vec(
        prop_oneof![3 => Just(Level::Full), 3 => Just(Level::Backward), 1 => Just(Level::Forward)],
        3,
    )
}

/// Each release goes with the next.
fn chain(scope: &Scope, levels: &[Level]) -> Vec<Rule> {
    let releases = ["1.0.0", "1.1.0", "1.2.0", "2.0.0"];
    let pairs = releases.windows(2).zip(levels);
    let rules = pairs.map(|(pair, level)| Rule {
        scope: scope.clone(),
        from: pair[0].parse().unwrap(),
        to: pair[1].parse().unwrap(),
        level: *level,
        note: None,
    });
    rules.collect()
}

fn blocks(components: usize) -> impl Strategy<Value = Vec<Blocked>> {
    let of = proptest::option::weighted(0.7, select(&COMPONENTS[..components]));
    let block = (of, sides(), sides());
    let block = block.prop_map(|(component, from, to)| Blocked {
        component: component.map(name),
        from,
        to,
        reason: "it is known to go wrong".to_owned(),
    });
    vec(block, 0..3)
}

/// What each component is: whether it finalizes itself, whom it follows, whom it talks to.
fn components(components: usize) -> impl Strategy<Value = BTreeMap<&'static str, Component>> {
    let bits = vec((any::<bool>(), 0_u8..8, 0_u8..16), components);
    bits.prop_map(move |bits| {
        let mut all = BTreeMap::new();
        for (at, (finalizes_itself, after, talks)) in bits.into_iter().enumerate() {
            // Later ones follow earlier ones, so there is no cycle.
            let earlier = COMPONENTS[..at].iter().enumerate();
            let earlier = earlier.filter(|(bit, _)| after >> bit & 1 == 1);
            let mut others = COMPONENTS[..at].to_vec();
            others.push(OUTSIDE);
            let others = others.into_iter().enumerate();
            let others = others.filter(|(bit, _)| talks >> bit & 1 == 1);
            let component = Component {
                external: false,
                finalizes_itself,
                upgrade_after: earlier.map(|(_, other)| name(other)).collect(),
                talks_to: others.map(|(_, other)| name(other)).collect(),
            };
            all.insert(COMPONENTS[at], component);
        }
        let external = Component {
            external: true,
            ..Component::default()
        };
        all.insert(OUTSIDE, external);
        all
    })
}

/// Of the parts, those that go together.
fn matrix(
    components: BTreeMap<&'static str, Component>,
    rules: Vec<Rule>,
    blocked: Vec<Blocked>,
) -> Matrix {
    let components = components.into_iter();
    let components: BTreeMap<_, _> = components.map(|(one, known)| (name(one), known)).collect();
    let mut kept = (Vec::new(), Vec::new());
    let mut matrix = Matrix::new(components.clone(), Vec::new(), Vec::new()).unwrap();
    if let Ok(all) = Matrix::new(components.clone(), rules.clone(), blocked.clone()) {
        return all;
    }
    for rule in rules {
        kept.0.push(rule);
        match Matrix::new(components.clone(), kept.0.clone(), Vec::new()) {
            Ok(with) => matrix = with,
            Err(_) => {
                kept.0.pop();
            }
        }
    }
    for block in blocked {
        kept.1.push(block);
        match Matrix::new(components.clone(), kept.0.clone(), kept.1.clone()) {
            Ok(with) => matrix = with,
            Err(_) => {
                kept.1.pop();
            }
        }
    }
    matrix
}

fn fleet(components: usize) -> impl Strategy<Value = Vec<BTreeMap<Version, u64>>> {
    let one = prop_oneof![
        4 => btree_map(starts(), 1_u64..4, 1),
        1 => btree_map(starts(), 0_u64..4, 1..4),
    ];
    vec(one, components)
}

/// What is published of each component: mostly all there is.
fn published(components: usize) -> impl Strategy<Value = Vec<BTreeSet<Version>>> {
    let all: Vec<&str> = VERSIONS.to_vec();
    let one = prop_oneof![
        2 => Just(all.clone()),
        2 => subsequence(all.clone(), 5),
        1 => subsequence(all, 0..=5),
    ];
    let one = one.prop_map(|texts| texts.into_iter().map(version).collect());
    vec(one, components)
}

fn reported() -> impl Strategy<Value = Option<BTreeSet<Version>>> {
    let versions = prop_oneof![
        2 => Just(BTreeSet::new()),
        1 => proptest::collection::btree_set(versions(), 1..3),
    ];
    proptest::option::weighted(0.97, versions)
}

pub(crate) fn settings(components_count: RangeInclusive<usize>) -> impl Strategy<Value = Setting> {
    components_count.prop_flat_map(|count| {
        let target = (
            prop::bool::weighted(0.9),
            goals(),
            prop::bool::weighted(0.4),
        );
        let parts = (components(count), rules(count), blocks(count));
        let facts = (
            fleet(count),
            published(count),
            reported(),
            vec(target, count),
        );
        (parts, facts).prop_map(|(parts, (fleet, published, reported, targets))| {
            let mut setting = Setting {
                matrix: matrix(parts.0, parts.1, parts.2),
                ..Setting::default()
            };
            for (at, versions) in fleet.into_iter().enumerate() {
                setting.fleet.insert(name(COMPONENTS[at]), versions);
            }
            for (at, versions) in published.into_iter().enumerate() {
                setting.published.insert(name(COMPONENTS[at]), versions);
            }
            for (at, (moves, version, allow_downgrade)) in targets.into_iter().enumerate() {
                let component = name(COMPONENTS[at]);
                if moves {
                    setting.targets.push(Target {
                        component,
                        version,
                        allow_downgrade,
                    });
                }
            }
            if let Some(versions) = reported {
                let sources = |version| (version, BTreeSet::from(["web-gateway".to_owned()]));
                let versions = versions.into_iter().map(sources);
                setting.reported.insert(name(OUTSIDE), versions.collect());
            }
            setting
        })
    })
}
