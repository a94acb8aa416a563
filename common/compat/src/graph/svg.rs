//! The graph as an image: the versions of each component in a row, lines that lead up as arcs above it, lines that lead
//! down as arcs below it, and a legend.

use std::fmt::{Arguments, Write as _};

use super::{Drawn, Kind, Line, Picture, pictures};
use crate::Matrix;

// All lengths are in pixels.

/// Around everything.
const MARGIN: f64 = 28.0;

/// The height of a box, and half of it.
const BOX_HEIGHT: f64 = 30.0;

/// Between two boxes: room for a line with a head at both ends.
const BOX_GAP: f64 = 54.0;

/// The width of a character, an estimate that errs on the wide side.
const CHAR_WIDTH: f64 = 7.6;

/// The height of a line of text.
const TEXT_HEIGHT: f64 = 18.0;

/// How high an arc to the next box is.
const ARC_HEIGHT: f64 = 34.0;

/// How much slower than its span an arc's height grows, so that a long one does not tower over all.
const ARC_GROWTH: f64 = 0.75;

/// The longest line of text, in characters.
const TEXT_CHARS_MAX: usize = 96;

/// How a kind of line looks, and what it means.
struct Look {
    kind: Kind,
    name: &'static str,
    colour: &'static str,
    dashes: &'static str,
    meaning: &'static str,
}

const LOOKS: [Look; 4] = [
    Look {
        kind: Kind::Full,
        name: "full",
        colour: "#1f2937",
        dashes: "none",
        meaning: "full: in place, either way",
    },
    Look {
        kind: Kind::Backward,
        name: "backward",
        colour: "#1d4ed8",
        dashes: "9 5",
        meaning: "backward: in place; back in place until finalized",
    },
    Look {
        kind: Kind::Forward,
        name: "forward",
        colour: "#15803d",
        dashes: "2 4",
        meaning: "forward: by rebuild; back in place",
    },
    Look {
        kind: Kind::Blocked,
        name: "blocked",
        colour: "#dc2626",
        dashes: "none",
        meaning: "blocked: known to go wrong",
    },
];

/// The graph as an SVG image of its own, legend included.
#[must_use]
pub fn svg(matrix: &Matrix, drawn: &Drawn) -> String {
    let mut image = Image {
        height: MARGIN / 2.0,
        ..Image::default()
    };
    for picture in pictures(matrix, drawn) {
        image.draw(&picture);
    }
    image.legend();
    image.end()
}

/// What is drawn so far, from the top.
#[derive(Default)]
struct Image {
    body: String,
    width: f64,
    height: f64,
}

/// A box of the row: its left end, its width and its text.
struct Boxed {
    left: f64,
    width: f64,
    text: String,
}

/// Where a line goes along: as an arc above the row or below it, or straight to the next box.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Above,
    Below,
    Straight,
}

impl Line {
    fn course(&self) -> Course {
        if self.from > self.to {
            Course::Below
        } else if self.to - self.from == 1 && self.kind != Kind::Blocked {
            Course::Straight
        } else {
            Course::Above
        }
    }

    /// The place of its left end, and that of its right end.
    fn ends(&self) -> (usize, usize) {
        (self.from.min(self.to), self.from.max(self.to))
    }

    /// How far its arc stands out from the row.
    fn arc_height(&self) -> f64 {
        let (left, right) = self.ends();
        // Spans are small numbers, so that nothing is lost.
        let span = u32::try_from(right - left).unwrap_or(u32::MAX);
        ARC_HEIGHT * f64::from(span).powf(ARC_GROWTH)
    }
}

impl Image {
    /// The title, the row with its arcs, and what is to be said of those that are blocked.
    fn draw(&mut self, picture: &Picture<'_>) {
        self.text(MARGIN, "title", &picture.title());
        let tallest = |course: Course| {
            let arcs = picture.lines.iter().filter(|line| line.course() == course);
            arcs.map(Line::arc_height).fold(0.0, f64::max)
        };
        let top = self.height + MARGIN / 2.0 + tallest(Course::Above);
        let boxes = boxes(picture);
        let mut reasons: Vec<&str> = Vec::new();
        for line in &picture.lines {
            let apex = self.line(picture, &boxes, top, line);
            if let (Some(apex), Some(reason)) = (apex, line.reason.as_deref()) {
                let place = reasons.iter().position(|other| *other == reason);
                let place = place.unwrap_or(reasons.len());
                if place == reasons.len() {
                    reasons.push(reason);
                }
                self.badge(apex, place + 1);
            }
        }
        for boxed in &boxes {
            self.boxed(boxed, top);
        }
        self.height = top + BOX_HEIGHT + tallest(Course::Below) + MARGIN / 2.0;
        for (number, reason) in reasons.into_iter().enumerate() {
            let sentence = format!("{}: {reason}", number + 1);
            for (place, part) in wrapped(&sentence).into_iter().enumerate() {
                let indent = if place == 0 { 0.0 } else { 2.0 * CHAR_WIDTH };
                self.text(MARGIN + indent, "blocked-text", &part);
            }
        }
        self.height += MARGIN;
    }

