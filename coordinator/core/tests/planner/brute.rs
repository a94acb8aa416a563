//! A planner that tries everything: joint states one after the other by cost, no bounds, no index, no shortcuts.
//!
//! It is written from the definitions alone and shares only the matrix's plain questions with the planner. Answers to
//! these are kept, for they are asked again and again.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use evenkeel_compat::{Method, Undo, Way};
use evenkeel_coordinator_core::{plan::Target, planner::Cost};
use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::setting::Setting;

/// A version of a component with a target, by number.
type Node = usize;

/// Where each cohort of the components with targets is; a cohort is what ran one version at the start.
type Places = Vec<Node>;

pub(crate) struct Brute<'s> {
    setting: &'s Setting,
    nodes: Vec<(&'s Target, Version)>,
    /// Which nodes are of the same component as a node, and which components it ought to follow.
    own: Vec<Range<Node>>,
    first: Vec<BTreeSet<ComponentName>>,
    /// How many instances each cohort has.
    instances: Vec<u64>,
    start: Places,
    goal: Places,
    /// What stands still.
    standing: Vec<(&'s ComponentName, &'s Version)>,
    hops: RefCell<BTreeMap<(Node, Node), Option<Way>>>,
    beside: RefCell<BTreeMap<(Node, Node), bool>>,
}

impl<'s> Brute<'s> {
    pub(crate) fn new(setting: &'s Setting) -> Self {
        let mut nodes: Vec<(&Target, Version)> = Vec::new();
        let (mut own, mut first) = (Vec::new(), Vec::new());
        let (mut instances, mut start, mut goal) = (Vec::new(), Vec::new(), Vec::new());
        for target in &setting.targets {
            let running = setting.fleet[&target.component].iter();
            let running: Vec<_> = running.filter(|(_, n)| **n > 0).collect();
            let published = setting.published.get(&target.component);
            let mut versions: BTreeSet<&Version> = published.into_iter().flatten().collect();
            versions.extend(running.iter().map(|(version, _)| *version));
            versions.insert(&target.version);
            let versions: Vec<&Version> = versions.into_iter().collect();
            let number = |version: &Version| {
                nodes.len() + versions.iter().position(|other| *other == version).unwrap()
            };
            for (version, n) in running {
                instances.push(*n);
                start.push(number(version));
                goal.push(number(&target.version));
            }
            let these = nodes.len()..nodes.len() + versions.len();
            let predecessors = setting.matrix.predecessors(&target.component);
            own.extend(versions.iter().map(|_| these.clone()));
            first.extend(versions.iter().map(|_| predecessors.clone()));
            nodes.extend(
                versions
                    .into_iter()
                    .map(|version| (target, version.clone())),
            );
        }
        let moves = |component: &ComponentName| {
            let mut targets = setting.targets.iter();
            targets.any(|target| target.component == *component)
        };
        let mut standing = Vec::new();
        for (component, versions) in setting.fleet.iter().filter(|(name, _)| !moves(name)) {
            let versions = versions.iter().filter(|(_, n)| **n > 0);
            standing.extend(versions.map(|(version, _)| (component, version)));
        }
        for (component, versions) in &setting.reported {
            standing.extend(versions.keys().map(|version| (component, version)));
        }
        Self {
            setting,
            nodes,
            own,
            first,
            instances,
            start,
            goal,
            standing,
            hops: RefCell::default(),
            beside: RefCell::default(),
        }
    }

    fn gets_on(&self, a: (&ComponentName, &Version), b: (&ComponentName, &Version)) -> bool {
        let matrix = &self.setting.matrix;
        a == b || !matrix.constrain(a.0, b.0) || matrix.beside(a, b).is_ok()
    }

    /// Whether every two that are there may be side by side, and nothing is unknown that matters.
    pub(crate) fn start_is_fine(&self) -> bool {
        let matrix = &self.setting.matrix;
        let there = self.setting.fleet.iter().flat_map(|(component, versions)| {
            let versions = versions.iter().filter(|(_, n)| **n > 0);
            versions.map(move |(version, _)| (component, version))
        });
        let ours: Vec<_> = there.collect();
        let reported = self
            .setting
            .reported
            .iter()
            .flat_map(|(component, versions)| {
                versions.keys().map(move |version| (component, version))
            });
        let all: Vec<_> = ours.iter().copied().chain(reported).collect();
        let fine = ours
            .iter()
            .all(|a| all.iter().all(|b| self.gets_on(*a, *b)));
        let known = matrix.components().iter().all(|(name, known)| {
            let mut targets = self.setting.targets.iter();
            !known.external
                || self.setting.reported.contains_key(name)
                || !targets.any(|target| matrix.constrain(name, &target.component))
        });
        fine && known
    }

    /// The hop that the matrix gives to a version that is published and gets on with all that stands still.
    fn hop(&self, from: Node, to: Node) -> Option<Way> {
        let known = self.hops.borrow().get(&(from, to)).copied();
        known.unwrap_or_else(|| {
            let way = self.find_hop(from, to);
            self.hops.borrow_mut().insert((from, to), way);
            way
        })
    }

