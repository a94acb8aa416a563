//! Policies of plans.

use std::time::Duration;

use evenkeel_common::{amount::Amount, window::WindowText};
use evenkeel_coordinator_core::plan::{OnFailure, Policy, Window};
use evenkeel_proto::v1::{self, amount::Kind};

use super::{
    Invalid,
    comparison::{comparison_from, comparison_to},
    duration_from, duration_to, enumerated, required,
};

/// A policy out of what a caller asks for and what the configuration has for the rest.
///
/// # Errors
/// Names the field at fault.
pub fn policy_from_proto(
    asked: Option<v1::PlanPolicy>,
    defaults: &Policy,
) -> Result<Policy, Invalid> {
    let asked = asked.unwrap_or_default();
    let duration = |field, asked: &Option<prost_types::Duration>, default| match asked {
        Some(asked) => duration_from(field, asked),
        None => Ok(default),
    };
    let failure_domain = match &asked.failure_domain {
        Some(label) if label.is_empty() => None,
        Some(label) => Some(label.clone()),
        None => defaults.failure_domain.clone(),
    };
    let plan_deadline = match &asked.plan_deadline {
        Some(deadline) => {
            Some(duration_from("policy.plan_deadline", deadline)?).filter(|d| *d > Duration::ZERO)
        }
        None => defaults.plan_deadline,
    };
    let optional = |field, asked: Option<v1::Amount>, default| match asked {
        Some(asked) => amount_from(field, asked),
        None => Ok(default),
    };
    Ok(Policy {
        max_unavailable: max_unavailable(&asked)?.unwrap_or(defaults.max_unavailable),
        max_unavailable_component: optional(
            "policy.max_unavailable_component",
            asked.max_unavailable_component,
            defaults.max_unavailable_component,
        )?,
        min_healthy: optional(
            "policy.min_healthy",
            asked.min_healthy,
            defaults.min_healthy,
        )?,
        failure_domain,
        failure_domains_at_once: asked
            .failure_domains_at_once
            .unwrap_or(defaults.failure_domains_at_once),
        canary: asked.canary.unwrap_or(defaults.canary),
        waves: waves(asked.waves)?.unwrap_or_else(|| defaults.waves.clone()),
        soak: duration("policy.soak", &asked.soak, defaults.soak)?,
        instance_deadline: duration(
            "policy.instance_deadline",
            &asked.instance_deadline,
            defaults.instance_deadline,
        )?,
        progress_deadline: duration(
            "policy.progress_deadline",
            &asked.progress_deadline,
            defaults.progress_deadline,
        )?,
        plan_deadline,
        on_failure: match enumerated("policy.on_failure", asked.on_failure)? {
            v1::OnFailure::Unspecified => defaults.on_failure,
            v1::OnFailure::Pause => OnFailure::Pause,
            v1::OnFailure::Revert => OnFailure::Revert,
            v1::OnFailure::Rollback => OnFailure::Rollback,
        },
        failures_tolerated: asked
            .failures_tolerated
            .unwrap_or(defaults.failures_tolerated),
        pause_before_finalize: asked
            .pause_before_finalize
            .unwrap_or(defaults.pause_before_finalize),
        windows: match asked.windows {
            Some(asked) => windows(asked)?,
            None => defaults.windows.clone(),
        },
        compare: comparison_from(asked.compare, defaults.compare.as_ref())?,
    })
}

/// A policy as it was kept. What plans of an earlier time did not know goes as it went then: all that come after the
/// canary together, and those that do worse are not watched first.
pub(super) fn policy_from_store(mut kept: v1::PlanPolicy) -> Result<Policy, Invalid> {
    if let Some(compare) = &mut kept.compare {
        compare.worse_for.get_or_insert_default();
    }
    let then = Policy {
        waves: vec![Amount::ALL],
        ..Policy::default()
    };
    policy_from_proto(Some(kept), &then)
}

