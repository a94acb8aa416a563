//! The search for the cheapest way of a group: A* over joint states.
//!
//! A joint state says where each cohort is: the instances of one component that ran one version at the start. Cohorts
//! that have met go on together. What is still ahead costs each cohort at least its own cheapest way, were it alone, and
//! is out of order at least as often as each two components make each other; these bounds add up, and no stage takes away
//! more of them than it costs, so a state's first expansion is along a cheapest way. Among equals the search goes deep, components in the order of their names.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Range,
    rc::Rc,
};

use super::{
    cost::Cost,
    groups::Group,
    pairs::{Pair, pairs},
    space::{Hop, Place, Space},
};

/// The most joint states that one search keeps. Ten components with five versions each, all in each other's way, come
/// to less than that in practice; with 100 bytes a state it stays within a few tens of MiB, and ends within a second.
pub(super) const STATES_MAX: usize = 200_000;

/// One component's instances, from one version to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Move {
    pub(super) mover: usize,
    pub(super) from: Place,
    pub(super) to: Place,
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The cheapest way.
    Way(Vec<Move>),
    /// There is none.
    Nowhere,
    /// There were too many states to tell.
    GaveUp,
}

/// What a search looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal<'g> {
    /// Every mover wholly at its target.
    Targets,
    /// One mover wholly at one place. `ahead` is how many hops that is from each place, at least.
    At {
        mover: usize,
        place: Place,
        ahead: &'g [Option<u32>],
    },
    /// Nothing: every state there is.
    Everything,
}

/// Where each cohort of a group is.
pub(super) type State = Rc<[Place]>;

/// A group, ready to be walked through.
#[derive(Debug)]
pub(super) struct Walk<'s, 'a> {
    space: &'s Space<'a>,
    pub(super) group: &'s [usize],
    /// Which cohorts are whose, in the order of the group.
    pub(super) ranges: Vec<Range<usize>>,
    instances: Vec<u64>,
    pairs: Vec<Pair>,
}

struct Known {
    state: State,
    cost: Cost,
    came: Option<(usize, Move)>,
    expanded: bool,
}

impl<'s, 'a> Walk<'s, 'a> {
    pub(super) fn new(space: &'s Space<'a>, group: &'s Group) -> Self {
        let mut ranges = Vec::with_capacity(group.len());
        let mut instances = Vec::new();
        for mover in group {
            let cohorts = &space.movers[*mover].cohorts;
            ranges.push(instances.len()..instances.len() + cohorts.len());
            instances.extend(cohorts.iter().map(|(_, count)| *count));
        }
        Self {
            space,
            group,
            ranges,
            instances,
            pairs: Vec::new(),
        }
    }

    /// The same with what each two of the group cost each other, for a search among all of them for their targets.
    pub(super) fn with_pairs(mut self) -> Self {
        self.pairs = pairs(self.space, self.group);
        self
    }

    /// Where everybody is at the start.
    pub(super) fn start(&self) -> State {
        let cohorts = |mover: &usize| self.space.movers[*mover].cohorts.iter();
        let places = self.group.iter().flat_map(cohorts).map(|(place, _)| *place);
        places.collect()
    }

    /// Looks for the cheapest way to the goal, in at most so many states.
    pub(super) fn search(&self, goal: Goal<'_>, states_max: usize) -> Found {
        let mut known: Vec<Known> = Vec::new();
        let end = self.explore(goal, states_max, &mut known);
        match end {
            End::At(mut at) => {
                let mut way = Vec::new();
                while let Some((before, step)) = known[at].came {
                    way.push(step);
                    at = before;
                }
                way.reverse();
                Found::Way(way)
            }
            End::Exhausted => Found::Nowhere,
            End::TooMany => Found::GaveUp,
        }
    }

    /// Every state that can be come to; nothing if there are more than so many.
    pub(super) fn states(&self, states_max: usize) -> Option<Vec<State>> {
        let mut known = Vec::new();
        match self.explore(Goal::Everything, states_max, &mut known) {
            End::Exhausted => Some(known.into_iter().map(|known| known.state).collect()),
            End::At(_) | End::TooMany => None,
        }
    }

