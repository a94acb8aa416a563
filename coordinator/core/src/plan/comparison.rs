//! The cohort gate of a policy: how those that were changed are compared with those that were not.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_words::{
    limits::{METRIC_NAME_BYTES_MAX, METRICS_MAX, POLICY_DURATION_MAX},
    timestamp::Timestamp,
};

use crate::refusal::{Refusal, RefusalKind};

/// The most that a figure may be allowed to be of the others', in percent: beyond that nothing is compared.
const PERCENT_MAX: u32 = 100_000;

/// What makes those that were changed worse than those that were not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// How many good answers of its probes an instance has to have given lately to be counted.
    pub answers_min: u32,
    /// For how long those that seem to do worse are watched before that counts; none: it counts at once.
    pub worse_for: Duration,
    /// How much of the others' their probes' latency may be, in percent.
    pub latency_percent_max: u32,
    /// The same for figures of the driver, of which more is worse, by name. Where the others have none, any is worse; where
    /// they have less than none, it is not compared.
    pub metrics: BTreeMap<String, u32>,
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            // What a probe every five seconds comes to within a soak of two minutes, and still as many again.
            answers_min: 10,
            worse_for: Duration::from_secs(120),
            latency_percent_max: 200,
            metrics: BTreeMap::new(),
        }
    }
}

impl Comparison {
    /// Checks that the comparison makes sense.
    ///
    /// # Errors
    /// Names the field and what is allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        let bad = |message: String| Err(Refusal::new(RefusalKind::BadArgument, message));
        if self.answers_min == 0 {
            return bad("answers_min is 0, and nothing can be told of no answers".to_owned());
        }
        if self.worse_for > POLICY_DURATION_MAX {
            return bad(format!(
                "worse_for ({:?}) is longer than the {POLICY_DURATION_MAX:?} allowed",
                self.worse_for
            ));
        }
        if self.metrics.len() > METRICS_MAX {
            return bad(format!(
                "{} figures are compared, the most is {METRICS_MAX}",
                self.metrics.len()
            ));
        }
        let latency = ("latency", self.latency_percent_max);
        let metrics = self
            .metrics
            .iter()
            .map(|(name, percent)| (name.as_str(), *percent));
        for (name, percent) in metrics.chain([latency]) {
            if name.is_empty() || name.len() > METRIC_NAME_BYTES_MAX {
                return bad(format!(
                    "{name:?} is no name of a figure: it has to have 1 to {METRIC_NAME_BYTES_MAX} bytes"
                ));
            }
            if !(100..=PERCENT_MAX).contains(&percent) {
                return bad(format!(
                    "{name} may be {percent}% of the others'; allowed are 100% to {PERCENT_MAX}%"
                ));
            }
        }
        Ok(())
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Those that were changed do as well as the others.
    AsGood,
    /// They do worse.
    Worse,
    /// They do worse, or could not be compared, and a person said that it may be so.
    Accepted,
    /// There was too little to go by for so long that it was given up.
    TooLittle,
    /// They seem to do worse, and nothing was decided yet: they are watched.
    Watched,
}

/// What was seen of those that seem to do worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watched {
    /// When it seemed so first.
    pub since: Timestamp,
    /// How often they were looked at since, that time included.
    pub looks: u32,
    /// In how many of these looks they did worse.
    pub worse: u32,
}

/// A comparison that was made before a wave began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The stage, from 0.
    pub stage: u32,
    /// The wave before which it was, from 0.
    pub wave: u32,
    /// What came of it.
    pub verdict: Verdict,
    /// The same in one sentence, with the figures.
    pub sentence: String,
    /// When it was made, or they were looked at last.
    pub at: Timestamp,
    /// What was seen so far, while they are watched.
    pub watched: Watched,
}
