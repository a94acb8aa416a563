//! Two sides of measures, and whether the difference between them is more than chance and the usual spread.
//!
//! A side is judged by the middle one of its instances, so that one of several does not speak for all. What differs has
//! to be beyond a ratio, beyond a floor, beyond the slower ones of the others, and beyond what so few answers of such a
//! spread differ by chance; only then it counts.

use std::{cmp::Ordering, time::Duration};

use crate::{measures::Measure, plan::Comparison};

/// Differences of latency below this are noise, whatever their ratio: so much comes from a busy host.
pub(super) const LATENCY_NOISE: Duration = Duration::from_millis(5);

/// Of how many answers the slowest hundredth tells anything: five are in it then.
const TAIL_ANSWERS_MIN: f64 = 500.0;

/// How many standard errors a difference has to have.
const ERRORS_MIN: f64 = 3.0;

/// The standard error of a median of normal figures, times the root of their number, in standard deviations.
const ERROR_OF_P50: f64 = 1.253;

/// The same of a 99th percentile.
const ERROR_OF_P99: f64 = 3.73;

/// By how many standard deviations the 99th percentile of normal figures is above their median.
const P99_ABOVE_P50: f64 = 2.326;

/// How many more of a hundred probes have to fail.
const FAILING_MORE: f64 = 5.0;

/// By how much more of its instances a side has to have ended by itself.
const ENDED_MORE: f64 = 0.25;

/// What one look at both sides says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Look {
    /// There is too little to go by.
    TooLittle(String),
    /// No difference that anybody would look at twice.
    Good(String),
    /// Neither good nor worse.
    Unclear(String),
    /// Worse, by more than chance.
    Worse(String),
}

/// What can be told of one side.
#[derive(Debug, Clone, PartialEq)]
struct Cohort {
    counted: usize,
    /// How many answers an instance gave.
    answers: f64,
    /// How many probes of an instance there were, good and bad.
    asked: f64,
    p50: Middle,
    p99: Middle,
    /// How many times its median an instance's 99th percentile is, as a logarithm.
    spread: f64,
    /// Of a hundred probes of an instance, how many failed.
    failing: Middle,
    /// The share of instances that ended by themselves.
    ended: f64,
}

/// The middle of some figures. Of two in the middle the one that makes less of a difference counts: the lower one of
/// those that were changed, the upper one of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Middle {
    lower: f64,
    upper: f64,
    /// A quarter of them is above this.
    quarter: f64,
}

impl Middle {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        let at = |place: usize| {
            let last = figures.len().saturating_sub(1);
            figures.get(place.min(last)).copied().unwrap_or_default()
        };
        Self {
            lower: at(figures.len().saturating_sub(1) / 2),
            upper: at(figures.len() / 2),
            quarter: at(figures.len() * 3 / 4),
        }
    }
}

