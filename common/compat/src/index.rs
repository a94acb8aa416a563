//! Answers to many questions about a known set of versions.
//!
//! [`Matrix::hop`] and [`Matrix::beside`] look at the rules for every question. A planner has hundreds of thousands of
//! them about the few hundred versions that exist, and no use for the rule behind each answer. An [`Index`] numbers these
//! versions and answers for a whole row of them at a time, when a row is first asked for. Which rule is behind an answer
//! is the plain question's to say; the two always agree.
//!
//! A row costs O(log rules + the rules that speak of its version + versions / 64).

mod bits;
mod rows;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::reach::{Point, plain};
use crate::relation::Verdict;
use crate::{Matrix, Scope, Way};

pub use bits::Bits;

use rows::{Rows, Stated};

/// What is worked out when it is first asked for.
type Cells<T> = Vec<OnceCell<T>>;

fn cells<T>(count: usize) -> Cells<T> {
    (0..count).map(|_| OnceCell::new()).collect()
}

/// The two ways of numbering the versions.
#[derive(Debug)]
struct Axis {
    /// By number, the place.
    places: Vec<usize>,
    /// By place, the number.
    numbers: Vec<usize>,
}

/// The versions that exist, and what a matrix says of each with each.
///
/// Components and versions are numbers in here: a component's is its place in [`Self::components`], a version's its place
/// in [`Self::versions`], so that versions compare as their numbers do, across components. A number that stands for
/// nothing is beside nothing and hops nowhere.
#[derive(Debug)]
pub struct Index<'m> {
    matrix: &'m Matrix,
    components: Vec<ComponentName>,
    versions: Vec<Version>,
    of: Vec<Bits>,
    rows: Rows,
    /// The versions' places on the axis of the rows, and the other way round; none if these are the same.
    axis: Option<Axis>,
    /// What the rules for all components state, by version.
    for_all: Cells<Box<Stated>>,
    /// By component, other component and version.
    beside: Vec<Cells<Cells<Bits>>>,
    /// By component and version.
    hops: Cells<Cells<Vec<(usize, Way)>>>,
}

impl<'m> Index<'m> {
    /// An index over the versions that each component has: those that run, those that are published, those that are
    /// thought of. The rows are worked out when they are asked for.
    #[must_use]
    pub fn new(matrix: &'m Matrix, universe: &BTreeMap<ComponentName, BTreeSet<Version>>) -> Self {
        let all = universe.values().flatten().map(plain);
        let versions: Vec<_> = all.collect::<BTreeSet<_>>().into_iter().collect();
        let components: Vec<_> = universe.keys().cloned().collect();
        let (points, axis) = axis(&versions);
        let mut index = Self {
            rows: Rows::new(matrix, &points),
            axis,
            for_all: cells(versions.len()),
            beside: components.iter().map(|_| cells(components.len())).collect(),
            hops: cells(components.len()),
            of: Vec::with_capacity(components.len()),
            matrix,
            components,
            versions,
        };
        for own in universe.values() {
            let mut of = Bits::with_room(index.versions.len());
            for version in own {
                if let Some(number) = index.version(version) {
                    of.insert(number);
                }
            }
            index.of.push(of);
        }
        index
    }

