//! What the rules state of one version and each other, worked out for all the others at once.
//!
//! In here a version's number is its place on the axis of [`crate::reach`], on which each side of a rule is an interval or
//! three; so what a rule states of a version is a stretch of bits.

use std::collections::BTreeMap;

use evenkeel_words::names::ComponentName;

use super::Bits;
use crate::intervals::Intervals;
use crate::lookup::{EXACT_SIDES, Sides, exact_sides};
use crate::reach::{Point, Reach};
use crate::relation::Statement;
use crate::{Level, Matrix, Scope};

/// The versions that one side of a rule matches, found by one that the other side matches.
type Found<T> = Intervals<usize, (usize, usize, T)>;

/// The rules of one scope and one number of exact sides.
#[derive(Debug, Default)]
struct Group {
    by_from: Found<Level>,
    by_to: Found<Level>,
}

/// A matrix' rules and blocked hops over the versions of an index.
#[derive(Debug)]
pub(super) struct Rows {
    groups: BTreeMap<(Scope, usize), Group>,
    blocked_by_from: Found<usize>,
    blocked_by_to: Found<usize>,
    versions: usize,
}

/// What the most specific rules of some scope state of one version, *x*, and each other: *x* to the other, and the other
/// to *x*. By level.
#[derive(Debug, Clone)]
pub(super) struct Stated {
    direct: [Bits; Level::ALL.len()],
    reversed: [Bits; Level::ALL.len()],
    /// The others of which nothing is stated.
    silent: Bits,
}

impl Rows {
    /// `points` are where the versions are, rising.
    pub(super) fn new(matrix: &Matrix, points: &[Point]) -> Self {
        let mut by_from = BTreeMap::<(Scope, usize), Vec<_>>::new();
        let mut by_to = BTreeMap::<(Scope, usize), Vec<_>>::new();
        for (rule, sides) in matrix.rules().iter().zip(matrix.sides()) {
            let key = (rule.scope.clone(), exact_sides(&rule.from, &rule.to));
            let (from, to) = stretches(points, sides);
            by_from
                .entry(key.clone())
                .or_default()
                .extend(crossed(&from, &to, rule.level));
            by_to
                .entry(key)
                .or_default()
                .extend(crossed(&to, &from, rule.level));
        }
        let mut groups = BTreeMap::<_, Group>::new();
        for (key, items) in by_from {
            groups.entry(key).or_default().by_from = Intervals::new(items);
        }
        for (key, items) in by_to {
            groups.entry(key).or_default().by_to = Intervals::new(items);
        }
        let mut blocked_by_from = Vec::new();
        let mut blocked_by_to = Vec::new();
        for (number, sides) in matrix.blocked_sides().iter().enumerate() {
            let (from, to) = stretches(points, sides);
            blocked_by_from.extend(crossed(&from, &to, number));
            blocked_by_to.extend(crossed(&to, &from, number));
        }
        Self {
            groups,
            blocked_by_from: Intervals::new(blocked_by_from),
            blocked_by_to: Intervals::new(blocked_by_to),
            versions: points.len(),
        }
    }

    /// Whether a rule has this scope, or this pair the other way round.
    pub(super) fn has(&self, scope: &Scope) -> bool {
        [scope.clone(), scope.turned()].iter().any(|scope| {
            let mut weights = EXACT_SIDES.into_iter();
            weights.any(|exact_sides| self.groups.contains_key(&(scope.clone(), exact_sides)))
        })
    }

    /// What the rules of this scope state of version `x`. Of a pair, `x` is the first's.
    pub(super) fn stated(&self, scope: &Scope, x: usize) -> Stated {
        let mut stated = Stated::silent(self.versions);
        let turned = scope.turned();
        for exact_sides in EXACT_SIDES {
            let there = self.groups.get(&(scope.clone(), exact_sides));
            let back = self.groups.get(&(turned.clone(), exact_sides));
            if there.is_none() && back.is_none() {
                continue;
            }
            let mut found = Stated::silent(self.versions);
            let sides = [
                (true, there.map(|group| &group.by_from)),
                (false, back.map(|group| &group.by_to)),
            ];
            for (direct, rules) in sides {
                let mut by_level = Level::ALL.map(|_| Vec::new());
                if let Some(rules) = rules {
                    rules.at(&x, &mut |(lo, hi, level)| {
                        at(&mut by_level, *level).push((*lo, *hi));
                    });
                }
                for (level, stretches) in Level::ALL.into_iter().zip(by_level) {
                    for (lo, hi) in merged(stretches, self.versions) {
                        found.state(level, direct, lo, hi);
                    }
                }
            }
            stated.fill(&found);
        }
        stated
    }

    /// The versions that no hop may lead to from `x`, and those from which none may lead to `x`.
    pub(super) fn blocked(
        &self,
        matrix: &Matrix,
        component: &ComponentName,
        x: usize,
    ) -> (Bits, Bits) {
        let row = |hops: &Found<usize>| {
            let mut row = Bits::with_room(self.versions);
            hops.at(&x, &mut |(lo, hi, number)| {
                let hop = matrix.blocked().get(*number);
                if hop.is_some_and(|hop| hop.applies_to(component)) {
                    row.insert_all(*lo, *hi);
                }
            });
            row
        };
        (row(&self.blocked_by_from), row(&self.blocked_by_to))
    }
}

