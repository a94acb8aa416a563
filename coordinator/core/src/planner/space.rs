//! The space that is searched: which versions each component may pass, which hops there are between them on their own,
//! and who stands still beside them.
//!
//! A component that is to be moved is a [`Mover`]; its versions are numbered by their [`Place`], rising. All that stands
//! still, components without a target and external ones, is held against every version once, here, and not looked at
//! again.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::{Matrix, Method, Undo, Way, index::Index};
use evenkeel_words::names::ComponentName;
use semver::Version;

use super::{
    cost::Cost,
    request::{BadRequest, Request, VERSIONS_MAX},
};
use crate::plan::Target;

/// A version of a mover, by its number among those.
pub(super) type Place = u16;

/// Versions by component.
pub(super) type Versions = BTreeMap<ComponentName, BTreeSet<Version>>;

/// A hop that the matrix gives, to a version that is published and gets on with all that stands still.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hop {
    pub(super) to: Place,
    pub(super) way: Way,
}

impl Hop {
    fn is_rebuild(self) -> bool {
        self.way.method == Method::Rebuild
    }

    /// How hard it is to go back once all is final.
    fn irreversibility(self) -> u8 {
        match self.way.undo_when_final {
            Undo::InPlace => 0,
            Undo::Rebuild => 1,
            Undo::NotAtAll => 2,
        }
    }

    /// What it costs to move so many instances by it.
    pub(super) fn cost(self, instances: u64, out_of_order: bool) -> Cost {
        Cost {
            out_of_order: u64::from(out_of_order),
            restarts: instances,
            rebuilds: if self.is_rebuild() { instances } else { 0 },
            irreversibility: instances.saturating_mul(u64::from(self.irreversibility())),
            stages: 1,
        }
    }
}

/// The cheapest way from a version to the target for one instance, were there nothing but its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Ahead {
    pub(super) hops: u32,
    rebuilds: u32,
    irreversibility: u32,
}

impl Ahead {
    fn after(self, hop: Hop) -> Self {
        Self {
            hops: self.hops + 1,
            rebuilds: self.rebuilds + u32::from(hop.is_rebuild()),
            irreversibility: self.irreversibility + u32::from(hop.irreversibility()),
        }
    }

    /// The cost for so many instances, stages left out.
    pub(super) fn cost(self, instances: u64) -> Cost {
        let times = |each: u32| instances.saturating_mul(u64::from(each));
        Cost {
            restarts: times(self.hops),
            rebuilds: times(self.rebuilds),
            irreversibility: times(self.irreversibility),
            ..Cost::default()
        }
    }
}

/// A component that is to be moved.
#[derive(Debug)]
pub(super) struct Mover<'a> {
    pub(super) component: &'a ComponentName,
    /// Its number in the index.
    pub(super) number: usize,
    /// The versions that it has or may pass, by place.
    pub(super) versions: Vec<Version>,
    /// Their numbers in the index.
    pub(super) ranks: Vec<usize>,
    /// Whether there is a release of them.
    pub(super) published: Vec<bool>,
    /// Where it is to go.
    pub(super) target: Place,
    /// Where it is, and how many instances are there.
    pub(super) cohorts: Vec<(Place, u64)>,
    /// The hops from each place that can be come to.
    pub(super) hops: Vec<Vec<Hop>>,
    /// Whether it can be come to, were there nothing but this component and what stands still.
    pub(super) reached: Vec<bool>,
    /// The cheapest way from there.
    pub(super) ahead: Vec<Option<Ahead>>,
    /// The movers that ought to be at their targets first.
    pub(super) after: Vec<usize>,
    /// The other movers whose versions have to get on with its own.
    pub(super) beside: Vec<usize>,
}

/// A version that is there and stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    pub(super) component: &'a ComponentName,
    pub(super) version: &'a Version,
    /// Who reported it, if it is not known from instances.
    pub(super) sources: Option<&'a BTreeSet<String>>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Space<'a> {
    pub(super) index: Index<'a>,
    pub(super) movers: Vec<Mover<'a>>,
    pub(super) standing: Vec<Standing<'a>>,
}

