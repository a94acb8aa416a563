//! The rules, laid out so that those that speak of two versions are found without looking at the others.

use std::collections::BTreeMap;

use semver::Version;

use crate::intervals::Intervals;
use crate::reach::{Point, Reach, plain};
use crate::{Blocked, Rule, Scope, Versions};

/// How many sides of a rule may be exact; a rule with more of them is the more specific.
pub(crate) const EXACT_SIDES: [usize; 3] = [2, 1, 0];

/// What the two sides of a rule or of a blocked hop match.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) from: Reach,
    pub(crate) to: Reach,
}

impl Sides {
    pub(crate) fn of(from: &Versions, to: &Versions) -> Self {
        Self {
            from: Reach::of(from),
            to: Reach::of(to),
        }
    }
}

/// How many of a rule's sides are exact.
pub(crate) fn exact_sides(from: &Versions, to: &Versions) -> usize {
    usize::from(from.exact().is_some()) + usize::from(to.exact().is_some())
}

/// The rules of one scope.
#[derive(Debug, Default)]
struct Group {
    both: BTreeMap<(Version, Version), Vec<usize>>,
    from_exact: BTreeMap<Version, Vec<usize>>,
    to_exact: BTreeMap<Version, Vec<usize>>,
    ranges: Intervals<Point, usize>,
}

/// All rules by scope, and what each of their sides matches.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    sides: Vec<Sides>,
    groups: BTreeMap<Scope, Group>,
}

impl Lookup {
    /// `sides` are the rules' own, in their order.
    pub(crate) fn new(rules: &[Rule], sides: Vec<Sides>) -> Self {
        let mut groups = BTreeMap::<Scope, Group>::new();
        let mut ranges = BTreeMap::<Scope, Vec<(Point, Point, usize)>>::new();
        for (number, (rule, sides)) in rules.iter().zip(&sides).enumerate() {
            let group = groups.entry(rule.scope.clone()).or_default();
            match (rule.from.exact(), rule.to.exact()) {
                (Some(from), Some(to)) => group
                    .both
                    .entry((plain(from), plain(to)))
                    .or_default()
                    .push(number),
                (Some(from), None) => group
                    .from_exact
                    .entry(plain(from))
                    .or_default()
                    .push(number),
                (None, Some(to)) => group.to_exact.entry(plain(to)).or_default().push(number),
                (None, None) => ranges.entry(rule.scope.clone()).or_default().extend(
                    sides
                        .from
                        .intervals()
                        .iter()
                        .map(|(lo, hi)| (lo.clone(), hi.clone(), number)),
                ),
            }
        }
        for (scope, items) in ranges {
            groups.entry(scope).or_default().ranges = Intervals::new(items);
        }
        Self { sides, groups }
    }

    /// Whether any rule has this scope.
    pub(crate) fn has(&self, scope: &Scope) -> bool {
        self.groups.contains_key(scope)
    }

    /// What the rules' sides match, in the order of the rules.
    pub(crate) fn sides(&self) -> &[Sides] {
        &self.sides
    }

    /// The first rule of this scope with so many exact sides whose `from` matches the one version and whose `to` matches
    /// the other.
    pub(crate) fn first(
        &self,
        scope: &Scope,
        exact_sides: usize,
        from: &Sought,
        to: &Sought,
    ) -> Option<usize> {
        let mut first = None;
        self.each(scope, exact_sides, (from, to), &mut |rule, speaks_of_it| {
            if first.is_none_or(|first| rule < first) && speaks_of_it() {
                first = Some(rule);
            }
        });
        first
    }

    /// All such rules, in no order.
    pub(crate) fn all(
        &self,
        scope: &Scope,
        exact_sides: usize,
        from: &Sought,
        to: &Sought,
    ) -> Vec<usize> {
        let mut all = Vec::new();
        self.each(scope, exact_sides, (from, to), &mut |rule, speaks_of_it| {
            if speaks_of_it() {
                all.push(rule);
            }
        });
        all
    }

    /// Tells of each rule that may be one of those, and how to find out whether it is.
    fn each(
        &self,
        scope: &Scope,
        exact_sides: usize,
        (from, to): (&Sought, &Sought),
        tell: &mut dyn FnMut(usize, &dyn Fn() -> bool),
    ) {
        let Some(group) = self.groups.get(scope) else {
            return;
        };
        let from_matches = |rule: &usize| {
            let sides = self.sides.get(*rule);
            sides.is_some_and(|sides| sides.from.contains(&from.point))
        };
        let to_matches = |rule: &usize| {
            let sides = self.sides.get(*rule);
            sides.is_some_and(|sides| sides.to.contains(&to.point))
        };
        match exact_sides {
            2 => {
                let key = (from.plain.clone(), to.plain.clone());
                for rule in group.both.get(&key).into_iter().flatten() {
                    tell(*rule, &|| true);
                }
            }
            1 => {
                for rule in group.from_exact.get(&from.plain).into_iter().flatten() {
                    tell(*rule, &|| to_matches(rule));
                }
                for rule in group.to_exact.get(&to.plain).into_iter().flatten() {
                    tell(*rule, &|| from_matches(rule));
                }
            }
            _ => group
                .ranges
                .at(&from.point, &mut |rule| tell(*rule, &|| to_matches(rule))),
        }
    }
}

/// A version that is looked for.
#[derive(Debug)]
pub(crate) struct Sought {
    plain: Version,
    point: Point,
}

impl Sought {
    pub(crate) fn new(version: &Version) -> Self {
        Self {
            plain: plain(version),
            point: Point::of(version),
        }
    }
}

/// The blocked hops, found by where they start.
#[derive(Debug, Default)]
pub(crate) struct BlockedLookup {
    sides: Vec<Sides>,
    by_from: Intervals<Point, usize>,
}

impl BlockedLookup {
    /// `sides` are the blocked hops' own, in their order.
    pub(crate) fn new(sides: Vec<Sides>) -> Self {
        let items = sides.iter().enumerate().flat_map(|(number, sides)| {
            let intervals = sides.from.intervals().iter();
            intervals.map(move |(lo, hi)| (lo.clone(), hi.clone(), number))
        });
        Self {
            by_from: Intervals::new(items.collect()),
            sides,
        }
    }

    /// What the hops' sides match, in the order of the hops.
    pub(crate) fn sides(&self) -> &[Sides] {
        &self.sides
    }

    /// The first blocked hop that `applies` and leads from the one version to the other.
    pub(crate) fn first(
        &self,
        blocked: &[Blocked],
        from: &Sought,
        to: &Sought,
        applies: impl Fn(&Blocked) -> bool,
    ) -> Option<usize> {
        let mut first: Option<usize> = None;
        self.by_from.at(&from.point, &mut |number| {
            let leads_there = || {
                let sides = self.sides.get(*number);
                sides.is_some_and(|sides| sides.to.contains(&to.point))
            };
            if first.is_none_or(|first| *number < first)
                && blocked.get(*number).is_some_and(&applies)
                && leads_there()
            {
                first = Some(*number);
            }
        });
        first
    }
}
