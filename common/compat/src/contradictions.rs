//! Rules of equal weight that state different things of the same versions.
//!
//! Every rule is a few rectangles: the versions its `from` matches by those its `to` matches. Two rules contradict each
//! other if rectangles of theirs overlap and their levels differ. All overlaps of n rectangles can be n², so none is looked
//! for by comparing two: a line is swept over the `from` axis, and as a rectangle begins, counts tell in O(log n) whether
//! any that is under the line, of another level, shares a `to` version with it.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;

use crate::lookup::{Sides, exact_sides};
use crate::reach::{Point, Reach};
use crate::{Level, Rule, Scope};

/// Two rules that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Contradiction {
    /// The later rule.
    pub(crate) rule: usize,
    /// The earlier rule.
    pub(crate) other: usize,
    /// Of whom both speak, and two versions of which, in this direction, they say different things.
    pub(crate) example: (Scope, Version, Version),
}

/// Finds up to `count_max` contradictions; at least one if there are any. `sides` are the rules' own, in their order.
pub(crate) fn find(rules: &[Rule], sides: &[Sides], count_max: usize) -> Vec<Contradiction> {
    let mut planes = BTreeMap::<(Scope, usize), Vec<Rectangle<'_>>>::new();
    for (number, (rule, sides)) in rules.iter().zip(sides).enumerate() {
        let weight = exact_sides(&rule.from, &rule.to);
        let mut lay = |scope: Scope, from, to| {
            let plane = planes.entry((scope, weight)).or_default();
            plane.extend(rectangles(number, rule.level, from, to));
        };
        lay(rule.scope.clone(), &sides.from, &sides.to);
        if rule.level.is_symmetric() {
            lay(rule.scope.turned(), &sides.to, &sides.from);
        }
    }
    let mut found = BTreeMap::new();
    for ((scope, _), rectangles) in planes {
        for (a, b) in Sweep::new(&rectangles).run(count_max) {
            let from = a.from.0.max(b.from.0).version();
            let to = a.to.0.max(b.to.0).version();
            if let (Some(from), Some(to)) = (from, to) {
                let both = (a.rule.max(b.rule), a.rule.min(b.rule));
                found.entry(both).or_insert((scope.clone(), from, to));
            }
        }
    }
    let all = found
        .into_iter()
        .map(|((rule, other), example)| Contradiction {
            rule,
            other,
            example,
        });
    all.take(count_max).collect()
}

/// Versions by versions that a rule states something of.
#[derive(Debug, Clone, Copy)]
struct Rectangle<'r> {
    rule: usize,
    level: Level,
    from: (&'r Point, &'r Point),
    to: (&'r Point, &'r Point),
}

/// Each interval of the one side by each of the other.
fn rectangles<'r>(
    rule: usize,
    level: Level,
    from: &'r Reach,
    to: &'r Reach,
) -> impl Iterator<Item = Rectangle<'r>> {
    from.intervals().iter().flat_map(move |from| {
        to.intervals().iter().map(move |to| Rectangle {
            rule,
            level,
            from: (&from.0, &from.1),
            to: (&to.0, &to.1),
        })
    })
}

/// A line that moves over the `from` axis.
struct Sweep<'a, 'r> {
    rectangles: &'a [Rectangle<'r>],
    /// The ends of all `to` sides, in order.
    ends: Vec<&'r Point>,
    /// By level, what is under the line.
    under: [Under; Level::ALL.len()],
    /// Which rectangles these are.
    is_under: Vec<bool>,
}

/// The `to` sides of the rectangles of one level that are under the line.
struct Under {
    count: usize,
    begins: Tally,
    ends: Tally,
}

