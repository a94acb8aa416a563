//! How far each component comes as things are.

use std::cmp::Reverse;

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::planner::{
    groups::groups,
    search::{Found, Goal, State, Walk},
    space::{Mover, Place, Space},
};

/// How many states of a group are looked at before each version is looked for on its own.
const STATES_MAX: usize = 20_000;

/// How many states are looked at for one version on its own.
const STATES_EACH_MAX: usize = 2_000;

/// For how many versions of a component these may be too few before the rest are not looked for any more.
const GIVEN_UP_MAX: usize = 20;

/// The version nearest to its target that a whole component comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Furthest {
    /// The component.
    pub component: ComponentName,
    /// The version that all of its instances can be brought to; none if there is none that all can run.
    pub version: Option<Version>,
    /// Where it was to go.
    pub target: Version,
    /// Nothing nearer to the target can be reached; otherwise that was too much to tell.
    pub certain: bool,
}

/// How far each mover comes, the others moving where that helps and never past their targets.
pub(super) fn furthest(space: &Space<'_>) -> Vec<Furthest> {
    let reached = |mover: &Mover<'_>, place: Place| mover.reached[usize::from(place)];
    let mut all = Vec::with_capacity(space.movers.len());
    for group in groups(space, reached) {
        let walk = Walk::new(space, &group);
        let known = as_far_as_it_goes(space, &walk);
        let nearer = |member: usize| {
            let mover = &space.movers[group[member]];
            let mut places = nearest_first(mover);
            places.retain(|place| {
                let key = |place: Place| (place.abs_diff(mover.target), place);
                known[member].is_none_or(|known| key(*place) < key(known))
            });
            places
        };
        let mut members = 0..group.len();
        let states = match members.any(|member| !nearer(member).is_empty()) {
            true => walk.states(STATES_MAX),
            false => None,
        };
        for (member, number) in group.iter().enumerate() {
            let (place, certain) = match &states {
                Some(states) => (of_states(space, &walk, member, states), true),
                None => {
                    let (place, certain) = one_by_one(space, &walk, *number, &nearer(member));
                    (place.or(known[member]), certain)
                }
            };
            let mover = &space.movers[*number];
            all.push(Furthest {
                component: mover.component.clone(),
                version: place.map(|place| mover.version(place).clone()),
                target: mover.version(mover.target).clone(),
                certain,
            });
        }
    }
    all.sort_by(|a, b| a.component.cmp(&b.component));
    all
}

/// The places of a mover that can be come to, the nearest to the target first.
fn nearest_first(mover: &Mover<'_>) -> Vec<Place> {
    let all = (0..mover.versions.len()).map(|place| place as Place);
    let mut places: Vec<Place> = all.filter(|p| mover.reached[usize::from(*p)]).collect();
    places.sort_by_key(|place| (place.abs_diff(mover.target), *place));
    places
}

fn of_states(
    space: &Space<'_>,
    walk: &Walk<'_, '_>,
    member: usize,
    states: &[State],
) -> Option<Place> {
    let mover = &space.movers[walk.group[member]];
    let whole = states.iter().filter_map(|state| {
        let places = &state[walk.ranges[member].clone()];
        let first = places.first()?;
        places.iter().all(|place| place == first).then_some(*first)
    });
    whole.min_by_key(|place| (place.abs_diff(mover.target), *place))
}

/// The first of these places that a mover can wholly come to.
fn one_by_one(
    space: &Space<'_>,
    walk: &Walk<'_, '_>,
    number: usize,
    places: &[Place],
) -> (Option<Place>, bool) {
    let mut given_up = 0;
    for place in places {
        if given_up >= GIVEN_UP_MAX {
            break;
        }
        let ahead = hops_to(&space.movers[number], *place);
        let goal = Goal::At {
            mover: number,
            place: *place,
            ahead: &ahead,
        };
        match walk.search(goal, STATES_EACH_MAX) {
            Found::Way(_) => return (Some(*place), given_up == 0),
            Found::Nowhere => {}
            Found::GaveUp => given_up += 1,
        }
    }
    (None, given_up == 0)
}

/// The places nearest to their targets that the members are wholly at, one time or another, when whoever has the longest
/// way ahead goes first, and as far as it can.
fn as_far_as_it_goes(space: &Space<'_>, walk: &Walk<'_, '_>) -> Vec<Option<Place>> {
    let mut furthest = vec![None; walk.group.len()];
    let mut state = walk.start();
    loop {
        for (member, furthest) in furthest.iter_mut().enumerate() {
            let there = of_states(space, walk, member, std::slice::from_ref(&state));
            let target = space.movers[walk.group[member]].target;
            let key = |place: &Place| (place.abs_diff(target), *place);
            *furthest = furthest.take().into_iter().chain(there).min_by_key(key);
        }
        let mut stages = Vec::new();
        walk.each_stage(&state, |(member, from), hop, _| {
            let target = space.movers[walk.group[member]].target;
            let ahead = |place: Place| place.abs_diff(target);
            let key = (Reverse(ahead(from)), ahead(hop.to), member);
            stages.push((key, (member, from), hop.to));
        });
        let Some((_, step, to)) = stages.into_iter().min() else {
            return furthest;
        };
        state = walk.after(&state, step, to);
    }
}

/// How many hops it is from each place of a mover to this one, at least.
fn hops_to(mover: &Mover<'_>, place: Place) -> Vec<Option<u32>> {
    let target = usize::from(mover.target);
    let mut ahead = vec![None; mover.versions.len()];
    ahead[usize::from(place)] = Some(0);
    for from in (0..target).rev().chain(target + 1..mover.versions.len()) {
        if from == usize::from(place) {
            continue;
        }
        let ways = mover.hops[from].iter();
        ahead[from] = ways
            .filter_map(|hop| Some(ahead[usize::from(hop.to)]? + 1))
            .min();
    }
    ahead
}
