//! A set of small numbers.

/// A set of numbers below a bound, one bit each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// The empty set.
    pub(crate) const NONE: &'static Self = &Self { words: Vec::new() };

    /// The empty set, with room for numbers below `bound`.
    pub(crate) fn with_room(bound: usize) -> Self {
        Self {
            words: vec![0; bound.div_ceil(64)],
        }
    }

    /// The bound of the numbers that there is room for, rounded up.
    pub(crate) fn room(&self) -> usize {
        self.words.len() * 64
    }

    /// Whether `number` is in it.
    #[must_use]
    pub fn contains(&self, number: usize) -> bool {
        let word = self.words.get(number / 64);
        word.is_some_and(|word| (word >> (number % 64)) & 1 == 1)
    }

    /// How many are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        let ones = self.words.iter().map(|word| word.count_ones() as usize);
        ones.sum()
    }

    /// Whether none is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The numbers in it, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(place, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(place * 64 + bit)
            })
        })
    }

    /// Puts in a number that there is room for.
    pub(crate) fn insert(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Puts in all numbers from `lo` up to and without `hi` that there is room for.
    pub(crate) fn insert_all(&mut self, lo: usize, hi: usize) {
        self.each_word(lo, hi, |word, mask| *word |= mask);
    }

    /// Takes out all numbers from `lo` up to and without `hi`.
    pub(crate) fn remove_all(&mut self, lo: usize, hi: usize) {
        self.each_word(lo, hi, |word, mask| *word &= !mask);
    }

    /// Calls `change` with each word that has a number of these, and the bits that are theirs.
    fn each_word(&mut self, lo: usize, hi: usize, change: impl Fn(&mut u64, u64)) {
        let (first, end) = (lo / 64, hi.div_ceil(64));
        let words = self.words.iter_mut().enumerate();
        for (place, word) in words.take(end).skip(first) {
            let before = lo.saturating_sub(place * 64);
            let until = (hi - place * 64).min(64);
            if before < until {
                change(word, (u64::MAX << before) & (u64::MAX >> (64 - until)));
            }
        }
    }

    /// Puts in what is in both `a` and `b`.
    pub(crate) fn insert_common(&mut self, a: &Self, b: &Self) {
        for ((word, a), b) in self.words.iter_mut().zip(&a.words).zip(&b.words) {
            *word |= a & b;
        }
    }

    /// Puts in what is in `other`.
    pub(crate) fn insert_from(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Takes out what is not in `other`.
    pub(crate) fn keep_common(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// What is in it, under other numbers: `number` of each.
    pub(crate) fn renumbered(&self, numbers: &[usize]) -> Self {
        let mut renumbered = Self::with_room(self.room());
        for number in self.iter().filter_map(|number| numbers.get(number)) {
            renumbered.insert(*number);
        }
        renumbered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_numbers_is_put_in_across_words() {
        for (lo, hi) in [
            (0, 0),
            (0, 1),
            (5, 5),
            (63, 65),
            (0, 64),
            (64, 128),
            (3, 190),
            (130, 999),
        ] {
            let mut bits = Bits::with_room(192);
            bits.insert_all(lo, hi);
            let expected: Vec<_> = (lo..hi.min(192)).collect();
            assert_eq!(bits.iter().collect::<Vec<_>>(), expected);
            assert_eq!(bits.len(), expected.len());
            assert_eq!(bits.is_empty(), expected.is_empty());
            assert!(expected.iter().all(|n| bits.contains(*n)));
            bits.insert_all(0, 192);
            bits.remove_all(lo, hi);
            assert!((0..192).all(|n| bits.contains(n) != expected.contains(&n)));
        }
    }
}
