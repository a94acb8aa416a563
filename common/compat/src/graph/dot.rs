//! The graph in the DOT language, for Graphviz and its kin.

use std::fmt::Write as _;

use super::{Drawn, Kind, Line, Picture, pictures};
use crate::Matrix;

/// The graph in the DOT language: a cluster a component.
#[must_use]
pub fn dot(matrix: &Matrix, drawn: &Drawn) -> String {
    let mut text =
        "digraph compatibility {\n  rankdir=LR;\n  fontname=\"sans-serif\";\n".to_owned();
    text += "  label=\"solid: full, either way   dashed: backward, in place   dotted: forward, by rebuild   red: blocked\";\n";
    text += "  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n";
    text += "  edge [fontname=\"sans-serif\", fontsize=10];\n";
    for picture in pictures(matrix, drawn) {
        cluster(&mut text, &picture);
    }
    text + "}\n"
}

fn cluster(text: &mut String, picture: &Picture<'_>) {
    let name = picture.component.as_str();
    // Writing to a string does not fail.
    let _ = writeln!(text, "  subgraph {} {{", quoted(&format!("cluster_{name}")));
    let _ = writeln!(text, "    label={};", quoted(&picture.title()));
    let node = |place: usize| {
        let version = picture.versions.get(place);
        let version = version.map(ToString::to_string).unwrap_or_default();
        (quoted(&format!("{name} {version}")), quoted(&version))
    };
    for place in 0..picture.versions.len() {
        let (id, label) = node(place);
        let _ = writeln!(text, "    {id} [label={label}];");
    }
    // In their order, whatever the lines pull at.
    for place in 1..picture.versions.len() {
        let ((from, _), (to, _)) = (node(place - 1), node(place));
        let _ = writeln!(text, "    {from} -> {to} [style=invis];");
    }
    for line in &picture.lines {
        let ((from, _), (to, _)) = (node(line.from), node(line.to));
        let attributes = attributes(line);
        let _ = writeln!(text, "    {from} -> {to} [{attributes}];");
    }
    *text += "  }\n";
}

fn attributes(line: &Line) -> String {
    let look = match line.kind {
        Kind::Full => "style=solid",
        Kind::Backward => "style=dashed",
        Kind::Forward => "style=dotted",
        Kind::Blocked => "color=red, fontcolor=red",
    };
    let mut attributes = look.to_owned();
    if line.from > line.to {
        attributes += ", constraint=false";
    }
    if line.both_ways {
        attributes += ", dir=both";
    }
    if let Some(reason) = &line.reason {
        let _ = write!(attributes, ", label={}", quoted(reason));
    }
    let _ = write!(attributes, ", tooltip={}", quoted(&line.sentence));
    attributes
}

/// The text as a quoted string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
