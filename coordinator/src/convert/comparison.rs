//! How those that were changed are compared with those that were not, and what came of it.

use evenkeel_coordinator_core::plan::{Compared, Comparison, Verdict};
use evenkeel_proto::v1;

use super::{Invalid, enumerated, required, time_from, time_to};

/// What a caller asks for, and for the rest what stands beside it.
pub(super) fn comparison_from(
    asked: Option<v1::PlanComparison>,
    default: Option<&Comparison>,
) -> Option<Comparison> {
    let Some(asked) = asked else {
        return default.cloned();
    };
    if asked.off {
        return None;
    }
    let rest = default.cloned().unwrap_or_default();
    Some(Comparison {
        answers_min: asked.answers_min.unwrap_or(rest.answers_min),
        latency_percent_max: asked
            .latency_percent_max
            .unwrap_or(rest.latency_percent_max),
        metrics: match asked.metrics.is_empty() {
            true => rest.metrics,
            false => asked.metrics.into_iter().collect(),
        },
    })
}

pub(super) fn comparison_to(comparison: Option<&Comparison>) -> v1::PlanComparison {
    let Some(comparison) = comparison else {
        return v1::PlanComparison {
            off: true,
            ..Default::default()
        };
    };
    v1::PlanComparison {
        off: false,
        answers_min: Some(comparison.answers_min),
        latency_percent_max: Some(comparison.latency_percent_max),
        metrics: comparison.metrics.clone().into_iter().collect(),
    }
}

pub(super) fn compared_to(compared: &Compared) -> v1::Compared {
    v1::Compared {
        stage: compared.stage,
        wave: compared.wave,
        verdict: match compared.verdict {
            Verdict::AsGood => v1::ComparisonVerdict::AsGood,
            Verdict::Worse => v1::ComparisonVerdict::Worse,
            Verdict::Accepted => v1::ComparisonVerdict::Accepted,
        }
        .into(),
        sentence: compared.sentence.clone(),
        at: Some(time_to(compared.at)),
    }
}

pub(super) fn compared_from(compared: v1::Compared) -> Result<Compared, Invalid> {
    let verdict = match enumerated("compared.verdict", compared.verdict)? {
        v1::ComparisonVerdict::AsGood => Verdict::AsGood,
        v1::ComparisonVerdict::Worse => Verdict::Worse,
        v1::ComparisonVerdict::Accepted => Verdict::Accepted,
        v1::ComparisonVerdict::Unspecified => {
            return Err(Invalid::new("compared.verdict", "is missing"));
        }
    };
    Ok(Compared {
        stage: compared.stage,
        wave: compared.wave,
        verdict,
        sentence: compared.sentence,
        at: time_from("compared.at", &required("compared.at", compared.at)?)?,
    })
}
