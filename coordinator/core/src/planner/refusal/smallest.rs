//! A smallest set of changes that would open a path.
//!
//! First exactly: the joint states are searched together with the set of changes that it took to come there, the smallest
//! sets first; of two ways to the same state the one whose changes are among the other's is enough. That is soon too much
//! where there are many versions. Then any path will do that takes few changes, of which those are dropped that are not
//! needed after all, one after the other: a smaller set of others may exist.

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    rc::Rc,
};

use super::needs::{ChangeId, Effort, Need, Needs};
use crate::planner::{
    find,
    request::{Request, VERSIONS_MAX},
    ruled_out::named,
    search::{Goal, Move, STATES_MAX, State, Walk, distinct},
    space::{Place, Space},
};

/// The most states with their changes that the exact search keeps: enough for three components with five versions each,
/// whatever their rules, and for a handful of changes among the tens of versions that real fleets have.
const EXACT_LABELS_MAX: usize = 20_000;

/// The most stages that the exact search looks at.
const EXACT_STAGES_MAX: usize = 100_000;

/// The most states with their changes that the search for any path keeps: a chain of as many versions as are looked at,
/// with the hops that are looked for from each of them.
const ANY_LABELS_MAX: usize = 10 * VERSIONS_MAX;

/// The most stages that it looks at. Where versions have hops to thousands of others, these are soon more than the states.
const ANY_STAGES_MAX: usize = 100_000;

/// The most changes of which each is tried to be left out. It takes a matrix and a search each.
const DOUBTED_MAX: usize = 8;

/// How many versions ahead the search for any path looks for hops that are not there. Those that are there it sees all.
const WINDOW: usize = 8;

/// The most that a set of first changes, or the changes for one stage, is multiplied out into.
const CHOICES_MAX: usize = 64;

/// Changes that open a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    /// The changes, by number, rising.
    pub(super) changes: Vec<ChangeId>,
    /// The cheapest path that they open. Where there is none, a way for the components that were looked at.
    pub(super) way: Vec<Move>,
    /// They open a path for all components. They do not if not all were looked at, or if rules contradict each other once
    /// the changes are made, which is for people to settle.
    pub(super) opens: bool,
    /// No smaller set opens any.
    pub(super) smallest: bool,
}

/// Finds changes that open a path for the components of a walk, given the needs that are there before any stage.
pub(super) fn opening(
    request: &Request<'_>,
    needs: &Needs<'_, '_>,
    walk: &Walk<'_, '_>,
    first: &[Need],
) -> Option<Opening> {
    let search = Search {
        request,
        needs,
        walk,
        cut: Cell::new(false),
    };
    let bases = search.choices(&[], first);
    let exact = search.exact(&bases);
    let smallest = exact.is_some() && !search.cut.get();
    let any = || {
        let base = bases.first()?;
        let mut orders = [Order::Least, Order::Straight, Order::Nearest].into_iter();
        orders.find_map(|order| search.any(base, order))
    };
    let (mut changes, way) = exact.or_else(any)?;
    if !smallest && changes.len() <= DOUBTED_MAX {
        changes = search.without_needless(first, changes);
    }
    let cheapest = search.within(&changes, STATES_MAX);
    Some(Opening {
        changes,
        opens: cheapest.is_some(),
        way: cheapest.unwrap_or(way),
        smallest,
    })
}

/// The last stage of a way, and those before it.
struct Link {
    step: Move,
    before: Trail,
}

type Trail = Option<Rc<Link>>;

fn way_of(mut trail: &Trail) -> Vec<Move> {
    let mut way = Vec::new();
    while let Some(link) = trail {
        way.push(link.step);
        trail = &link.before;
    }
    way.reverse();
    way
}

fn is_subset(small: &[ChangeId], large: &[ChangeId]) -> bool {
    small.len() <= large.len() && small.iter().all(|id| large.binary_search(id).is_ok())
}

/// In which order the search for any path goes through states.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// From the start, those first that need least in all, and of these those nearest to the targets.
    Least,
    /// From where everybody can go as things are, those first that need least from there on.
    Straight,
    /// From there, too; and of these those nearest to the targets.
    Nearest,
}

