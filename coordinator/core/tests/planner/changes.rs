//! Whether the changes that a refusal names open a path, and whether fewer would.

use std::collections::BTreeSet;

use evenkeel_compat::{Level, Rule, Scope, Versions};
use evenkeel_coordinator_core::planner::Remedy;
use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::{brute::Brute, setting::Setting};

/// The setting with these changes made; nothing if the rules then contradict each other.
pub(crate) fn with(setting: &Setting, remedies: &[Remedy]) -> Option<Setting> {
    let mut changed = setting.with_matrix(|rules, blocked| {
        let mut unblocked = BTreeSet::new();
        for remedy in remedies {
            match remedy {
                Remedy::AddRule { scope, from, to } => rules.push(Rule {
                    scope: scope.clone(),
                    from: Versions::Exact(from.clone()),
                    to: Versions::Exact(to.clone()),
                    level: Level::Full,
                    note: None,
                }),
                Remedy::ChangeRule { number, .. } => rules[*number].level = Level::Full,
                Remedy::Unblock { number, .. } => {
                    unblocked.insert(*number);
                }
                Remedy::Publish { .. } | Remedy::MoveUsers { .. } => {}
            }
        }
        let mut number = 0;
        blocked.retain(|_| {
            number += 1;
            !unblocked.contains(&(number - 1))
        });
    })?;
    for remedy in remedies {
        match remedy {
            Remedy::Publish { component, version } => {
                let versions = changed.published.entry(component.clone()).or_default();
                versions.insert(version.clone());
            }
            Remedy::MoveUsers {
                component, version, ..
            } => {
                let versions = changed.reported.get_mut(component).unwrap();
                versions.remove(version).unwrap();
            }
            Remedy::AddRule { .. } | Remedy::ChangeRule { .. } | Remedy::Unblock { .. } => {}
        }
    }
    Some(changed)
}

/// Every change there is to make.
pub(crate) fn all(setting: &Setting) -> Vec<Remedy> {
    let matrix = &setting.matrix;
    let mut all = Vec::new();
    for (number, rule) in matrix.rules().iter().enumerate() {
        let rule = rule.clone();
        all.push(Remedy::ChangeRule { number, rule });
    }
    for (number, blocked) in matrix.blocked().iter().enumerate() {
        let blocked = blocked.clone();
        all.push(Remedy::Unblock { number, blocked });
    }
    for (component, versions) in &setting.reported {
        for (version, sources) in versions {
            all.push(Remedy::MoveUsers {
                component: component.clone(),
                version: version.clone(),
                sources: sources.clone(),
            });
        }
    }
    let versions = versions(setting);
    for target in &setting.targets {
        let component = target.component.clone();
        let published = setting.published.get(&component);
        for version in &versions {
            if !published.is_some_and(|published| published.contains(version)) {
                all.push(Remedy::Publish {
                    component: component.clone(),
                    version: version.clone(),
                });
            }
        }
    }
    all.extend(rules(setting, &versions));
    all
}

fn versions(setting: &Setting) -> Vec<Version> {
    let running = setting.fleet.values().flat_map(|versions| versions.keys());
    let reported = setting
        .reported
        .values()
        .flat_map(|versions| versions.keys());
    let published = setting.published.values().flatten();
    let targets = setting.targets.iter().map(|target| &target.version);
    let rules = setting.matrix.rules().iter();
    let named = rules.flat_map(|rule| [rule.from.exact(), rule.to.exact()]);
    let all = running.chain(reported).chain(published).chain(targets);
    let all: BTreeSet<_> = all.chain(named.flatten()).cloned().collect();
    all.into_iter().collect()
}

/// The rules that could be added, of the scope that the matrix's own rules have.
fn rules(setting: &Setting, versions: &[Version]) -> Vec<Remedy> {
    let has = |scope: &Scope| {
        setting
            .matrix
            .rules()
            .iter()
            .any(|rule| rule.scope == *scope)
    };
    let components: BTreeSet<&ComponentName> = setting
        .fleet
        .keys()
        .chain(setting.reported.keys())
        .collect();
    let mut scopes = BTreeSet::new();
    for one in &components {
        for other in components.iter().filter(|other| *other >= one) {
            if !setting.matrix.constrain(one, other) {
                continue;
            }
            let (one, other) = (ComponentName::clone(one), ComponentName::clone(other));
            let named = match one == other {
                true => Scope::Component(one.clone()),
                false => Scope::Pair(one.clone(), other.clone()),
            };
            let named_there = has(&named) || has(&Scope::Pair(other, one));
            scopes.insert(if has(&Scope::All) && !named_there {
                Scope::All
            } else {
                named
            });
        }
    }
    let mut rules = Vec::new();
    for scope in scopes {
        for from in versions {
            for to in versions {
                if from < to || (from != to && matches!(scope, Scope::Pair(..))) {
                    rules.push(Remedy::AddRule {
                        scope: scope.clone(),
                        from: from.clone(),
                        to: to.clone(),
                    });
                }
            }
        }
    }
    rules
}

/// Whether these changes open a path; nothing if they cannot all be made.
pub(crate) fn opens(setting: &Setting, remedies: &[Remedy]) -> Option<bool> {
    let changed = with(setting, remedies)?;
    Some(Brute::new(&changed).has_path())
}