fn max_unavailable(asked: &v1::PlanPolicy) -> Result<Option<Amount>, Invalid> {
    let field = "policy.max_unavailable_percent";
    match (asked.max_unavailable, asked.max_unavailable_percent) {
        (None, None) => Ok(None),
        (Some(count), None) => Ok(Some(Amount::Count(count))),
        (None, Some(percent)) => percent_from(field, percent).map(Some),
        (Some(_), Some(_)) => Err(Invalid::new(
            field,
            "is set beside max_unavailable; set one of the two",
        )),
    }
}

fn waves(asked: Vec<v1::Amount>) -> Result<Option<Vec<Amount>>, Invalid> {
    let wave = |asked| {
        let amount = amount_from("policy.waves", asked)?;
        required("policy.waves", amount)
    };
    let waves: Vec<_> = asked.into_iter().map(wave).collect::<Result<_, _>>()?;
    Ok(Some(waves).filter(|waves| !waves.is_empty()))
}

fn amount_from(field: &str, amount: v1::Amount) -> Result<Option<Amount>, Invalid> {
    Ok(match amount.kind {
        Some(Kind::Count(count)) => Some(Amount::Count(count)),
        Some(Kind::Percent(percent)) => Some(percent_from(field, percent)?),
        None => None,
    })
}

fn percent_from(field: &str, percent: u32) -> Result<Amount, Invalid> {
    u8::try_from(percent)
        .map(Amount::Percent)
        .ok()
        .filter(|amount| amount.is_valid())
        .ok_or_else(|| Invalid::new(field, format!("is {percent}%, a share is 1% to 100%")))
}

fn amount_to(amount: Amount) -> v1::Amount {
    v1::Amount {
        kind: Some(match amount {
            Amount::Count(count) => Kind::Count(count),
            Amount::Percent(percent) => Kind::Percent(percent.into()),
        }),
    }
}

fn windows(asked: v1::MaintenanceWindows) -> Result<Vec<Window>, Invalid> {
    let window = |asked: v1::MaintenanceWindow| {
        let duration = required("policy.windows.duration", asked.duration)?;
        let text = WindowText {
            schedule: asked.schedule,
            duration: duration_from("policy.windows.duration", &duration)?,
            time_zone: match asked.time_zone.is_empty() {
                true => "UTC".to_owned(),
                false => asked.time_zone,
            },
        };
        Window::new(text).map_err(|refusal| Invalid::new("policy.windows", refusal.message))
    };
    asked.windows.into_iter().map(window).collect()
}

pub(super) fn policy_to(policy: &Policy) -> v1::PlanPolicy {
    let (count, percent) = match policy.max_unavailable {
        Amount::Count(count) => (Some(count), None),
        Amount::Percent(percent) => (None, Some(percent.into())),
    };
    // What is not limited is said, or whoever asks for the same again would get the defaults.
    let optional = |amount: Option<Amount>| Some(amount.map(amount_to).unwrap_or_default());
    v1::PlanPolicy {
        max_unavailable: count,
        max_unavailable_percent: percent,
        max_unavailable_component: optional(policy.max_unavailable_component),
        min_healthy: optional(policy.min_healthy),
        failure_domain: Some(policy.failure_domain.clone().unwrap_or_default()),
        failure_domains_at_once: Some(policy.failure_domains_at_once),
        canary: Some(policy.canary),
        waves: policy.waves.iter().copied().map(amount_to).collect(),
        soak: Some(duration_to(policy.soak)),
        instance_deadline: Some(duration_to(policy.instance_deadline)),
        progress_deadline: Some(duration_to(policy.progress_deadline)),
        plan_deadline: Some(duration_to(policy.plan_deadline.unwrap_or_default())),
        on_failure: match policy.on_failure {
            OnFailure::Pause => v1::OnFailure::Pause,
            OnFailure::Revert => v1::OnFailure::Revert,
            OnFailure::Rollback => v1::OnFailure::Rollback,
        }
        .into(),
        failures_tolerated: Some(policy.failures_tolerated),
        pause_before_finalize: Some(policy.pause_before_finalize),
        windows: Some(v1::MaintenanceWindows {
            windows: policy.windows.iter().map(window_to).collect(),
        }),
        compare: Some(comparison_to(policy.compare.as_ref())),
    }
}