    fn find_hop(&self, from: Node, to: Node) -> Option<Way> {
        let (target, before) = &self.nodes[from];
        let (of, after) = &self.nodes[to];
        let (component, goal) = (&target.component, &target.version);
        let up = before.cmp_precedence(after).is_lt() && after.cmp_precedence(goal).is_lt();
        let down = goal.cmp_precedence(after).is_lt() && after.cmp_precedence(before).is_lt();
        let there = after == goal && before != goal;
        let older = before.cmp_precedence(goal).is_gt();
        let published = self.setting.published.get(component);
        let leads_on = (up || down || there) && (!older || target.allow_downgrade);
        assert_eq!(of, target);
        if !leads_on || !published.is_some_and(|all| all.contains(after)) {
            return None;
        }
        let mut standing = self.standing.iter();
        if !standing.all(|still| self.gets_on((component, after), *still)) {
            return None;
        }
        let hop = self.setting.matrix.hop(component, before, after);
        hop.ok().map(|hop| hop.way)
    }

    fn are_beside(&self, one: Node, other: Node) -> bool {
        let known = self.beside.borrow().get(&(one, other)).copied();
        known.unwrap_or_else(|| {
            let (a, b) = (&self.nodes[one], &self.nodes[other]);
            let beside = self.gets_on((&a.0.component, &a.1), (&b.0.component, &b.1));
            self.beside.borrow_mut().insert((one, other), beside);
            beside
        })
    }

    fn next(&self, places: &Places) -> Vec<(Cost, Places)> {
        let mut all = Vec::new();
        for from in places.iter().copied().collect::<BTreeSet<_>>() {
            for to in self.own[from].clone() {
                let Some(way) = self.hop(from, to) else {
                    continue;
                };
                let others = || {
                    places
                        .iter()
                        .filter(|place| **place != from && **place != to)
                };
                if !others().all(|other| self.are_beside(to, *other)) {
                    continue;
                }
                let mut after = places.clone();
                let mut instances = 0;
                for (cohort, place) in after.iter_mut().enumerate() {
                    if *place == from {
                        *place = to;
                        instances += self.instances[cohort];
                    }
                }
                let first = &self.first[from];
                let late = places.iter().zip(&self.goal).any(|(place, goal)| {
                    place != goal && first.contains(&self.nodes[*place].0.component)
                });
                let cost = Cost {
                    out_of_order: u64::from(late),
                    restarts: instances,
                    rebuilds: if way.method == Method::Rebuild {
                        instances
                    } else {
                        0
                    },
                    irreversibility: match way.undo_when_final {
                        Undo::InPlace => 0,
                        Undo::Rebuild => instances,
                        Undo::NotAtAll => 2 * instances,
                    },
                    stages: 1,
                };
                all.push((cost, after));
            }
        }
        all
    }

    /// The states that can be come to, with what that costs at least; only up to the goal, if asked.
    fn costs(&self, to_goal: bool) -> BTreeMap<Places, Cost> {
        let mut done = BTreeMap::new();
        let mut open = BTreeSet::from([(Cost::default(), self.start.clone())]);
        while let Some((cost, places)) = open.pop_first() {
            if done.contains_key(&places) {
                continue;
            }
            done.insert(places.clone(), cost);
            if to_goal && places == self.goal {
                break;
            }
            for (more, after) in self.next(&places) {
                open.insert((cost + more, after));
            }
        }
        done
    }

    /// What the cheapest path costs; nothing if there is none.
    pub(crate) fn cheapest(&self) -> Option<Cost> {
        if !self.start_is_fine() {
            return None;
        }
        self.costs(true).get(&self.goal).copied()
    }

    /// Whether there is a path at all.
    pub(crate) fn has_path(&self) -> bool {
        if !self.start_is_fine() {
            return false;
        }
        let mut seen = BTreeSet::new();
        let mut open = vec![self.start.clone()];
        while let Some(places) = open.pop() {
            if places == self.goal {
                return true;
            }
            if seen.insert(places.clone()) {
                open.extend(self.next(&places).into_iter().map(|(_, after)| after));
            }
        }
        false
    }

    /// The versions that each component can wholly be brought to.
    pub(crate) fn wholly(&self) -> BTreeMap<ComponentName, BTreeSet<Version>> {
        let mut all = BTreeMap::<_, BTreeSet<Version>>::new();
        for places in self.costs(false).into_keys() {
            for target in &self.setting.targets {
                let own = places.iter().map(|place| &self.nodes[*place]);
                let own = own.filter(|(of, _)| *of == target);
                let own: BTreeSet<_> = own.map(|(_, version)| version).collect();
                if let [one] = own.into_iter().collect::<Vec<_>>().as_slice() {
                    let versions = all.entry(target.component.clone()).or_default();
                    versions.insert(Version::clone(one));
                }
            }
        }
        all
    }
}
