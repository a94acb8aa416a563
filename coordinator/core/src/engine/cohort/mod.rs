//! The cohort gate: before a wave begins, those of the stage that were changed are compared with those that were not.
//!
//! One look that finds no difference is enough to go on. One that does is not enough to stop: they are watched for a
//! while, and what most of the looks say counts. Too little to go by means to wait, for half as long as the plan may go
//! without progress; then it pauses, as it does when they do worse. Every look that was not good is kept in the plan.
//! What is compared, and when a difference is one, is in [`judge`].

mod judge;

use std::time::Duration;

use evenkeel_words::timestamp::Timestamp;

use self::judge::Look;
use super::{Decision, follow, hold, waits};
use crate::{
    change::Resource,
    instance::Instance,
    measures::Measure,
    plan::{Compared, Comparison, Plan, PlanState, Task, Verdict, Watched},
    state::State,
};

/// How old a measure may be to be counted: a few heartbeats, and one where a fleet is so large that they are rare.
const FRESH_WITHIN: Duration = Duration::from_secs(150);

/// How long a process has to have been there to be counted: what it does while it starts tells nothing.
const UP_MIN: Duration = Duration::from_secs(10);

/// How many of each side are looked at: more would tell no more, and cost more.
const LOOKED_AT_MAX: usize = 200;

/// Into how many parts the looks divide the time for which those are watched that seem worse.
const LOOKS: u32 = 4;

/// How many looks it takes at least, however long the time was.
const LOOKS_MIN: u32 = 3;

/// What follows from a look.
#[derive(Debug, Clone, PartialEq)]
enum Follows {
    /// Nothing yet.
    Wait,
    /// They are watched further.
    Watch(Watched, String),
    /// The wave may begin, or the plan pauses.
    Decided(Verdict, String),
}

/// Compares, if the next wave waits for that.
pub(super) fn compare(state: &State, plan: &Plan, now: Timestamp) -> Option<Decision> {
    let comparison = plan.policy.compare.as_ref()?;
    let (stage, wave) = due(state, plan)?;
    let is_over = given_up_at(state, plan, now).is_some_and(|at| now >= at);
    let sides = Sides::of(state, plan, comparison, stage, now);
    let before = watched(plan, stage, wave);
    let follows = follows(comparison, before, &sides, now, is_over);
    let (verdict, watched, sentence) = match follows {
        Follows::Wait => return None,
        Follows::Watch(watched, sentence) => (Verdict::Watched, watched, sentence),
        Follows::Decided(verdict, sentence) => (verdict, Watched::default(), sentence),
    };
    let mut compared = plan.clone();
    compared
        .compared
        .retain(|made| (made.stage, made.wave) != (stage, wave));
    compared.compared.push(Compared {
        stage,
        wave,
        verdict,
        sentence: sentence.clone(),
        at: now,
        watched,
    });
    match verdict {
        Verdict::Watched => {}
        Verdict::AsGood | Verdict::Accepted => compared.progressed_at = now,
        Verdict::Worse | Verdict::TooLittle => {
            compared.progressed_at = now;
            let resume = match verdict == Verdict::Worse {
                true => "resume accepts that and goes on",
                false => "resume goes on without a comparison",
            };
            follow::pause(
                &mut compared,
                format!("before wave {wave}: {sentence}; {resume}, rollback or abort gives up"),
            );
        }
    }
    let cause = match verdict {
        Verdict::Watched => format!("{} watched before wave {wave}", plan.id),
        Verdict::AsGood | Verdict::Accepted | Verdict::Worse | Verdict::TooLittle => {
            format!("{} compared before wave {wave}", plan.id)
        }
    };
    Some((cause, vec![Resource::Plan(compared)]))
}

/// What keeps the wave of a task from beginning until it has been compared; nothing if it may.
pub(super) fn holds_back(state: &State, plan: &Plan, task: &Task) -> Option<String> {
    let comparison = plan.policy.compare.as_ref()?;
    let (stage, wave) = next(state, plan).filter(|next| *next == (task.stage, task.wave))?;
    if let Some(made) = made(plan, stage, wave) {
        return match made.verdict {
            Verdict::AsGood | Verdict::Accepted => None,
            Verdict::Worse | Verdict::TooLittle => Some(made.sentence.clone()),
            Verdict::Watched => Some(format!(
                "those that were changed are watched before the next wave begins: {}",
                made.sentence
            )),
        };
    }
    let sides = Sides::of(state, plan, comparison, stage, state.at());
    Some(match sides.look(comparison) {
        Look::TooLittle(why) => {
            format!("those that were changed have to be compared with the others first, and {why}")
        }
        Look::Good(sentence) | Look::Unclear(sentence) | Look::Worse(sentence) => sentence,
    })
}

