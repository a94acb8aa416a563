//! What was not chosen, and why: hops that would have saved a stop, blocked hops, versions without a release.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use evenkeel_compat::{Apart, Matrix, NoHop, Rule, Scope};
use evenkeel_words::names::ComponentName;
use semver::Version;

use super::{
    answer::Journey,
    request::Request,
    search::Move,
    space::{Mover, Place, Space, Versions},
    words::reported_by,
};
use crate::plan::Target;

/// The most that an answer or a refusal says of it.
pub const RULED_OUT_MAX: usize = 100;

/// The most hops that are looked at for it. A way through thousands of versions has millions of shortcuts.
const EXAMINED_MAX: usize = 2_000;

/// A hop that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuledOut {
    /// The component.
    pub component: ComponentName,
    /// From this version.
    pub from: Version,
    /// To this one.
    pub to: Version,
    /// Why not.
    pub why: Why,
}

/// Why a hop is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The matrix does not give it.
    NoHop(NoHop),
    /// There is no release of the version for every platform that it is needed on.
    NotPublished,
    /// It would bring the version beside one that it may not run beside.
    Meets {
        /// Whose version.
        component: ComponentName,
        /// Which.
        version: Version,
        /// Who reported it; nobody where instances run it.
        sources: BTreeSet<String>,
        /// Why not.
        why: Apart,
    },
    /// It would come before a component that ought to be first.
    OutOfOrder,
}

impl Why {
    /// Why `there` may not be met.
    pub(super) fn meets(
        there: (&ComponentName, &Version),
        sources: Option<&BTreeSet<String>>,
        why: Apart,
    ) -> Self {
        Self::Meets {
            component: there.0.clone(),
            version: there.1.clone(),
            sources: sources.cloned().unwrap_or_default(),
            why,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHop(why) => write!(f, "{why}"),
            Self::NotPublished => {
                f.write_str("no release of it is published for every platform that it is needed on")
            }
            Self::Meets {
                component,
                version,
                sources,
                why,
            } => {
                write!(f, "it would meet {component} {version}")?;
                reported_by(f, sources)?;
                write!(f, ", and {why}")
            }
            Self::OutOfOrder => {
                f.write_str("it would come before a component that this one ought to follow")
            }
        }
    }
}

impl fmt::Display for RuledOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            component,
            from,
            to,
            why,
        } = self;
        write!(f, "{component} {from} -> {to}: {why}")
    }
}

/// Collects what was ruled out, up to the limits.
pub(super) struct Collector<'s, 'a> {
    space: &'s Space<'a>,
    found: BTreeMap<(usize, Place, Version), Why>,
    /// In the order they were found.
    order: Vec<(usize, Place, Version)>,
    left: usize,
}

impl<'s, 'a> Collector<'s, 'a> {
    pub(super) fn new(space: &'s Space<'a>) -> Self {
        Self {
            space,
            found: BTreeMap::new(),
            order: Vec::new(),
            left: EXAMINED_MAX,
        }
    }

    pub(super) fn into_vec(mut self) -> Vec<RuledOut> {
        let space = self.space;
        let mut all = Vec::new();
        for key in self.order {
            let Some(why) = self.found.remove(&key) else {
                continue;
            };
            let (number, from, to) = key;
            let mover = &space.movers[number];
            all.push(RuledOut {
                component: mover.component.clone(),
                from: mover.version(from).clone(),
                to,
                why,
            });
        }
        all
    }

    fn put(&mut self, number: usize, from: Place, to: &Version, why: Why) {
        let key = (number, from, to.clone());
        if self.found.len() < RULED_OUT_MAX && !self.found.contains_key(&key) {
            self.order.push(key.clone());
            self.found.insert(key, why);
        }
    }

    fn examines_another(&mut self) -> bool {
        let another = self.left > 0 && self.found.len() < RULED_OUT_MAX;
        self.left = self.left.saturating_sub(1);
        another
    }

    /// Hops that would have saved a stop of a journey: why they are not there.
    pub(super) fn shortcuts(&mut self, way: &[Move], journeys: &[Journey]) {
        for journey in journeys {
            let stops = &journey.stops;
            for first in 0..stops.len() {
                for last in (first + 2..stops.len()).rev() {
                    if !self.examines_another() {
                        return;
                    }
                    if let Some(why) = self.why_not(way, journey.mover, stops[first], stops[last]) {
                        let mover = &self.space.movers[journey.mover];
                        let to = mover.version(stops[last]).clone();
                        self.put(journey.mover, stops[first], &to, why);
                    }
                }
            }
        }
    }

    /// Why a hop is not made where the way has the first of several.
    fn why_not(&self, way: &[Move], number: usize, from: Place, to: Place) -> Option<Why> {
        let mover = &self.space.movers[number];
        if let Some(why) = alone(self.space, mover, from, to) {
            return Some(why);
        }
        // The matrix gives it, so it is the others who are in the way at that time.
        let at = way
            .iter()
            .position(|step| step.mover == number && step.from == from)?;
        let present = present(self.space, &way[..at]);
        meets(self.space, number, from, to, &present).or_else(|| {
            let done = |other: &usize| {
                let places = &present[*other];
                places.len() == 1 && places.contains(&self.space.movers[*other].target)
            };
            (!mover.after.iter().all(done)).then_some(Why::OutOfOrder)
        })
    }

