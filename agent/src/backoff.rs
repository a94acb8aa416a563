//! Waits that grow, at random, so that many who wait do not come back at once.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Exponential back-off with full jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    /// The first wait is at most `min`, and none is longer than `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, tries: 0 }
    }

    /// How long to wait this time.
    pub fn wait(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        self.tries = self.tries.saturating_add(1);
        let longest = self.min.saturating_mul(factor).min(self.max);
        longest.mul_f64(random_part())
    }

    /// It worked: the next wait is a short one again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A number from 0 up to and without 1.
#[must_use]
pub fn random_part() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness everybody waits in the middle, which is still correct.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(8));
        for longest in [1, 2, 4, 8, 8, 8] {
            assert!(backoff.wait() <= Duration::from_secs(longest));
        }
        for _ in 0..100 {
            backoff.wait();
        }
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_secs(1));
    }
}
