//! Policies of plans.

use std::collections::BTreeMap;

use evenkeel_common::{amount::Amount, window::WindowText};
use evenkeel_proto::v1::{self, amount::Kind};
use serde::Serialize;

use super::word;
use crate::time::seconds;

/// How carefully a plan goes about it. Amounts and windows are as the command line has them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PlanPolicy {
    pub(crate) max_unavailable: Option<u32>,
    pub(crate) max_unavailable_percent: Option<u32>,
    pub(crate) max_unavailable_component: Option<String>,
    pub(crate) min_healthy: Option<String>,
    pub(crate) failure_domain: Option<String>,
    pub(crate) failure_domains_at_once: Option<u32>,
    pub(crate) canary: Option<u32>,
    pub(crate) waves: Vec<String>,
    pub(crate) soak: Option<String>,
    pub(crate) instance_deadline: Option<String>,
    pub(crate) progress_deadline: Option<String>,
    pub(crate) plan_deadline: Option<String>,
    pub(crate) on_failure: String,
    pub(crate) failures_tolerated: Option<u32>,
    pub(crate) pause_before_finalize: Option<bool>,
    pub(crate) windows: Option<Vec<String>>,
    pub(crate) compare: Option<PlanComparison>,
}

/// How those that were changed are compared with those that were not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PlanComparison {
    pub(crate) off: bool,
    pub(crate) answers_min: Option<u32>,
    pub(crate) latency_percent_max: Option<u32>,
    pub(crate) metrics: BTreeMap<String, u32>,
    pub(crate) worse_for: Option<String>,
}

impl From<v1::PlanPolicy> for PlanPolicy {
    fn from(policy: v1::PlanPolicy) -> Self {
        let windows = policy.windows.map(|windows| windows.windows);
        Self {
            max_unavailable: policy.max_unavailable,
            max_unavailable_percent: policy.max_unavailable_percent,
            max_unavailable_component: policy.max_unavailable_component.and_then(amount),
            min_healthy: policy.min_healthy.and_then(amount),
            failure_domain: policy.failure_domain,
            failure_domains_at_once: policy.failure_domains_at_once,
            canary: policy.canary,
            waves: policy.waves.into_iter().filter_map(amount).collect(),
            soak: seconds(policy.soak),
            instance_deadline: seconds(policy.instance_deadline),
            progress_deadline: seconds(policy.progress_deadline),
            plan_deadline: seconds(policy.plan_deadline),
            on_failure: word!(v1::OnFailure, "ON_FAILURE_", policy.on_failure),
            failures_tolerated: policy.failures_tolerated,
            pause_before_finalize: policy.pause_before_finalize,
            windows: windows.map(|windows| windows.into_iter().map(window).collect()),
            compare: policy.compare.map(|compare| PlanComparison {
                off: compare.off,
                answers_min: compare.answers_min,
                latency_percent_max: compare.latency_percent_max,
                metrics: compare.metrics.into_iter().collect(),
                worse_for: seconds(compare.worse_for),
            }),
        }
    }
}

fn amount(amount: v1::Amount) -> Option<String> {
    let text = match amount.kind? {
        Kind::Count(count) => Amount::Count(count).to_string(),
        Kind::Percent(percent) => format!("{percent}%"),
    };
    Some(text)
}

fn window(window: v1::MaintenanceWindow) -> String {
    let duration = window.duration.unwrap_or_default();
    let text = WindowText {
        schedule: window.schedule,
        duration: duration.try_into().unwrap_or_default(),
        time_zone: window.time_zone,
    };
    text.to_string()
}