    /// Hops to the target straight from where a mover is.
    pub(super) fn straight(&mut self) {
        for (number, mover) in self.space.movers.iter().enumerate() {
            for (from, _) in mover
                .cohorts
                .iter()
                .filter(|(from, _)| *from != mover.target)
            {
                if !self.examines_another() {
                    return;
                }
                if let Some(why) = alone(self.space, mover, *from, mover.target) {
                    let to = mover.version(mover.target).clone();
                    self.put(number, *from, &to, why);
                }
            }
        }
    }

    /// Hops that the matrix blocks, from these places on.
    pub(super) fn blocked(&mut self, from: &BTreeSet<(usize, Place)>) {
        let matrix = self.space.index.matrix();
        if matrix.blocked().is_empty() {
            return;
        }
        for (number, from) in from {
            let mover = &self.space.movers[*number];
            for to in 0..mover.versions.len() {
                if !mover.leads_on(*from, to as Place) {
                    continue;
                }
                if !self.examines_another() {
                    return;
                }
                let hop = matrix.hop(mover.component, mover.version(*from), &mover.versions[to]);
                if let Err(why @ NoHop::Blocked { .. }) = hop {
                    let to = mover.versions[to].clone();
                    self.put(*number, *from, &to, Why::NoHop(why));
                }
            }
        }
    }

    /// Versions that rules name and that could be hopped to, were there a release of them.
    pub(super) fn not_published(&mut self, request: &Request<'_>, from: &BTreeSet<(usize, Place)>) {
        let mut missing = named(request);
        for (component, versions) in &mut missing {
            versions.retain(|version| !request.publishes(component, version));
        }
        for (number, from) in from {
            let mover = &self.space.movers[*number];
            let version = mover.version(*from);
            let target = mover.version(mover.target);
            for to in missing.get(mover.component).into_iter().flatten() {
                let is_there = to.cmp_precedence(target).is_eq();
                let between = [version, target].map(|end| to.cmp_precedence(end));
                let leads_on = is_there || (between[0] != between[1] && between[0].is_ne());
                if !leads_on {
                    continue;
                }
                if !self.examines_another() {
                    return;
                }
                if request.matrix.hop(mover.component, version, to).is_ok() {
                    self.put(*number, *from, to, Why::NotPublished);
                }
            }
        }
    }
}

/// Why a mover alone may not hop, beside all that stands still; nothing if it may.
pub(super) fn alone(space: &Space<'_>, mover: &Mover<'_>, from: Place, to: Place) -> Option<Why> {
    if mover.hops[usize::from(from)].iter().any(|hop| hop.to == to) {
        return None;
    }
    let matrix = space.index.matrix();
    let (from, version) = (mover.version(from), mover.version(to));
    if let Err(why) = matrix.hop(mover.component, from, version) {
        return Some(Why::NoHop(why));
    }
    if !mover.published[usize::from(to)] {
        return Some(Why::NotPublished);
    }
    let mut standing = space.standing.iter();
    standing.find_map(|still| {
        let there = (still.component, still.version);
        apart(matrix, (mover.component, version), there)
            .map(|why| Why::meets(there, still.sources, why))
    })
}

/// Whom of those present a mover may not meet at `to`.
fn meets(
    space: &Space<'_>,
    number: usize,
    from: Place,
    to: Place,
    present: &[BTreeSet<Place>],
) -> Option<Why> {
    let matrix = space.index.matrix();
    let mover = &space.movers[number];
    let own = std::iter::once(&number);
    own.chain(&mover.beside).find_map(|other| {
        let there = &space.movers[*other];
        let mut places = present[*other].iter();
        places.find_map(|place| {
            if *other == number && (*place == from || *place == to) {
                return None;
            }
            let there = (there.component, there.version(*place));
            apart(matrix, (mover.component, mover.version(to)), there)
                .map(|why| Why::meets(there, None, why))
        })
    })
}

fn apart(
    matrix: &Matrix,
    a: (&ComponentName, &Version),
    b: (&ComponentName, &Version),
) -> Option<Apart> {
    if !matrix.constrain(a.0, b.0) {
        return None;
    }
    matrix.beside(a, b).err()
}

/// Where the movers are after the first stages of a way.
pub(super) fn present(space: &Space<'_>, way: &[Move]) -> Vec<BTreeSet<Place>> {
    let places = |mover: &Mover<'_>| mover.cohorts.iter().map(|(place, _)| *place).collect();
    let mut present: Vec<BTreeSet<Place>> = space.movers.iter().map(places).collect();
    for step in way {
        present[step.mover].remove(&step.from);
        present[step.mover].insert(step.to);
    }
    present
}

/// The versions that rules name exactly, of the components that have targets; and the targets.
pub(super) fn named(request: &Request<'_>) -> Versions {
    let mut named = Versions::new();
    for Target {
        component, version, ..
    } in request.targets
    {
        let versions = named.entry(component.clone()).or_default();
        versions.insert(version.clone());
    }
    for Rule {
        scope, from, to, ..
    } in request.matrix.rules()
    {
        match scope {
            Scope::Pair(first, second) => {
                for (component, version) in [(first, from.exact()), (second, to.exact())] {
                    if let (Some(named), Some(version)) = (named.get_mut(component), version) {
                        named.insert(version.clone());
                    }
                }
            }
            Scope::Component(component) => {
                if let Some(named) = named.get_mut(component) {
                    named.extend([from.exact(), to.exact()].into_iter().flatten().cloned());
                }
            }
            Scope::All => {
                for named in named.values_mut() {
                    named.extend([from.exact(), to.exact()].into_iter().flatten().cloned());
                }
            }
        }
    }
    named
}
