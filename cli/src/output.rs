//! The only place that writes: results to standard output, as text for people or JSON for programs, and remarks to
//! standard error.

use std::io::{self, IsTerminal as _, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::look::Look;
use crate::table::printable;

/// For whom results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Text for people.
    #[default]
    Table,
    /// JSON for programs; a watch gives one object a line.
    Json,
}

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// For whom.
    pub(crate) format: Format,
    /// How text for people looks.
    pub(crate) look: Look,
    /// Whether a person looks on, so that a view may be redrawn.
    pub(crate) live: bool,
}

impl Output {
    /// Looks at where the output goes and at `NO_COLOR`.
    pub(crate) fn new(format: Format) -> Self {
        let terminal = io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let people = format == Format::Table;
        Self {
            format,
            look: Look {
                colour: people && terminal && !plain,
                width: columns(),
            },
            live: people && terminal && io::stderr().is_terminal(),
        }
    }

    /// Writes one result: `value` for programs, or `text` for people.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => write_out(text()),
            Format::Json => write_out(json(serde_json::to_string_pretty(value))?),
        }
    }

    /// Writes one of many results: a line, whichever it is for. No text: people are not shown it.
    pub(crate) fn change<T: Serialize>(
        &self,
        value: &T,
        text: Option<String>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => text.map_or(Ok(()), write_out),
            Format::Json => write_out(json(serde_json::to_string(value))?),
        }
    }
}

/// How many columns the terminal has; none where standard output is no terminal.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    // A terminal that does not know says 0.
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

fn json(text: serde_json::Result<String>) -> Result<String, Failure> {
    text.map_err(|error| Failure::local(&error))
}

/// Writes to standard output, ending the last line.
pub(crate) fn write_out(mut text: String) -> Result<(), Failure> {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::new(Exit::BrokenPipe, "nobody reads the output"),
        _ => Failure::new(Exit::Other, format!("cannot write the output: {error}")),
    })
}

/// Tells a person something that is no result.
pub(crate) fn remark(text: impl AsRef<str>) {
    // Nobody left to tell is no reason to fail.
    let _ = writeln!(io::stderr(), "{}", printable(text.as_ref()));
}

/// Tells a person several lines that are no result.
pub(crate) fn remark_lines(text: &str) {
    for line in text.lines() {
        remark(line);
    }
}
