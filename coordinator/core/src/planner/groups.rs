//! Which components have to be planned together.
//!
//! Components whose versions get on in any combination that can come up, and of which neither is declared to follow the
//! other, cannot get in each other's way. They are planned apart, and the search stays small where a fleet has many.
//! What follows another across groups is planned after it, so that nothing more is out of order than within the groups.

use super::space::{Mover, Place, Space};

/// Movers that are planned together, by number: those that others follow first, and by name where that leaves a choice.
pub(super) type Group = Vec<usize>;

/// The groups, in the order they are to be moved. `within` says which versions of a mover can come up at all.
pub(super) fn groups(space: &Space<'_>, within: impl Fn(&Mover<'_>, Place) -> bool) -> Vec<Group> {
    let movers = &space.movers;
    let places: Vec<Vec<Place>> = movers
        .iter()
        .map(|mover| {
            let all = (0..mover.versions.len()).map(|place| place as Place);
            all.filter(|place| within(mover, *place)).collect()
        })
        .collect();
    // reaches[a][b]: a has to be planned before b, or together with it.
    let mut reaches = vec![vec![false; movers.len()]; movers.len()];
    for (number, mover) in movers.iter().enumerate() {
        reaches[number][number] = true;
        for before in &mover.after {
            reaches[*before][number] = true;
        }
        for other in mover.beside.iter().filter(|other| **other > number) {
            if at_odds(space, (number, &places[number]), (*other, &places[*other])) {
                reaches[number][*other] = true;
                reaches[*other][number] = true;
            }
        }
    }
    for through in 0..movers.len() {
        let beyond = reaches[through].clone();
        for from in reaches.iter_mut().filter(|from| from[through]) {
            for (to, beyond) in from.iter_mut().zip(&beyond) {
                *to |= beyond;
            }
        }
    }
    let mut groups = ordered(&reaches);
    for group in &mut groups {
        // Whoever follows another follows all that this one does, too.
        group.sort_by_key(|number| (movers[*number].after.len(), *number));
    }
    groups
}

/// Whether there is a version of the one that may not run beside one of the other.
fn at_odds(space: &Space<'_>, a: (usize, &[Place]), b: (usize, &[Place])) -> bool {
    let ((a, a_places), (b, b_places)) = (a, b);
    let (a, b) = (&space.movers[a], &space.movers[b]);
    a_places.iter().any(|place| {
        let rank = a.ranks[usize::from(*place)];
        let allowed = space.index.beside(a.number, rank, b.number);
        let mut others = b_places.iter();
        others.any(|other| !allowed.contains(b.ranks[usize::from(*other)]))
    })
}

/// The sets that reach each other, those that others follow first, and by name where that leaves a choice.
fn ordered(reaches: &[Vec<bool>]) -> Vec<Group> {
    let mut placed = vec![false; reaches.len()];
    let mut groups = Vec::new();
    loop {
        let next = (0..reaches.len())
            .filter(|number| !placed[*number])
            .find(|number| {
                let mut before = (0..reaches.len()).filter(|b| reaches[*b][*number]);
                before.all(|before| placed[before] || reaches[*number][before])
            });
        let Some(next) = next else {
            return groups;
        };
        let group: Group = (0..reaches.len())
            .filter(|other| reaches[next][*other] && reaches[*other][next])
            .collect();
        for member in &group {
            placed[*member] = true;
        }
        groups.push(group);
    }
}
