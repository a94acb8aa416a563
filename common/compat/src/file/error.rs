//! What is wrong with a file, shown beside the line it is wrong in.

use std::fmt;
use std::ops::Range;

use evenkeel_words::text::is_unseen;

use crate::FAULTS_MAX;

/// How many characters of a line are shown.
const SHOWN_CHARS_MAX: usize = 120;

/// How many characters before the place are shown of a line that is longer.
const SHOWN_BEFORE_CHARS: usize = 60;

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// The line; of a very long one, what is around the place.
    pub shown: String,
    /// Where the place is in what is shown, in characters.
    pub marked: Range<usize>,
    /// What is wrong.
    pub message: String,
}

/// All that is wrong with a file. Displayed, each fault has its line below it, and marks below the place in that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// At least one, by line.
    pub faults: Vec<FileFault>,
    /// Whether there are more than are told.
    pub more: bool,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "line {number}, column {}: {}", self.column, self.message)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", self.shown)?;
        let indent = " ".repeat(self.marked.start);
        write!(
            f,
            "{margin} | {indent}{}",
            "^".repeat(self.marked.len().max(1))
        )
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.faults.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{fault}")?;
        }
        if self.more {
            f.write_str("\n\nand more, to be told once these are mended")?;
        }
        Ok(())
    }
}

/// The faults found so far.
pub(super) struct Collected<'t> {
    text: &'t str,
    faults: Vec<(usize, FileFault)>,
    more: bool,
}

impl<'t> Collected<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            faults: Vec::new(),
            more: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// There are more than were added.
    pub(super) fn more(&mut self) {
        self.more = true;
    }

    /// Something is wrong with these bytes of the text.
    pub(super) fn add(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.add_with(span, message, None);
    }

    /// Something is wrong between these bytes of the text and others.
    pub(super) fn add_with(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        other: Option<Range<usize>>,
    ) {
        if self.faults.len() >= FAULTS_MAX {
            self.more = true;
            return;
        }
        let mut message = message.into();
        if let Some(other) = other {
            message += &format!(" (line {})", Spot::of(self.text, &other).line);
        }
        let start = span.start;
        self.faults
            .push((start, Spot::of(self.text, &span).fault(message)));
    }

    pub(super) fn end(mut self) -> FileError {
        self.faults.sort_by_key(|(start, _)| *start);
        FileError {
            faults: self.faults.into_iter().map(|(_, fault)| fault).collect(),
            more: self.more,
        }
    }
}

/// A text up to its first line end.
fn first_line(text: &str) -> &str {
    let line = text.split('\n').next().unwrap_or_default();
    line.strip_suffix('\r').unwrap_or(line)
}

/// A place in a text.
struct Spot<'t> {
    line: usize,
    /// The text of the line.
    text: &'t str,
    /// The place in the line, in characters from 0.
    chars: Range<usize>,
}

impl<'t> Spot<'t> {
    fn of(text: &'t str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(start..).unwrap_or_default();
        let line = first_line(line);
        // At the latest behind the line: what ends it is not counted.
        let first = before.get(start..).unwrap_or_default().chars().count();
        let first = first.min(line.chars().count());
        let meant = text.get(span.clone()).unwrap_or_default();
        let meant = first_line(meant);
        Self {
            line: before.matches('\n').count() + 1,
            text: line,
            chars: first..first + meant.chars().count().max(1),
        }
    }

    fn fault(&self, message: String) -> FileFault {
        let (skipped, before) = if self.text.chars().nth(SHOWN_CHARS_MAX).is_some() {
            (self.chars.start.saturating_sub(SHOWN_BEFORE_CHARS), "…")
        } else {
            (0, "")
        };
        let before = if skipped == 0 { "" } else { before };
        let mut shown: String = before.to_owned();
        // One character wide, each: the marks have to stand below what they mark.
        let plain = |c: char| match c {
            c if c.is_control() => ' ',
            c if is_unseen(c) => '\u{fffd}',
            c => c,
        };
        let mut rest = self.text.chars().skip(skipped);
        shown.extend(rest.by_ref().take(SHOWN_CHARS_MAX).map(plain));
        if rest.next().is_some() {
            shown.push('…');
        }
        let start = self.chars.start - skipped + before.chars().count();
        let end = (start + self.chars.len()).min(shown.chars().count().max(start + 1));
        FileFault {
            line: self.line,
            column: self.chars.start + 1,
            shown,
            marked: start..end,
            message,
        }
    }
}
