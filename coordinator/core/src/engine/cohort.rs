//! The cohort gate: before a wave begins, those of the stage that were changed are compared with those that were not.
//! Too little to go by means to wait; worse means that the plan pauses, with the figures.

use std::{cmp::Ordering, time::Duration};

use evenkeel_words::{names::InstanceId, timestamp::Timestamp};

use super::{Decision, follow, waits};
use crate::{
    change::Resource,
    measures::Measure,
    plan::{Compared, Comparison, Plan, PlanState, Task, Verdict},
    state::State,
};

/// How old a measure may be to be counted: a few heartbeats.
const FRESH_WITHIN: Duration = Duration::from_secs(60);

/// How long a process has to have been there to be counted: what it does while it starts tells nothing.
const UP_MIN: Duration = Duration::from_secs(10);

/// How many of each side are looked at: more would tell no more, and cost more.
const LOOKED_AT_MAX: usize = 200;

/// Differences of latency below this are noise, whatever their ratio.
const LATENCY_NOISE: Duration = Duration::from_millis(2);

/// What can be told of one side.
#[derive(Debug, Clone, PartialEq)]
struct Cohort {
    /// How many were counted.
    counted: usize,
    /// The median of their latencies' medians.
    latency_p50: Duration,
    /// The median of their latencies' 99th percentiles.
    latency_p99: Duration,
    /// Of a hundred asked, how many probes failed.
    failing_percent: f64,
    /// How often an instance ended by itself, on average.
    restarts: f64,
}

/// What a comparison says; nothing if there is none to be made before the next wave.
enum Outcome {
    TooLittle(String),
    AsGood(String),
    Worse(String),
}

/// Compares, if the next wave waits for that.
pub(super) fn compare(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let comparison = plan.policy.compare.as_ref()?;
    let (stage, wave) = next(state, plan)?;
    let first = state
        .barrier(plan.id)?
        .ready()
        .get_min()?
        .1
        .get_min()?
        .1
        .get_min()?;
    let first = state.task_under_way(plan.id, first)?;
    if made(plan, stage, wave).is_some() || waits::before_comparison(state, plan, first).is_some() {
        return None;
    }
    let (verdict, sentence) = match outcome(state, plan, comparison, stage, now) {
        Outcome::TooLittle(_) => return None,
        Outcome::AsGood(sentence) => (Verdict::AsGood, sentence),
        Outcome::Worse(sentence) => (Verdict::Worse, sentence),
    };
    let mut compared = Plan {
        progressed_at: now,
        ..plan.clone()
    };
    compared.compared.push(Compared {
        stage,
        wave,
        verdict,
        sentence: sentence.clone(),
        at: now,
    });
    if verdict == Verdict::Worse {
        follow::pause(
            &mut compared,
            format!(
                "before wave {wave}: {sentence}; resume accepts that and goes on, rollback or abort gives up"
            ),
        );
    }
    let cause = format!("{} compared before wave {wave}", plan.id);
    Some((cause, vec![Resource::Plan(compared)]))
}

/// What keeps the wave of a task from beginning until it has been compared; nothing if it may.
pub(super) fn holds_back(state: &State, plan: &Plan, task: &Task) -> Option<String> {
    let comparison = plan.policy.compare.as_ref()?;
    let (stage, wave) = next(state, plan).filter(|next| *next == (task.stage, task.wave))?;
    match made(plan, stage, wave).map(|made| (made.verdict, &made.sentence)) {
        Some((Verdict::AsGood | Verdict::Accepted, _)) => None,
        Some((Verdict::Worse, sentence)) => Some(sentence.clone()),
        None => Some(match outcome(state, plan, comparison, stage, state.at()) {
            Outcome::TooLittle(why) => {
                format!(
                    "those that were changed have to be compared with the others first, and {why}"
                )
            }
            Outcome::AsGood(sentence) | Outcome::Worse(sentence) => sentence,
        }),
    }
}