    fn explore(&self, goal: Goal<'_>, states_max: usize, known: &mut Vec<Known>) -> End {
        let mut numbers = BTreeMap::<State, usize>::new();
        let mut open = BinaryHeap::new();
        // Newer ones first among equals: deep before wide.
        let mut age = u64::MAX;
        let start = self.start();
        let Some(bound) = self.bound(goal, &start) else {
            return End::Exhausted;
        };
        numbers.insert(start.clone(), 0);
        known.push(Known {
            state: start,
            cost: Cost::default(),
            came: None,
            expanded: false,
        });
        open.push(Reverse((bound, age, 0)));
        let mut next = Vec::new();
        while let Some(Reverse((_, _, at))) = open.pop() {
            if std::mem::replace(&mut known[at].expanded, true) {
                continue;
            }
            let (state, cost) = (known[at].state.clone(), known[at].cost);
            if self.is_met(goal, &state) {
                return End::At(at);
            }
            next.clear();
            self.each_stage(&state, |position, hop, cost| {
                next.push((position, hop, cost))
            });
            // What was pushed last is looked at first: the first component's furthest hop.
            for (step, hop, more) in next.drain(..).rev() {
                let after = self.after(&state, step, hop.to);
                let Some(bound) = self.bound(goal, &after) else {
                    continue;
                };
                let cost = cost + more;
                let to = match numbers.get(&after) {
                    Some(number) if known[*number].expanded || known[*number].cost <= cost => {
                        continue;
                    }
                    Some(number) => *number,
                    None => {
                        if known.len() >= states_max {
                            return End::TooMany;
                        }
                        numbers.insert(after.clone(), known.len());
                        known.push(Known {
                            state: after,
                            cost,
                            came: None,
                            expanded: false,
                        });
                        known.len() - 1
                    }
                };
                known[to].cost = cost;
                let step = Move {
                    mover: self.group[step.0],
                    from: step.1,
                    to: hop.to,
                };
                known[to].came = Some((at, step));
                age -= 1;
                open.push(Reverse((cost + bound, age, to)));
            }
        }
        End::Exhausted
    }

    /// Calls `found` with each stage that may be next, the furthest hop first: which member of the group moves, from
    /// where, by which hop, at what cost.
    pub(super) fn each_stage(
        &self,
        state: &State,
        mut found: impl FnMut((usize, Place), Hop, Cost),
    ) {
        for (member, number) in self.group.iter().enumerate() {
            let mover = &self.space.movers[*number];
            let own = &state[self.ranges[member].clone()];
            if own.iter().all(|place| *place == mover.target) {
                continue;
            }
            let out_of_order = self.out_of_order(state, member);
            let mut allowed = Vec::new();
            for (other, other_number) in self.group.iter().enumerate() {
                if other == member || !mover.beside.contains(other_number) {
                    continue;
                }
                let there = &self.space.movers[*other_number];
                for place in distinct(&state[self.ranges[other].clone()]) {
                    let rank = there.ranks[usize::from(place)];
                    let beside = self.space.index.beside(there.number, rank, mover.number);
                    allowed.push(beside);
                }
            }
            for from in distinct(own).filter(|from| *from != mover.target) {
                let instances = self.instances_at(state, member, from);
                for hop in mover.hops[usize::from(from)].iter().rev() {
                    let rank = mover.ranks[usize::from(hop.to)];
                    if !allowed.iter().all(|allowed| allowed.contains(rank)) {
                        continue;
                    }
                    let mut others = distinct(own).filter(|p| *p != from && *p != hop.to);
                    let alone = others.all(|other| {
                        let other = mover.ranks[usize::from(other)];
                        let beside = self.space.index.beside(mover.number, other, mover.number);
                        beside.contains(rank)
                    });
                    if alone {
                        found((member, from), *hop, hop.cost(instances, out_of_order));
                    }
                }
            }
        }
    }

    pub(super) fn after(&self, state: &State, step: (usize, Place), to: Place) -> State {
        let (member, from) = step;
        let own = &self.ranges[member];
        let moved = |(cohort, place): (usize, &Place)| {
            let moves = own.contains(&cohort) && *place == from;
            if moves { to } else { *place }
        };
        state.iter().enumerate().map(moved).collect()
    }

    pub(super) fn instances_at(&self, state: &State, member: usize, place: Place) -> u64 {
        let own = self.ranges[member].clone();
        let there = own.filter(|cohort| state[*cohort] == place);
        there.fold(0, |sum, cohort| sum.saturating_add(self.instances[cohort]))
    }

