//! What the answers of an instance's probes add up to.

use std::time::Duration;

use super::ProbeSettings;

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
    /// What was wrong with the last answer.
    trouble: Option<String>,
}

impl Tally {
    /// Counts an answer that came this long after the start.
    pub fn count(
        &mut self,
        settings: &ProbeSettings,
        answer: Result<(), String>,
        since_start: Duration,
    ) {
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
                self.trouble = Some(format!("{}: {trouble}", settings.question));
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

    /// What was wrong with the last answer, if anything was.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
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
}
