//! A smallest set of changes that would open a path.
//!
//! First exactly: the joint states are searched together with the set of changes that it took to come there, the smallest
//! sets first; of two ways to the same state the one whose changes are among the other's is enough. That is soon too much
//! where there are many versions. Then any path will do that takes few changes, of which those are dropped that are not
//! needed after all: none of the rest can be left out, though a smaller set of others may exist.

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    rc::Rc,
};

use super::needs::{ChangeId, Effort, Need, Needs};
use crate::planner::{
    cost::Cost,
    search::{Move, State, Walk, distinct},
    space::Place,
};

/// The most states with their changes that the exact search keeps: enough for three components with five versions each,
/// whatever their rules, and for a handful of changes among the tens of versions that real fleets have.
const EXACT_LABELS_MAX: usize = 20_000;

/// The most stages that the exact search looks at.
const EXACT_STAGES_MAX: usize = 400_000;

/// The most states that the search for any path keeps.
const ANY_LABELS_MAX: usize = 20_000;

/// How many versions ahead the search for any path looks for hops that are not there. Those that are there it sees all.
const WINDOW: usize = 16;

/// The most that a set of first changes, or the changes for one stage, is multiplied out into.
const CHOICES_MAX: usize = 64;

/// Changes that open a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    /// The changes, by number, rising.
    pub(super) changes: Vec<ChangeId>,
    /// A cheapest path that they open.
    pub(super) way: Vec<Move>,
    /// No smaller set opens any.
    pub(super) smallest: bool,
}

/// Finds changes that open a path, given the needs that are there before any stage.
pub(super) fn opening(
    needs: &Needs<'_, '_>,
    walk: &Walk<'_, '_>,
    first: &[Need],
) -> Option<Opening> {
    let search = Search {
        needs,
        walk,
        cut: Cell::new(false),
    };
    let bases = search.choices(&[], first);
    let exact = search.exact(&bases);
    let smallest = exact.is_some() && !search.cut.get();
    let changes = match exact {
        Some(changes) if smallest => changes,
        Some(changes) => search.without_needless(first, changes),
        None => search.without_needless(first, search.any(bases.first()?)?),
    };
    let way = search.within(&changes)?;
    Some(Opening {
        changes,
        way,
        smallest,
    })
}

fn is_subset(small: &[ChangeId], large: &[ChangeId]) -> bool {
    small.len() <= large.len() && small.iter().all(|id| large.binary_search(id).is_ok())
}

struct Search<'n, 's, 'a> {
    needs: &'n Needs<'s, 'a>,
    walk: &'n Walk<'s, 'a>,
    /// Whether choices were left out of account because there were too many.
    cut: Cell<bool>,
}

struct Stage {
    member: usize,
    from: Place,
    to: Place,
    needs: Vec<Rc<[Need]>>,
}

impl Stage {
    fn needs(&self) -> impl Iterator<Item = &Need> {
        self.needs.iter().flat_map(|needs| needs.iter())
    }
}

