//! Why there is no path, told so that it can be acted upon: what is in the way, what would open a path, how far each
//! component comes as things are.

mod furthest;
mod needs;
mod page;
mod publish;
mod remedy;
mod smallest;

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::Apart;
use evenkeel_words::names::ComponentName;
use semver::Version;

use super::{
    answer::Step,
    find::pair_without_way,
    groups::Group,
    request::{BadRequest, Request},
    ruled_out::{Collector, RuledOut, Why, named},
    search::{Move, Walk},
    space::{Place, Space},
};
use needs::{Need, Needs};
use smallest::Opening;

pub use furthest::Furthest;
pub use remedy::Remedy;

/// Why there is no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPath {
    /// What kind of trouble it is.
    pub reason: Reason,
    /// The stages and pairs of versions that are in the way of the path that `remedies` would open.
    pub obstacles: Vec<Obstacle>,
    /// Changes that together would open a path; none if none were found.
    pub remedies: Vec<Remedy>,
    /// No smaller set of changes would open one; otherwise that was too much to tell.
    pub smallest: bool,
    /// Versions that rules speak of and that would open a path if there were releases of them, in the order in which the
    /// path comes to them. None of them can be left out, unless there were too many to tell.
    pub publish_first: Vec<(ComponentName, Version)>,
    /// The path that publishing these would open.
    pub steps: Vec<Step>,
    /// How far each component that has a target comes as things are.
    pub furthest: Vec<Furthest>,
    /// What was ruled out, and why, at most [`super::RULED_OUT_MAX`].
    pub ruled_out: Vec<RuledOut>,
}

/// What kind of trouble it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The request makes no sense.
    BadRequest(BadRequest),
    /// Versions that are there may not run side by side, before anything is moved.
    AtOdds,
    /// Nobody has said which versions of these external components are in use.
    Unreported(Vec<ComponentName>),
    /// There is no release of a target.
    NotPublished {
        /// The component.
        component: ComponentName,
        /// The target.
        version: Version,
        /// The versions of it that there are releases of.
        published: Vec<Version>,
    },
    /// Components that have no way to their targets, whoever else moves: from which versions, to which.
    NoWay(Vec<(ComponentName, Vec<Version>, Version)>),
    /// Components that have a way each and no order of stages in which all get along.
    NoOrder(Vec<(ComponentName, Version)>),
    /// There were too many combinations of versions to tell.
    GaveUp {
        /// How many were looked at.
        states: usize,
    },
}

/// Something that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A stage that may not be.
    Stage(RuledOut),
    /// Two versions that are there.
    Present {
        /// The one.
        one: (ComponentName, Version),
        /// The other.
        other: (ComponentName, Version),
        /// Who reported the other; nobody where instances run it.
        sources: BTreeSet<String>,
        /// Why they may not be side by side.
        why: Apart,
    },
}

impl NoPath {
    fn new(reason: Reason) -> Self {
        Self {
            reason,
            obstacles: Vec::new(),
            remedies: Vec::new(),
            smallest: false,
            publish_first: Vec::new(),
            steps: Vec::new(),
            furthest: Vec::new(),
            ruled_out: Vec::new(),
        }
    }

    pub(super) fn bad_request(why: BadRequest) -> Box<Self> {
        Box::new(Self::new(Reason::BadRequest(why)))
    }
}

/// What forbids to begin at all: what nobody has said, and versions that are at odds already.
pub(super) fn of_start(request: &Request<'_>, space: &Space<'_>) -> Option<NoPath> {
    let unreported = unreported(request, space);
    if !unreported.is_empty() {
        return Some(NoPath::new(Reason::Unreported(unreported)));
    }
    let pairs = at_odds(space);
    if pairs.is_empty() {
        return None;
    }
    let mut refusal = NoPath::new(Reason::AtOdds);
    refusal.obstacles = pairs;
    refusal.explain(request, &[]);
    Some(refusal)
}

/// The external components whose versions matter to what is to be moved, and of which nothing is known.
fn unreported(request: &Request<'_>, space: &Space<'_>) -> Vec<ComponentName> {
    let matrix = request.matrix;
    let moves = |external: &ComponentName| {
        let mut movers = space.movers.iter();
        movers.any(|mover| matrix.constrain(mover.component, external))
    };
    let externals = matrix.components().iter();
    let externals = externals.filter(|(name, known)| {
        known.external && !request.reported.contains_key(*name) && moves(name)
    });
    externals.map(|(name, _)| name.clone()).collect()
}

