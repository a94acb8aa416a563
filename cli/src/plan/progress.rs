//! The live view of a plan: one bar for the whole, one line for each task that is on its way.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::watch::is_on_the_way;
use crate::table::printable;
use crate::view::{Plan, Task};

/// The most tasks that have a line; further ones show in the bar alone.
const LINES_MAX: usize = 16;

/// How often the clock of a line moves.
const TICK: Duration = Duration::from_millis(200);

/// What is drawn.
pub(super) struct Progress {
    screen: MultiProgress,
    whole: ProgressBar,
    on_the_way: BTreeMap<String, ProgressBar>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let screen = MultiProgress::new();
        let whole = screen.add(ProgressBar::new(0));
        set_style(&whole, "{prefix} {bar:30} {pos}/{len} {msg} {elapsed}");
        whole.enable_steady_tick(TICK);
        Self {
            screen,
            whole,
            on_the_way: BTreeMap::new(),
        }
    }

    /// Shows how far the plan is.
    pub(super) fn plan(&self, plan: &Plan) {
        self.whole.set_length(u64::from(plan.tasks_total));
        self.whole.set_position(u64::from(plan.tasks_done));
        self.whole.set_prefix(printable(&plan.name));
        self.whole.set_message(plan.state.clone());
    }

    /// Shows where a task is, for as long as it is on its way.
    pub(super) fn task(&mut self, task: &Task) {
        if !is_on_the_way(task) {
            if let Some(line) = self.on_the_way.remove(&task.instance) {
                line.finish_and_clear();
                self.screen.remove(&line);
            }
            return;
        }
        if self.on_the_way.len() >= LINES_MAX && !self.on_the_way.contains_key(&task.instance) {
            return;
        }
        let line = self
            .on_the_way
            .entry(task.instance.clone())
            .or_insert_with(|| {
                let line = self.screen.add(ProgressBar::new_spinner());
                set_style(&line, "  {spinner} {prefix} {msg} {elapsed}");
                line.enable_steady_tick(TICK);
                line.with_prefix(printable(&task.instance))
            });
        line.set_message(task.state.clone());
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
        for line in self.on_the_way.values() {
            line.finish_and_clear();
        }
        self.whole.finish_and_clear();
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
    use super::*;

    #[test]
    fn the_templates_can_be_read() {
        for template in [
            "{prefix} {bar:30} {pos}/{len} {msg} {elapsed}",
            "  {spinner} {prefix} {msg} {elapsed}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