fn window_to(window: &Window) -> v1::MaintenanceWindow {
    let text = window.text();
    v1::MaintenanceWindow {
        schedule: text.schedule.clone(),
        duration: Some(duration_to(text.duration)),
        time_zone: text.time_zone.clone(),
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_coordinator_core::plan::Comparison;

    use super::*;

    fn everything() -> Policy {
        Policy {
            max_unavailable: Amount::Percent(25),
            max_unavailable_component: Some(Amount::Count(7)),
            min_healthy: Some(Amount::Percent(60)),
            failure_domain: Some("rack".to_owned()),
            failure_domains_at_once: 2,
            canary: 3,
            waves: vec![Amount::Count(2), Amount::ALL],
            soak: Duration::from_secs(1),
            instance_deadline: Duration::from_secs(2),
            progress_deadline: Duration::from_secs(3),
            plan_deadline: Some(Duration::from_secs(4)),
            on_failure: OnFailure::Pause,
            failures_tolerated: 5,
            pause_before_finalize: true,
            windows: vec![
                Window::new("0 22 * * SAT for 4h in Europe/Berlin".parse().unwrap()).unwrap(),
            ],
            compare: Some(Comparison {
                answers_min: 1,
                latency_percent_max: 150,
                worse_for: Duration::from_secs(7),
                metrics: [("errors".to_owned(), 110)].into(),
            }),
        }
    }

    #[test]
    fn a_policy_is_read_as_it_was_written_whatever_the_defaults_are() {
        for (policy, other) in [
            (everything(), Policy::default()),
            (Policy::default(), everything()),
        ] {
            let read = policy_from_proto(Some(policy_to(&policy)), &other).unwrap();
            assert_eq!(read, policy);
        }
    }

    #[test]
    fn what_is_not_said_is_as_the_configuration_has_it() {
        assert_eq!(policy_from_proto(None, &everything()), Ok(everything()));
    }

    #[test]
    fn a_plan_kept_before_there_were_waves_has_one_after_its_canary() {
        let kept = v1::PlanPolicy {
            max_unavailable: Some(2),
            canary: Some(1),
            failure_domain: Some(String::new()),
            ..Default::default()
        };
        let read = policy_from_store(kept).unwrap();
        assert_eq!(read.waves, [Amount::ALL]);
        assert_eq!(read.max_unavailable, Amount::Count(2));
        assert_eq!(read.on_failure, OnFailure::Revert);
        assert!(read.windows.is_empty());
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_field() {
        let refused = |change: fn(&mut v1::PlanPolicy)| {
            let mut asked = v1::PlanPolicy::default();
            change(&mut asked);
            policy_from_proto(Some(asked), &Policy::default())
                .unwrap_err()
                .to_string()
        };
        let percent = |percent| {
            Some(v1::Amount {
                kind: Some(Kind::Percent(percent)),
            })
        };
        let both = refused(|p| (p.max_unavailable, p.max_unavailable_percent) = (Some(1), Some(1)));
        assert!(both.contains("one of the two"), "{both}");
        let none = refused(|p| p.max_unavailable_percent = Some(0));
        assert!(none.contains("1% to 100%"), "{none}");
        let empty = refused(|p| p.waves = vec![v1::Amount::default()]);
        assert!(empty.contains("policy.waves"), "{empty}");
        let unknown = refused(|p| p.on_failure = 77);
        assert!(unknown.contains("policy.on_failure"), "{unknown}");
        let window = refused(|p| {
            p.windows = Some(v1::MaintenanceWindows {
                windows: vec![v1::MaintenanceWindow {
                    schedule: "at noon".to_owned(),
                    duration: Some(duration_to(Duration::from_secs(3600))),
                    time_zone: String::new(),
                }],
            });
        });
        assert!(window.contains("is no schedule"), "{window}");
        let asked = v1::PlanPolicy {
            min_healthy: percent(256),
            ..Default::default()
        };
        assert!(policy_from_proto(Some(asked), &Policy::default()).is_err());
    }
}