    /// The matrix it speaks for.
    #[must_use]
    pub fn matrix(&self) -> &'m Matrix {
        self.matrix
    }

    /// The components, by name.
    #[must_use]
    pub fn components(&self) -> &[ComponentName] {
        &self.components
    }

    /// The number of a component.
    #[must_use]
    pub fn component(&self, name: &ComponentName) -> Option<usize> {
        self.components.binary_search(name).ok()
    }

    /// All versions of all components, by precedence, without build metadata. Of versions that differ in that alone there
    /// is one.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The number of a version; the same for versions that differ in build metadata alone.
    #[must_use]
    pub fn version(&self, version: &Version) -> Option<usize> {
        self.versions
            .binary_search_by(|other| other.cmp_precedence(version))
            .ok()
    }

    /// The versions that a component has.
    #[must_use]
    pub fn of(&self, component: usize) -> &Bits {
        self.of.get(component).unwrap_or(Bits::NONE)
    }

    /// The versions that may run, as versions of `other`, beside `version` of `component`. All versions of the index
    /// are looked at, whether `other` has them or not.
    #[must_use]
    pub fn beside(&self, component: usize, version: usize, other: usize) -> &Bits {
        let rows = self.beside.get(component).and_then(|rows| rows.get(other));
        let rows = rows.map(|rows| rows.get_or_init(|| cells(self.versions.len())));
        let (Some(row), Some(name), Some(other)) = (
            rows.and_then(|rows| rows.get(version)),
            self.components.get(component),
            self.components.get(other),
        ) else {
            return Bits::NONE;
        };
        row.get_or_init(|| self.beside_row(name, version, other))
    }

    /// The other versions of `component` that an instance at `from` may be brought to, and how: by number, rising, so
    /// that downgrades come first. Blocked hops are not among them.
    #[must_use]
    pub fn hops(&self, component: usize, from: usize) -> &[(usize, Way)] {
        let rows = self.hops.get(component);
        let rows = rows.map(|rows| rows.get_or_init(|| cells(self.versions.len())));
        let (Some(row), Some(name)) = (
            rows.and_then(|rows| rows.get(from)),
            self.components.get(component),
        ) else {
            return &[];
        };
        row.get_or_init(|| self.hops_row(name, from, self.of(component)))
    }

    fn beside_row(&self, component: &ComponentName, version: usize, other: &ComponentName) -> Bits {
        let place = self.place(version);
        let row = self.stated(component, other, place).beside(place);
        match &self.axis {
            Some(axis) => row.renumbered(&axis.numbers),
            None => row,
        }
    }

    fn hops_row(&self, component: &ComponentName, from: usize, own: &Bits) -> Vec<(usize, Way)> {
        let place = self.place(from);
        let stated = self.stated(component, component, place);
        let (blocked, blocked_back) = self.rows.blocked(self.matrix, component, place);
        let hop = |to: usize| {
            let number = self.number(to);
            if number == from || !own.contains(number) || blocked.contains(to) {
                return None;
            }
            match stated.with(to).hop() {
                Verdict::Go(way) if blocked_back.contains(to) => {
                    Some((number, way.without_way_back()))
                }
                Verdict::Go(way) => Some((number, way)),
                Verdict::Apart | Verdict::OnlyBackward => None,
            }
        };
        let mut hops: Vec<_> = stated.friendly().iter().filter_map(hop).collect();
        hops.sort_unstable_by_key(|(number, _)| *number);
        hops
    }

    /// What the rules state of the version at a place, as the one component's, and each of the other's.
    fn stated(
        &self,
        component: &ComponentName,
        other: &ComponentName,
        place: usize,
    ) -> Cow<'_, Stated> {
        let for_all = self.for_all.get(place);
        let for_all =
            for_all.map(|cell| cell.get_or_init(|| Box::new(self.rows.stated(&Scope::All, place))));
        let scope = Scope::between(component, other);
        match for_all {
            Some(for_all) if !self.rows.has(&scope) => Cow::Borrowed(for_all),
            Some(for_all) => {
                let mut stated = self.rows.stated(&scope, place);
                stated.fill(for_all);
                Cow::Owned(stated)
            }
            None => Cow::Owned(self.rows.stated(&scope, place)),
        }
    }

    fn place(&self, number: usize) -> usize {
        let place = self.axis.as_ref().and_then(|axis| axis.places.get(number));
        place.copied().unwrap_or(number)
    }

    fn number(&self, place: usize) -> usize {
        let number = self.axis.as_ref().and_then(|axis| axis.numbers.get(place));
        number.copied().unwrap_or(place)
    }
}

/// The versions' places on the axis, rising, and how they are numbered there if it is not as the versions are.
fn axis(versions: &[Version]) -> (Vec<Point>, Option<Axis>) {
    let mut by_place: Vec<_> = versions.iter().map(Point::of).zip(0..).collect();
    if by_place.is_sorted() {
        return (by_place.into_iter().map(|(point, _)| point).collect(), None);
    }
    by_place.sort_unstable();
    let (points, numbers): (Vec<_>, Vec<usize>) = by_place.into_iter().unzip();
    let mut by_number: Vec<_> = numbers.iter().copied().zip(0..).collect();
    by_number.sort_unstable();
    let places = by_number.into_iter().map(|(_, place)| place).collect();
    (points, Some(Axis { places, numbers }))
}
