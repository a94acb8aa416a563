//! Half-open intervals, found by what is in them.

/// Intervals with something each. Finding those that hold a point takes O(log n + what is found).
///
/// A balanced search tree by lower end, laid out in one vector: the middle of each part is its root, and `last` says for
/// each root which item of the part reaches furthest.
#[derive(Debug)]
pub(crate) struct Intervals<P, T> {
    items: Vec<(P, P, T)>,
    last: Vec<usize>,
}

impl<P, T> Default for Intervals<P, T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            last: Vec::new(),
        }
    }
}

impl<P: Ord, T: Ord> Intervals<P, T> {
    /// Sorts the items: lower end, upper end, what goes with them.
    pub(crate) fn new(mut items: Vec<(P, P, T)>) -> Self {
        items.sort_unstable();
        let mut last = vec![0; items.len()];
        settle(&items, &mut last, 0);
        Self { items, last }
    }

    /// Calls `found` with each item whose interval holds `point`.
    pub(crate) fn at(&self, point: &P, found: &mut impl FnMut(&T)) {
        self.search(0, self.items.len(), point, found);
    }

    fn search(&self, from: usize, to: usize, point: &P, found: &mut impl FnMut(&T)) {
        let middle = from.midpoint(to);
        let (Some((lo, hi, item)), Some(last)) = (self.items.get(middle), self.last.get(middle))
        else {
            return;
        };
        if from >= to || self.items.get(*last).is_none_or(|(_, hi, _)| hi <= point) {
            return;
        }
        self.search(from, middle, point, found);
        if lo <= point {
            if point < hi {
                found(item);
            }
            self.search(middle + 1, to, point, found);
        }
    }
}

/// Fills in `last` for a part of the items that begins at `start`, and says which of it reaches furthest.
fn settle<P: Ord, T>(items: &[(P, P, T)], last: &mut [usize], start: usize) -> Option<usize> {
    let middle = items.len() / 2;
    let (left, rest) = items.split_at(middle);
    let (_, right) = rest.split_first()?;
    let (last_left, last_rest) = last.split_at_mut(middle);
    let (last_root, last_right) = last_rest.split_first_mut()?;
    let reach = |place: usize| {
        let within = place - start;
        items.get(within).map(|(_, hi, _)| hi)
    };
    let sides = [
        settle(left, last_left, start),
        settle(right, last_right, start + middle + 1),
    ];
    let furthest = sides
        .into_iter()
        .flatten()
        .fold(start + middle, |best, place| {
            if reach(place) > reach(best) {
                place
            } else {
                best
            }
        });
    *last_root = furthest;
    Some(furthest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_point_finds_the_intervals_that_hold_it(
            ends in prop::collection::vec((0_u8..40, 0_u8..40), 0..60),
            point in 0_u8..40,
        ) {
            let items: Vec<_> = ends.iter().enumerate().map(|(n, (lo, hi))| (*lo, *hi, n)).collect();
            let mut found = Vec::new();
            Intervals::new(items).at(&point, &mut |n| found.push(*n));
            found.sort_unstable();
            let expected: Vec<_> = (0..ends.len())
                .filter(|n| (ends[*n].0..ends[*n].1).contains(&point))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
