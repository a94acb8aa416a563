//! What was written to one key, and so what a read of it may find.

/// Unanswered writes after which a key is only read: each of them may still come true, so each makes the check weaker.
const UNANSWERED_MAX: usize = 16;

/// The writes of one key, by their numbers: 1, 2, 3, … in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct History {
    made: u64,
    acknowledged: u64,
    /// Writes that failed: they may have happened, may not, and may yet.
    unanswered: Vec<u64>,
}

/// What a read's answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be so.
    Right,
    /// An acknowledged write is not there.
    Gone,
    /// Nothing like it was ever written.
    Wrong,
}

impl History {
    /// The number of the next write, which counts as unanswered until it is acknowledged. None if there have been too
    /// many of those.
    pub(super) fn begin_write(&mut self) -> Option<u64> {
        if self.unanswered.len() >= UNANSWERED_MAX {
            return None;
        }
        self.made += 1;
        self.unanswered.push(self.made);
        Some(self.made)
    }

    pub(super) fn acknowledge(&mut self, number: u64) {
        self.unanswered.retain(|&unanswered| unanswered != number);
        self.acknowledged = self.acknowledged.max(number);
    }

    /// Judges what a read found that began after the last acknowledgement: the number of a write, or nothing.
    pub(super) fn judge(&self, found: Option<u64>) -> Verdict {
        let found = found.unwrap_or(0);
        if found == self.acknowledged || self.unanswered.contains(&found) {
            Verdict::Right
        } else if found < self.acknowledged {
            Verdict::Gone
        } else {
            Verdict::Wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(writes: &[bool]) -> History {
        let mut history = History::default();
        for &acknowledged in writes {
            let number = history.begin_write().unwrap();
            if acknowledged {
                history.acknowledge(number);
            }
        }
        history
    }

    #[test]
    fn only_the_last_acknowledged_write_may_be_found() {
        let history = after(&[true, true]);
        assert_eq!(history.judge(Some(2)), Verdict::Right);
        assert_eq!(history.judge(Some(1)), Verdict::Gone);
        assert_eq!(history.judge(None), Verdict::Gone);
        assert_eq!(history.judge(Some(3)), Verdict::Wrong);
    }

    #[test]
    fn nothing_may_be_found_before_anything_was_acknowledged() {
        assert_eq!(after(&[]).judge(None), Verdict::Right);
        assert_eq!(after(&[false]).judge(None), Verdict::Right);
        assert_eq!(after(&[]).judge(Some(1)), Verdict::Wrong);
    }

    #[test]
    fn an_unanswered_write_may_be_found_also_later() {
        let history = after(&[true, false, true]);
        assert_eq!(history.judge(Some(3)), Verdict::Right);
        assert_eq!(history.judge(Some(2)), Verdict::Right);
        assert_eq!(history.judge(Some(1)), Verdict::Gone);
    }

    #[test]
    fn a_key_with_many_unanswered_writes_is_left_alone() {
        let mut history = after(&[false; UNANSWERED_MAX]);
        assert_eq!(history.begin_write(), None);
    }
}
