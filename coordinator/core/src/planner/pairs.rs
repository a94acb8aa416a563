//! What two components cost each other, were there nobody else.
//!
//! For every two components of a group that can get in each other's way, all combinations of their versions are worked
//! through once, from the targets back: from which of them both targets can be come to at all, and how many stages of the
//! one that ought to wait are needed at least before the one that ought to be first is there. With more components it
//! only gets harder, so both hold for the search among all: it drops what is lost, and knows what is out of order at least
//! long before it has to be.

use super::space::{Mover, Place, Space};

/// The most combinations of versions that are worked through for two components: 500 versions of each. More would take
/// longer than what it saves.
const COMBINATIONS_MAX: usize = 250_000;

/// A combination from which there is no way.
const LOST: u16 = u16::MAX;

/// Two members of a group, by their places in it.
#[derive(Debug)]
pub(super) struct Pair {
    /// The one that ought to be first, if either.
    pub(super) first: usize,
    /// The other, whose stages are counted.
    pub(super) then: usize,
    /// By version of the one and of the other, those that are of no use left out.
    least: Vec<u16>,
    first_rows: Vec<Option<usize>>,
    then_columns: Vec<Option<usize>>,
    columns: usize,
}

impl Pair {
    /// How many stages of the second are out of order at least; nothing if there is no way.
    pub(super) fn least(&self, first: Place, then: Place) -> Option<u64> {
        let row = self.first_rows[usize::from(first)]?;
        let column = self.then_columns[usize::from(then)]?;
        let least = self.least[row * self.columns + column];
        (least != LOST).then_some(u64::from(least))
    }
}

/// The pairs of a group that can get in each other's way.
pub(super) fn pairs(space: &Space<'_>, group: &[usize]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (at, one) in group.iter().enumerate() {
        for (later, other) in group.iter().enumerate().skip(at + 1) {
            if !space.movers[*one].beside.contains(other) {
                continue;
            }
            let turned = space.movers[*one].after.contains(other);
            let (first, then) = if turned { (later, at) } else { (at, later) };
            pairs.extend(pair(space, group, first, then));
        }
    }
    pairs
}

/// The versions from which a mover comes to its target, the target first and none before those that it leads to.
fn useful(mover: &Mover<'_>) -> Vec<Place> {
    let target = usize::from(mover.target);
    let order = std::iter::once(target).chain((0..target).rev());
    let order = order.chain(target + 1..mover.versions.len());
    let useful = order.filter(|place| mover.reached[*place] && mover.ahead[*place].is_some());
    useful.map(|place| place as Place).collect()
}

/// Where each version is among the useful ones.
fn numbers(mover: &Mover<'_>, useful: &[Place]) -> Vec<Option<usize>> {
    let mut numbers = vec![None; mover.versions.len()];
    for (number, place) in useful.iter().enumerate() {
        numbers[usize::from(*place)] = Some(number);
    }
    numbers
}

/// The useful hops from each useful version, by their numbers.
fn hops(mover: &Mover<'_>, useful: &[Place], numbers: &[Option<usize>]) -> Vec<Vec<usize>> {
    let from = |place: &Place| {
        let hops = mover.hops[usize::from(*place)].iter();
        hops.filter_map(|hop| numbers[usize::from(hop.to)])
            .collect()
    };
    useful.iter().map(from).collect()
}

/// Works through two members; nothing where they never get in each other's way, or there is too much to work through.
fn pair(space: &Space<'_>, group: &[usize], first: usize, then: usize) -> Option<Pair> {
    let (one, other) = (&space.movers[group[first]], &space.movers[group[then]]);
    let (rows, columns) = (useful(one), useful(other));
    if rows.len() * columns.len() > COMBINATIONS_MAX {
        return None;
    }
    let mut beside = Vec::with_capacity(rows.len() * columns.len());
    for row in &rows {
        let rank = one.ranks[usize::from(*row)];
        let allowed = space.index.beside(one.number, rank, other.number);
        let ranks = columns
            .iter()
            .map(|column| other.ranks[usize::from(*column)]);
        beside.extend(ranks.map(|rank| allowed.contains(rank)));
    }
    if beside.iter().all(|beside| *beside) {
        return None;
    }
    let counts = other.after.contains(&group[first]);
    let (first_rows, then_columns) = (numbers(one, &rows), numbers(other, &columns));
    let first_hops = hops(one, &rows, &first_rows);
    let then_hops = hops(other, &columns, &then_columns);
    let width = columns.len();
    let mut least = vec![LOST; beside.len()];
    least[0] = if beside[0] { 0 } else { LOST };
    for row in 0..rows.len() {
        // The target is the first row, so whoever waits for it waits in all others.
        let each = u16::from(counts && row > 0);
        for column in 0..width {
            let at = row * width + column;
            if !beside[at] || at == 0 {
                continue;
            }
            let by_first = first_hops[row].iter().map(|to| least[to * width + column]);
            let by_then = then_hops[column].iter();
            let by_then = by_then.map(|to| least[row * width + to].saturating_add(each));
            least[at] = by_first.chain(by_then).min().unwrap_or(LOST);
        }
    }
    Some(Pair {
        first,
        then,
        least,
        first_rows,
        then_columns,
        columns: width,
    })
}
