//! How carefully a plan goes about it: as it is asked for, and as it is told.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, ValueEnum};
use evenkeel_common::{amount::Amount, window::WindowText};
use evenkeel_proto::v1::{self, amount::Kind};

use crate::args::{duration, duration_or_zero};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::time::readable;
use crate::view::{PlanComparison, PlanPolicy};

/// How carefully to go about it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Policy (the coordinator's configuration has the defaults)")]
pub(super) struct PolicyArgs {
    /// How many instances of a group may be down at once, whoever took them down, such as 2 or 25%
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    max_unavailable: Option<Amount>,
    /// How many of the whole component may be down at once; 0 for no such limit
    #[arg(long, value_name = "AMOUNT")]
    max_unavailable_component: Option<Amount>,
    /// How many instances of a group have to stay available when one more goes down; 0 for no such limit
    #[arg(long, value_name = "AMOUNT")]
    min_healthy: Option<Amount>,
    /// The label that names an instance's failure domain
    #[arg(long, value_name = "LABEL")]
    failure_domain: Option<String>,
    /// In how many failure domains instances may be down at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    failure_domains_at_once: Option<u32>,
    /// How many instances go first, alone, and soak before any other is touched
    #[arg(long, value_name = "N")]
    canary: Option<u32>,
    /// How many go together after the canary, wave by wave, such as 10%,50%,100%; the last takes what is left
    #[arg(long, value_name = "AMOUNT,…", value_delimiter = ',', value_parser = amount)]
    waves: Vec<Amount>,
    /// How long an instance has to stay good before it counts as done
    #[arg(long, value_name = "DURATION", value_parser = duration_or_zero)]
    soak: Option<Duration>,
    /// How long one instance may take once it may be stopped; past it the release before is put back. Asking whether it may
    /// be stopped may take as long before that; past that nothing was touched, and others go first
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    instance_deadline: Option<Duration>,
    /// The plan pauses when no task moved for this long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    progress_deadline: Option<Duration>,
    /// How long the whole plan may take; past it --on-failure says what is done; 0 for as long as it takes
    #[arg(long, value_name = "DURATION", value_parser = duration_or_zero)]
    plan_deadline: Option<Duration>,
    /// What is done when more tasks fail than are tolerated
    #[arg(long, value_name = "ACTION")]
    on_failure: Option<OnFailure>,
    /// After how many failed tasks the plan still goes on with the others
    #[arg(long, value_name = "N")]
    failures_tolerated: Option<u32>,
    /// Leave the last word to a person, also where finalizing takes nothing away
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pause_before_finalize: Option<bool>,
    /// When the plan may begin anything, such as "0 22 * * SAT for 4h in Europe/Berlin" (minute, hour, day of the month,
    /// month, day of the week); again for each further window
    #[arg(long, value_name = "WINDOW")]
    window: Vec<WindowText>,
    /// The plan may begin anything at any time, whatever windows the coordinator's configuration has
    #[arg(long, conflicts_with = "window")]
    no_window: bool,
    /// Before each wave after the first, how much of the others' figures those may have that were changed, such as
    /// latency=300%,errors=150%: the latency of their probes, and figures that the driver gives
    #[arg(long, value_name = "NAME=PERCENT,…", value_delimiter = ',', value_parser = figure)]
    compare: Vec<(String, u32)>,
    /// How many probes an instance has to have answered within the last five minutes to be compared
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    compare_answers: Option<u32>,
    /// For how long those that seem to do worse are watched before that counts; 0: it counts at once
    #[arg(long, value_name = "DURATION", value_parser = duration_or_zero)]
    compare_worse_for: Option<Duration>,
    /// Those that were changed are not compared with those that were not
    #[arg(long, conflicts_with_all = ["compare", "compare_answers", "compare_worse_for"])]
    no_compare: bool,
}

/// What is done when a task fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnFailure {
    /// Pause the plan, and leave one that got sick while it soaked as it is until the plan is resumed
    Pause,
    /// Pause the plan, and put back one that got sick while it soaked
    Revert,
    /// Roll the whole plan back
    Rollback,
}

/// An amount that is not none.
fn amount(text: &str) -> Result<Amount, String> {
    match text.parse() {
        Ok(Amount::Count(0)) => Err("the least is 1".to_owned()),
        Ok(amount) => Ok(amount),
        Err(error) => Err(error.to_string()),
    }
}

/// A figure, and how much of the others' it may be.
fn figure(text: &str) -> Result<(String, u32), String> {
    let shape = || format!("{text:?} is not of the form NAME=PERCENT, such as latency=300%");
    let (name, percent) = text.split_once('=').ok_or_else(shape)?;
    let percent = percent.strip_suffix('%').ok_or_else(shape)?;
    let percent = percent.parse().map_err(|_| shape())?;
    Ok((name.to_owned(), percent))
}

/// The figure that agents measure themselves.
const LATENCY: &str = "latency";