/// When the wait for a comparison ends at the latest, with a word on it in the plan; nothing if no wave waits for one, or
/// the plan is not to go on.
pub(super) fn ends_at(state: &State, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    due(state, plan)?;
    given_up_at(state, plan, now)
}

/// When to compare again though nothing was heard, after a moment.
pub(super) fn due_at(state: &State, plan: &Plan, after: Timestamp) -> Option<Timestamp> {
    let comparison = plan.policy.compare.as_ref()?;
    let (stage, wave) = due(state, plan)?;
    let look = watched(plan, stage, wave).map(|made| made.at.after(between(comparison)));
    let times = [look, given_up_at(state, plan, after)];
    times.into_iter().flatten().filter(|at| *at > after).min()
}

/// The comparison that is to be made now: all else that the next wave waits for is done.
fn due(state: &State, plan: &Plan) -> Option<(u32, u32)> {
    plan.policy.compare.as_ref()?;
    let (stage, wave) = next(state, plan)?;
    let decided = made(plan, stage, wave).is_some_and(|made| made.verdict != Verdict::Watched);
    let ready = state.barrier(plan.id)?.ready();
    let first = ready.get_min()?.1.get_min()?.1.get_min()?;
    let first = state.task_under_way(plan.id, first)?;
    (!decided && waits::before_comparison(state, plan, first).is_none()).then_some((stage, wave))
}

/// When what is there has to do. Half of the progress deadline is left to the wave that comes then.
fn given_up_at(state: &State, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    let since = plan.progressed_at.max(hold::free_since(state, plan, now)?);
    Some(since.after(plan.policy.progress_deadline / 2))
}

fn made(plan: &Plan, stage: u32, wave: u32) -> Option<&Compared> {
    let mut made = plan.compared.iter();
    made.find(|made| (made.stage, made.wave) == (stage, wave))
}

fn watched(plan: &Plan, stage: u32, wave: u32) -> Option<&Compared> {
    made(plan, stage, wave).filter(|made| made.verdict == Verdict::Watched)
}