fn made(plan: &Plan, stage: u32, wave: u32) -> Option<&Compared> {
    let mut made = plan.compared.iter();
    made.find(|made| (made.stage, made.wave) == (stage, wave))
}

/// A person who resumes a plan that was paused for what a comparison said accepts that.
#[must_use]
pub fn accepted(plan: &Plan) -> Vec<Compared> {
    let accept = |made: &Compared| Compared {
        verdict: match made.verdict {
            Verdict::Worse | Verdict::Accepted => Verdict::Accepted,
            Verdict::AsGood => Verdict::AsGood,
        },
        ..made.clone()
    };
    plan.compared.iter().map(accept).collect()
}

/// The wave that would begin next, of a stage that goes forward and of which something was changed already.
fn next(state: &State, plan: &Plan) -> Option<(u32, u32)> {
    if plan.state != PlanState::Running {
        return None;
    }
    let barrier = state.barrier(plan.id)?;
    let tally = state.tally(plan.id)?.stage(barrier.stage())?;
    let (wave, _) = barrier.ready().get_min()?;
    let (first_left, left) = tally.awaited().get_min()?;
    let untouched = || left.iter().all(|id| tally.untouched().contains(id));
    let begins = first_left == wave && untouched();
    (begins && *wave > 0 && plan.stage_at(barrier.stage())?.undoes.is_none())
        .then_some((barrier.stage(), *wave))
}

fn outcome(
    state: &State,
    plan: &Plan,
    comparison: &Comparison,
    stage: u32,
    now: Timestamp,
) -> Outcome {
    let Some(tally) = state.tally(plan.id).and_then(|tally| tally.stage(stage)) else {
        return Outcome::TooLittle("there is nothing to compare".to_owned());
    };
    let changed = tally.begun().iter();
    let runs_it = |id: &InstanceId| {
        let task = state.task_under_way(plan.id, id)?;
        state
            .instance(id)?
            .report
            .current
            .as_ref()
            .map(|current| *current == task.to)
    };
    let changed = changed.filter(|id| !tally.to_begin().contains(*id) && runs_it(id) == Some(true));
    let changed = measured(state, comparison, changed, now);
    let others = measured(state, comparison, tally.untouched().iter(), now);
    judge(comparison, changed, others)
}

/// The measures that count, and how many there should be.
fn measured<'a>(
    state: &'a State,
    comparison: &Comparison,
    ids: impl Iterator<Item = &'a InstanceId>,
    now: Timestamp,
) -> (Vec<&'a Measure>, usize) {
    let mut looked_at = 0;
    let measures = ids
        .take(LOOKED_AT_MAX)
        .filter_map(|id| {
            looked_at += 1;
            let measure = state
                .measure_of(id)
                .filter(|measure| measure.up >= UP_MIN)?;
            let fresh = now.since(measure.at) <= FRESH_WITHIN;
            (fresh && measure.probes >= comparison.answers_min).then(|| measure.as_ref())
        })
        .collect();
    (measures, looked_at)
}

