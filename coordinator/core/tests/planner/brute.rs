//! A planner that tries everything: joint states one after the other by cost, no bounds, no index, no shortcuts.
//!
//! It is written from the definitions alone and shares only the matrix's plain questions with the planner.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::{Method, Undo};
use evenkeel_coordinator_core::{plan::Target, planner::Cost};
use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::setting::Setting;

/// Where each cohort of the components with targets is; a cohort is what ran one version at the start.
pub(crate) type Places = Vec<Version>;

/// (component, from, to)
pub(crate) type Hop = (ComponentName, Version, Version);

pub(crate) struct Brute<'s> {
    setting: &'s Setting,
    /// For each cohort its target and how many instances it has.
    cohorts: Vec<(&'s Target, u64)>,
    start: Places,
}

impl<'s> Brute<'s> {
    pub(crate) fn new(setting: &'s Setting) -> Self {
        let mut cohorts = Vec::new();
        let mut start = Vec::new();
        for target in &setting.targets {
            for (version, instances) in &setting.fleet[&target.component] {
                if *instances > 0 {
                    cohorts.push((target, *instances));
                    start.push(version.clone());
                }
            }
        }
        Self {
            setting,
            cohorts,
            start,
        }
    }

    /// All that is there in a state: the component, the version, and whether others report it.
    fn present(&self, places: &Places) -> Vec<(&ComponentName, Version, bool)> {
        let mut all = Vec::new();
        for ((target, _), version) in self.cohorts.iter().zip(places) {
            all.push((&target.component, version.clone(), false));
        }
        for (component, versions) in &self.setting.fleet {
            let moves = |target: &Target| target.component == *component;
            if !self.setting.targets.iter().any(moves) {
                let versions = versions.iter().filter(|(_, instances)| **instances > 0);
                all.extend(versions.map(|(version, _)| (component, version.clone(), false)));
            }
        }
        for (component, versions) in &self.setting.reported {
            all.extend(
                versions
                    .keys()
                    .map(|version| (component, version.clone(), true)),
            );
        }
        all
    }

    /// Whether every two that are there may be side by side, and nothing is unknown that matters.
    pub(crate) fn start_is_fine(&self) -> bool {
        let matrix = &self.setting.matrix;
        let all = self.present(&self.start);
        let fine = all.iter().all(|a| {
            all.iter().all(|b| {
                (a.2 && b.2)
                    || (a.0, &a.1) == (b.0, &b.1)
                    || !matrix.constrain(a.0, b.0)
                    || matrix.beside((a.0, &a.1), (b.0, &b.1)).is_ok()
            })
        });
        let known = matrix.components().iter().all(|(name, known)| {
            let mut targets = self.setting.targets.iter();
            !known.external
                || self.setting.reported.contains_key(name)
                || !targets.any(|target| matrix.constrain(name, &target.component))
        });
        fine && known
    }

    fn next(&self, places: &Places) -> Vec<(Hop, Cost, Places)> {
        let matrix = &self.setting.matrix;
        let mut all = Vec::new();
        let moves: BTreeSet<(usize, &Version)> = self
            .cohorts
            .iter()
            .zip(places)
            .map(|((target, _), from)| {
                let mut targets = self.setting.targets.iter();
                (targets.position(|other| other == *target).unwrap(), from)
            })
            .collect();
        for (number, from) in moves {
            let target = &self.setting.targets[number];
            let component = &target.component;
            for to in self.setting.published.get(component).into_iter().flatten() {
                let goal = &target.version;
                let up = from.cmp_precedence(to).is_lt() && to.cmp_precedence(goal).is_lt();
                let down = goal.cmp_precedence(to).is_lt() && to.cmp_precedence(from).is_lt();
                let there = to == goal && from != goal;
                let older = from.cmp_precedence(goal).is_gt();
                if !(up || down || there) || (older && !target.allow_downgrade) {
                    continue;
                }
                let Ok(hop) = matrix.hop(component, from, to) else {
                    continue;
                };
                let alone = self.present(places).iter().all(|(other, version, _)| {
                    (*other == component && (version == from || version == to))
                        || !matrix.constrain(component, other)
                        || matrix.beside((component, to), (other, version)).is_ok()
                });
                if !alone {
                    continue;
                }
                let mut after = places.clone();
                let mut instances = 0;
                for (cohort, place) in after.iter_mut().enumerate() {
                    if self.cohorts[cohort].0.component == *component && place == from {
                        *place = to.clone();
                        instances += self.cohorts[cohort].1;
                    }
                }
                let first = matrix.predecessors(component);
                let late = self.cohorts.iter().zip(places).any(|((target, _), place)| {
                    first.contains(&target.component) && *place != target.version
                });
                let cost = Cost {
                    out_of_order: u64::from(late),
                    restarts: instances,
                    rebuilds: if hop.way.method == Method::Rebuild {
                        instances
                    } else {
                        0
                    },
                    irreversibility: match hop.way.undo_when_final {
                        Undo::InPlace => 0,
                        Undo::Rebuild => instances,
                        Undo::NotAtAll => 2 * instances,
                    },
                    stages: 1,
                };
                all.push(((component.clone(), from.clone(), to.clone()), cost, after));
            }
        }
        all
    }

    /// Every state that can be come to, with what that costs at least.
    pub(crate) fn costs(&self) -> BTreeMap<Places, Cost> {
        let mut done = BTreeMap::new();
        let mut open = BTreeSet::from([(Cost::default(), self.start.clone())]);
        while let Some((cost, places)) = open.pop_first() {
            if done.contains_key(&places) {
                continue;
            }
            done.insert(places.clone(), cost);
            for (_, more, after) in self.next(&places) {
                open.insert((cost + more, after));
            }
        }
        done
    }

    fn goal(&self) -> Places {
        let targets = self.cohorts.iter();
        targets.map(|(target, _)| target.version.clone()).collect()
    }

    /// What the cheapest path costs; nothing if there is none.
    pub(crate) fn cheapest(&self) -> Option<Cost> {
        if !self.start_is_fine() {
            return None;
        }
        self.costs().get(&self.goal()).copied()
    }

    /// Whether there is a path at all.
    pub(crate) fn has_path(&self) -> bool {
        self.cheapest().is_some()
    }

    /// The versions that a component can wholly be brought to.
    pub(crate) fn wholly(&self, component: &ComponentName) -> BTreeSet<Version> {
        let states = self.costs().into_keys();
        let whole = states.filter_map(|places| {
            let own = self.cohorts.iter().zip(&places);
            let mut own = own.filter(|((target, _), _)| target.component == *component);
            let (_, first) = own.next()?;
            own.all(|(_, place)| place == first).then(|| first.clone())
        });
        whole.collect()
    }
}
