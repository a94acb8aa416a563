//! What a life begins with: how many nodes there are, what stands on them, and how its versions get on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use evenkeel_agent_core::{Release, RestartPolicy, Settings};
use evenkeel_compat::{Blocked, Component, Level, Matrix, Rule, Scope, Versions};
use evenkeel_coordinator_core::{
    node::Labels,
    plan::{OnFailure, Policy},
};
use evenkeel_words::{amount::Amount, digest::Digest, names::ComponentName};
use semver::Version;

use crate::dice::Dice;

/// The components there may be. The last is not ours to change.
const NAMES: [&str; 4] = ["store", "gate", "index", "cache"];

/// The external component.
pub(crate) const CLIENT: &str = "client";

/// What a life begins with.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) components: Vec<ComponentName>,
    /// Every component has these.
    pub(crate) versions: Vec<Version>,
    pub(crate) nodes: Vec<NodePlan>,
    pub(crate) matrix: Matrix,
    /// How many acts of chance an hour has.
    pub(crate) chaos_every_ms: u64,
    /// For how long chance acts.
    pub(crate) chaos_ms: u64,
}

/// A node to be.
#[derive(Debug, Clone)]
pub(crate) struct NodePlan {
    pub(crate) zone: String,
    pub(crate) instances: Vec<InstancePlan>,
}

/// An instance to be.
#[derive(Debug, Clone)]
pub(crate) struct InstancePlan {
    pub(crate) component: usize,
    pub(crate) labels: Labels,
    pub(crate) version: Version,
    pub(crate) may_rebuild: bool,
    pub(crate) can_finalize: bool,
    pub(crate) settings: Settings,
}

impl Fleet {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let nodes = match dice.below(1_000) {
            0..=959 => dice.between(3, 8),
            960..=989 => dice.between(9, 24),
            990..=996 => dice.between(25, 80),
            997..=998 => dice.between(100, 250),
            _ => dice.between(251, 1_000),
        };
        let is_small = nodes < 25;
        let most = if is_small { 4 } else { 2 };
        let components = dice.weighted(&[(4, 1), (4, 2), (1, 3), (1, 4)]).min(most);
        let components: Vec<ComponentName> = NAMES[..components].iter().map(|n| name(n)).collect();
        let versions: Vec<_> = (0..dice.between(2, 4))
            .map(|minor| Version::new(1, minor, 0))
            .collect();
        let zones = dice.between(1, 4);
        let per_group = *dice.pick(&[2_u64, 3, 3, 5]);
        let is_mixed = dice.chance(1, 4);
        let rebuilds = dice.chance(3, 4);
        let has_driver = dice.chance(1, 2);
        let finalizes = has_driver && dice.chance(2, 3);
        let start_alone_after_ms = dice.weighted(&[(2, 0), (1, 60_000)]);
        let nodes = (0..nodes)
            .map(|index| {
                let mut instances = Vec::new();
                for component in 0..components.len() {
                    if component > 0 && is_small && dice.chance(1, 3) {
                        continue;
                    }
                    let group = format!("g{}", index / per_group);
                    let version = match is_mixed && dice.chance(1, 3) {
                        true => dice.pick(&versions).clone(),
                        false => versions[0].clone(),
                    };
                    instances.push(InstancePlan {
                        component,
                        labels: [("group".to_owned(), group)].into(),
                        version,
                        may_rebuild: rebuilds,
                        can_finalize: finalizes,
                        settings: Settings {
                            restart: RestartPolicy::default(),
                            driver: has_driver,
                            start_alone_after_ms,
                        },
                    });
                }
                NodePlan {
                    zone: format!("z{}", index % zones),
                    instances,
                }
            })
            .collect();
        let matrix = matrix(dice, &components, &versions);
        let chaos_ms = 1000
            * match is_small {
                true => dice.between(300, 3_600),
                false => dice.between(200, 600),
            };
        Self {
            components,
            versions,
            nodes,
            matrix,
            chaos_every_ms: 1000 * *dice.pick(&[5, 15, 15, 40, 120, 100_000]),
            chaos_ms,
        }
    }
}

fn name(name: &str) -> ComponentName {
    name.parse().expect("a component's name")
}

/// The bytes that a release of a component is, as everybody here calls them.
pub(crate) fn release(component: &ComponentName, version: &Version) -> Release {
    let mut bytes = [0; 32];
    let text = format!("{component} {version}");
    for (index, byte) in text.bytes().enumerate() {
        bytes[index % 32] ^= byte;
    }
    Release {
        version: version.clone(),
        digest: Digest::from_bytes(bytes),
    }
}

/// All versions get on with each other, and clients are known of.
pub(crate) fn anything_goes() -> Matrix {
    let all = || "*".parse().expect("any version");
    let rule = Rule {
        scope: Scope::All,
        from: all(),
        to: all(),
        level: Level::Full,
        note: None,
    };
    Matrix::new(BTreeMap::new(), vec![rule], Vec::new()).expect("the plainest of matrices")
}