impl<'a, 'r> Sweep<'a, 'r> {
    fn new(rectangles: &'a [Rectangle<'r>]) -> Self {
        let sides = rectangles.iter().flat_map(|r| [r.to.0, r.to.1]);
        let ends: Vec<_> = sides.collect::<BTreeSet<_>>().into_iter().collect();
        let under = Level::ALL.map(|_| Under {
            count: 0,
            begins: Tally::with_room(ends.len()),
            ends: Tally::with_room(ends.len()),
        });
        Self {
            rectangles,
            ends,
            under,
            is_under: vec![false; rectangles.len()],
        }
    }

    /// Pairs that overlap and differ, up to `count_max`.
    fn run(mut self, count_max: usize) -> Vec<(Rectangle<'r>, Rectangle<'r>)> {
        let mut turns: Vec<(&Point, bool, usize)> = Vec::with_capacity(2 * self.rectangles.len());
        for (place, rectangle) in self.rectangles.iter().enumerate() {
            turns.push((rectangle.from.0, true, place));
            turns.push((rectangle.from.1, false, place));
        }
        // Where one ends and another begins they do not overlap: ends come first.
        turns.sort_unstable();
        let mut found = Vec::new();
        for (_, begins, place) in turns {
            let Some(rectangle) = self.rectangles.get(place) else {
                continue;
            };
            if begins {
                let others = Level::ALL.into_iter().filter(|l| *l != rectangle.level);
                let others: Vec<_> = others.filter_map(|l| self.partner(rectangle, l)).collect();
                found.extend(others.into_iter().map(|other| (*rectangle, other)));
                if found.len() >= count_max {
                    break;
                }
            }
            self.put(place, rectangle, begins);
        }
        found
    }

    /// A rectangle of that level under the line that shares a `to` version with this one.
    fn partner(&self, rectangle: &Rectangle<'r>, level: Level) -> Option<Rectangle<'r>> {
        let (lo, hi) = (self.place(rectangle.to.0), self.place(rectangle.to.1));
        let under = self.under.get(level as usize)?;
        // Those that end before this one begins, and those that begin when it has ended, share none with it.
        let apart = under.ends.up_to(lo) + under.count - under.begins.below(hi);
        if under.count == apart {
            return None;
        }
        let all = self.rectangles.iter().zip(&self.is_under);
        all.filter(|(_, is_under)| **is_under)
            .map(|(other, _)| other)
            .find(|o| o.level == level && o.to.0 < rectangle.to.1 && rectangle.to.0 < o.to.1)
            .copied()
    }

    fn put(&mut self, place: usize, rectangle: &Rectangle<'r>, begins: bool) {
        let (lo, hi) = (self.place(rectangle.to.0), self.place(rectangle.to.1));
        if let Some(under) = self.under.get_mut(rectangle.level as usize) {
            let by = if begins { 1 } else { -1 };
            under.count = under.count.saturating_add_signed(by);
            under.begins.add(lo, by);
            under.ends.add(hi, by);
        }
        if let Some(is_under) = self.is_under.get_mut(place) {
            *is_under = begins;
        }
    }

    fn place(&self, end: &Point) -> usize {
        self.ends.partition_point(|other| *other < end)
    }
}

/// How many there are at each of a row of places; any prefix is counted in O(log n) (a Fenwick tree).
struct Tally {
    sums: Vec<usize>,
}

impl Tally {
    fn with_room(places: usize) -> Self {
        Self {
            sums: vec![0; places + 1],
        }
    }

    fn add(&mut self, place: usize, by: isize) {
        let mut at = place + 1;
        while let Some(sum) = self.sums.get_mut(at) {
            *sum = sum.saturating_add_signed(by);
            at += at & at.wrapping_neg();
        }
    }

    /// How many there are at the places before this one.
    fn below(&self, place: usize) -> usize {
        let mut at = place;
        let mut sum = 0;
        while at > 0 {
            sum += self.sums.get(at).copied().unwrap_or(0);
            at &= at - 1;
        }
        sum
    }

    /// How many there are at this place and before it.
    fn up_to(&self, place: usize) -> usize {
        self.below(place + 1)
    }
}
