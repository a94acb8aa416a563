//! From a request to an answer, or to a refusal that explains.

use std::collections::BTreeSet;

use super::{
    answer::{self, Answer, Journey},
    groups::{Group, groups},
    refusal::{self, NoPath},
    request::Request,
    ruled_out::{Collector, RuledOut},
    search::{Found, Goal, Move, STATES_MAX, Walk},
    space::{Mover, Place, Space, Versions},
};

/// How many states are looked at before pairs of components are asked whether there is a way at all. A way that is
/// there is mostly found in far fewer.
pub(super) const STATES_BEFORE_PAIRS: usize = 20_000;

/// Finds the cheapest path to the targets. The same request always has the same answer, in whatever order the matrix's
/// rules stand.
///
/// # Errors
/// Says why there is none, or what is wrong with the request.
pub fn find(request: &Request<'_>) -> Result<Answer, Box<NoPath>> {
    request.check().map_err(NoPath::bad_request)?;
    let space = Space::new(request, &Versions::new()).map_err(NoPath::bad_request)?;
    if let Some(refusal) = refusal::of_start(request, &space) {
        return Err(Box::new(refusal));
    }
    let way = way(&space).map_err(|trouble| {
        Box::new(match trouble {
            Trouble::Nowhere(group) => refusal::nowhere(request, &space, &group),
            Trouble::GaveUp => refusal::gave_up(request, &space),
        })
    })?;
    let (steps, cost, journeys) = answer::steps(&space, &way);
    Ok(Answer {
        steps,
        cost,
        ruled_out: ruled_out(request, &space, &way, &journeys),
    })
}

/// Why there is no way.
#[derive(Debug)]
pub(super) enum Trouble {
    /// These have none.
    Nowhere(Group),
    /// There was too much to look at.
    GaveUp,
}

/// The cheapest way of all movers.
pub(super) fn way(space: &Space<'_>) -> Result<Vec<Move>, Trouble> {
    way_within(space, STATES_MAX)
}

/// The same, if it is found in so many states of each group.
pub(super) fn way_within(space: &Space<'_>, states_max: usize) -> Result<Vec<Move>, Trouble> {
    let useful = |mover: &Mover<'_>, place: Place| {
        let place = usize::from(place);
        mover.reached[place] && mover.ahead[place].is_some()
    };
    let mut way = Vec::new();
    for group in groups(space, useful) {
        match way_of(space, &group, states_max) {
            Found::Way(more) => way.extend(more),
            Found::Nowhere => return Err(Trouble::Nowhere(group)),
            Found::GaveUp => return Err(Trouble::GaveUp),
        }
    }
    Ok(way)
}

/// The cheapest way of a group.
fn way_of(space: &Space<'_>, group: &Group, states_max: usize) -> Found {
    let leaves = |mover: &usize| {
        let mover = &space.movers[*mover];
        let mut cohorts = mover.cohorts.iter();
        cohorts.any(|(place, _)| mover.ahead[usize::from(*place)].is_none())
    };
    if group.iter().any(leaves) {
        return Found::Nowhere;
    }
    let walk = Walk::new(space, group).with_pairs();
    match walk.search(Goal::Targets, STATES_BEFORE_PAIRS.min(states_max)) {
        Found::GaveUp if states_max > STATES_BEFORE_PAIRS => {}
        found => return found,
    }
    if pair_without_way(space, group).is_some() {
        return Found::Nowhere;
    }
    walk.search(Goal::Targets, states_max)
}

/// Two components that have no way even if the others of their group were not there.
pub(super) fn pair_without_way(space: &Space<'_>, group: &Group) -> Option<Group> {
    let pairs = group.iter().enumerate().flat_map(|(at, one)| {
        let others = group[at + 1..].iter();
        others.map(|other| vec![*one, *other])
    });
    let mut pairs = pairs.filter(|_| group.len() > 2);
    pairs.find(|pair| {
        let walk = Walk::new(space, pair);
        walk.search(Goal::Targets, STATES_BEFORE_PAIRS) == Found::Nowhere
    })
}

fn ruled_out(
    request: &Request<'_>,
    space: &Space<'_>,
    way: &[Move],
    journeys: &[Journey],
) -> Vec<RuledOut> {
    let mut collector = Collector::new(space);
    collector.shortcuts(way, journeys);
    let left: BTreeSet<(usize, Place)> = way.iter().map(|step| (step.mover, step.from)).collect();
    collector.not_published(request, &left);
    collector.blocked(&left);
    collector.into_vec()
}