impl Search<'_, '_, '_> {
    /// The sets that meet all of the needs, given what is there: one for each choice.
    fn choices<'i>(
        &self,
        set: &[ChangeId],
        needs: impl IntoIterator<Item = &'i Need>,
    ) -> Vec<Vec<ChangeId>> {
        let mut sets = vec![set.to_vec()];
        for need in needs {
            let mut next = BTreeSet::new();
            for set in sets {
                if need.is_met(&set) {
                    next.insert(set);
                    continue;
                }
                for option in &need.options {
                    let mut with = set.clone();
                    if let Err(at) = with.binary_search(option) {
                        with.insert(at, *option);
                    }
                    next.insert(with);
                }
            }
            sets = next.into_iter().collect();
            if sets.len() > CHOICES_MAX {
                self.cut.set(true);
                sets.sort_by_cached_key(|set| self.needs.effort_of(set));
                sets.truncate(CHOICES_MAX);
            }
        }
        sets
    }

    fn goal(&self, state: &State) -> bool {
        self.walk
            .is_met(crate::planner::search::Goal::Targets, state)
    }

    /// Every stage there could be from a state, and what it needs. `window` bounds how far ahead hops are looked for that
    /// are not there.
    fn stages(&self, state: &State, window: usize) -> Vec<Stage> {
        let mut stages = Vec::new();
        for (member, number) in self.walk.group.iter().enumerate() {
            let mover = &self.needs.space.movers[*number];
            let own = &state[self.walk.ranges[member].clone()];
            for from in distinct(own).filter(|from| *from != mover.target) {
                for to in self.ahead_of(*number, from, window) {
                    let mut all = vec![self.needs.of_hop(*number, from, to)];
                    for place in distinct(own).filter(|place| *place != from && *place != to) {
                        all.push(self.needs.of_meeting(*number, to, *number, place));
                    }
                    for (other, with) in self.walk.group.iter().enumerate() {
                        if other == member || !mover.beside.contains(with) {
                            continue;
                        }
                        for place in distinct(&state[self.walk.ranges[other].clone()]) {
                            all.push(self.needs.of_meeting(*number, to, *with, place));
                        }
                    }
                    stages.push(Stage {
                        member,
                        from,
                        to,
                        needs: all,
                    });
                }
            }
        }
        stages
    }

    /// Where a mover could hop to: the hops that are there, those to the nearest versions, and the one to the target.
    fn ahead_of(&self, number: usize, from: Place, window: usize) -> Vec<Place> {
        let mover = &self.needs.space.movers[number];
        let rising = from <= mover.target;
        let all = |place: &Place| mover.leads_on(from, *place);
        let mut places: Vec<Place> = if rising {
            let all_of_them = from..=mover.target;
            all_of_them.filter(all).take(window).collect()
        } else {
            let all_of_them = (mover.target..=from).rev();
            all_of_them.filter(all).take(window).collect()
        };
        places.push(mover.target);
        places.extend(mover.hops[usize::from(from)].iter().map(|hop| hop.to));
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The smallest set, if that can be told within bounds.
    fn exact(&self, bases: &[Vec<ChangeId>]) -> Option<Vec<ChangeId>> {
        let mut labels: Vec<(State, Rc<[ChangeId]>)> = Vec::new();
        let mut settled = BTreeMap::<State, Vec<Rc<[ChangeId]>>>::new();
        let mut open = BinaryHeap::new();
        let mut age = u64::MAX;
        let mut looked_at = 0;
        for base in bases {
            open.push(Reverse((self.needs.effort_of(base), age, labels.len())));
            labels.push((self.walk.start(), base.as_slice().into()));
            age -= 1;
        }
        while let Some(Reverse((_, _, at))) = open.pop() {
            let (state, set) = labels[at].clone();
            let before = settled.entry(state.clone()).or_default();
            if before.iter().any(|before| is_subset(before, &set)) {
                continue;
            }
            if self.goal(&state) {
                return Some(set.to_vec());
            }
            before.push(set.clone());
            for stage in self.stages(&state, usize::MAX) {
                looked_at += 1;
                if looked_at > EXACT_STAGES_MAX {
                    return None;
                }
                let after = self
                    .walk
                    .after(&state, (stage.member, stage.from), stage.to);
                for with in self.choices(&set, stage.needs()) {
                    let dominated = settled.get(&after).into_iter().flatten();
                    let mut dominated = dominated.filter(|before| is_subset(before, &with));
                    if dominated.next().is_some() {
                        continue;
                    }
                    if labels.len() >= EXACT_LABELS_MAX {
                        return None;
                    }
                    age -= 1;
                    open.push(Reverse((self.needs.effort_of(&with), age, labels.len())));
                    labels.push((after.clone(), with.into()));
                }
            }
        }
        None
    }

    /// Some set, by looking at each state once and going where each component needs least on its own.
    fn any(&self, base: &[ChangeId]) -> Option<Vec<ChangeId>> {
        let own: Vec<Vec<Option<Effort>>> = self
            .walk
            .group
            .iter()
            .map(|number| self.own_effort(*number))
            .collect();
        let ahead = |state: &State| {
            let mut sum = Effort::default();
            for (member, range) in self.walk.ranges.iter().enumerate() {
                for place in distinct(&state[range.clone()]) {
                    sum = sum + own[member][usize::from(place)]?;
                }
            }
            Some(sum)
        };
        let start = self.walk.start();
        let mut seen = BTreeMap::<State, ()>::new();
        let mut labels = vec![(start.clone(), base.to_vec())];
        let mut open = BinaryHeap::new();
        let mut age = u64::MAX;
        open.push(Reverse((ahead(&start)?, age, 0)));
        while let Some(Reverse((_, _, at))) = open.pop() {
            let (state, set) = labels[at].clone();
            if seen.insert(state.clone(), ()).is_some() {
                continue;
            }
            if self.goal(&state) {
                return Some(set);
            }
            for stage in self.stages(&state, WINDOW).into_iter().rev() {
                let after = self
                    .walk
                    .after(&state, (stage.member, stage.from), stage.to);
                if seen.contains_key(&after) {
                    continue;
                }
                let Some(ahead) = ahead(&after) else {
                    continue;
                };
                let with = self.choices(&set, stage.needs());
                let Some(with) = with.into_iter().min_by_key(|set| self.needs.effort_of(set))
                else {
                    continue;
                };
                if labels.len() >= ANY_LABELS_MAX {
                    return None;
                }
                age -= 1;
                let effort = self.needs.effort_of(&with) + ahead;
                open.push(Reverse((effort, age, labels.len())));
                labels.push((after, with));
            }
        }
        None
    }

    /// What a mover needs least from each place on its own, changes that serve twice counted twice.
    fn own_effort(&self, number: usize) -> Vec<Option<Effort>> {
        let mover = &self.needs.space.movers[number];
        let target = usize::from(mover.target);
        let mut ahead = vec![None; mover.versions.len()];
        ahead[target] = Some(Effort::default());
        for place in (0..target).rev().chain(target + 1..mover.versions.len()) {
            let from = place as Place;
            let ways = self.ahead_of(number, from, WINDOW).into_iter();
            ahead[place] = ways
                .filter_map(|to| {
                    let after: Effort = ahead[usize::from(to)]?;
                    let needs = self.needs.of_hop(number, from, to);
                    let needs = needs.iter().map(|need| {
                        let options = need.options.iter().map(|id| self.needs.effort(*id));
                        options.min()
                    });
                    let least: Option<Vec<Effort>> = needs.collect();
                    Some(least?.into_iter().fold(after, |sum, each| sum + each))
                })
                .min();
        }
        ahead
    }

    /// The set without those that a path does not need.
    fn without_needless(&self, first: &[Need], mut set: Vec<ChangeId>) -> Vec<ChangeId> {
        for id in set.clone().into_iter().rev() {
            let mut without = set.clone();
            without.retain(|other| *other != id);
            let still = first.iter().all(|need| need.is_met(&without));
            if still && self.within(&without).is_some() {
                set = without;
            }
        }
        set
    }

    /// The cheapest path that these changes open, as far as the cost is known of hops that are not there yet.
    fn within(&self, set: &[ChangeId]) -> Option<Vec<Move>> {
        let mut numbers = BTreeMap::<State, usize>::new();
        let mut known = vec![(
            self.walk.start(),
            Cost::default(),
            None::<(usize, Move)>,
            false,
        )];
        numbers.insert(self.walk.start(), 0);
        let mut open = BinaryHeap::from([Reverse((Cost::default(), u64::MAX, 0))]);
        let mut age = u64::MAX;
        while let Some(Reverse((_, _, at))) = open.pop() {
            if std::mem::replace(&mut known[at].3, true) {
                continue;
            }
            let (state, cost) = (known[at].0.clone(), known[at].1);
            if self.goal(&state) {
                let mut way = Vec::new();
                let mut at = at;
                while let Some((before, step)) = known[at].2 {
                    way.push(step);
                    at = before;
                }
                way.reverse();
                return Some(way);
            }
            for stage in self.stages(&state, usize::MAX).into_iter().rev() {
                if !stage.needs().all(|need| need.is_met(set)) {
                    continue;
                }
                let after = self
                    .walk
                    .after(&state, (stage.member, stage.from), stage.to);
                let cost = cost + self.cost(&state, &stage);
                let to = match numbers.get(&after) {
                    Some(to) if known[*to].1 <= cost => continue,
                    Some(to) => *to,
                    None if known.len() >= ANY_LABELS_MAX => return None,
                    None => {
                        numbers.insert(after.clone(), known.len());
                        known.push((after, cost, None, false));
                        known.len() - 1
                    }
                };
                let step = Move {
                    mover: self.walk.group[stage.member],
                    from: stage.from,
                    to: stage.to,
                };
                known[to].1 = cost;
                known[to].2 = Some((at, step));
                age -= 1;
                open.push(Reverse((cost, age, to)));
            }
        }
        None
    }

    fn cost(&self, state: &State, stage: &Stage) -> Cost {
        let number = self.walk.group[stage.member];
        let hops = &self.needs.space.movers[number].hops[usize::from(stage.from)];
        let instances = self.walk.instances_at(state, stage.member, stage.from);
        let out_of_order = self.walk.out_of_order(state, stage.member);
        match hops.iter().find(|hop| hop.to == stage.to) {
            Some(hop) => hop.cost(instances, out_of_order),
            None => Cost {
                out_of_order: u64::from(out_of_order),
                restarts: instances,
                stages: 1,
                ..Cost::default()
            },
        }
    }
}
