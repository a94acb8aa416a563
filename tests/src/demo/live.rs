//! The live view, for terminals: one bar for the plan, one line for each instance, one for the client.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use evenkeel_proto::v1::{Plan, Task, TaskState};
use evenkeel_samplestore::load::Report;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    view::{Row, View, write_line},
    words::{count, seconds},
};

/// How often what turns turns, before the client's figures do it.
const TICK: Duration = Duration::from_millis(100);

/// How a line looks. `wide_msg` ends where the terminal does.
#[derive(Clone, Copy)]
enum Look {
    Step,
    StepDone,
    Whole,
    Waits,
    Moves,
    Done,
    Trouble,
    Client,
}

impl Look {
    fn template(self) -> &'static str {
        match self {
            Self::Step => "{spinner:.cyan} {wide_msg}",
            Self::StepDone => "{spinner:.green} {wide_msg}",
            Self::Whole => "  {prefix:14.bold} {bar:20.green/dim} {pos}/{len} {wide_msg}",
            Self::Waits => "  {prefix:14}   {wide_msg:.dim}",
            Self::Moves => "  {prefix:14} {spinner:.cyan} {wide_msg}",
            Self::Done => "  {prefix:14} {spinner:.green} {wide_msg}",
            Self::Trouble => "  {prefix:14} {spinner:.red} {wide_msg}",
            Self::Client => "  {prefix:14}   {wide_msg}",
        }
    }

    fn dress(self, line: &ProgressBar) {
        // A template that cannot be read leaves the library's own look; a test reads them all.
        let Ok(style) = ProgressStyle::with_template(self.template()) else {
            return;
        };
        line.set_style(match self {
            Self::StepDone | Self::Done => style.tick_strings(&["✔", "✔"]),
            Self::Trouble => style.tick_strings(&["✘", "✘"]),
            Self::Step | Self::Whole | Self::Waits | Self::Moves | Self::Client => style,
        });
    }
}

/// Lines that are redrawn, on standard output.
pub(super) struct Live {
    screen: MultiProgress,
    step: Option<ProgressBar>,
    upgrade: Option<Upgrade>,
    ended: bool,
}

/// The lines of an upgrade.
struct Upgrade {
    whole: ProgressBar,
    tasks: BTreeMap<String, (ProgressBar, Row)>,
    client: ProgressBar,
    started_at: Instant,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            screen: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            step: None,
            upgrade: None,
            ended: false,
        }
    }

    /// A new line, below all others or, for a step that ends during the upgrade, above the upgrade's.
    fn line(&self, look: Look, prefix: String) -> ProgressBar {
        let line = ProgressBar::new(0);
        let line = match &self.upgrade {
            Some(upgrade) => self.screen.insert_before(&upgrade.whole, line),
            None => self.screen.add(line),
        };
        look.dress(&line);
        line.with_prefix(prefix)
    }
}

impl View for Live {
    fn begun(&mut self, what: &str) {
        let line = self.line(Look::Step, String::new());
        line.set_message(what.to_owned());
        line.enable_steady_tick(TICK);
        self.step = Some(line);
    }

    fn done(&mut self, what: &str) {
        let line = match self.step.take() {
            Some(line) => line,
            None => self.line(Look::StepDone, String::new()),
        };
        Look::StepDone.dress(&line);
        line.disable_steady_tick();
        line.abandon_with_message(what.to_owned());
    }

    fn starts(&mut self, plan: &Plan, rows: &[Row]) {
        let whole = self.line(Look::Whole, plan.name.clone());
        whole.set_length(u64::from(plan.tasks_total));
        let tasks = rows.iter().map(|row| {
            let line = self.line(Look::Waits, format!("{}  {}", row.instance, row.zone));
            line.set_message(waits(row));
            (row.instance.clone(), (line, row.clone()))
        });
        let tasks = tasks.collect();
        let client = self.line(Look::Client, "client".to_owned());
        self.upgrade = Some(Upgrade {
            whole,
            tasks,
            client,
            started_at: Instant::now(),
        });
    }

    fn plan(&mut self, plan: &Plan) {
        let Some(upgrade) = &self.upgrade else {
            return;
        };
        upgrade.whole.set_position(u64::from(plan.tasks_done));
    }

    fn task(&mut self, task: &Task) {
        let line = self
            .upgrade
            .as_ref()
            .and_then(|upgrade| upgrade.tasks.get(&task.instance));
        let Some((line, row)) = line else {
            return;
        };
        let version = task.to.as_ref().map_or("", |release| &release.version);
        let stop_to_ready = seconds(Duration::from_micros(task.stop_to_ready_us));
        let (look, message) = match task.state() {
            TaskState::Unspecified | TaskState::Pending => (Look::Waits, waits(row).to_owned()),
            TaskState::Prefetched => (Look::Waits, format!("holds {version}; {}", waits(row))),
            TaskState::Admitted | TaskState::Quiesced => (Look::Moves, "stops".to_owned()),
            TaskState::Stopped => (Look::Moves, format!("stopped; {version} becomes current")),
            TaskState::Swapped => (Look::Moves, format!("starts {version}")),
            TaskState::Started => (
                Look::Moves,
                format!("{version} started; waits for its probes"),
            ),
            TaskState::Verified => (Look::Moves, format!("{version} answers; recovers")),
            TaskState::Rejoined => (
                Look::Moves,
                format!("{version} answers after {stop_to_ready}; soaks"),
            ),
            TaskState::Done => (
                Look::Done,
                format!("{version} answers after {stop_to_ready}"),
            ),
            TaskState::Reverting => (Look::Trouble, format!("goes back: {}", task.reason)),
            TaskState::Reverted => (Look::Trouble, format!("is back: {}", task.reason)),
            TaskState::Parked => (Look::Trouble, format!("needs a person: {}", task.reason)),
            TaskState::Skipped => (Look::Trouble, format!("is left out: {}", task.reason)),
        };
        look.dress(line);
        line.set_message(message);
        line.tick();
    }

    fn load(&mut self, report: &Report) {
        let Some(upgrade) = &self.upgrade else {
            return;
        };
        let elapsed = upgrade.started_at.elapsed();
        upgrade
            .whole
            .set_message(format!("done, {:.1} s", elapsed.as_secs_f64()));
        upgrade.client.set_message(format!(
            "{} requests, {} failed, {} lost or wrong",
            count(report.writes + report.reads + report.failed),
            report.failed,
            report.lost + report.wrong,
        ));
        for (line, _) in upgrade.tasks.values() {
            line.tick();
        }
    }

    fn ends(&mut self) {
        if let Some(upgrade) = &self.upgrade {
            upgrade.whole.abandon();
            upgrade.client.abandon();
            for (line, _) in upgrade.tasks.values() {
                line.abandon();
            }
        }
        self.ended = true;
        write_line("");
    }
}

fn waits(row: &Row) -> &'static str {
    if row.canary {
        "waits; the canary, goes first and alone"
    } else {
        "waits"
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !self.ended {
            // What is on the screen stays as it is: a Ctrl-C that the terminal has shown is in the way of drawing it anew.
            self.screen.set_draw_target(ProgressDrawTarget::hidden());
            write_line("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_look_can_be_read() {
        let looks = [
            Look::Step,
            Look::StepDone,
            Look::Whole,
            Look::Waits,
            Look::Moves,
            Look::Done,
            Look::Trouble,
            Look::Client,
        ];
        for look in looks {
            assert!(
                ProgressStyle::with_template(look.template()).is_ok(),
                "{}",
                look.template()
            );
        }
    }
}
