//! What the answers of an instance's probes add up to.

use std::time::Duration;

use super::ProbeSettings;

/// For how long, at the most, what was wrong first stands for what is wrong. Many a program says something else each
/// time, such as what time it is, which would be news each time. Soon after a start, when one thing after the other is
/// wrong until all is well, it is no longer than it has been since the start.
const TROUBLE_KEPT: Duration = Duration::from_secs(60);

/// What the probes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Every probe is good.
    Healthy,
    /// A probe failed lately, fewer times than its threshold, or has not been good since the start.
    Warning,
    /// A probe failed as often as its threshold, or there is no process.
    Error,
}

/// The answers of one probe since the process was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    good_in_a_row: u32,
    bad_in_a_row: u32,
    /// Whether it was ever good as often as it has to be.
    was_ready: bool,
    /// What was wrong with an answer of the bad ones in a row, and how long after the start that came.
    trouble: Option<(String, Duration)>,
}

impl Tally {
    /// Counts an answer that came this long after the start.
    pub fn count(
        &mut self,
        settings: &ProbeSettings,
        answer: Result<(), String>,
        since_start: Duration,
    ) {
        let before = self.health(settings);
        match answer {
            Ok(()) => {
                self.good_in_a_row = self.good_in_a_row.saturating_add(1);
                self.bad_in_a_row = 0;
                self.trouble = None;
                if self.good_in_a_row >= settings.success_threshold {
                    self.was_ready = true;
                }
            }
            Err(trouble) => {
                self.good_in_a_row = 0;
                let spared = !self.was_ready && since_start < settings.start_period;
                if !spared {
                    self.bad_in_a_row = self.bad_in_a_row.saturating_add(1);
                }
                let is_kept = self.health(settings) == before
                    && self.trouble.as_ref().is_some_and(|(_, since)| {
                        since_start.saturating_sub(*since) < TROUBLE_KEPT.min(*since)
                    });
                if !is_kept {
                    let trouble = format!("{}: {trouble}", settings.question);
                    self.trouble = Some((trouble, since_start));
                }
            }
        }
    }

    /// Whether it is good as often as it has to be.
    #[must_use]
    pub fn is_ready(&self, settings: &ProbeSettings) -> bool {
        self.good_in_a_row >= settings.success_threshold
    }

    /// What this probe alone says.
    #[must_use]
    pub fn health(&self, settings: &ProbeSettings) -> Health {
        if self.bad_in_a_row >= settings.failure_threshold {
            Health::Error
        } else if self.is_ready(settings) || (self.was_ready && self.trouble.is_none()) {
            Health::Healthy
        } else {
            Health::Warning
        }
    }

    /// What was wrong with the last answers, if anything was: the first of these that made its health what it is, for a
    /// while.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|(trouble, _)| trouble.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::Question;

    fn settings() -> ProbeSettings {
        ProbeSettings {
            question: Question::Tcp("127.0.0.1:1".parse().unwrap()),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            success_threshold: 2,
            failure_threshold: 3,
            start_period: Duration::from_secs(10),
        }
    }

    /// What a probe says after these answers: `+` good, `-` bad, each a second after the one before.
    #[track_caller]
    fn check(answers: &str, health: Health) {
        let mut tally = Tally::default();
        for (second, answer) in (0..).zip(answers.chars()) {
            let answer = if answer == '+' {
                Ok(())
            } else {
                Err("no".to_owned())
            };
            tally.count(&settings(), answer, Duration::from_secs(second));
        }
        assert_eq!(tally.health(&settings()), health, "after {answers}");
    }

    #[test]
    fn thresholds_decide_what_the_answers_add_up_to() {
        check("", Health::Warning);
        check("+", Health::Warning);
        check("++", Health::Healthy);
        check("++-", Health::Warning);
        check("++--", Health::Warning);
        check("++---", Health::Error);
        check("++---+", Health::Healthy);
    }

    #[test]
    fn a_start_is_given_its_time_until_it_was_ready_once() {
        check("---------", Health::Warning);
        check("-------------", Health::Error);
        check("--++---", Health::Error);
    }

    /// What is said after each of these answers, of a second and whether it is good: the second of a bad one.
    #[track_caller]
    fn check_said(answers: &[(u64, bool)], expected: &[&str]) {
        let mut tally = Tally::default();
        let mut said = Vec::new();
        for (second, good) in answers {
            let answer = match good {
                true => Ok(()),
                false => Err(format!("no at {second}")),
            };
            tally.count(&settings(), answer, Duration::from_secs(*second));
            let trouble = tally.trouble().unwrap_or_default();
            said.push(trouble.replace("tcp 127.0.0.1:1: no at ", ""));
        }
        assert_eq!(said, expected);
    }

    #[test]
    fn what_is_said_of_bad_answers_is_said_for_a_minute_or_until_the_health_is_another() {
        let good = [100, 101].map(|second| (second, true));
        // A warning from 102 on, an error from 104 on.
        let bad = [102, 103, 104, 105, 163, 164, 165].map(|second| (second, false));
        let after = [(166, true), (167, false)];
        let answers = [good.as_slice(), &bad, &after].concat();
        let expected = [
            "", "", "102", "102", "104", "104", "104", "164", "164", "", "167",
        ];
        check_said(&answers, &expected);
    }

    #[test]
    fn soon_after_a_start_it_is_said_no_longer_than_that_is_ago() {
        let answers = [0, 1, 2, 3, 4, 5, 7, 8].map(|second| (second, false));
        check_said(&answers, &["0", "1", "2", "2", "4", "4", "4", "8"]);
    }
}