struct Search<'n, 's, 'a> {
    request: &'n Request<'n>,
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
        self.walk.is_met(Goal::Targets, state)
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

    fn step(&self, stage: &Stage) -> Move {
        Move {
            mover: self.walk.group[stage.member],
            from: stage.from,
            to: stage.to,
        }
    }

    /// The smallest set, if that can be told within bounds, and a way that it opens.
    fn exact(&self, bases: &[Vec<ChangeId>]) -> Option<(Vec<ChangeId>, Vec<Move>)> {
        let mut labels: Vec<(State, Rc<[ChangeId]>, Trail)> = Vec::new();
        let mut settled = BTreeMap::<State, Vec<Rc<[ChangeId]>>>::new();
        let mut open = BinaryHeap::new();
        let mut age = u64::MAX;
        let mut looked_at = 0;
        for base in bases {
            open.push(Reverse((self.needs.effort_of(base), age, labels.len())));
            labels.push((self.walk.start(), base.as_slice().into(), None));
            age -= 1;
        }
        while let Some(Reverse((_, _, at))) = open.pop() {
            let (state, set, trail) = labels[at].clone();
            let before = settled.entry(state.clone()).or_default();
            if before.iter().any(|before| is_subset(before, &set)) {
                continue;
            }
            if self.goal(&state) {
                return Some((set.to_vec(), way_of(&trail)));
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
                    let mut there = settled.get(&after).into_iter().flatten();
                    if there.any(|before| is_subset(before, &with)) {
                        continue;
                    }
                    if labels.len() >= EXACT_LABELS_MAX {
                        return None;
                    }
                    let link = Link {
                        step: self.step(&stage),
                        before: trail.clone(),
                    };
                    age -= 1;
                    open.push(Reverse((self.needs.effort_of(&with), age, labels.len())));
                    labels.push((after.clone(), with.into(), Some(Rc::new(link))));
                }
            }
        }
        None
    }

    /// Some set, by keeping one set for each state, in this order. And a way that it opens.
    fn any(&self, base: &[ChangeId], order: Order) -> Option<(Vec<ChangeId>, Vec<Move>)> {
        let group = self.walk.group.iter();
        let own: Vec<_> = group.map(|number| self.own_effort(*number)).collect();
        let ahead = |state: &State| {
            let mut sum = Effort::default();
            for (member, range) in self.walk.ranges.iter().enumerate() {
                for place in distinct(&state[range.clone()]) {
                    sum = sum + own[member][usize::from(place)]?;
                }
            }
            Some(sum)
        };
        let key = |state: &State, behind: Effort, ahead: Effort| match order {
            Order::Least => (behind + ahead, self.distance(state), Effort::default()),
            Order::Straight => (ahead, 0, behind),
            Order::Nearest => (ahead, self.distance(state), behind),
        };
        let (start, trail) = match order {
            Order::Least => (self.walk.start(), None),
            Order::Straight | Order::Nearest => self.as_far_as_it_goes(base),
        };
        let mut least = BTreeMap::from([(start.clone(), self.needs.effort_of(base))]);
        let mut open = BinaryHeap::new();
        let mut age = u64::MAX;
        let first = key(&start, least[&start], ahead(&start)?);
        let mut labels = vec![(start, base.to_vec(), trail)];
        open.push(Reverse((first, age, 0)));
        let mut looked_at = 0;
        while let Some(Reverse((_, _, at))) = open.pop() {
            let (state, set, trail) = labels[at].clone();
            let behind = self.needs.effort_of(&set);
            if least.get(&state).is_some_and(|least| *least < behind) {
                continue;
            }
            if self.goal(&state) {
                return Some((set, way_of(&trail)));
            }
            for stage in self.stages(&state, WINDOW).into_iter().rev() {
                looked_at += 1;
                if looked_at > ANY_STAGES_MAX {
                    return None;
                }
                let after = self
                    .walk
                    .after(&state, (stage.member, stage.from), stage.to);
                let with = self.choices(&set, stage.needs()).into_iter();
                let with = with.min_by_key(|set| self.needs.effort_of(set));
                let (Some(ahead), Some(with)) = (ahead(&after), with) else {
                    continue;
                };
                let behind = self.needs.effort_of(&with);
                if least.get(&after).is_some_and(|least| *least <= behind) {
                    continue;
                }
                if labels.len() >= ANY_LABELS_MAX {
                    return None;
                }
                least.insert(after.clone(), behind);
                let link = Link {
                    step: self.step(&stage),
                    before: trail.clone(),
                };
                age -= 1;
                let key = key(&after, behind, ahead);
                open.push(Reverse((key, age, labels.len())));
                labels.push((after, with, Some(Rc::new(link))));
            }
        }
        None
    }

    /// How many versions lie between the cohorts and their targets.
    fn distance(&self, state: &State) -> u64 {
        let members = self.walk.group.iter().zip(&self.walk.ranges);
        let each = members.flat_map(|(number, range)| {
            let target = self.needs.space.movers[*number].target;
            let places = state[range.clone()].iter();
            places.map(move |place| u64::from(place.abs_diff(target)))
        });
        each.sum()
    }

    /// Where everybody comes to without any more changes, whoever has the longest way ahead going first.
    fn as_far_as_it_goes(&self, base: &[ChangeId]) -> (State, Trail) {
        let (mut state, mut trail) = (self.walk.start(), None);
        loop {
            let ahead = |stage: &Stage| {
                let target = self.needs.space.movers[self.walk.group[stage.member]].target;
                let ahead = |place: Place| place.abs_diff(target);
                (
                    ahead(stage.from),
                    Reverse(ahead(stage.to)),
                    Reverse(stage.member),
                )
            };
            let stages = self.stages(&state, WINDOW).into_iter();
            let stages = stages.filter(|stage| stage.needs().all(|need| need.is_met(base)));
            let Some(stage) = stages.max_by_key(ahead) else {
                return (state, trail);
            };
            state = self
                .walk
                .after(&state, (stage.member, stage.from), stage.to);
            trail = Some(Rc::new(Link {
                step: self.step(&stage),
                before: trail,
            }));
        }
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
            if still && self.within(&without, find::STATES_BEFORE_PAIRS).is_some() {
                set = without;
            }
        }
        set
    }

    /// The cheapest path that there is with these changes made; nothing either if they cannot all be made, because rules
    /// then contradict each other.
    fn within(&self, set: &[ChangeId], states_max: usize) -> Option<Vec<Move>> {
        let made = self.needs.made(self.request, set)?;
        let request = Request {
            matrix: &made.matrix,
            reported: &made.reported,
            published: &made.published,
            ..*self.request
        };
        // The same versions as here, so that places stand for the same ones.
        let space = Space::new(&request, &named(self.request)).ok()?;
        find::way_within(&space, states_max).ok()
    }
}