impl<'a> Space<'a> {
    /// The space of a request that makes sense. The versions in `named` are looked at, too, although nothing hops to those
    /// that there is no release of.
    ///
    /// # Errors
    /// There are too many versions to look at.
    pub(super) fn new(request: &Request<'a>, named: &Versions) -> Result<Self, BadRequest> {
        let matrix = request.matrix;
        let standing = standing(request);
        let mut targets: Vec<&Target> = request.targets.iter().collect();
        targets.sort_by(|a, b| a.component.cmp(&b.component));
        let mut universe = Versions::new();
        for still in &standing {
            let versions = universe.entry(still.component.clone()).or_default();
            versions.insert(still.version.clone());
        }
        let mut movers = Vec::with_capacity(targets.len());
        for target in &targets {
            let versions = passable(request, target, named.get(&target.component))?;
            universe.insert(target.component.clone(), versions.iter().cloned().collect());
            movers.push(Mover::new(request, target, versions));
        }
        let index = Index::new(matrix, &universe);
        for mover in &mut movers {
            mover.number = index.component(mover.component).unwrap_or(usize::MAX);
            let number = |version| index.version(version).unwrap_or(usize::MAX);
            mover.ranks = mover.versions.iter().map(number).collect();
        }
        let mut space = Self {
            index,
            movers,
            standing,
        };
        for number in 0..space.movers.len() {
            space.relate(matrix, number);
            let hops = space.hops_of(matrix, number);
            let mover = &mut space.movers[number];
            (mover.hops, mover.reached) = hops;
            mover.ahead = ahead(mover);
        }
        Ok(space)
    }

    fn relate(&mut self, matrix: &Matrix, number: usize) {
        let component = self.movers[number].component;
        let before = matrix.predecessors(component);
        let others = || (0..self.movers.len()).filter(|other| *other != number);
        let name = |other: &usize| self.movers[*other].component;
        let after = others().filter(|other| before.contains(name(other)));
        let beside = others().filter(|other| matrix.constrain(component, name(other)));
        let (after, beside) = (after.collect(), beside.collect());
        let mover = &mut self.movers[number];
        (mover.after, mover.beside) = (after, beside);
    }

    /// The hops from every place that a mover can come to on its own, and which places these are.
    fn hops_of(&self, matrix: &Matrix, number: usize) -> (Vec<Vec<Hop>>, Vec<bool>) {
        let mover = &self.movers[number];
        let stays = self.stays(matrix, mover);
        let mut of_rank = BTreeMap::<usize, Vec<Place>>::new();
        for (place, rank) in mover.ranks.iter().enumerate() {
            if mover.published[place] && stays[place] {
                of_rank.entry(*rank).or_default().push(place as Place);
            }
        }
        let mut hops = vec![Vec::new(); mover.versions.len()];
        let mut reached = vec![false; mover.versions.len()];
        let mut open: Vec<Place> = mover.cohorts.iter().map(|(place, _)| *place).collect();
        while let Some(from) = open.pop() {
            let at = usize::from(from);
            if std::mem::replace(&mut reached[at], true) || from == mover.target {
                continue;
            }
            let rows = self.index.hops(mover.number, mover.ranks[at]).iter();
            let mut found: Vec<Hop> = rows
                .filter_map(|(rank, way)| Some((of_rank.get(rank)?, way)))
                .flat_map(|(places, way)| places.iter().map(|to| Hop { to: *to, way: *way }))
                .filter(|hop| mover.leads_on(from, hop.to))
                .collect();
            found.extend(self.to_equal_target(matrix, mover, from, &stays));
            found.sort_by_key(|hop| hop.to);
            open.extend(found.iter().map(|hop| hop.to));
            hops[at] = found;
        }
        (hops, reached)
    }

    /// The hop to a target that differs in build metadata alone.
    fn to_equal_target(
        &self,
        matrix: &Matrix,
        mover: &Mover<'_>,
        from: Place,
        stays: &[bool],
    ) -> Option<Hop> {
        let (at, to) = (usize::from(from), usize::from(mover.target));
        let equal = from != mover.target && mover.ranks[at] == mover.ranks[to];
        if !equal || !mover.published[to] || !stays[to] {
            return None;
        }
        let hop = matrix.hop(mover.component, &mover.versions[at], &mover.versions[to]);
        let (to, way) = (mover.target, hop.ok()?.way);
        Some(Hop { to, way })
    }

    /// Which versions of a mover get on with all that stands still.
    fn stays(&self, matrix: &Matrix, mover: &Mover<'_>) -> Vec<bool> {
        let mut stays = vec![true; mover.versions.len()];
        for still in &self.standing {
            if !matrix.constrain(mover.component, still.component) {
                continue;
            }
            let component = self.index.component(still.component);
            let version = self.index.version(still.version);
            let (Some(component), Some(version)) = (component, version) else {
                continue;
            };
            let allowed = self.index.beside(component, version, mover.number);
            for (stays, rank) in stays.iter_mut().zip(&mover.ranks) {
                *stays &= allowed.contains(*rank);
            }
        }
        stays
    }
}