fn judge(
    comparison: &Comparison,
    (changed, changed_of): (Vec<&Measure>, usize),
    (others, others_of): (Vec<&Measure>, usize),
) -> Outcome {
    // Most of those that were changed have to be heard of, or the good ones would speak for the bad; of the others some
    // tell enough.
    if changed.is_empty() || changed.len() * 4 < changed_of * 3 {
        return Outcome::TooLittle(format!(
            "{} of the {changed_of} that were changed have answered their probes {} times within the last minute",
            changed.len(),
            comparison.answers_min
        ));
    }
    if others.is_empty() || others.len() * 4 < others_of {
        return Outcome::TooLittle(format!(
            "{} of the {others_of} others have answered their probes {} times within the last minute",
            others.len(),
            comparison.answers_min
        ));
    }
    let (mine, theirs) = (Cohort::of(&changed), Cohort::of(&others));
    let mut worse = latency_worse(comparison, &mine, &theirs);
    if mine.failing_percent > theirs.failing_percent + 5.0 {
        worse.push(format!(
            "{:.0}% of their probes fail, {:.0}% of the others'",
            mine.failing_percent, theirs.failing_percent
        ));
    }
    if mine.restarts > theirs.restarts {
        worse.push(format!(
            "they ended by themselves {:.1} times each, the others {:.1}",
            mine.restarts, theirs.restarts
        ));
    }
    for (name, percent) in &comparison.metrics {
        let (Some(mine), Some(theirs)) = (middle(&changed, name), middle(&others, name)) else {
            return Outcome::TooLittle(format!("their drivers do not all give {name}"));
        };
        // Where the others have none, any is worse; a share of less than none says nothing.
        if theirs >= 0.0 && mine > theirs * f64::from(*percent) / 100.0 {
            worse.push(format!("{name} is {mine:.3}, the others' {theirs:.3}"));
        }
    }
    if !worse.is_empty() {
        return Outcome::Worse(format!(
            "the {} that were changed do worse than the others: {}",
            mine.counted,
            worse.join("; ")
        ));
    }
    Outcome::AsGood(format!(
        "the {} that were changed do as well as {} others: latency {:?} against {:?}",
        mine.counted, theirs.counted, mine.latency_p50, theirs.latency_p50
    ))
}

fn latency_worse(comparison: &Comparison, mine: &Cohort, theirs: &Cohort) -> Vec<String> {
    let figures = [
        ("half", mine.latency_p50, theirs.latency_p50),
        ("99 of 100", mine.latency_p99, theirs.latency_p99),
    ];
    let worse = figures.into_iter().filter(|(_, mine, theirs)| {
        let allowed = theirs.mul_f64(f64::from(comparison.latency_percent_max) / 100.0);
        *mine > allowed && *mine > theirs.saturating_add(LATENCY_NOISE)
    });
    worse
        .map(|(share, mine, theirs)| {
            format!("{share} of their probes take up to {mine:?}, the others' {theirs:?}")
        })
        .collect()
}

impl Cohort {
    fn of(measures: &[&Measure]) -> Self {
        let count = measures.len().max(1);
        let asked: u64 = measures
            .iter()
            .map(|measure| u64::from(measure.probes) + u64::from(measure.failures))
            .sum();
        let failed: u64 = measures.iter().map(|m| u64::from(m.failures)).sum();
        let restarts: u64 = measures.iter().map(|m| u64::from(m.restarts)).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        Self {
            counted: measures.len(),
            latency_p50: median(measures.iter().map(|measure| measure.latency_p50)),
            latency_p99: median(measures.iter().map(|measure| measure.latency_p99)),
            failing_percent: 100.0 * share(failed, asked),
            restarts: share(restarts, count as u64),
        }
    }
}

fn median(durations: impl Iterator<Item = Duration>) -> Duration {
    let mut durations: Vec<_> = durations.collect();
    durations.sort_unstable();
    durations
        .get(durations.len() / 2)
        .copied()
        .unwrap_or_default()
}

