//! Large fleets and the matrices that they are planned by.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::{Component, Level, Matrix, Rule, Scope, Versions};
use evenkeel_coordinator_core::{plan::Target, planner::Request};
use evenkeel_words::names::ComponentName;
use semver::Version;

/// All that a request borrows.
pub(crate) struct Fleet {
    matrix: Matrix,
    fleet: BTreeMap<ComponentName, BTreeMap<Version, u64>>,
    reported: BTreeMap<ComponentName, BTreeMap<Version, BTreeSet<String>>>,
    published: BTreeMap<ComponentName, BTreeSet<Version>>,
    targets: Vec<Target>,
}

impl Fleet {
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            matrix: &self.matrix,
            fleet: &self.fleet,
            reported: &self.reported,
            published: &self.published,
            targets: &self.targets,
        }
    }
}

const COMPONENTS: [&str; 6] = [
    "metadata-service",
    "data-service",
    "gateway",
    "indexer",
    "replicator",
    "scrubber",
];

/// How many versions each has: 25 minors of 8 patches.
const MINORS: u64 = 25;
const PATCHES: u64 = 8;

/// Numbers that look like chance and are the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn range(first: &Version, last: &Version) -> Versions {
    format!(">={first}, <={last}").parse().unwrap()
}

/// Six components in lock step: versions run side by side within a minor and with the next minor's, and a hop leads at
/// most into the next minor. Every rule is a range on both sides: some for whole minors, the rest for parts of these that
/// overlap as they happen to. Without a bridge no rule speaks of the minors in the middle and those behind them.
pub(crate) fn large(rules_count: usize, bridge: bool) -> Fleet {
    let version = |minor: u64, patch: u64| Version::new(1, minor, patch);
    let names: Vec<ComponentName> = COMPONENTS
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
    let mut scopes = Vec::new();
    for (at, one) in names.iter().enumerate() {
        scopes.push(Scope::Component(one.clone()));
        let others = names[at + 1..].iter();
        scopes.extend(others.map(|other| Scope::Pair(one.clone(), other.clone())));
    }
    let mut rules = Vec::with_capacity(rules_count);
    let crosses = |from: u64, to: u64| !bridge && (from < MINORS / 2) != (to < MINORS / 2);
    let mut put = |scope: &Scope, from: Versions, to: Versions, level| {
        rules.push(Rule {
            scope: scope.clone(),
            from,
            to,
            level,
            note: None,
        });
        rules.len() < rules_count
    };
    let whole = |minor| range(&version(minor, 0), &version(minor, PATCHES - 1));
    // Of a minor with itself, with the next, and for pairs with the one before.
    let level_of = |scope: &Scope, from: u64, to: u64| match (scope, to.cmp(&from)) {
        (_, std::cmp::Ordering::Equal) | (Scope::Pair(..), _) => Level::Full,
        _ => Level::Backward,
    };
    for scope in &scopes {
        for minor in 0..MINORS {
            put(scope, whole(minor), whole(minor), Level::Full);
            if minor + 1 < MINORS && !crosses(minor, minor + 1) {
                let level = level_of(scope, minor, minor + 1);
                put(scope, whole(minor), whole(minor + 1), level);
                if matches!(scope, Scope::Pair(..)) {
                    put(scope, whole(minor + 1), whole(minor), Level::Full);
                }
            }
        }
    }
    let mut chance = Chance(0x0ddb_a11c_0ffe_e000);
    loop {
        let scope = &scopes[usize::try_from(chance.below(scopes.len() as u64)).unwrap()];
        let from = chance.below(MINORS - 1);
        let to = from + chance.below(2);
        if crosses(from, to) {
            continue;
        }
        let mut part = |minor| {
            let (a, b) = (chance.below(PATCHES), chance.below(PATCHES));
            range(&version(minor, a.min(b)), &version(minor, a.max(b)))
        };
        if !put(scope, part(from), part(to), level_of(scope, from, to)) {
            break;
        }
    }
    let mut fleet = Fleet {
        matrix: Matrix::default(),
        fleet: BTreeMap::new(),
        reported: BTreeMap::new(),
        published: BTreeMap::new(),
        targets: Vec::new(),
    };
    let mut components = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let mut component = Component::default();
        if at > 0 {
            component.upgrade_after.insert(names[at - 1].clone());
        }
        components.insert(name.clone(), component);
        let all =
            (0..MINORS).flat_map(|minor| (0..PATCHES).map(move |patch| version(minor, patch)));
        fleet.published.insert(name.clone(), all.collect());
        // 10,000 in all; an upgrade stopped half way.
        let cohorts = [(version(0, 0), 1_000), (version(0, 4), 667)];
        fleet.fleet.insert(name.clone(), cohorts.into());
        fleet.targets.push(Target {
            component: name.clone(),
            version: version(MINORS - 1, PATCHES - 1),
            allow_downgrade: false,
        });
    }
    fleet.matrix = Matrix::new(components, rules, Vec::new()).unwrap();
    fleet
}

/// One component whose versions each lead to the next; without a bridge not the one in the middle.
pub(crate) fn chain(versions: u64, bridge: bool) -> Fleet {
    let name: ComponentName = "data-service".parse().unwrap();
    let version = |number: u64| Version::new(1, number, 0);
    let there = |number: &u64| bridge || *number != versions / 2;
    let rules = (1..versions).filter(there).map(|number| Rule {
        scope: Scope::Component(name.clone()),
        from: Versions::Exact(version(number - 1)),
        to: Versions::Exact(version(number)),
        level: Level::Backward,
        note: None,
    });
    let components = BTreeMap::from([(name.clone(), Component::default())]);
    Fleet {
        matrix: Matrix::new(components, rules.collect(), Vec::new()).unwrap(),
        fleet: BTreeMap::from([(name.clone(), BTreeMap::from([(version(0), 100)]))]),
        reported: BTreeMap::new(),
        published: BTreeMap::from([(name.clone(), (0..versions).map(version).collect())]),
        targets: vec![Target {
            component: name,
            version: version(versions - 1),
            allow_downgrade: false,
        }],
    }
}
