//! What a plan's policy has where its maker says nothing.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_common::{
    amount::Amount,
    config::{self, ConfigError},
    window::WindowText,
};
use evenkeel_coordinator_core::plan::{Comparison, OnFailure, Policy, Window};
use serde::Deserialize;

/// The table `[policy]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicyDefaults {
    max_unavailable: Option<Amount>,
    max_unavailable_component: Option<Amount>,
    min_healthy: Option<Amount>,
    failure_domain: Option<String>,
    failure_domains_at_once: Option<u32>,
    canary: Option<u32>,
    waves: Option<Vec<Amount>>,
    #[serde(with = "config::duration::option")]
    soak: Option<Duration>,
    #[serde(with = "config::duration::option")]
    instance_deadline: Option<Duration>,
    #[serde(with = "config::duration::option")]
    progress_deadline: Option<Duration>,
    #[serde(with = "config::duration::option")]
    plan_deadline: Option<Duration>,
    on_failure: Option<Action>,
    failures_tolerated: Option<u32>,
    pause_before_finalize: Option<bool>,
    windows: Vec<WindowText>,
    compare: Compare,
}

/// The table `[policy.compare]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Compare {
    off: bool,
    answers_min: Option<u32>,
    latency_percent_max: Option<u32>,
    #[serde(with = "config::duration::option")]
    worse_for: Option<Duration>,
    metrics: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Pause,
    Revert,
    Rollback,
}

impl Compare {
    fn comparison(self) -> Option<Comparison> {
        let default = Comparison::default();
        let comparison = Comparison {
            answers_min: self.answers_min.unwrap_or(default.answers_min),
            latency_percent_max: self
                .latency_percent_max
                .unwrap_or(default.latency_percent_max),
            worse_for: self.worse_for.unwrap_or(default.worse_for),
            metrics: self.metrics,
        };
        (!self.off).then_some(comparison)
    }
}

impl PolicyDefaults {
    /// What the table says, and the default for what it does not.
    pub(super) fn over(self, default: Policy) -> Result<Policy, ConfigError> {
        let windows = self.windows.into_iter().map(Window::new);
        let windows = windows
            .collect::<Result<_, _>>()
            .map_err(|refusal| ConfigError::setting("policy.windows", refusal.message))?;
        Ok(Policy {
            max_unavailable: self.max_unavailable.unwrap_or(default.max_unavailable),
            max_unavailable_component: self.max_unavailable_component,
            min_healthy: self.min_healthy,
            failure_domain: self.failure_domain.filter(|label| !label.is_empty()),
            failure_domains_at_once: self
                .failure_domains_at_once
                .unwrap_or(default.failure_domains_at_once),
            canary: self.canary.unwrap_or(default.canary),
            waves: self.waves.unwrap_or(default.waves),
            soak: self.soak.unwrap_or(default.soak),
            instance_deadline: self.instance_deadline.unwrap_or(default.instance_deadline),
            progress_deadline: self.progress_deadline.unwrap_or(default.progress_deadline),
            plan_deadline: self.plan_deadline,
            on_failure: match self.on_failure {
                Some(Action::Pause) => OnFailure::Pause,
                Some(Action::Revert) => OnFailure::Revert,
                Some(Action::Rollback) => OnFailure::Rollback,
                None => default.on_failure,
            },
            failures_tolerated: self
                .failures_tolerated
                .unwrap_or(default.failures_tolerated),
            pause_before_finalize: self
                .pause_before_finalize
                .unwrap_or(default.pause_before_finalize),
            windows,
            compare: self.compare.comparison(),
        })
    }
}
