//! How text for people looks: whether words are coloured, and where lines break.

use crate::table::printable;

/// Lines are never made shorter than this: a terminal that is narrower breaks them itself.
const WIDTH_MIN: usize = 40;

/// How text for people looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether words may be coloured.
    pub(crate) colour: bool,
    /// How many columns a line may have; none where the output is no terminal, and lines are as long as they are.
    pub(crate) width: Option<usize>,
}

impl Look {
    /// How many columns are left of a line after so many.
    pub(crate) fn left_after(self, columns: usize) -> usize {
        let width = self.width.map_or(usize::MAX, |width| width.max(WIDTH_MIN));
        width.saturating_sub(columns)
    }

    /// Adds `text` to the page, after `label` and broken so that all its lines begin below each other.
    pub(crate) fn paragraph(self, page: &mut String, label: &str, text: &str) {
        let indent = label.chars().count();
        let mut lines = broken(&printable(text), self.left_after(indent)).into_iter();
        page.push_str(label);
        page.push_str(&lines.next().unwrap_or_default());
        for line in lines {
            page.push('\n');
            page.extend(std::iter::repeat_n(' ', indent));
            page.push_str(&line);
        }
        page.push('\n');
    }
}

/// Breaks a text between words into lines of at most so many characters. A word that is longer stays whole: a name
/// that is cut can be neither read nor copied.
pub(crate) fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        } else if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += word_length;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_between_words_and_never_within_one() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("one two three", 13), ["one two three"]);
        assert_eq!(
            broken("extraordinary or not", 5),
            ["extraordinary", "or", "not"]
        );
        assert_eq!(broken("", 5), [""]);
        assert_eq!(broken("as  it is", usize::MAX), ["as  it is"]);
    }

    #[test]
    fn the_lines_of_a_paragraph_begin_below_each_other() {
        let look = Look {
            colour: false,
            width: Some(40),
        };
        let mut page = String::new();
        look.paragraph(
            &mut page,
            "  - ",
            "a sentence that is longer than the line\n\x1b[2J that it stands on",
        );
        assert_eq!(
            page,
            "  - a sentence that is longer than the\n    line \\u{1b}[2J that it stands on\n"
        );
    }
}
