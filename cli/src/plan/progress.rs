//! The live view of a plan: one bar for the whole, one for each stage around the one that goes on, and one line for each
//! task that is on its way.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::stages::hop;
use super::watch::is_on_the_way;
use crate::table::printable;
use crate::view::{Plan, Stage, Task};

/// The most tasks that have a line; further ones show in the bars alone.
const LINES_MAX: usize = 16;

/// The most stages that have a bar: with a line for each of [`LINES_MAX`] tasks they fill a small terminal.
const STAGES_MAX: usize = 6;

/// How often the clock of a line moves.
const TICK: Duration = Duration::from_millis(200);

const WHOLE: &str = "{prefix} {bar:30} {pos}/{len} {msg} {elapsed}";
const STAGE: &str = "  {bar:28} {pos}/{len} {msg}";
const TASK: &str = "  {spinner} {prefix} {msg} {elapsed}";

/// What is drawn.
pub(super) struct Progress {
    screen: MultiProgress,
    whole: ProgressBar,
    /// As many as there are stages, but for [`STAGES_MAX`]; none for a plan of one.
    bars: Vec<ProgressBar>,
    stages: Vec<Stage>,
    tally: Tally,
    on_the_way: BTreeMap<(u32, String), ProgressBar>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let screen = MultiProgress::new();
        let whole = screen.add(ProgressBar::new(0));
        set_style(&whole, WHOLE);
        whole.enable_steady_tick(TICK);
        Self {
            screen,
            whole,
            bars: Vec::new(),
            stages: Vec::new(),
            tally: Tally::default(),
            on_the_way: BTreeMap::new(),
        }
    }

    /// Shows how far the plan is.
    pub(super) fn plan(&mut self, plan: &Plan) {
        self.whole.set_length(u64::from(plan.tasks_total));
        let over = plan.tasks_done.saturating_add(plan.tasks_skipped);
        self.whole.set_position(u64::from(over));
        self.whole.set_prefix(printable(&plan.name));
        self.whole.set_message(plan.state.clone());
        self.stages.clone_from(&plan.stages);
        if self.stages.len() > 1 {
            while self.bars.len() < self.stages.len().min(STAGES_MAX) {
                let last = self.bars.last().unwrap_or(&self.whole);
                let bar = self.screen.insert_after(last, ProgressBar::new(0));
                set_style(&bar, STAGE);
                self.bars.push(bar);
            }
        }
        self.draw_stages();
    }

    /// Shows where a task is, for as long as it is on its way. `before` is what was heard of it last.
    pub(super) fn task(&mut self, before: Option<&Task>, task: &Task) {
        self.tally.count(before, task);
        self.draw_stages();
        let key = (task.stage, task.instance.clone());
        if !is_on_the_way(task) {
            if let Some(line) = self.on_the_way.remove(&key) {
                line.finish_and_clear();
                self.screen.remove(&line);
            }
            return;
        }
        if self.on_the_way.len() >= LINES_MAX && !self.on_the_way.contains_key(&key) {
            return;
        }
        let line = self.on_the_way.entry(key).or_insert_with(|| {
            let line = self.screen.add(ProgressBar::new_spinner());
            set_style(&line, TASK);
            line.enable_steady_tick(TICK);
            line.with_prefix(printable(&task.instance))
        });
        line.set_message(task.state.clone());
    }

    fn draw_stages(&self) {
        let first = self.tally.first_shown(&self.stages, self.bars.len());
        let shown = self.stages.iter().enumerate().skip(first);
        for (bar, (index, stage)) in self.bars.iter().zip(shown) {
            bar.set_length(u64::from(stage.instances));
            bar.set_position(u64::from(self.tally.done(index)));
            bar.set_message(printable(&format!(
                "stage {}/{} {}",
                index + 1,
                self.stages.len(),
                hop(stage)
            )));
        }
    }

    /// Leaves a line standing above what is drawn.
    pub(super) fn say(&self, line: Option<String>) {
        if let Some(line) = line {
            // A screen that cannot be drawn on is no reason to stop watching.
            let _ = self.screen.println(line);
        }
    }

    /// Takes everything that is drawn off the screen.
    pub(super) fn clear(&self) {
        for line in self.on_the_way.values().chain(&self.bars) {
            line.finish_and_clear();
        }
        self.whole.finish_and_clear();
    }
}

/// How many tasks of each stage are over, kept as they change.
#[derive(Debug, Default)]
struct Tally(BTreeMap<usize, u32>);

impl Tally {
    fn count(&mut self, before: Option<&Task>, task: &Task) {
        let is_done = |task: &Task| matches!(task.state.as_str(), "done" | "skipped");
        let done = self.0.entry(task.stage as usize).or_default();
        match (before.is_some_and(is_done), is_done(task)) {
            (false, true) => *done += 1,
            (true, false) => *done = done.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
    }

    fn done(&self, stage: usize) -> u32 {
        self.0.get(&stage).copied().unwrap_or(0)
    }

    /// The first stage to be shown where so many are: the one before that which goes on, as far as there are enough
    /// after it.
    fn first_shown(&self, stages: &[Stage], shown: usize) -> usize {
        let goes_on = stages.iter().enumerate();
        let mut goes_on = goes_on.filter(|(index, stage)| self.done(*index) < stage.instances);
        let goes_on = goes_on.next().map_or(stages.len(), |(index, _)| index);
        goes_on
            .saturating_sub(1)
            .min(stages.len().saturating_sub(shown))
    }
}

fn set_style(bar: &ProgressBar, template: &str) {
    // A template that cannot be read leaves the library's own look.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_proto::v1;

    use super::*;

    #[test]
    fn the_templates_can_be_read() {
        for template in [WHOLE, STAGE, TASK] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    fn task(stage: u32, state: v1::TaskState) -> Task {
        Task::from(v1::Task {
            stage,
            state: state.into(),
            ..v1::Task::default()
        })
    }

    #[test]
    fn tasks_are_counted_by_stage_and_once_each() {
        let mut tally = Tally::default();
        let (started, done) = (v1::TaskState::Started, v1::TaskState::Done);
        tally.count(None, &task(0, started));
        assert_eq!(tally.done(0), 0);
        tally.count(Some(&task(0, started)), &task(0, done));
        tally.count(Some(&task(0, done)), &task(0, done));
        tally.count(None, &task(1, done));
        assert_eq!((tally.done(0), tally.done(1)), (1, 1));
        tally.count(Some(&task(1, done)), &task(1, v1::TaskState::Reverting));
        assert_eq!(tally.done(1), 0);
    }

    #[test]
    fn of_many_stages_those_around_the_one_that_goes_on_are_shown() {
        let stage = v1::Stage {
            instances: 1,
            ..v1::Stage::default()
        };
        let stages = vec![Stage::from(stage); 5];
        let mut tally = Tally::default();
        let mut first = Vec::new();
        for stage in 0..=5 {
            first.push(tally.first_shown(&stages, 3));
            tally.count(None, &task(stage, v1::TaskState::Done));
        }
        assert_eq!(first, [0, 0, 1, 2, 2, 2]);
    }
}
