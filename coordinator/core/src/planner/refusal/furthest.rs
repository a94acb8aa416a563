//! How far each component comes as things are.

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::planner::{
    groups::{Group, groups},
    search::{Found, Goal, State, Walk},
    space::{Mover, Place, Space},
};

/// How many states of a group are looked at before each version is looked for on its own.
const STATES_MAX: usize = 20_000;

/// How many states are looked at for one version on its own.
const STATES_EACH_MAX: usize = 2_000;

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
        let states = walk.states(STATES_MAX);
        for (member, number) in group.iter().enumerate() {
            let (place, certain) = match &states {
                Some(states) => (of_states(space, &walk, member, states), true),
                None => one_by_one(space, &group, *number),
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

fn one_by_one(space: &Space<'_>, group: &Group, number: usize) -> (Option<Place>, bool) {
    let mover = &space.movers[number];
    let walk = Walk::new(space, group);
    let mut certain = true;
    for place in nearest_first(mover) {
        let ahead = hops_to(mover, place);
        let goal = Goal::At {
            mover: number,
            place,
            ahead: &ahead,
        };
        match walk.search(goal, STATES_EACH_MAX) {
            Found::Way(_) => return (Some(place), certain),
            Found::Nowhere => {}
            Found::GaveUp => certain = false,
        }
    }
    (None, certain)
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