impl<'a> Mover<'a> {
    fn new(request: &Request<'a>, target: &'a Target, versions: Vec<Version>) -> Self {
        let component = &target.component;
        let place = |version: &Version| versions.binary_search(version).unwrap_or(0) as Place;
        let cohorts = request.cohorts(component);
        let published = versions.iter();
        let published = published.map(|version| request.publishes(component, version));
        Self {
            component,
            number: usize::MAX,
            ranks: Vec::new(),
            published: published.collect(),
            target: place(&target.version),
            cohorts: cohorts.map(|(version, n)| (place(version), n)).collect(),
            hops: Vec::new(),
            reached: Vec::new(),
            ahead: Vec::new(),
            after: Vec::new(),
            beside: Vec::new(),
            versions,
        }
    }

    /// Whether a hop goes towards the target, and not past it. Between versions that differ in build metadata alone
    /// there is only the one to the target itself.
    pub(super) fn leads_on(&self, from: Place, to: Place) -> bool {
        if to == self.target {
            return from != to;
        }
        let (from, to) = (self.ranks[usize::from(from)], self.ranks[usize::from(to)]);
        let target = self.ranks[usize::from(self.target)];
        (from < to && to < target) || (target < to && to < from)
    }

    /// The version at a place.
    pub(super) fn version(&self, place: Place) -> &Version {
        &self.versions[usize::from(place)]
    }
}

/// What stands still: the components without a target, and what is reported.
fn standing<'a>(request: &Request<'a>) -> Vec<Standing<'a>> {
    let moves = |component: &ComponentName| {
        let mut targets = request.targets.iter();
        targets.any(|target| target.component == *component)
    };
    let still = request.fleet.keys().filter(|component| !moves(component));
    let still = still.flat_map(|component| {
        request
            .cohorts(component)
            .map(move |(version, _)| Standing {
                component,
                version,
                sources: None,
            })
    });
    let reported = request.reported.iter().flat_map(|(component, versions)| {
        versions.iter().map(move |(version, sources)| Standing {
            component,
            version,
            sources: Some(sources),
        })
    });
    still.chain(reported).collect()
}

/// The versions that a component has, and those that there are releases of between them and the target; the target too.
/// `named` are versions to look at although there is no release of them.
///
/// # Errors
/// There are too many.
pub(super) fn passable(
    request: &Request<'_>,
    target: &Target,
    named: Option<&BTreeSet<Version>>,
) -> Result<Vec<Version>, BadRequest> {
    let (component, to) = (&target.component, &target.version);
    let running: BTreeSet<&Version> = request.cohorts(component).map(|(v, _)| v).collect();
    let between = |version: &&Version| {
        let first = running.first().copied().unwrap_or(to);
        let last = running.last().copied().unwrap_or(to);
        let up = first.cmp_precedence(version).is_lt() && version.cmp_precedence(to).is_lt();
        let down = to.cmp_precedence(version).is_lt() && version.cmp_precedence(last).is_lt();
        up || down
    };
    let published = request.published.get(component).into_iter().flatten();
    let named = named.into_iter().flatten();
    // Versions that differ in build metadata alone get on alike. Of those that nobody has, one will do: the newest that
    // there is a release of.
    let mut versions = BTreeSet::new();
    let mut last: Option<(bool, &Version)> = None;
    let all: BTreeSet<&Version> = published.chain(named).filter(between).collect();
    for version in all {
        let this = (request.publishes(component, version), version);
        match last {
            Some(last) if last.1.cmp_precedence(version).is_eq() && last > this => continue,
            Some(last) if last.1.cmp_precedence(version).is_eq() => versions.remove(last.1),
            _ => false,
        };
        versions.insert(version);
        last = Some(this);
    }
    versions.extend(running);
    versions.insert(to);
    if versions.len() > VERSIONS_MAX {
        return Err(BadRequest::TooManyVersions {
            component: component.clone(),
            versions: versions.len(),
            to: to.clone(),
        });
    }
    Ok(versions.into_iter().cloned().collect())
}

/// The cheapest way from each place to the target. Hops lead towards it, so whoever is nearer is done first.
fn ahead(mover: &Mover<'_>) -> Vec<Option<Ahead>> {
    let target = usize::from(mover.target);
    let mut ahead = vec![None; mover.versions.len()];
    ahead[target] = Some(Ahead::default());
    // Those of the target's own precedence hop to the target alone, so their order among each other is no matter.
    let below = (0..target).rev();
    for place in below.chain(target + 1..mover.versions.len()) {
        let ways = mover.hops[place].iter();
        ahead[place] = ways
            .filter_map(|hop| Some(ahead[usize::from(hop.to)]?.after(*hop)))
            .min();
    }
    ahead
}
