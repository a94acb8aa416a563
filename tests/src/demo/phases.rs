//! How much of an upgrade was prefetch, and how much was soak and nothing else, so that what changing the processes
//! took can be told apart.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_proto::v1::{Plan, Task, TaskState};

use crate::api::TaskKey;

/// When a task came to its turning points, in milliseconds since 1970 on the coordinator's clock.
#[derive(Debug, Clone, Copy, Default)]
struct Journey {
    admitted_at: Option<i64>,
    rejoined_at: Option<i64>,
    done_at: Option<i64>,
}

impl Journey {
    fn is_at_work(&self, at: i64) -> bool {
        let ended_at = self.rejoined_at.or(self.done_at);
        self.admitted_at.is_some_and(|begun_at| begun_at <= at)
            && ended_at.is_none_or(|ended_at| at < ended_at)
    }

    fn soaks(&self, at: i64) -> bool {
        let span = self.rejoined_at.zip(self.done_at);
        span.is_some_and(|(rejoined_at, done_at)| (rejoined_at..done_at).contains(&at))
    }
}

/// The journeys of all tasks, as far as they were seen.
#[derive(Debug, Default)]
pub(super) struct Phases(BTreeMap<TaskKey, Journey>);

impl Phases {
    /// Takes notice of where a task is. Of a state that was passed unseen, nothing counts as soak.
    pub(super) fn saw(&mut self, task: &Task) {
        let key = (task.stage, task.instance.clone());
        let journey = self.0.entry(key).or_default();
        journey.admitted_at = journey.admitted_at.or(task.admitted_at.map(ms));
        let changed_at = task.changed_at.map(ms);
        match task.state() {
            TaskState::Rejoined => journey.rejoined_at = journey.rejoined_at.or(changed_at),
            TaskState::Done => journey.done_at = journey.done_at.or(changed_at),
            TaskState::Unspecified
            | TaskState::Pending
            | TaskState::Prefetched
            | TaskState::Admitted
            | TaskState::Quiesced
            | TaskState::Stopped
            | TaskState::Swapped
            | TaskState::Started
            | TaskState::Verified
            | TaskState::Reverting
            | TaskState::Reverted
            | TaskState::Parked
            | TaskState::Skipped => {}
        }
    }

    /// From the plan's start to the first order.
    pub(super) fn prefetch(&self, plan: &Plan) -> Duration {
        let first_order = self
            .0
            .values()
            .filter_map(|journey| journey.admitted_at)
            .min();
        let span = plan.started_at.map(ms).zip(first_order);
        span.map(|(from, to)| Duration::from_millis(to.abs_diff(from)))
            .unwrap_or_default()
    }

    /// The time in which at least one task soaked and none was at work.
    pub(super) fn soak(&self) -> Duration {
        let points = self.0.values().flat_map(|journey| {
            [journey.admitted_at, journey.rejoined_at, journey.done_at]
                .into_iter()
                .flatten()
        });
        let mut points: Vec<i64> = points.collect();
        points.sort_unstable();
        let spans = points.iter().zip(points.iter().skip(1));
        let ms = spans
            .filter(|(from, _)| {
                self.0.values().any(|journey| journey.soaks(**from))
                    && !self.0.values().any(|journey| journey.is_at_work(**from))
            })
            .map(|(from, to)| to.abs_diff(*from))
            .sum();
        Duration::from_millis(ms)
    }
}

fn ms(time: prost_types::Timestamp) -> i64 {
    time.seconds
        .saturating_mul(1_000)
        .saturating_add(i64::from(time.nanos) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(ms: i32) -> Option<prost_types::Timestamp> {
        let nanos = ms * 1_000_000;
        Some(prost_types::Timestamp { seconds: 0, nanos })
    }

    fn journey(phases: &mut Phases, instance: &str, [admitted, rejoined, done]: [i32; 3]) {
        let states = [
            (TaskState::Admitted, admitted),
            (TaskState::Rejoined, rejoined),
            (TaskState::Done, done),
        ];
        for (state, changed_at) in states {
            phases.saw(&Task {
                instance: instance.to_owned(),
                state: state.into(),
                admitted_at: time(admitted),
                changed_at: time(changed_at),
                ..Task::default()
            });
        }
    }

    #[test]
    fn soaks_one_after_the_other_add_up() {
        let mut phases = Phases::default();
        journey(&mut phases, "a", [0, 10, 110]);
        journey(&mut phases, "b", [115, 125, 225]);
        assert_eq!(phases.soak(), Duration::from_millis(200));
    }

    #[test]
    fn a_soak_counts_only_while_nothing_is_at_work_and_only_once() {
        let mut phases = Phases::default();
        journey(&mut phases, "a", [0, 10, 110]);
        journey(&mut phases, "b", [20, 50, 150]);
        assert_eq!(phases.soak(), Duration::from_millis(10 + 100));
    }

    #[test]
    fn what_was_not_seen_is_no_soak() {
        let mut phases = Phases::default();
        journey(&mut phases, "a", [0, 0, 100]);
        let mut unseen = Phases::default();
        unseen.saw(&Task {
            instance: "a".to_owned(),
            state: TaskState::Done.into(),
            admitted_at: time(0),
            changed_at: time(100),
            ..Task::default()
        });
        assert_eq!(phases.soak(), Duration::from_millis(100));
        assert_eq!(unseen.soak(), Duration::ZERO);
    }
}