/// Every two versions that are there and may not run side by side, but for two that others report.
fn at_odds(space: &Space<'_>) -> Vec<Obstacle> {
    let matrix = space.index.matrix();
    let cohorts = space.movers.iter().flat_map(|mover| {
        let places = mover.cohorts.iter();
        places.map(|(place, _)| (mover.component, mover.version(*place), None))
    });
    let standing = space.standing.iter();
    let standing = standing.map(|still| (still.component, still.version, still.sources));
    let all: Vec<_> = cohorts.chain(standing).collect();
    let mut found = Vec::new();
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            if (one.2.is_some() && other.2.is_some()) || !matrix.constrain(one.0, other.0) {
                continue;
            }
            if found.len() >= super::RULED_OUT_MAX {
                return found;
            }
            let (one, other) = if one.2.is_some() {
                (other, one)
            } else {
                (one, other)
            };
            let named = |(component, version, _): &(&ComponentName, &Version, _)| {
                (ComponentName::clone(component), Version::clone(version))
            };
            if let Err(why) = matrix.beside((one.0, one.1), (other.0, other.1)) {
                found.push(Obstacle::Present {
                    one: named(one),
                    other: named(other),
                    sources: other.2.cloned().unwrap_or_default(),
                    why,
                });
            }
        }
    }
    found
}

/// The refusal of a request that has no path, which was found out about one group.
pub(super) fn nowhere(request: &Request<'_>, space: &Space<'_>, group: &Group) -> NoPath {
    let why = why(space, group);
    let without_way: Vec<ComponentName> = match &why {
        Reason::NoWay(stuck) => stuck.iter().map(|(name, ..)| name.clone()).collect(),
        Reason::NoOrder(named) => named.iter().map(|(name, _)| name.clone()).collect(),
        _ => Vec::new(),
    };
    let mut refusal = NoPath::new(not_published(request).unwrap_or(why));
    refusal.furthest = furthest::furthest(space);
    let mut collector = Collector::new(space);
    collector.straight();
    let starts = places_of_cohorts(space);
    collector.not_published(request, &starts);
    collector.blocked(&starts);
    refusal.ruled_out = collector.into_vec();
    if let Some(publish) = publish::publish(request) {
        (refusal.publish_first, refusal.steps) = (publish.first, publish.steps);
    }
    refusal.explain(request, &without_way);
    refusal
}

/// The refusal of a request that there was too much to look at for.
pub(super) fn gave_up(request: &Request<'_>, space: &Space<'_>) -> NoPath {
    let mut refusal = NoPath::new(Reason::GaveUp {
        states: super::search::STATES_MAX,
    });
    refusal.furthest = furthest::furthest(space);
    let mut collector = Collector::new(space);
    let starts = places_of_cohorts(space);
    collector.straight();
    collector.not_published(request, &starts);
    collector.blocked(&starts);
    refusal.ruled_out = collector.into_vec();
    refusal
}

fn places_of_cohorts(space: &Space<'_>) -> BTreeSet<(usize, Place)> {
    let movers = space.movers.iter().enumerate();
    let places = movers.flat_map(|(number, mover)| {
        let cohorts = mover.cohorts.iter();
        cohorts.map(move |(place, _)| (number, *place))
    });
    places.collect()
}

fn not_published(request: &Request<'_>) -> Option<Reason> {
    let mut targets = request.targets.iter();
    let target = targets.find(|target| {
        let mut running = request.cohorts(&target.component);
        let moves = running.any(|(version, _)| *version != target.version);
        moves && !request.publishes(&target.component, &target.version)
    })?;
    let published = request.published.get(&target.component);
    Some(Reason::NotPublished {
        component: target.component.clone(),
        version: target.version.clone(),
        published: published.into_iter().flatten().cloned().collect(),
    })
}