/// How the versions get on. Often well, or there would be no life in it.
pub(crate) fn matrix(
    dice: &mut Dice,
    components: &[ComponentName],
    versions: &[Version],
) -> Matrix {
    let client = name(CLIENT);
    let exact = |version: &Version| Versions::Exact(version.clone());
    let rule = |scope: Scope, from: Versions, to: Versions, level: Level| Rule {
        scope,
        from,
        to,
        level,
        note: None,
    };
    let mut parts = BTreeMap::<_, Component>::new();
    for (index, component) in components.iter().enumerate() {
        let part = parts.entry(component.clone()).or_default();
        part.finalizes_itself = dice.chance(1, 6);
        if index > 0 && dice.chance(1, 2) {
            part.upgrade_after = BTreeSet::from([components[index - 1].clone()]);
        }
    }
    parts.entry(client.clone()).or_default().external = true;
    let mut rules = Vec::new();
    let own: &[(u64, Level)] = match dice.below(4) {
        0 | 1 => &[(1, Level::Full)],
        2 => &[(6, Level::Full), (3, Level::Backward)],
        _ => &[
            (4, Level::Full),
            (3, Level::Backward),
            (3, Level::Forward),
            (1, Level::None),
        ],
    };
    let across = dice.chance(1, 2);
    for (index, component) in components.iter().enumerate() {
        for (low, from) in versions.iter().enumerate() {
            for to in &versions[low + 1..] {
                let level = dice.weighted(own);
                let scope = Scope::Component(component.clone());
                rules.push(rule(scope, exact(from), exact(to), level));
            }
        }
        for other in components[index + 1..].iter().filter(|_| across) {
            for mine in versions {
                for theirs in versions {
                    let level = dice.weighted(&[(7, Level::Full), (1, Level::None)]);
                    let scope = Scope::Pair(component.clone(), other.clone());
                    rules.push(rule(scope, exact(mine), exact(theirs), level));
                }
            }
        }
    }
    if dice.chance(1, 4) {
        for mine in versions {
            for theirs in versions {
                let level = dice.weighted(&[(5, Level::Full), (1, Level::None)]);
                let scope = Scope::Pair(components[0].clone(), client.clone());
                rules.push(rule(scope, exact(mine), exact(theirs), level));
            }
        }
    }
    let blocked = dice.chance(1, 10).then(|| {
        let (from, to) = (dice.pick(versions), dice.pick(versions));
        Blocked {
            component: Some(components[0].clone()),
            from: exact(from),
            to: exact(to),
            reason: "it is known to go wrong".to_owned(),
        }
    });
    let blocked: Vec<_> = blocked
        .into_iter()
        .filter(|hop| hop.from != hop.to)
        .collect();
    Matrix::new(parts, rules, blocked).unwrap_or_else(|_| anything_goes())
}

/// How carefully a plan goes about it.
pub(crate) fn policy(dice: &mut Dice) -> Policy {
    let mut seconds = |of: &[u64]| Duration::from_secs(*dice.pick(of));
    let (soak, instance_deadline, progress_deadline) = (
        seconds(&[0, 5, 20, 50]),
        seconds(&[60, 90, 120]),
        seconds(&[200, 300, 400]),
    );
    Policy {
        max_unavailable: dice.weighted(&[
            (5, Amount::Count(1)),
            (2, Amount::Count(2)),
            (1, Amount::Count(3)),
            (1, Amount::Percent(50)),
            (1, Amount::Percent(67)),
        ]),
        max_unavailable_component: dice
            .chance(1, 6)
            .then(|| dice.weighted(&[(1, Amount::Count(2)), (1, Amount::Percent(50))])),
        min_healthy: dice
            .chance(1, 6)
            .then(|| dice.weighted(&[(1, Amount::Count(1)), (1, Amount::Percent(50))])),
        failure_domains_at_once: dice.weighted(&[(3, 1), (1, 2)]),
        waves: match dice.below(4) {
            0 => vec![Amount::ALL],
            1 => vec![Amount::Count(1), Amount::Count(2)],
            _ => vec![Amount::Percent(10), Amount::Percent(50), Amount::ALL],
        },
        plan_deadline: dice.chance(1, 6).then(|| Duration::from_secs(900)),
        on_failure: dice.weighted(&[
            (3, OnFailure::Revert),
            (1, OnFailure::Pause),
            (1, OnFailure::Rollback),
        ]),
        failures_tolerated: dice.weighted(&[(4, 0), (1, 1), (1, 3)]),
        pause_before_finalize: dice.chance(1, 8),
        failure_domain: dice.chance(1, 3).then(|| "zone".to_owned()),
        canary: u32::try_from(dice.below(3)).unwrap_or(1),
        soak,
        instance_deadline,
        progress_deadline,
        ..Policy::default()
    }
}
