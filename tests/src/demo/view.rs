//! What is shown while the demo runs. What is said at the end is the same for everyone.

use std::io::{self, IsTerminal as _, Write as _};

use evenkeel_proto::v1::{Plan, Task};
use evenkeel_samplestore::load::Report;

use super::{live::Live, plain::Plain};

/// An instance that is going to be upgraded.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// `<node>/<instance>`.
    pub(super) instance: String,
    /// Its failure domain.
    pub(super) zone: String,
    /// Whether it goes first, alone.
    pub(super) canary: bool,
}

/// Somebody who is told what happens.
pub(super) trait View: Send {
    /// Something that takes a while begins.
    fn begun(&mut self, what: &str);

    /// Something is done.
    fn done(&mut self, what: &str);

    /// The plan is about to start, with these tasks.
    fn starts(&mut self, plan: &Plan, rows: &[Row]);

    /// The plan has changed.
    fn plan(&mut self, plan: &Plan);

    /// A task has come to another state.
    fn task(&mut self, task: &Task);

    /// What the client has seen so far; told several times a second.
    fn load(&mut self, report: &Report);

    /// Everything has been shown; what is written next is the report.
    fn ends(&mut self);
}

/// A view that redraws where somebody watches, and plain lines elsewhere.
pub(super) fn of_stdout() -> Box<dyn View> {
    let can_redraw = std::env::var("TERM").is_ok_and(|term| term != "dumb");
    if io::stdout().is_terminal() && can_redraw {
        Box::new(Live::new())
    } else {
        Box::new(Plain::new())
    }
}

/// Writes a line to standard output. That nobody reads on is no reason to stop half way: the exit status still tells.
pub(super) fn write_line(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
