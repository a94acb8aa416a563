//! Whether releases alone would open a path, and which.
//!
//! The cheapest path with everything published that rules name says what may be needed. A version that its component
//! cannot jump over on any way of its own is needed for certain; for a few others it is tried whether there is a path
//! without them, one after the other.

use std::collections::BTreeSet;

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::planner::{
    answer::{self, Step},
    find::{STATES_BEFORE_PAIRS, way, way_within},
    request::Request,
    ruled_out::named,
    space::{Mover, Place, Space, Versions},
};

/// The most versions of which each is tried to be left out. It takes a search each, and all of them together must not
/// take much longer than one that gives up.
const DOUBTED_MAX: usize = 16;

/// What to publish, and what for.
pub(super) struct Publish {
    /// The versions, in the order in which the path comes to them.
    pub(super) first: Vec<(ComponentName, Version)>,
    /// The path that there is with these and no others.
    pub(super) steps: Vec<Step>,
}

/// The releases that would open a path; nothing if none would, or if none is missing.
pub(super) fn publish(request: &Request<'_>) -> Option<Publish> {
    let mut missing = named(request);
    for (component, versions) in &mut missing {
        versions.retain(|version| !request.publishes(component, version));
    }
    if missing.values().all(BTreeSet::is_empty) {
        return None;
    }
    let mut opened = Opened::with_as_many(request, missing)?;
    let mut tried = BTreeSet::new();
    while let Some(doubted) = opened.doubted(request, &tried) {
        if tried.len() >= DOUBTED_MAX {
            break;
        }
        let mut without = opened.used(request);
        if let Some(versions) = without.get_mut(&doubted.0) {
            versions.remove(&doubted.1);
        }
        tried.insert(doubted);
        let fewer = Opened::with(request, &without, Some(STATES_BEFORE_PAIRS));
        if let Some(fewer) =
            fewer.and_then(|fewer| Opened::with_as_many(request, fewer.used(request)))
        {
            opened = fewer;
        }
    }
    let mut seen = BTreeSet::new();
    let first = opened.steps.iter().filter_map(|step| {
        let named = (step.component.clone(), step.to.clone());
        let missing = !request.publishes(&step.component, &step.to);
        (missing && seen.insert(named.clone())).then_some(named)
    });
    Some(Publish {
        first: first.collect(),
        steps: opened.steps,
    })
}

/// A path that releases open.
struct Opened {
    steps: Vec<Step>,
    /// Versions that no way of their component leads past.
    needed: Versions,
}

impl Opened {
    /// The cheapest path once these are published, too; nothing if there is none, or if it is not found in so many
    /// states.
    fn with(request: &Request<'_>, missing: &Versions, states_max: Option<usize>) -> Option<Self> {
        let mut published = request.published.clone();
        for (component, versions) in missing {
            let all = published.entry(component.clone()).or_default();
            all.extend(versions.iter().cloned());
        }
        let request = Request {
            published: &published,
            ..*request
        };
        let space = Space::new(&request, &Versions::new()).ok()?;
        let way = match states_max {
            Some(states_max) => way_within(&space, states_max),
            None => way(&space),
        };
        let way = way.ok()?;
        let needed = space.movers.iter().map(|mover| {
            let places = not_jumped_over(mover).into_iter();
            let versions = places.map(|place| mover.version(place).clone());
            (mover.component.clone(), versions.collect())
        });
        Some(Self {
            steps: answer::steps(&space, &way).0,
            needed: needed.collect(),
        })
    }

    /// The path that there is with as many of these as it uses and no others.
    fn with_as_many(request: &Request<'_>, mut missing: Versions) -> Option<Self> {
        loop {
            let opened = Self::with(request, &missing, None)?;
            let used = opened.used(request);
            if used == missing {
                return Some(opened);
            }
            missing = used;
        }
    }

    /// The versions that it uses and that there are no releases of.
    fn used(&self, request: &Request<'_>) -> Versions {
        let mut used = Versions::new();
        for step in &self.steps {
            if !request.publishes(&step.component, &step.to) {
                let versions = used.entry(step.component.clone()).or_default();
                versions.insert(step.to.clone());
            }
        }
        used
    }

    /// The first of them that may be done without for all that is known.
    fn doubted(
        &self,
        request: &Request<'_>,
        tried: &BTreeSet<(ComponentName, Version)>,
    ) -> Option<(ComponentName, Version)> {
        let used = self
            .used(request)
            .into_iter()
            .flat_map(|(component, versions)| {
                let versions = versions.into_iter();
                versions.map(move |version| (component.clone(), version))
            });
        let mut doubted = used.filter(|(component, version)| {
            let needed = self.needed.get(component);
            !needed.is_some_and(|needed| needed.contains(version))
        });
        doubted.find(|doubted| !tried.contains(doubted))
    }
}

/// The places of a mover that it cannot leave out where its way leads past them. Hops go towards the target, so whoever
/// comes past a place stops there, unless a hop leads from before it to behind it. The target is one of them.
fn not_jumped_over(mover: &Mover<'_>) -> Vec<Place> {
    // By place: how many more hops lead over it than over the one before.
    let mut over = vec![0_i64; mover.versions.len() + 1];
    for (from, hops) in mover.hops.iter().enumerate() {
        let useful = hops.iter().map(|hop| usize::from(hop.to));
        let useful = useful.filter(|to| mover.reached[from] && mover.ahead[*to].is_some());
        for to in useful {
            over[from.min(to) + 1] += 1;
            over[from.max(to)] -= 1;
        }
    }
    let mut sum = 0;
    let places = over.iter().zip(0..).filter_map(|(more, place)| {
        sum += more;
        (sum == 0 || place == mover.target).then_some(place)
    });
    let last = mover.versions.len();
    places.filter(|place| usize::from(*place) < last).collect()
}