/// A person who resumes a plan that was paused for what a comparison said accepts that.
#[must_use]
pub fn accepted(plan: &Plan) -> Vec<Compared> {
    let accept = |made: &Compared| Compared {
        verdict: match made.verdict {
            Verdict::Worse | Verdict::TooLittle | Verdict::Accepted => Verdict::Accepted,
            Verdict::AsGood => Verdict::AsGood,
            Verdict::Watched => Verdict::Watched,
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

/// How long it is between two looks at those that are watched.
fn between(comparison: &Comparison) -> Duration {
    comparison.worse_for / LOOKS
}

/// What follows from what is measured, after what was seen before. Whatever is to be said when the time is over is said.
fn follows(
    comparison: &Comparison,
    before: Option<&Compared>,
    sides: &Sides<'_>,
    now: Timestamp,
    is_over: bool,
) -> Follows {
    // Another look at the same figures is none.
    let is_look = before.is_none_or(|before| {
        let newer = sides.changed.iter().any(|measure| measure.at > before.at);
        now >= before.at.after(between(comparison)) && newer
    });
    if !is_look && !is_over {
        return Follows::Wait;
    }
    let look = sides.look(comparison);
    let (is_good, is_worse) = (
        matches!(look, Look::Good(_)),
        matches!(look, Look::Worse(_)),
    );
    let sentence = match look {
        Look::TooLittle(_) if !is_over => return Follows::Wait,
        Look::TooLittle(why) => {
            let sentence =
                format!("those that were changed could not be compared with the others: {why}");
            return Follows::Decided(Verdict::TooLittle, sentence);
        }
        Look::Good(sentence) if before.is_none() => {
            return Follows::Decided(Verdict::AsGood, sentence);
        }
        Look::Good(sentence) | Look::Unclear(sentence) | Look::Worse(sentence) => sentence,
    };
    let was = before.map(|before| before.watched);
    let was = was.unwrap_or(Watched {
        since: now,
        ..Watched::default()
    });
    let watched = Watched {
        looks: was.looks.saturating_add(1),
        worse: was.worse.saturating_add(u32::from(is_worse)),
        ..was
    };
    let long_enough = now >= watched.since.after(comparison.worse_for)
        && (watched.looks >= LOOKS_MIN || comparison.worse_for.is_zero());
    if !long_enough && !is_over {
        return Follows::Watch(watched, sentence);
    }
    // What was so and is so no more was something else.
    let verdict = match !is_good && watched.worse.saturating_mul(2) > watched.looks {
        true => Verdict::Worse,
        false => Verdict::AsGood,
    };
    let sentence = match watched.looks {
        0 | 1 => sentence,
        looks => format!(
            "{sentence}; in {} of {looks} looks within {:?} they did worse",
            watched.worse,
            now.since(watched.since)
        ),
    };
    Follows::Decided(verdict, sentence)
}

/// What was measured of both sides, as far as it counts.
struct Sides<'a> {
    changed: Vec<&'a Measure>,
    changed_of: usize,
    others: Vec<&'a Measure>,
    others_of: usize,
}

impl<'a> Sides<'a> {
    fn of(
        state: &'a State,
        plan: &Plan,
        comparison: &Comparison,
        stage: u32,
        now: Timestamp,
    ) -> Self {
        let tally = state.tally(plan.id).and_then(|tally| tally.stage(stage));
        let begun = tally.into_iter().flat_map(|tally| {
            let begun = tally.begun().iter();
            begun.filter(|id| !tally.to_begin().contains(*id))
        });
        let changed = begun.filter_map(|id| {
            let task = state.task_under_way(plan.id, id)?;
            let instance = state.instance(id)?;
            let runs_it = instance.report.current.as_ref() == Some(&task.to);
            runs_it.then_some((instance.as_ref(), task.admitted_at))
        });
        let others = tally.into_iter().flat_map(|tally| tally.untouched().iter());
        let others = others.filter_map(|id| Some((state.instance(id)?.as_ref(), None)));
        let (changed, changed_of) = measured(state, comparison, changed, now);
        let (others, others_of) = measured(state, comparison, others, now);
        Self {
            changed,
            changed_of,
            others,
            others_of,
        }
    }

    fn look(&self, comparison: &Comparison) -> Look {
        let too_little = |counted: usize, of: usize, whose: &str| {
            Look::TooLittle(format!(
                "of {counted} of the {of} {whose} it is known how at least {} probes were answered lately by the process that runs now",
                comparison.answers_min
            ))
        };
        // Most of those that were changed have to be heard of, or the good ones would speak for the bad; of the others
        // some tell enough.
        let (changed, others) = (self.changed.len(), self.others.len());
        if changed == 0 || changed * 4 < self.changed_of * 3 {
            return too_little(changed, self.changed_of, "that were changed");
        }
        if others == 0 || others * 4 < self.others_of {
            return too_little(others, self.others_of, "others");
        }
        judge::judge(comparison, &self.changed, &self.others)
    }
}

/// The measures that count, and how many there should be. Each instance comes with the time of the order that it was
/// changed by, if it was.
fn measured<'a>(
    state: &'a State,
    comparison: &Comparison,
    instances: impl Iterator<Item = (&'a Instance, Option<Timestamp>)>,
    now: Timestamp,
) -> (Vec<&'a Measure>, usize) {
    let mut looked_at = 0;
    let measures = instances
        .take(LOOKED_AT_MAX)
        .filter_map(|(instance, changed_at)| {
            looked_at += 1;
            let measure = state.measure_of(&instance.id)?;
            let counts = now.since(measure.at) <= FRESH_WITHIN
                && measure.up >= UP_MIN
                && measure.probes >= comparison.answers_min
                && is_of_the_process(instance, changed_at, measure);
            counts.then(|| measure.as_ref())
        })
        .collect();
    (measures, looked_at)
}

/// Whether what was measured is of the process that the instance has now, and not of the one before.
fn is_of_the_process(
    instance: &Instance,
    changed_at: Option<Timestamp>,
    measure: &Measure,
) -> bool {
    match (measure.process_started_at, &instance.report.process) {
        (Some(measured), Some(process)) => measured == process.started_at,
        (Some(_), None) => false,
        // Its agent does not say. What was there before its order was is not what came of it.
        (None, _) => changed_at.is_none_or(|changed_at| measure.at.since(changed_at) >= measure.up),
    }
}

#[cfg(test)]
mod tests;
