//! Text for people: columns without borders, and the pairs of a single thing.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table as Columns, presets};
use evenkeel_common::text::is_unseen;

use crate::look::{Look, broken};

/// Spaces between two columns.
const GAP: u16 = 3;

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// A last column that has less room than this is read better below its row.
const LAST_COLUMN_MIN: usize = 24;

/// How far what stands below a row is moved in.
const BELOW: usize = 4;

/// Rows under a heading, or pairs without one. The last column is the one that may be long: on a terminal it is broken
/// to fit.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
    look: Look,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(look: Look, heading: &[&str]) -> Self {
        Self {
            heading: Some(heading.iter().map(ToString::to_string).collect()),
            ..Self::pairs(look)
        }
    }

    /// Names and values of one thing, to be added by [`Table::pair`], or rows that need no heading.
    pub(crate) fn pairs(look: Look) -> Self {
        Self {
            heading: None,
            rows: Vec::new(),
            look,
        }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|text| shown(&text)).into());
    }

    /// Adds a name and its value.
    pub(crate) fn pair(&mut self, name: &str, value: impl Into<String>) {
        self.rows
            .push(vec![format!("{name}:"), shown(&value.into())]);
    }

    /// The text, each line ended.
    pub(crate) fn render(mut self) -> String {
        let indent = self.last_column();
        let room = self.look.left_after(indent);
        let below = |row: &mut Vec<String>| match row.last_mut() {
            Some(last) if last.chars().count() > room && last != NOTHING => {
                self.look.set_below(last, indent)
            }
            _ => Vec::new(),
        };
        let below: Vec<_> = self.rows.iter_mut().map(below).collect();

        let mut columns = Columns::new();
        columns
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .force_no_tty();
        if self.look.colour {
            columns.enforce_styling();
        }
        let before = usize::from(self.heading.is_some());
        if let Some(heading) = &self.heading {
            columns.set_header(heading.iter().map(Cell::new));
        }
        for row in &self.rows {
            columns.add_row(row.iter().map(|text| cell(text, self.look.colour)));
        }
        for column in columns.column_iter_mut() {
            column.set_padding((0, GAP));
        }

        let mut page = String::new();
        for (index, line) in columns.trim_fmt().lines().enumerate() {
            page.push_str(line);
            page.push('\n');
            let row = index.checked_sub(before).and_then(|row| below.get(row));
            for line in row.into_iter().flatten() {
                page.push_str(line);
                page.push('\n');
            }
        }
        page
    }

    /// Where the last column begins.
    fn last_column(&self) -> usize {
        let rows = || self.heading.iter().chain(&self.rows);
        let columns = rows().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = rows().filter_map(|row| row.get(column));
            cells.map(|text| text.chars().count()).max().unwrap_or(0)
        };
        let before = 0..columns.saturating_sub(1);
        before.map(|column| width(column) + usize::from(GAP)).sum()
    }
}

impl Look {
    /// Leaves of a cell what fits into the last column, and gives the lines that follow below.
    fn set_below(self, cell: &mut String, column: usize) -> Vec<String> {
        let text = std::mem::take(cell);
        let beside = self.left_after(column) >= LAST_COLUMN_MIN;
        let indent = if beside { column } else { BELOW };
        let mut lines = broken(&text, self.left_after(indent)).into_iter();
        if beside {
            *cell = lines.next().unwrap_or_default();
        }
        lines.map(|line| format!("{:indent$}{line}", "")).collect()
    }
}

/// A cell's text; never empty.
fn shown(text: &str) -> String {
    match printable(text) {
        text if text.is_empty() => NOTHING.to_owned(),
        text => text,
    }
}

fn cell(text: &str, colour: bool) -> Cell {
    let cell = Cell::new(text);
    match tone(text) {
        _ if !colour => cell,
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Uneasy => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
    }
}

enum Tone {
    Plain,
    Good,
    Uneasy,
    Bad,
}

/// How a state's word is meant.
fn tone(word: &str) -> Tone {
    match word {
        "up" | "healthy" | "done" | "finalized" | "ready" => Tone::Good,
        "suspect" | "warning" | "upgrading" | "paused" | "ready-to-finalize" | "aborting"
        | "reverting" | "reverted" => Tone::Uneasy,
        "agent-lost" | "error" | "parked" | "aborted" | "failed" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// The text on one line, with what cannot be seen as `\u{…}`: what a host reports must neither steer a terminal nor look
/// like something else than it is.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            c if c.is_whitespace() => printable.push(' '),
            c if is_unseen(c) => printable.extend(c.escape_unicode()),
            c => printable.push(c),
        }
    }
    printable
}

/// Labels as `key=value`, by key.
pub(crate) fn labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let labels: Vec<_> = labels
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look {
        colour: false,
        width: None,
    };

    fn wide(width: usize) -> Look {
        Look {
            colour: false,
            width: Some(width),
        }
    }

    #[test]
    fn columns_are_aligned_without_borders_and_without_blanks_at_the_end() {
        let mut table = Table::new(PLAIN, &["NAME", "STATE", "WHY"]);
        table.row(["n1".into(), "up".into(), String::new()]);
        table.row([
            "a-long-name".into(),
            "agent-lost".into(),
            "no\nword\x1b[2J ".into(),
        ]);
        let expected = "\
NAME          STATE        WHY
n1            up           -
a-long-name   agent-lost   no word\\u{1b}[2J
";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn what_cannot_be_seen_is_shown_escaped() {
        for (text, shown) in [
            ("n1 \u{202e}dab\u{202c}", r"n1 \u{202e}dab\u{202c}"),
            (
                "\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}",
                r"\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}",
            ),
            (
                "n\u{200b}1\u{feff}\u{e0041}",
                r"n\u{200b}1\u{feff}\u{e0041}",
            ),
            ("\0\u{7f}\u{9b}2J", r"\u{0}\u{7f}\u{9b}2J"),
            ("a\nb\tc\u{2028}d\u{a0}e \n", "a b c d e"),
            ("dünn, שמש, 日本 🦀", "dünn, שמש, 日本 🦀"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn only_the_words_for_states_are_coloured_and_only_on_request() {
        let coloured = Look {
            colour: true,
            width: None,
        };
        let mut table = Table::new(coloured, &["NAME"]);
        table.row(["healthy".into()]);
        table.row(["n1".into()]);
        let text = table.render();
        assert!(text.contains("\x1b[38;5;10mhealthy"), "{text:?}");
        assert!(text.ends_with("n1\n"), "{text:?}");
    }

    #[test]
    fn pairs_have_no_heading() {
        let mut table = Table::pairs(PLAIN);
        table.pair("name", "n1");
        table.pair("platform", "linux/amd64");
        assert_eq!(table.render(), "name:       n1\nplatform:   linux/amd64\n");
    }

    #[test]
    fn what_is_too_long_for_the_terminal_goes_on_in_its_column_or_below_its_row() {
        let table = |look| {
            let mut table = Table::new(look, &["NAME", "WHY"]);
            table.row([
                "a-name".into(),
                "it waits for something that takes its time".into(),
            ]);
            table.row(["b".into(), String::new()]);
            table.render()
        };
        let beside = "\
NAME     WHY
a-name   it waits for something that
         takes its time
b        -
";
        assert_eq!(table(wide(40)), beside);
        let mut narrow = Table::new(wide(40), &["A-LONG-HEADING", "WHY"]);
        narrow.row([
            "a".into(),
            "it waits for something that takes its time".into(),
        ]);
        let below = "\
A-LONG-HEADING   WHY
a
    it waits for something that takes
    its time
";
        assert_eq!(narrow.render(), below);
    }
}