/// The median of a figure, if all have it.
fn middle(measures: &[&Measure], name: &str) -> Option<f64> {
    let figures: Option<Vec<f64>> = measures
        .iter()
        .map(|measure| measure.metrics.get(name).copied())
        .collect();
    let mut figures = figures?;
    figures.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    figures.get(figures.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(latency_ms: u64) -> Measure {
        Measure {
            at: Timestamp(0),
            up: Duration::from_secs(100),
            probes: 60,
            failures: 0,
            latency_p50: Duration::from_millis(latency_ms),
            latency_p99: Duration::from_millis(2 * latency_ms),
            restarts: 0,
            metrics: [("errors".to_owned(), 1.0)].into(),
        }
    }

    fn told(comparison: &Comparison, changed: &[Measure], others: &[Measure]) -> String {
        let all = |measures: &[Measure]| measures.len();
        let (c, o) = (all(changed), all(others));
        let outcome = judge(
            comparison,
            (changed.iter().collect(), c),
            (others.iter().collect(), o),
        );
        match outcome {
            Outcome::TooLittle(why) => format!("too little: {why}"),
            Outcome::AsGood(why) => format!("as good: {why}"),
            Outcome::Worse(why) => format!("worse: {why}"),
        }
    }

    #[test]
    fn those_that_do_as_well_pass() {
        let said = told(
            &Comparison::default(),
            &[measure(11)],
            &[measure(10), measure(9)],
        );
        assert_eq!(
            said,
            "as good: the 1 that were changed do as well as 2 others: latency 11ms against 10ms"
        );
    }

    #[test]
    fn those_that_are_slower_do_not_and_the_figures_are_told() {
        let said = told(
            &Comparison::default(),
            &[measure(40)],
            &[measure(10), measure(10)],
        );
        assert_eq!(
            said,
            "worse: the 1 that were changed do worse than the others: half of their probes take up to 40ms, the others' 10ms; 99 of 100 of their probes take up to 80ms, the others' 20ms"
        );
    }

    #[test]
    fn a_ratio_of_next_to_nothing_is_noise() {
        let quick = |us| Measure {
            latency_p50: Duration::from_micros(us),
            latency_p99: Duration::from_micros(us),
            ..measure(0)
        };
        let said = told(&Comparison::default(), &[quick(900)], &[quick(100)]);
        assert!(said.starts_with("as good"), "{said}");
    }

    #[test]
    fn restarts_failing_probes_and_figures_of_the_driver_count() {
        let others = [measure(10), measure(10)];
        let restarted = Measure {
            restarts: 1,
            ..measure(10)
        };
        let said = told(&Comparison::default(), &[restarted], &others);
        assert!(
            said.contains("ended by themselves 1.0 times each"),
            "{said}"
        );

        let failing = Measure {
            probes: 50,
            failures: 10,
            ..measure(10)
        };
        let said = told(&Comparison::default(), &[failing], &others);
        assert!(said.contains("17% of their probes fail"), "{said}");

        let comparison = Comparison {
            metrics: [("errors".to_owned(), 150)].into(),
            ..Comparison::default()
        };
        let erring = Measure {
            metrics: [("errors".to_owned(), 2.0)].into(),
            ..measure(10)
        };
        let said = told(&comparison, &[erring], &others);
        assert!(
            said.contains("errors is 2.000, the others' 1.000"),
            "{said}"
        );
        let silent = Measure {
            metrics: Default::default(),
            ..measure(10)
        };
        let said = told(&comparison, &[silent], &others);
        assert!(said.starts_with("too little"), "{said}");
    }

    #[test]
    fn any_is_worse_than_none_and_what_is_less_than_none_is_not_compared() {
        let comparison = Comparison {
            metrics: [("errors".to_owned(), 150)].into(),
            ..Comparison::default()
        };
        let with = |errors| Measure {
            metrics: [("errors".to_owned(), errors)].into(),
            ..measure(10)
        };
        for (mine, theirs, good) in [
            (3.0, 0.0, false),
            (0.0, 0.0, true),
            (-9.0, -10.0, true),
            (-1.0, 1.0, true),
        ] {
            let said = told(&comparison, &[with(mine)], &[with(theirs)]);
            assert_eq!(said.starts_with("as good"), good, "{mine} {theirs}: {said}");
        }
    }

    #[test]
    fn nothing_is_told_of_too_few() {
        let said = told(&Comparison::default(), &[], &[measure(10)]);
        assert!(said.starts_with("too little"), "{said}");
        let said = told(&Comparison::default(), &[measure(10)], &[]);
        assert!(said.starts_with("too little"), "{said}");
        let outcome = judge(
            &Comparison::default(),
            (vec![&measure(10), &measure(10)], 3),
            (vec![&measure(10)], 1),
        );
        assert!(matches!(outcome, Outcome::TooLittle(_)));
    }
}
