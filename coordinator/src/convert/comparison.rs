//! How those that were changed are compared with those that were not, and what came of it.

use evenkeel_coordinator_core::plan::{Compared, Comparison, Verdict, Watched};
use evenkeel_proto::v1;

use super::{
    Invalid, duration_from, duration_to, enumerated, optional_time, required, time_from, time_to,
};

/// What a caller asks for, and for the rest what stands beside it.
pub(super) fn comparison_from(
    asked: Option<v1::PlanComparison>,
    default: Option<&Comparison>,
) -> Result<Option<Comparison>, Invalid> {
    let Some(asked) = asked else {
        return Ok(default.cloned());
    };
    if asked.off {
        return Ok(None);
    }
    let rest = default.cloned().unwrap_or_default();
    Ok(Some(Comparison {
        answers_min: asked.answers_min.unwrap_or(rest.answers_min),
        latency_percent_max: asked
            .latency_percent_max
            .unwrap_or(rest.latency_percent_max),
        metrics: match asked.metrics.is_empty() {
            true => rest.metrics,
            false => asked.metrics.into_iter().collect(),
        },
        worse_for: match &asked.worse_for {
            Some(asked) => duration_from("policy.compare.worse_for", asked)?,
            None => rest.worse_for,
        },
    }))
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
        worse_for: Some(duration_to(comparison.worse_for)),
    }
}

pub(super) fn compared_to(compared: &Compared) -> v1::Compared {
    let is_watched = compared.verdict == Verdict::Watched;
    v1::Compared {
        stage: compared.stage,
        wave: compared.wave,
        verdict: match compared.verdict {
            Verdict::AsGood => v1::ComparisonVerdict::AsGood,
            Verdict::Worse => v1::ComparisonVerdict::Worse,
            Verdict::Accepted => v1::ComparisonVerdict::Accepted,
            Verdict::TooLittle => v1::ComparisonVerdict::TooLittle,
            Verdict::Watched => v1::ComparisonVerdict::Watched,
        }
        .into(),
        sentence: compared.sentence.clone(),
        at: Some(time_to(compared.at)),
        watched_since: is_watched.then(|| time_to(compared.watched.since)),
        looks: compared.watched.looks,
        looks_worse: compared.watched.worse,
    }
}

pub(super) fn compared_from(compared: v1::Compared) -> Result<Compared, Invalid> {
    let verdict = match enumerated("compared.verdict", compared.verdict)? {
        v1::ComparisonVerdict::AsGood => Verdict::AsGood,
        v1::ComparisonVerdict::Worse => Verdict::Worse,
        v1::ComparisonVerdict::Accepted => Verdict::Accepted,
        v1::ComparisonVerdict::TooLittle => Verdict::TooLittle,
        v1::ComparisonVerdict::Watched => Verdict::Watched,
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
        watched: Watched {
            since: optional_time("compared.watched_since", compared.watched_since.as_ref())?
                .unwrap_or_default(),
            looks: compared.looks,
            worse: compared.looks_worse,
        },
    })
}