impl PolicyArgs {
    fn comparison(&self) -> Result<Option<v1::PlanComparison>, Failure> {
        let mut named = BTreeSet::new();
        if let Some((name, _)) = self.compare.iter().find(|(name, _)| !named.insert(name)) {
            return Err(Failure::new(
                Exit::Usage,
                format!("--compare names {name} twice"),
            ));
        }
        let asked = self.no_compare
            || self.compare_answers.is_some()
            || self.compare_worse_for.is_some()
            || !self.compare.is_empty();
        let (latency, metrics): (Vec<_>, Vec<_>) =
            self.compare.iter().partition(|(name, _)| name == LATENCY);
        let worse_for = wire(self.compare_worse_for)?;
        Ok(asked.then(|| v1::PlanComparison {
            worse_for,
            off: self.no_compare,
            answers_min: self.compare_answers,
            latency_percent_max: latency.last().map(|(_, percent)| *percent),
            metrics: metrics.into_iter().cloned().collect(),
        }))
    }

    pub(super) fn policy(self) -> Result<v1::PlanPolicy, Failure> {
        let (count, percent) = match self.max_unavailable {
            None => (None, None),
            Some(Amount::Count(count)) => (Some(count), None),
            Some(Amount::Percent(percent)) => (None, Some(percent.into())),
        };
        let compare = self.comparison()?;
        let windows = match (self.window.is_empty(), self.no_window) {
            (true, false) => None,
            (true, true) => Some(v1::MaintenanceWindows::default()),
            (false, _) => Some(v1::MaintenanceWindows {
                windows: self
                    .window
                    .into_iter()
                    .map(window)
                    .collect::<Result<_, _>>()?,
            }),
        };
        Ok(v1::PlanPolicy {
            max_unavailable: count,
            max_unavailable_percent: percent,
            max_unavailable_component: self.max_unavailable_component.map(limit),
            min_healthy: self.min_healthy.map(limit),
            failure_domain: self.failure_domain,
            failure_domains_at_once: self.failure_domains_at_once,
            canary: self.canary,
            waves: self.waves.into_iter().map(limit).collect(),
            soak: wire(self.soak)?,
            instance_deadline: wire(self.instance_deadline)?,
            progress_deadline: wire(self.progress_deadline)?,
            plan_deadline: wire(self.plan_deadline)?,
            on_failure: match self.on_failure {
                None => v1::OnFailure::Unspecified,
                Some(OnFailure::Pause) => v1::OnFailure::Pause,
                Some(OnFailure::Revert) => v1::OnFailure::Revert,
                Some(OnFailure::Rollback) => v1::OnFailure::Rollback,
            }
            .into(),
            failures_tolerated: self.failures_tolerated,
            pause_before_finalize: self.pause_before_finalize,
            windows,
            compare,
        })
    }
}

/// An amount as the API has it; none of it is no limit.
fn limit(amount: Amount) -> v1::Amount {
    let kind = match amount {
        Amount::Count(0) => None,
        Amount::Count(count) => Some(Kind::Count(count)),
        Amount::Percent(percent) => Some(Kind::Percent(percent.into())),
    };
    v1::Amount { kind }
}

fn window(text: WindowText) -> Result<v1::MaintenanceWindow, Failure> {
    Ok(v1::MaintenanceWindow {
        schedule: text.schedule,
        duration: wire(Some(text.duration))?,
        time_zone: text.time_zone,
    })
}

fn wire(duration: Option<Duration>) -> Result<Option<prost_types::Duration>, Failure> {
    duration
        .map(prost_types::Duration::try_from)
        .transpose()
        .map_err(|_| Failure::new(Exit::Usage, "a duration is too long"))
}

