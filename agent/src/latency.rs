//! How fast the probes of one process are answered: histograms of the last minutes, in constant memory whatever the
//! number of answers.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// Answers are counted by slots of this length, and forgotten with theirs.
const SLOT: Duration = Duration::from_secs(50);

/// As many slots count: the last 250 to 300 seconds, long enough for the usual probes to give some dozens.
const SLOTS: usize = 6;

/// The longest answer that is told from longer ones, in microseconds: no probe has that long to answer.
const LATENCY_US_MAX: u64 = 120_000_000;

/// Latencies are kept to as many decimal digits: to a hundredth.
const DIGITS: u8 = 2;

/// How the probes of one process were answered lately, from the first good answer on: a process that starts cannot
/// answer yet.
#[derive(Debug)]
pub struct Answers {
    begun: Instant,
    slots: Mutex<VecDeque<Slot>>,
}

#[derive(Debug)]
struct Slot {
    /// How many slots were before it since the process was first probed.
    number: u128,
    /// Unset where no histogram can be had, which never happens with the bounds above.
    good: Option<Histogram<u16>>,
    bad: usize,
}

/// What the answers of late were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lately {
    /// How many were good.
    pub good: usize,
    /// How many were not, or did not come.
    pub bad: usize,
    /// How long half of the good ones took at most.
    pub p50: Duration,
    /// How long all but a hundredth of them took at most.
    pub p99: Duration,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            slots: Mutex::default(),
        }
    }
}

impl Answers {
    /// An answer came after this long, or it was a bad one, or none.
    pub fn count(&self, took: Option<Duration>) {
        self.count_at(Instant::now(), took);
    }

    fn count_at(&self, at: Instant, took: Option<Duration>) {
        let number = self.slot(at);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if took.is_none() && slots.is_empty() {
            return;
        }
        if slots.back().is_none_or(|last| last.number < number) {
            if slots.len() >= SLOTS {
                slots.pop_front();
            }
            slots.push_back(Slot {
                number,
                good: Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).ok(),
                bad: 0,
            });
        }
        let Some(slot) = slots.back_mut() else {
            return;
        };
        match (took, &mut slot.good) {
            (Some(took), Some(good)) => {
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                good.saturating_record(micros.max(1));
            }
            (None, _) => slot.bad = slot.bad.saturating_add(1),
            (Some(_), None) => {}
        }
    }

    fn slot(&self, at: Instant) -> u128 {
        at.saturating_duration_since(self.begun).as_millis() / SLOT.as_millis()
    }

    /// What the answers of late were.
    #[must_use]
    pub fn lately(&self, now: Instant) -> Lately {
        let now = self.slot(now);
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = slots
            .iter()
            .filter(|slot| now.saturating_sub(slot.number) < SLOTS as u128);
        let mut lately = Lately::default();
        let mut all: Option<Histogram<u32>> =
            Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).ok();
        for slot in counted {
            lately.bad = lately.bad.saturating_add(slot.bad);
            let (Some(all), Some(good)) = (&mut all, &slot.good) else {
                continue;
            };
            for value in good.iter_recorded() {
                let count = u32::from(value.count_at_value());
                all.saturating_record_n(value.value_iterated_to(), count);
            }
        }
        if let Some(all) = all.filter(|all| !all.is_empty()) {
            let at = |quantile| Duration::from_micros(all.value_at_quantile(quantile));
            lately.good = usize::try_from(all.len()).unwrap_or(usize::MAX);
            (lately.p50, lately.p99) = (at(0.5), at(0.99));
        }
        lately
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this is that long, to a hundredth.
    #[track_caller]
    fn is_about(found: Duration, ms: u64) {
        let expected = Duration::from_millis(ms);
        let off = found.abs_diff(expected);
        assert!(off <= expected / 100, "{found:?}, not {expected:?}");
    }

    #[test]
    fn only_the_answers_of_late_count() {
        let answers = Answers::default();
        assert_eq!(answers.lately(answers.begun), Lately::default());
        answers.count_at(answers.begun, Some(Duration::from_millis(900)));
        let now = answers.begun + Duration::from_secs(301);
        for ms in 1..=100 {
            answers.count_at(now, Some(Duration::from_millis(ms)));
        }
        answers.count_at(now, None);
        let lately = answers.lately(now);
        assert_eq!((lately.good, lately.bad), (100, 1));
        is_about(lately.p50, 50);
        is_about(lately.p99, 99);
        assert_eq!(answers.lately(now + Duration::from_secs(248)), lately);
        let after = answers.lately(now + Duration::from_secs(300));
        assert_eq!(after, Lately::default());
    }

    #[test]
    fn what_a_process_that_starts_does_not_answer_yet_does_not_count() {
        let answers = Answers::default();
        for took in [None, None, Some(Duration::ZERO), None] {
            answers.count(took);
        }
        let lately = answers.lately(Instant::now());
        assert_eq!((lately.good, lately.bad), (1, 1));
    }

    #[test]
    fn answers_of_all_slots_are_taken_together() {
        let answers = Answers::default();
        for second in 0..1000 {
            let at = answers.begun + Duration::from_secs(second);
            answers.count_at(at, Some(Duration::from_millis(second + 1)));
        }
        let lately = answers.lately(answers.begun + Duration::from_secs(999));
        assert_eq!(lately.good, 300);
        is_about(lately.p50, 850);
        is_about(lately.p99, 997);
        let slots = answers.slots.lock().unwrap();
        assert_eq!(slots.len(), SLOTS);
    }

    #[test]
    fn what_is_shorter_or_longer_than_can_be_told_counts_all_the_same() {
        let answers = Answers::default();
        answers.count_at(answers.begun, Some(Duration::ZERO));
        answers.count_at(answers.begun, Some(Duration::MAX));
        let lately = answers.lately(answers.begun);
        assert_eq!(lately.good, 2);
        assert!(lately.p50 <= Duration::from_micros(1));
        assert!(lately.p99 >= Duration::from_micros(LATENCY_US_MAX));
    }
}