    /// One line of text, below all that is there.
    fn text(&mut self, left: f64, class: &str, text: &str) {
        self.height += TEXT_HEIGHT;
        let y = self.height;
        let escaped = escaped(text);
        self.write(format_args!(
            r#"<text x="{left:.1}" y="{y:.1}" class="{class}">{escaped}</text>"#
        ));
        self.reach(left + width_of(text));
    }

    fn boxed(&mut self, boxed: &Boxed, top: f64) {
        let (left, width) = (boxed.left, boxed.width);
        let (x, y) = (left + width / 2.0, top + BOX_HEIGHT / 2.0 + 4.5);
        let text = escaped(&boxed.text);
        self.write(format_args!(
            r#"<rect x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{BOX_HEIGHT}" rx="7" class="box"/>"#
        ));
        self.write(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" class="version">{text}</text>"#
        ));
        self.reach(left + width);
    }

    /// A line of the row at `top`, and the apex of its arc if it is one.
    fn line(
        &mut self,
        picture: &Picture<'_>,
        boxes: &[Boxed],
        top: f64,
        line: &Line,
    ) -> Option<(f64, f64)> {
        let course = line.course();
        let (left, right) = line.ends();
        let (left_box, right_box) = (boxes.get(left)?, boxes.get(right)?);
        if course == Course::Straight {
            let y = top + BOX_HEIGHT / 2.0;
            let (from, to) = (left_box.left + left_box.width + 2.0, right_box.left - 2.0);
            self.path(line, format_args!("M {from:.1} {y:.1} L {to:.1} {y:.1}"));
            return None;
        }
        let left_x = left_box.middle() + left_box.half() * share(picture, line, left);
        let right_x = right_box.middle() - right_box.half() * share(picture, line, right);
        let (y, away) = match course {
            Course::Below => (top + BOX_HEIGHT + 2.0, 1.0),
            Course::Above | Course::Straight => (top - 2.0, -1.0),
        };
        // A cubic curve reaches three quarters of the way to its control points.
        let control_y = y + away * line.arc_height() * 4.0 / 3.0;
        let bend = (right_x - left_x) * 0.12;
        let (from, to, bend) = if line.from < line.to {
            (left_x, right_x, bend)
        } else {
            (right_x, left_x, -bend)
        };
        self.path(
            line,
            format_args!(
                "M {from:.1} {y:.1} C {:.1} {control_y:.1} {:.1} {control_y:.1} {to:.1} {y:.1}",
                from + bend,
                to - bend
            ),
        );
        Some((f64::midpoint(from, to), y + away * line.arc_height()))
    }

    /// The number of the reason that a hop is blocked for.
    fn badge(&mut self, (x, y): (f64, f64), number: usize) {
        self.write(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="9" class="badge"/>"#
        ));
        self.write(format_args!(
            r#"<text x="{x:.1}" y="{:.1}" class="number">{number}</text>"#,
            y + 4.0
        ));
    }

    fn path(&mut self, line: &Line, path: Arguments<'_>) {
        let name = LOOKS
            .iter()
            .find(|look| look.kind == line.kind)
            .map_or("", |look| look.name);
        let start = if line.both_ways {
            format!(r#" marker-start="url(#head-{name})""#)
        } else {
            String::new()
        };
        let sentence = escaped(&line.sentence);
        self.write(format_args!(
            r#"<path d="{path}" class="line {name}"{start} marker-end="url(#head-{name})"><title>{sentence}</title></path>"#
        ));
    }

    /// What the styles mean.
    fn legend(&mut self) {
        for look in &LOOKS {
            let name = look.name;
            let start = if look.kind == Kind::Full {
                format!(r#" marker-start="url(#head-{name})""#)
            } else {
                String::new()
            };
            let y = self.height + TEXT_HEIGHT - 4.0;
            self.write(format_args!(
                r#"<path d="M {MARGIN} {y:.1} l 44 0" class="line {name}"{start} marker-end="url(#head-{name})"/>"#
            ));
            self.text(MARGIN + 54.0, "meaning", look.meaning);
        }
    }

    fn reach(&mut self, right: f64) {
        self.width = self.width.max(right);
    }

    fn write(&mut self, element: Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{element}");
    }

    fn end(self) -> String {
        let (width, height) = (self.width + MARGIN, self.height + MARGIN);
        let mut image = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>\n"
        );
        image += STYLE;
        for look in &LOOKS {
            let (name, colour, dashes) = (look.name, look.colour, look.dashes);
            let _ = writeln!(
                image,
                ".{name} {{ stroke: {colour}; stroke-dasharray: {dashes}; }}"
            );
        }
        image += "</style>\n<defs>\n";
        for look in &LOOKS {
            let (name, colour) = (look.name, look.colour);
            let _ = writeln!(
                image,
                r#"<marker id="head-{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M 0 1 L 10 5 L 0 9 z" fill="{colour}"/></marker>"#
            );
        }
        let _ = writeln!(
            image,
            "</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
        );
        image + &self.body + "</svg>\n"
    }
}