/// A policy in one line: what everybody wants to know, and what else is not as it is without saying.
pub(super) fn told(policy: &PlanPolicy) -> String {
    let said = |name: &str, value: &Option<String>| {
        let value = value.as_deref()?;
        Some(format!("{name} {value}"))
    };
    let number = |name: &str, number: Option<u32>| number.map(|number| format!("{name} {number}"));
    let above = |least: u32, number: Option<u32>| number.filter(|number| *number > least);
    let duration = |name: &str, duration: &Option<String>| {
        let text = duration
            .as_deref()
            .filter(|text| *text != "0s" || name == "soak")?;
        Some(format!("{name} {}", readable(Some(text))))
    };
    let domain = policy.failure_domain.as_deref().map(|label| match label {
        "" => "no failure domains".to_owned(),
        label => format!("failure domain {label}"),
    });
    let waves = Some(policy.waves.join(" ")).filter(|waves| !waves.is_empty());
    let on_failure = Some(policy.on_failure.as_str()).filter(|action| *action != "unspecified");
    let windows = policy.windows.iter().flatten();
    let windows: Vec<_> = windows.map(|window| format!("only {window}")).collect();
    let max = policy.max_unavailable.map(|count| count.to_string());
    let percent = policy
        .max_unavailable_percent
        .map(|percent| format!("{percent}%"));
    let parts = [
        said("max unavailable", &max.or(percent)),
        said("of the component", &policy.max_unavailable_component),
        said("min healthy", &policy.min_healthy),
        domain,
        number(
            "failure domains at once",
            above(1, policy.failure_domains_at_once),
        ),
        number("canary", policy.canary),
        waves.map(|waves| format!("waves {waves}")),
        duration("soak", &policy.soak),
        duration("instance deadline", &policy.instance_deadline),
        duration("progress deadline", &policy.progress_deadline),
        duration("plan deadline", &policy.plan_deadline),
        on_failure.map(|action| format!("on failure {action}")),
        number("failures tolerated", above(0, policy.failures_tolerated)),
        policy
            .pause_before_finalize
            .filter(|pause| *pause)
            .map(|_| "finalized by a person".to_owned()),
        policy.compare.as_ref().map(compared),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().chain(windows).collect();
    parts.join(", ")
}

fn compared(compare: &PlanComparison) -> String {
    if compare.off {
        return "not compared".to_owned();
    }
    let latency = compare.latency_percent_max;
    let latency = latency.map(|percent| format!(" {LATENCY} {percent}%"));
    let metrics = compare.metrics.iter();
    let metrics = metrics.map(|(name, percent)| format!(" {name} {percent}%"));
    let answers = compare.answers_min;
    let answers = answers.map(|answers| format!(" of {answers} answers"));
    let worse_for = compare.worse_for.as_deref();
    let worse_for = worse_for.map(|time| format!(" for {}", readable(Some(time))));
    let parts = latency
        .into_iter()
        .chain(metrics)
        .chain(answers)
        .chain(worse_for);
    format!("compared by{}", parts.collect::<String>())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        policy: PolicyArgs,
    }

    fn policy(arguments: &[&str]) -> Result<v1::PlanPolicy, clap::Error> {
        let line = Line::try_parse_from([&["plan"], arguments].concat())?;
        Ok(line.policy.policy().unwrap())
    }

    #[test]
    fn what_is_not_said_is_left_open() {
        assert_eq!(policy(&[]).unwrap(), v1::PlanPolicy::default());
    }

    #[test]
    fn all_that_is_asked_for_is_told_again() {
        let asked = policy(&[
            "--max-unavailable=25%",
            "--max-unavailable-component=10%",
            "--min-healthy=2",
            "--failure-domain=zone",
            "--failure-domains-at-once=2",
            "--waves=1,10%,100%",
            "--soak=0",
            "--plan-deadline=6h",
            "--on-failure=rollback",
            "--failures-tolerated=3",
            "--pause-before-finalize",
            "--window=0 22 * * SAT for 4h in Europe/Berlin",
            "--window=30 1 * * * for 90m",
            "--compare=latency=200%,errors=110%",
            "--compare-answers=3",
            "--compare-worse-for=90s",
        ])
        .unwrap();
        assert_eq!(
            told(&asked.into()),
            "max unavailable 25%, of the component 10%, min healthy 2, failure domain zone, failure domains at once 2, \
             waves 1 10% 100%, soak 0s, plan deadline 6h, on failure rollback, failures tolerated 3, finalized by a person, \
             compared by latency 200% errors 110% of 3 answers for 1m 30s, only 0 22 * * SAT for 4h in Europe/Berlin, only 30 1 * * * for 1h 30m in UTC"
        );
    }

    #[test]
    fn a_figure_is_named_once() {
        let line = Line::try_parse_from(["plan", "--compare=errors=110%,errors=120%"]).unwrap();
        let twice = line.policy.policy().unwrap_err();
        assert_eq!(twice.exit, Exit::Usage);
        assert_eq!(twice.sentence, "--compare names errors twice");
    }

    #[test]
    fn what_the_configuration_has_can_be_taken_back() {
        let asked = policy(&[
            "--max-unavailable-component=0",
            "--min-healthy=0",
            "--plan-deadline=0",
            "--pause-before-finalize=false",
            "--no-window",
        ])
        .unwrap();
        assert_eq!(asked.min_healthy, Some(v1::Amount { kind: None }));
        assert_eq!(asked.max_unavailable_component, asked.min_healthy);
        assert_eq!(asked.plan_deadline.unwrap().seconds, 0);
        assert_eq!(asked.pause_before_finalize, Some(false));
        assert_eq!(asked.windows, Some(v1::MaintenanceWindows::default()));
        assert_eq!(told(&asked.into()), "");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_is_allowed() {
        for (argument, said) in [
            ("--max-unavailable=0", "the least is 1"),
            ("--max-unavailable=101%", "a share of 1% to 100%"),
            ("--waves=10%,0", "the least is 1"),
            ("--window=SAT", "0 22 * * SAT for 4h in Europe/Berlin"),
            ("--on-failure=panic", "rollback"),
            ("--failure-domains-at-once=0", "1.."),
        ] {
            let error = policy(&[argument]).unwrap_err().to_string();
            assert!(error.contains(said), "{argument}: {error}");
        }
    }
}