    pub(super) fn out_of_order(&self, state: &State, member: usize) -> bool {
        let after = &self.space.movers[self.group[member]].after;
        self.group.iter().enumerate().any(|(other, number)| {
            let target = self.space.movers[*number].target;
            let mut places = state[self.ranges[other].clone()].iter();
            after.contains(number) && places.any(|place| *place != target)
        })
    }

    pub(super) fn is_met(&self, goal: Goal<'_>, state: &State) -> bool {
        let wholly = |member: usize, at: Place| {
            let mut places = state[self.ranges[member].clone()].iter();
            places.all(|place| *place == at)
        };
        match goal {
            Goal::Everything => false,
            Goal::At { mover, place, .. } => {
                let member = self.group.iter().position(|number| *number == mover);
                member.is_some_and(|member| wholly(member, place))
            }
            Goal::Targets => (0..self.group.len())
                .all(|member| wholly(member, self.space.movers[self.group[member]].target)),
        }
    }

    /// What is ahead of a state at least; nothing if there is no way on.
    fn bound(&self, goal: Goal<'_>, state: &State) -> Option<Cost> {
        let mut bound = Cost::default();
        match goal {
            Goal::Everything => {}
            Goal::At { mover, ahead, .. } => {
                let member = self.group.iter().position(|number| *number == mover)?;
                for cohort in self.ranges[member].clone() {
                    let hops = u64::from(ahead[usize::from(state[cohort])]?);
                    let restarts = hops.saturating_mul(self.instances[cohort]);
                    bound = bound
                        + Cost {
                            restarts,
                            ..Cost::default()
                        };
                    bound.stages = bound.stages.max(hops);
                }
            }
            Goal::Targets => {
                for (member, number) in self.group.iter().enumerate() {
                    bound = bound + self.own_bound(state, member, *number)?;
                }
                bound.out_of_order = self.out_of_order_ahead(state)?;
            }
        }
        Some(bound)
    }

    /// How many stages out of order are ahead at least: for each member what the worst of those that ought to be before
    /// it costs it.
    fn out_of_order_ahead(&self, state: &State) -> Option<u64> {
        let mut ahead = vec![0; self.group.len()];
        let mut each = Vec::new();
        for pair in &self.pairs {
            each.clear();
            for then in distinct(&state[self.ranges[pair.then].clone()]) {
                let mut worst = 0;
                for first in distinct(&state[self.ranges[pair.first].clone()]) {
                    worst = worst.max(pair.least(first, then)?);
                }
                each.push(worst);
            }
            ahead[pair.then] = ahead[pair.then].max(stages_of_all(&mut each));
        }
        Some(ahead.into_iter().sum())
    }

    /// What is ahead of a mover at least: for each cohort its own cheapest way, and the stages that these have together.
    fn own_bound(&self, state: &State, member: usize, number: usize) -> Option<Cost> {
        let mover = &self.space.movers[number];
        let own = &state[self.ranges[member].clone()];
        let mut bound = Cost::default();
        for (place, cohort) in own.iter().zip(self.ranges[member].clone()) {
            let ahead = mover.ahead[usize::from(*place)]?;
            bound = bound + ahead.cost(self.instances[cohort]);
        }
        let hops = distinct(own).filter_map(|place| mover.ahead[usize::from(place)]);
        let mut hops: Vec<u64> = hops.map(|ahead| u64::from(ahead.hops)).collect();
        bound.stages = stages_of_all(&mut hops);
        Some(bound)
    }
}

/// How many stages there are at least, given how many each of several versions has ahead of it at least. Those that have
/// met share theirs, but each version is left by a stage of its own: of *n* that have *s* or more ahead, one goes *s* and
/// each of the others at least one until they meet.
fn stages_of_all(each: &mut [u64]) -> u64 {
    each.sort_unstable_by_key(|stages| Reverse(*stages));
    let together = each.iter().zip(0..).filter(|(stages, _)| **stages > 0);
    together
        .map(|(stages, others)| stages + others)
        .max()
        .unwrap_or(0)
}

enum End {
    At(usize),
    Exhausted,
    TooMany,
}

/// The places that cohorts are at, each once.
pub(super) fn distinct(places: &[Place]) -> impl Iterator<Item = Place> + '_ {
    let new = |(at, place): &(usize, &Place)| !places[..*at].contains(place);
    places
        .iter()
        .enumerate()
        .filter(new)
        .map(|(_, place)| *place)
}
