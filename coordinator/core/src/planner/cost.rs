//! What a path costs: compared part by part, the first difference decides.

use std::ops::Add;

/// The cost of a path, of a stage, or of what is still ahead. The order of the fields is the order of their weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cost {
    /// Stages of a component while one that it is declared to follow is not wholly at its target.
    pub out_of_order: u64,
    /// Restarts: instances moved, counted once for each stage.
    pub restarts: u64,
    /// Those of them that are rebuilds: drained, swapped, rejoined empty.
    pub rebuilds: u64,
    /// How hard it is to go back once all is final: for each instance moved 0 where that is in place, 1 by rebuild,
    /// 2 not at all.
    pub irreversibility: u64,
    /// Stages.
    pub stages: u64,
}

impl Add for Cost {
    type Output = Self;

    /// Part by part. A part that is too large to be told stays at the largest number.
    fn add(self, other: Self) -> Self {
        Self {
            out_of_order: self.out_of_order.saturating_add(other.out_of_order),
            restarts: self.restarts.saturating_add(other.restarts),
            rebuilds: self.rebuilds.saturating_add(other.rebuilds),
            irreversibility: self.irreversibility.saturating_add(other.irreversibility),
            stages: self.stages.saturating_add(other.stages),
        }
    }
}
