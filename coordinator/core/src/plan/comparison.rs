//! The cohort gate of a policy: how those that were changed are compared with those that were not.

use std::collections::BTreeMap;

use evenkeel_words::{
    limits::{METRIC_NAME_BYTES_MAX, METRICS_MAX},
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
    /// How much of the others' their probes' latency may be, in percent.
    pub latency_percent_max: u32,
    /// The same for figures of the driver, of which more is worse, by name. Where the others have none, any is worse; where
    /// they have less than none, it is not compared.
    pub metrics: BTreeMap<String, u32>,
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            answers_min: 5,
            latency_percent_max: 300,
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
    /// They do worse, and a person said that it may be so.
    Accepted,
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
    /// When it was made.
    pub at: Timestamp,
}
