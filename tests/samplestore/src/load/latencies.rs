//! How long requests took, in a fixed amount of memory.

use std::time::Duration;

/// Steps within each doubling: a quantile is at most 1/8 too high.
const STEPS: u32 = 8;
/// Enough for 2^36 µs, or 19 hours.
const BUCKETS: usize = (STEPS * 36) as usize;

/// A histogram of durations in microseconds whose buckets grow with what they hold.
#[derive(Debug)]
pub(super) struct Latencies {
    counts: [u64; BUCKETS],
    count: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            count: 0,
        }
    }
}

impl Latencies {
    pub(super) fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.count += 1;
    }

    /// The latency that `percent` of the requests did not exceed; zero if there were none.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.count * percent).div_ceil(100);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank && rank > 0 {
                return Duration::from_micros(end(bucket));
            }
        }
        Duration::ZERO
    }
}

/// Below [`STEPS`] a bucket holds one value, from there on the leading bits choose it.
fn bucket(micros: u64) -> usize {
    let exponent = micros.max(1).ilog2().saturating_sub(STEPS.ilog2());
    let step = (micros >> exponent) as usize;
    (exponent as usize * STEPS as usize + step).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn end(bucket: usize) -> u64 {
    let exponent = (bucket / STEPS as usize).saturating_sub(1);
    let step = bucket - exponent * STEPS as usize;
    ((step as u64 + 1) << exponent) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_bucket_that_ends_at_or_an_eighth_above_it() {
        let mut value = 0;
        while value < 1 << 34 {
            let end = end(bucket(value));
            assert!(
                end >= value && end <= value + value / 8,
                "{value} in a bucket up to {end}"
            );
            value += 1 + value / 100;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(99), Duration::ZERO);
        for ms in 1..=100 {
            latencies.add(Duration::from_millis(ms));
        }
        let near = |found: Duration, ms: u64| {
            (ms..=ms + ms / 8).contains(&(found.as_micros() as u64 / 1000))
        };
        assert!(near(latencies.percentile(50), 50));
        assert!(near(latencies.percentile(99), 99));
    }
}