const STYLE: &str = "text { font-family: sans-serif; font-size: 13px; fill: #111827; }
.title { font-size: 15px; font-weight: bold; }
.version { text-anchor: middle; }
.meaning { font-size: 12px; fill: #4b5563; }
.number { text-anchor: middle; font-size: 11px; fill: #dc2626; }
.blocked-text { fill: #b91c1c; }
.box { fill: #f3f4f6; stroke: #9ca3af; }
.badge { fill: #ffffff; stroke: #dc2626; }
.line { fill: none; stroke-width: 1.6; }
";

impl Boxed {
    fn middle(&self) -> f64 {
        self.left + self.width / 2.0
    }

    /// Half of where lines may begin and end: not at the rounded corners.
    fn half(&self) -> f64 {
        self.width / 2.0 - 7.0
    }
}

fn boxes(picture: &Picture<'_>) -> Vec<Boxed> {
    let mut left = MARGIN;
    let boxed = |version: &&semver::Version| {
        let text = version.to_string();
        let boxed = Boxed {
            left,
            width: width_of(&text) + 24.0,
            text,
        };
        left += boxed.width + BOX_GAP;
        boxed
    };
    picture.versions.iter().map(boxed).collect()
}

/// How far from the middle of its half a line begins or ends at a box, from 0 to 1: those that go the same way out are
/// nested, the longest innermost.
fn share(picture: &Picture<'_>, line: &Line, place: usize) -> f64 {
    let other = |line: &Line| {
        let (left, right) = line.ends();
        if left == place { right } else { left }
    };
    let rival = |rival: &&Line| {
        rival.course() == line.course()
            && (rival.from == place || rival.to == place)
            && (other(rival) > place) == (other(line) > place)
    };
    let (mut longer, mut all) = (0_u32, 0_u32);
    for rival in picture.lines.iter().filter(rival) {
        all += 1;
        longer += u32::from(other(rival).abs_diff(place) > other(line).abs_diff(place));
    }
    (f64::from(longer) + 0.5) / f64::from(all.max(1))
}

/// About how wide a text is.
fn width_of(text: &str) -> f64 {
    let chars = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    f64::from(chars) * CHAR_WIDTH
}

/// The text in lines, broken between words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let chars = word.chars().count();
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line += word,
            Some(line) if line.chars().count() + 1 + chars <= TEXT_CHARS_MAX => {
                line.push(' ');
                *line += word;
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The text as XML has it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\t' | '\n' | '\r' => escaped.push(' '),
            // Most of these have no place in XML 1.0, not even as a reference, and none can be seen.
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_xml_has_no_place_for_is_left_out() {
        assert_eq!(
            escaped("a\0\u{8}b\tc\nd\u{1b}\u{7f}\u{9b}\u{fffd}\u{fffe}\u{ffff}\u{10000}\u{1fffe}"),
            "ab c d\u{fffd}\u{10000}\u{1fffe}"
        );
        assert_eq!(
            escaped("<a b=\"c & d\">"),
            "&lt;a b=&quot;c &amp; d&quot;&gt;"
        );
    }
}