fn why(space: &Space<'_>, group: &Group) -> Reason {
    let stuck: Vec<_> = space
        .movers
        .iter()
        .filter_map(|mover| {
            let cohorts = mover.cohorts.iter().map(|(place, _)| *place);
            let stuck = cohorts.filter(|place| mover.ahead[usize::from(*place)].is_none());
            let stuck: Vec<Version> = stuck.map(|place| mover.version(place).clone()).collect();
            let target = mover.version(mover.target).clone();
            (!stuck.is_empty()).then(|| (mover.component.clone(), stuck, target))
        })
        .collect();
    if !stuck.is_empty() {
        return Reason::NoWay(stuck);
    }
    let culprits = pair_without_way(space, group).unwrap_or_else(|| group.clone());
    let named = culprits.iter().map(|number| {
        let mover = &space.movers[*number];
        (mover.component.clone(), mover.version(mover.target).clone())
    });
    Reason::NoOrder(named.collect())
}

impl NoPath {
    /// Finds what would open a path, and with it what is in the way. What opens one for the components that are known to
    /// have none and, as it turns out, for all, is the smallest for all if it is the smallest for those.
    fn explain(&mut self, request: &Request<'_>, without_way: &[ComponentName]) {
        let Ok(space) = Space::new(request, &named(request)) else {
            return;
        };
        let needs = Needs::new(request, &space);
        let first = needs_of_start(&needs);
        let all: Group = (0..space.movers.len()).collect();
        let these = all.iter().copied();
        let these = these.filter(|number| without_way.contains(space.movers[*number].component));
        let these: Group = these.collect();
        let opening = |group: &Group| {
            let walk = Walk::new(&space, group);
            smallest::opening(request, &needs, &walk, &first)
        };
        let of_these = (!these.is_empty() && these != all).then(|| opening(&these));
        let of_these = of_these.flatten().filter(|opening| opening.opens);
        let Some(opening) = of_these.or_else(|| opening(&all)) else {
            return;
        };
        self.smallest = opening.smallest;
        let remedies = opening.changes.iter();
        self.remedies = remedies.filter_map(|id| needs.remedy(*id)).collect();
        self.obstacles.extend(obstacles(&needs, &opening));
    }
}

/// What the versions that are there need to be side by side.
fn needs_of_start(needs: &Needs<'_, '_>) -> Vec<Need> {
    let space = needs.space;
    let mut found = Vec::new();
    for (number, mover) in space.movers.iter().enumerate() {
        for (place, _) in &mover.cohorts {
            let one = (mover.component, mover.version(*place));
            for (other, there) in space.movers.iter().enumerate().skip(number) {
                let cohorts = there.cohorts.iter();
                let after = cohorts.filter(|(at, _)| other > number || at > place);
                found.extend(after.flat_map(|(at, _)| {
                    needs.beside(one, (there.component, there.version(*at)), None)
                }));
            }
            for still in &space.standing {
                let there = (still.component, still.version);
                found.extend(needs.beside(one, there, Some(still)));
            }
        }
    }
    for (at, one) in space.standing.iter().enumerate() {
        for other in &space.standing[at + 1..] {
            let (one, other) = match (one.sources, other.sources) {
                (Some(_), Some(_)) => continue,
                (Some(_), None) => (other, one),
                (None, _) => (one, other),
            };
            let there = (other.component, other.version);
            found.extend(needs.beside((one.component, one.version), there, Some(other)));
        }
    }
    found
}

/// What the stages of a path that changes would open need.
fn obstacles(needs: &Needs<'_, '_>, opening: &Opening) -> Vec<Obstacle> {
    let space = needs.space;
    let mut present = super::ruled_out::present(space, &[]);
    let mut told = BTreeMap::<(usize, Place, Place), Vec<Why>>::new();
    let mut found = Vec::new();
    for Move {
        mover: number,
        from,
        to,
    } in &opening.way
    {
        let mover = &space.movers[*number];
        let mut all = vec![needs.of_hop(*number, *from, *to)];
        for other in std::iter::once(number).chain(&mover.beside) {
            for place in &present[*other] {
                if other != number || (place != from && place != to) {
                    all.push(needs.of_meeting(*number, *to, *other, *place));
                }
            }
        }
        let told = told.entry((*number, *from, *to)).or_default();
        for need in all.iter().flat_map(|needs| needs.iter()) {
            if found.len() >= super::RULED_OUT_MAX || told.contains(&need.why) {
                continue;
            }
            told.push(need.why.clone());
            found.push(Obstacle::Stage(RuledOut {
                component: mover.component.clone(),
                from: mover.version(*from).clone(),
                to: mover.version(*to).clone(),
                why: need.why.clone(),
            }));
        }
        present[*number].remove(from);
        present[*number].insert(*to);
    }
    found
}