impl Stated {
    fn silent(versions: usize) -> Self {
        let mut silent = Bits::with_room(versions);
        silent.insert_all(0, versions);
        Self {
            direct: Level::ALL.map(|_| Bits::with_room(versions)),
            reversed: Level::ALL.map(|_| Bits::with_room(versions)),
            silent,
        }
    }

    /// Adds what one rule states of *x* to others, or of these to *x*.
    fn state(&mut self, level: Level, direct: bool, lo: usize, hi: usize) {
        if direct || level.is_symmetric() {
            at(&mut self.direct, level).insert_all(lo, hi);
        }
        if !direct || level.is_symmetric() {
            at(&mut self.reversed, level).insert_all(lo, hi);
        }
        self.silent.remove_all(lo, hi);
    }

    /// Takes over what `less_specific` rules state, where nothing is stated yet.
    pub(super) fn fill(&mut self, less_specific: &Self) {
        let sides = [
            (&mut self.direct, &less_specific.direct),
            (&mut self.reversed, &less_specific.reversed),
        ];
        for (side, other) in sides {
            for (bits, other) in side.iter_mut().zip(other) {
                bits.insert_common(other, &self.silent);
            }
        }
        self.silent.keep_common(&less_specific.silent);
    }

    /// The versions that may run beside *x*, which is silent about itself if no rule speaks of it.
    pub(super) fn beside(&self, x: usize) -> Bits {
        let mut beside = self.friendly();
        if self.silent.contains(x) {
            beside.insert(x);
        }
        beside
    }

    /// The versions of which something other than `none` is stated.
    pub(super) fn friendly(&self) -> Bits {
        let mut friendly = Bits::with_room(self.silent.room());
        for level in Level::ALL.into_iter().filter(|level| *level != Level::None) {
            friendly.insert_from(of(&self.direct, level));
            friendly.insert_from(of(&self.reversed, level));
        }
        friendly
    }

    /// What is stated of *x* and one other.
    pub(super) fn with(&self, y: usize) -> Statement<Level> {
        let level = |side: &[Bits; Level::ALL.len()]| {
            Level::ALL
                .into_iter()
                .find(|level| of(side, *level).contains(y))
        };
        Statement {
            direct: level(&self.direct),
            reversed: level(&self.reversed),
        }
    }
}

fn at<T>(by_level: &mut [T; Level::ALL.len()], level: Level) -> &mut T {
    let [full, backward, forward, none] = by_level;
    match level {
        Level::Full => full,
        Level::Backward => backward,
        Level::Forward => forward,
        Level::None => none,
    }
}

fn of<T>(by_level: &[T; Level::ALL.len()], level: Level) -> &T {
    let [full, backward, forward, none] = by_level;
    match level {
        Level::Full => full,
        Level::Backward => backward,
        Level::Forward => forward,
        Level::None => none,
    }
}

/// Where a version's number is from and up to.
type Stretch = (usize, usize);

/// Which of the points each side matches.
fn stretches(points: &[Point], sides: &Sides) -> (Vec<Stretch>, Vec<Stretch>) {
    let side = |reach: &Reach| {
        let place = |end: &Point| points.partition_point(|point| point < end);
        let stretches = reach
            .intervals()
            .iter()
            .map(|(lo, hi)| (place(lo), place(hi)));
        stretches.filter(|(lo, hi)| lo < hi).collect()
    };
    (side(&sides.from), side(&sides.to))
}

/// The same numbers in fewer stretches, if there are many: each stretch costs a pass over its bits, and very many cost more
/// than counting once, over all numbers, how many begin and end at each.
fn merged(stretches: Vec<Stretch>, versions: usize) -> Vec<Stretch> {
    if stretches.len() <= 2 + versions / 16 {
        return stretches;
    }
    let mut turns = vec![(0_usize, 0_usize); versions + 1];
    for (lo, hi) in stretches {
        if let Some((begin, _)) = turns.get_mut(lo) {
            *begin += 1;
        }
        if let Some((_, end)) = turns.get_mut(hi) {
            *end += 1;
        }
    }
    let mut merged = Vec::new();
    let mut under = 0;
    let mut first = 0;
    for (number, (begin, end)) in turns.into_iter().enumerate() {
        let before = under;
        under = under + begin - end;
        if before == 0 && under > 0 {
            first = number;
        }
        if before > 0 && under == 0 {
            merged.push((first, number));
        }
    }
    merged
}

/// Each stretch of the one side with each of the other.
fn crossed<T: Copy>(
    one: &[Stretch],
    other: &[Stretch],
    what: T,
) -> impl Iterator<Item = (usize, usize, (usize, usize, T))> {
    one.iter().flat_map(move |(lo, hi)| {
        other
            .iter()
            .map(move |(other_lo, other_hi)| (*lo, *hi, (*other_lo, *other_hi, what)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fewer_stretches_hold_the_same_numbers(
            ends in prop::collection::vec((0_usize..150, 1_usize..40), 0..40),
            versions in 1_usize..150,
        ) {
            let clipped = ends.iter().map(|(lo, width)| (*lo, (lo + width).min(versions)));
            let stretches: Vec<_> = clipped.filter(|(lo, hi)| lo < hi).collect();
            let hold = |stretches: &[Stretch], n| stretches.iter().any(|(lo, hi)| (*lo..*hi).contains(&n));
            let merged = merged(stretches.clone(), versions);
            prop_assert!(merged.len() <= stretches.len());
            prop_assert!((0..150).all(|n| hold(&merged, n) == hold(&stretches, n)));
        }
    }
}