impl Cohort {
    fn of(measures: &[&Measure]) -> Self {
        let all = |figure: fn(&Measure) -> f64| Middle::of(measures.iter().map(|m| figure(m)));
        let asked: fn(&Measure) -> f64 = |m| f64::from(m.probes) + f64::from(m.failures);
        let ended = measures.iter().filter(|m| m.restarts > 0).count();
        Self {
            counted: measures.len(),
            answers: all(|m| f64::from(m.probes)).lower,
            asked: all(asked).lower,
            p50: all(|m| m.latency_p50.as_secs_f64()),
            p99: all(|m| m.latency_p99.as_secs_f64()),
            spread: all(|m| {
                let ratio = m.latency_p99.as_secs_f64() / m.latency_p50.as_secs_f64();
                if ratio.is_finite() {
                    ratio.max(1.0).ln()
                } else {
                    0.0
                }
            })
            .upper,
            failing: all(|m| {
                let asked = f64::from(m.probes) + f64::from(m.failures);
                100.0 * f64::from(m.failures) / asked.max(1.0)
            }),
            ended: share(ended, measures.len()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn share(part: usize, of: usize) -> f64 {
    part as f64 / of.max(1) as f64
}

/// How one figure of the changed stands to that of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stands {
    Good,
    Unclear,
    Worse,
}

/// Holds those that were changed against the others. Neither side is empty.
pub(super) fn judge(comparison: &Comparison, changed: &[&Measure], others: &[&Measure]) -> Look {
    let (mine, theirs) = (Cohort::of(changed), Cohort::of(others));
    let mut found = latencies(comparison, &mine, &theirs);
    found.push(failing(&mine, &theirs));
    found.push(ended(&mine, &theirs));
    for (name, percent) in &comparison.metrics {
        let (Some(mine), Some(theirs)) = (figure(changed, name), figure(others, name)) else {
            return Look::TooLittle(format!("their drivers do not all give {name}"));
        };
        found.push(metric(name, *percent, mine, theirs));
    }
    let stands = found.iter().map(|(stands, _)| *stands).max();
    let told = |of: Stands| {
        let told = found.iter().filter(|(stands, _)| *stands == of);
        told.map(|(_, sentence)| sentence.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    };
    match stands.unwrap_or(Stands::Good) {
        Stands::Worse => Look::Worse(format!(
            "the {} that were changed do worse than the others: {}",
            mine.counted,
            told(Stands::Worse)
        )),
        Stands::Unclear => Look::Unclear(format!(
            "it is not clear whether the {} that were changed do worse than the others: {}",
            mine.counted,
            told(Stands::Unclear)
        )),
        Stands::Good => Look::Good(format!(
            "the {} that were changed do as well as {} others: latency {:?} against {:?}",
            mine.counted,
            theirs.counted,
            duration(mine.p50.lower),
            duration(theirs.p50.upper)
        )),
    }
}

fn latencies(comparison: &Comparison, mine: &Cohort, theirs: &Cohort) -> Vec<(Stands, String)> {
    let ratio = f64::from(comparison.latency_percent_max) / 100.0;
    // The logarithms of latencies are nearer to normal than they themselves, and the longer the tail the larger this is.
    let deviation = mine.spread.max(theirs.spread) / P99_ABOVE_P50;
    let few = (1.0 / mine.answers.max(1.0) + 1.0 / theirs.answers.max(1.0)).sqrt();
    let chance = |error: f64| (ERRORS_MIN * error * deviation * few).exp();
    let mut figures = vec![("half", mine.p50, theirs.p50, chance(ERROR_OF_P50))];
    if mine.answers.min(theirs.answers) >= TAIL_ANSWERS_MIN {
        figures.push(("99 of 100", mine.p99, theirs.p99, chance(ERROR_OF_P99)));
    }
    let floor = LATENCY_NOISE.as_secs_f64();
    let told = figures.into_iter().map(|(part, mine, theirs, chance)| {
        let (mine, least) = (mine.lower, theirs.upper);
        // The hosts of a fleet are not all the same.
        let usual = theirs.quarter.max(least + floor);
        let stands = if mine <= usual || mine <= least * ratio.sqrt() {
            Stands::Good
        } else if mine <= least * ratio.max(chance) {
            Stands::Unclear
        } else {
            Stands::Worse
        };
        let (mine, theirs) = (duration(mine), duration(least));
        let sentence =
            format!("{part} of their probes take up to {mine:?}, the others' {theirs:?}");
        (stands, sentence)
    });
    told.collect()
}

fn failing(mine: &Cohort, theirs: &Cohort) -> (Stands, String) {
    let (asked, others_asked) = (mine.asked.max(1.0), theirs.asked.max(1.0));
    let (mine, theirs) = (mine.failing.lower, theirs.failing.upper);
    let all = (mine * asked + theirs * others_asked) / (asked + others_asked) / 100.0;
    let few = 1.0 / asked + 1.0 / others_asked;
    let chance = 100.0 * ERRORS_MIN * (all * (1.0 - all) * few).max(0.0).sqrt();
    let more = mine - theirs;
    let stands = if more <= FAILING_MORE {
        Stands::Good
    } else if more <= chance {
        Stands::Unclear
    } else {
        Stands::Worse
    };
    let sentence = format!("{mine:.0}% of their probes fail, {theirs:.0}% of the others'");
    (stands, sentence)
}

fn ended(mine: &Cohort, theirs: &Cohort) -> (Stands, String) {
    let stands = match mine.ended > theirs.ended + ENDED_MORE {
        true => Stands::Worse,
        false => Stands::Good,
    };
    let sentence = format!(
        "{:.0}% of them ended by themselves, {:.0}% of the others",
        100.0 * mine.ended,
        100.0 * theirs.ended
    );
    (stands, sentence)
}

/// Where the others have none, any is worse; a share of less than none says nothing.
fn metric(name: &str, percent: u32, mine: Middle, theirs: Middle) -> (Stands, String) {
    let (mine, least) = (mine.lower, theirs.upper);
    let allowed = (least * f64::from(percent) / 100.0).max(theirs.quarter);
    let stands = match least >= 0.0 && mine > allowed {
        true => Stands::Worse,
        false => Stands::Good,
    };
    let sentence = format!("{name} is {mine:.3}, the others' {least:.3}");
    (stands, sentence)
}

/// A figure of the driver, if all have it.
fn figure(measures: &[&Measure], name: &str) -> Option<Middle> {
    let figures: Option<Vec<f64>> = measures
        .iter()
        .map(|measure| measure.metrics.get(name).copied())
        .collect();
    Some(Middle::of(figures?.into_iter()))
}

fn duration(seconds: f64) -> Duration {
    let micros = Duration::try_from_secs_f64(seconds)
        .unwrap_or_default()
        .as_micros();
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
