//! A matrix as a file.

use std::fmt::Write as _;

use evenkeel_words::names::ComponentName;

use super::FORMAT;
use crate::{Blocked, Component, Matrix, Rule, Scope};

/// Writes a matrix, so that [`super::parse`] gives the same one again. Comments of a file it was read from are not kept.
#[must_use]
pub fn to_toml(matrix: &Matrix) -> String {
    let mut text = format!("format = {FORMAT}\n");
    for (name, component) in matrix.components() {
        write_component(&mut text, name, component);
    }
    for rule in matrix.rules() {
        write_rule(&mut text, rule);
    }
    for blocked in matrix.blocked() {
        write_blocked(&mut text, blocked);
    }
    text
}

fn write_component(text: &mut String, name: &ComponentName, component: &Component) {
    // A dot in a bare key would begin a table within the table.
    if name.as_str().contains('.') {
        line(
            text,
            format_args!("\n[components.{}]", quoted(name.as_str())),
        );
    } else {
        line(text, format_args!("\n[components.{name}]"));
    }
    for (key, is_so) in [
        ("external", component.external),
        ("finalizes_itself", component.finalizes_itself),
    ] {
        if is_so {
            line(text, format_args!("{key} = true"));
        }
    }
    for (key, names) in [
        ("upgrade_after", &component.upgrade_after),
        ("talks_to", &component.talks_to),
    ] {
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(|name| quoted(name.as_str())).collect();
            line(text, format_args!("{key} = [{}]", names.join(", ")));
        }
    }
}

fn write_rule(text: &mut String, rule: &Rule) {
    line(text, format_args!("\n[[rules]]"));
    match &rule.scope {
        Scope::All => {}
        Scope::Component(name) => field(text, "component", name.as_str()),
        Scope::Pair(first, second) => {
            let (first, second) = (quoted(first.as_str()), quoted(second.as_str()));
            line(text, format_args!("components = [{first}, {second}]"));
        }
    }
    field(text, "from", &rule.from.to_string());
    field(text, "to", &rule.to.to_string());
    field(text, "level", rule.level.as_str());
    if let Some(note) = &rule.note {
        field(text, "note", note);
    }
}

fn write_blocked(text: &mut String, blocked: &Blocked) {
    line(text, format_args!("\n[[blocked]]"));
    if let Some(name) = &blocked.component {
        field(text, "component", name.as_str());
    }
    field(text, "from", &blocked.from.to_string());
    field(text, "to", &blocked.to.to_string());
    field(text, "reason", &blocked.reason);
}

fn field(text: &mut String, key: &str, value: &str) {
    line(text, format_args!("{key} = {}", quoted(value)));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

/// The text as a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
