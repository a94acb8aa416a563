//! Text for people: columns without borders, and the pairs of a single thing.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table as Columns, presets};

/// Spaces between two columns.
const GAP: u16 = 3;

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// Rows under a heading, or pairs without one.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Columns,
    colour: bool,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(colour: bool, heading: &[&str]) -> Self {
        let mut table = Self::pairs(colour);
        table.columns.set_header(heading.iter().map(Cell::new));
        table
    }

    /// Names and values of one thing, to be added by [`Table::pair`].
    pub(crate) fn pairs(colour: bool) -> Self {
        let mut columns = Columns::new();
        columns
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .force_no_tty();
        if colour {
            columns.enforce_styling();
        }
        Self { columns, colour }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.map(|text| cell(&text, self.colour));
        self.columns.add_row(cells);
    }

    /// Adds a name and its value.
    pub(crate) fn pair(&mut self, name: &str, value: impl Into<String>) {
        let colour = self.colour;
        let name = Cell::new(format!("{name}:"));
        self.columns.add_row([name, cell(&value.into(), colour)]);
    }

    /// The text, each line ended.
    pub(crate) fn render(mut self) -> String {
        for column in self.columns.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        format!("{}\n", self.columns.trim_fmt())
    }
}

fn cell(text: &str, colour: bool) -> Cell {
    let text = printable(text);
    let cell = match text.as_str() {
        "" => Cell::new(NOTHING),
        text => Cell::new(text),
    };
    match tone(&text) {
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
        "suspect" | "warning" | "upgrading" | "paused" | "aborting" | "reverting" | "reverted" => {
            Tone::Uneasy
        }
        "agent-lost" | "error" | "parked" | "aborted" | "failed" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// The text on one line and without control characters: what a host reports must not steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
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

    #[test]
    fn columns_are_aligned_without_borders_and_without_blanks_at_the_end() {
        let mut table = Table::new(false, &["NAME", "STATE", "WHY"]);
        table.row(["n1".into(), "up".into(), String::new()]);
        table.row([
            "a-long-name".into(),
            "agent-lost".into(),
            "no\nword\x1b[2J ".into(),
        ]);
        let expected = "\
NAME          STATE        WHY
n1            up           -
a-long-name   agent-lost   no word [2J
";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn only_the_words_for_states_are_coloured_and_only_on_request() {
        let mut table = Table::new(true, &["NAME"]);
        table.row(["healthy".into()]);
        table.row(["n1".into()]);
        let text = table.render();
        assert!(text.contains("\x1b[38;5;10mhealthy"), "{text:?}");
        assert!(text.ends_with("n1\n"), "{text:?}");
    }

    #[test]
    fn pairs_have_no_heading() {
        let mut table = Table::pairs(false);
        table.pair("name", "n1");
        table.pair("platform", "linux/amd64");
        assert_eq!(table.render(), "name:       n1\nplatform:   linux/amd64\n");
    }
}
