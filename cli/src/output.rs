//! The only place that writes: results to standard output, as text for people or JSON for programs, and remarks to
//! standard error.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use evenkeel_common::text::is_unseen;
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

/// The JSON with what cannot be seen as `\uXXXX`, which means the same: people look at it, too.
fn json(text: serde_json::Result<String>) -> Result<String, Failure> {
    let text = text.map_err(|error| Failure::local(&error))?;
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unseen(c) {
            // It stands in a string: there is nothing like it elsewhere in JSON.
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    Ok(shown)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shows_what_cannot_be_seen_and_means_the_same() {
        let told = [
            "n1 \u{202e}dab\u{202c}\u{9b}2J",
            "\u{e0041}\u{1b}\n",
            "dünn 🦀",
        ];
        let text = json(serde_json::to_string_pretty(&told)).unwrap();
        assert_eq!(
            text,
            "[\n  \"n1 \\u202edab\\u202c\\u009b2J\",\n  \"\\udb40\\udc41\\u001b\\n\",\n  \"dünn 🦀\"\n]"
        );
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), told);
    }
}
