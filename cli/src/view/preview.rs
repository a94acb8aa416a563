//! What a plan would be, or why there is none.

use evenkeel_proto::v1;
use serde::Serialize;

use super::{Plan, Stage, word};

/// What was not chosen, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RuledOut {
    pub(crate) component: String,
    pub(crate) from_version: String,
    pub(crate) to_version: String,
    pub(crate) reason: String,
}

impl From<v1::RuledOut> for RuledOut {
    fn from(ruled_out: v1::RuledOut) -> Self {
        Self {
            component: ruled_out.component,
            from_version: ruled_out.from_version,
            to_version: ruled_out.to_version,
            reason: ruled_out.reason,
        }
    }
}

/// One of the things that together would open a way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Remedy {
    pub(crate) kind: String,
    pub(crate) components: Vec<String>,
    pub(crate) from_version: String,
    pub(crate) to_version: String,
    pub(crate) sentence: String,
}

impl From<v1::Remedy> for Remedy {
    fn from(remedy: v1::Remedy) -> Self {
        Self {
            kind: word!(v1::RemedyKind, "REMEDY_KIND_", remedy.kind),
            components: remedy.components,
            from_version: remedy.from_version,
            to_version: remedy.to_version,
            sentence: remedy.sentence,
        }
    }
}

/// How far a component comes as things are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Reachable {
    pub(crate) component: String,
    pub(crate) version: String,
    pub(crate) at_least: bool,
}

impl From<v1::Reachable> for Reachable {
    fn from(reachable: v1::Reachable) -> Self {
        Self {
            component: reachable.component,
            version: reachable.version,
            at_least: reachable.at_least,
        }
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PlanRefusal {
    pub(crate) summary: String,
    pub(crate) reasons: Vec<String>,
    pub(crate) remedies: Vec<Remedy>,
    pub(crate) remedies_are_smallest: bool,
    pub(crate) furthest: Vec<Reachable>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) ruled_out: Vec<RuledOut>,
    pub(crate) error_code: String,
}

impl From<v1::PlanRefusal> for PlanRefusal {
    fn from(refusal: v1::PlanRefusal) -> Self {
        Self {
            summary: refusal.summary,
            reasons: refusal.reasons,
            remedies: refusal.remedies.into_iter().map(Into::into).collect(),
            remedies_are_smallest: refusal.remedies_are_smallest,
            furthest: refusal.furthest.into_iter().map(Into::into).collect(),
            stages: refusal.stages.into_iter().map(Into::into).collect(),
            ruled_out: refusal.ruled_out.into_iter().map(Into::into).collect(),
            error_code: refusal.error_code,
        }
    }
}

/// What a plan would be, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Preview {
    pub(crate) plan: Option<Plan>,
    pub(crate) refusal: Option<PlanRefusal>,
}

impl From<v1::PreviewPlanResponse> for Preview {
    fn from(preview: v1::PreviewPlanResponse) -> Self {
        Self {
            plan: preview.plan.map(Into::into),
            refusal: preview.refusal.map(Into::into),
        }
    }
}
