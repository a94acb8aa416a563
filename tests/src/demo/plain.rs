//! Plain lines, for files and pipes: one for each thing that has really changed, with the time since the start.

use std::time::{Duration, Instant};

use evenkeel_proto::v1::{Plan, PlanState, Task, TaskState};
use evenkeel_samplestore::load::Report;

use super::{
    view::{Row, View, write_line},
    words::seconds,
};

/// Plain lines on standard output.
pub(super) struct Plain {
    begun_at: Instant,
    rows: Vec<Row>,
    plan_state: PlanState,
}

impl Plain {
    pub(super) fn new() -> Self {
        Self {
            begun_at: Instant::now(),
            rows: Vec::new(),
            plan_state: PlanState::Unspecified,
        }
    }

    fn say(&self, what: &str) {
        let seconds = self.begun_at.elapsed().as_secs_f64();
        write_line(&format!("{seconds:7.2} s  {what}"));
    }
}

impl View for Plain {
    fn begun(&mut self, _what: &str) {}

    fn done(&mut self, what: &str) {
        self.say(what);
    }

    fn starts(&mut self, _plan: &Plan, rows: &[Row]) {
        rows.clone_into(&mut self.rows);
    }

    fn plan(&mut self, plan: &Plan) {
        if plan.state() == self.plan_state {
            return;
        }
        self.plan_state = plan.state();
        let name = &plan.name;
        let what = match plan.state() {
            PlanState::Unspecified | PlanState::Draft => return,
            PlanState::Running => format!("{name} runs"),
            PlanState::Paused => format!("{name} is paused: {}", plan.reason),
            PlanState::ReadyToFinalize => {
                format!("{name} is ready to be finalized: {}", plan.reason)
            }
            PlanState::Finalized => {
                format!(
                    "{name} is finalized: {} of {} done",
                    plan.tasks_done, plan.tasks_total
                )
            }
            PlanState::Aborting => format!("{name} is being aborted: {}", plan.reason),
            PlanState::Aborted => format!("{name} is aborted: {}", plan.reason),
            PlanState::Finalizing => format!("{name} is being finalized"),
            PlanState::RollingBack => format!("{name} is rolled back: {}", plan.reason),
            PlanState::RolledBack => format!("{name} has been rolled back"),
            PlanState::Superseded => {
                format!("{} has taken the place of {name}", plan.superseded_by)
            }
            PlanState::Failed => format!("{name} has failed: {}", plan.reason),
        };
        self.say(&what);
    }

    fn task(&mut self, task: &Task) {
        let name = &task.instance;
        let row = self.rows.iter().find(|row| row.instance == *name);
        let version = task.to.as_ref().map_or("", |release| &release.version);
        let what = match task.state() {
            TaskState::Admitted => match row {
                Some(row) if row.canary => {
                    format!("{name} in {} goes to {version}, as the canary", row.zone)
                }
                Some(row) => format!("{name} in {} goes to {version}", row.zone),
                None => format!("{name} goes to {version}"),
            },
            TaskState::Rejoined => {
                let down = seconds(Duration::from_micros(task.stop_to_ready_us));
                format!("{name} runs {version} and answers, {down} after its stop signal")
            }
            TaskState::Done => format!("{name} is done: it stayed good"),
            TaskState::Reverting => format!("{name} goes back: {}", task.reason),
            TaskState::Reverted => format!("{name} is back on the release before"),
            TaskState::Parked => format!("{name} needs a person: {}", task.reason),
            TaskState::Skipped => format!("{name} is left out: {}", task.reason),
            // On the way to the ones above, milliseconds apart.
            TaskState::Unspecified
            | TaskState::Pending
            | TaskState::Prefetched
            | TaskState::Quiesced
            | TaskState::Stopped
            | TaskState::Swapped
            | TaskState::Started
            | TaskState::Verified => return,
        };
        self.say(&what);
    }

    fn load(&mut self, _report: &Report) {}

    fn ends(&mut self) {}
}
