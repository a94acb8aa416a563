//! A file's text as the parts of a matrix, and where each of them was.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use evenkeel_words::names::ComponentName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::FORMAT;
use super::error::Collected;
use crate::{Blocked, Component, Level, Part, Place, Rule, Scope, Versions, VersionsError};

/// What a file says, as far as it can be understood.
#[derive(Default)]
pub(super) struct Read {
    pub(super) components: BTreeMap<ComponentName, Component>,
    pub(super) rules: Vec<Rule>,
    pub(super) blocked: Vec<Blocked>,
    pub(super) spans: Spans,
}

/// Where things are in the text, in bytes.
#[derive(Default)]
pub(super) struct Spans {
    components: BTreeMap<ComponentName, Vec<(Part, Range<usize>)>>,
    rules: Vec<Vec<(Part, Range<usize>)>>,
    blocked: Vec<Vec<(Part, Range<usize>)>>,
}

impl Spans {
    /// Where a part of something is; if it is not there, where the whole is.
    pub(super) fn of(&self, place: &Place, part: &Part) -> Range<usize> {
        let parts = match place {
            Place::Matrix => None,
            Place::Component(name) => self.components.get(name),
            Place::Rule(number) => self.rules.get(*number),
            Place::Blocked(number) => self.blocked.get(*number),
        };
        let find = |part: &Part| {
            let mut parts = parts.into_iter().flatten();
            parts
                .find(|(other, _)| other == part)
                .map(|(_, span)| span.clone())
        };
        find(part).or_else(|| find(&Part::Whole)).unwrap_or(0..0)
    }
}

type Value<'i> = Spanned<DeValue<'i>>;

/// The most tokens of a text in which all errors of its form are looked for: the parser keeps each of them, and there may
/// be as many. Of a longer text the first is told.
const RECOVERED_TOKENS_MAX: usize = 100_000;

/// Reads what can be read, and adds what cannot to the faults. The text has this many tokens.
pub(super) fn read(text: &str, tokens: usize, faults: &mut Collected<'_>) -> Read {
    let mut read = Read::default();
    let (table, errors) = if tokens > RECOVERED_TOKENS_MAX {
        match DeTable::parse(text) {
            Ok(table) => (table, Vec::new()),
            Err(error) => (Spanned::new(0..0, DeTable::new()), vec![error]),
        }
    } else {
        DeTable::parse_recoverable(text)
    };
    for error in &errors {
        faults.add(error.span().unwrap_or(0..0), error.message());
    }
    if !errors.is_empty() {
        return read;
    }
    let mut file = Fields::new(table.get_ref(), 0..0, faults);
    file.know("the file", &["format", "components", "rules", "blocked"]);
    match file
        .required("format")
        .map(|value| (value.span(), integer(value)))
    {
        Some((_, Some(FORMAT))) | None => {}
        Some((span, _)) => file.faults.add(
            span,
            format!("the only format that is understood is {FORMAT}"),
        ),
    }
    if let Some(components) = file.get("components") {
        read_components(components, &mut read, file.faults);
    }
    for rule in file.tables("rules") {
        read_rule(rule, &mut read, file.faults);
    }
    for blocked in file.tables("blocked") {
        read_blocked(blocked, &mut read, file.faults);
    }
    read
}

fn read_components(components: &Value<'_>, read: &mut Read, faults: &mut Collected<'_>) {
    let Some(table) = components.get_ref().as_table() else {
        faults.add(
            components.span(),
            "components is not a table; write [components.<name>]",
        );
        return;
    };
    for (key, value) in table {
        let name = match ComponentName::from_str(key.get_ref()) {
            Ok(name) => name,
            Err(error) => {
                faults.add(key.span(), error.to_string());
                continue;
            }
        };
        let mut spans = vec![(Part::Whole, key.span())];
        let mut component = Component::default();
        if let Some(mut fields) = Fields::of(value, faults) {
            fields.know(
                "a component",
                &["external", "finalizes_itself", "upgrade_after", "talks_to"],
            );
            component.external = fields.flag("external");
            component.finalizes_itself = fields.flag("finalizes_itself");
            for (name, span) in fields.names("upgrade_after") {
                spans.push((Part::UpgradeAfter(name.clone()), span));
                component.upgrade_after.insert(name);
            }
            for (name, span) in fields.names("talks_to") {
                spans.push((Part::TalksTo(name.clone()), span));
                component.talks_to.insert(name);
            }
        }
        read.spans.components.insert(name.clone(), spans);
        read.components.insert(name, component);
    }
}

fn read_rule(rule: &Value<'_>, read: &mut Read, faults: &mut Collected<'_>) {
    let Some(mut fields) = Fields::of(rule, faults) else {
        return;
    };
    fields.know(
        "a rule",
        &["component", "components", "from", "to", "level", "note"],
    );
    let scope = fields.scope();
    let (from, to) = (fields.versions("from"), fields.versions("to"));
    let level = fields.required_as::<Level>("level");
    let note = fields.optional_text("note");
    if let (Some(scope), Some(from), Some(to), Some(level)) = (scope, from, to, level) {
        let spans = fields.spans(&[
            (Part::Scope, "component"),
            (Part::Scope, "components"),
            (Part::From, "from"),
            (Part::To, "to"),
            (Part::Note, "note"),
        ]);
        read.spans.rules.push(spans);
        read.rules.push(Rule {
            scope,
            from,
            to,
            level,
            note,
        });
    }
}

fn read_blocked(blocked: &Value<'_>, read: &mut Read, faults: &mut Collected<'_>) {
    let Some(mut fields) = Fields::of(blocked, faults) else {
        return;
    };
    fields.know("a blocked hop", &["component", "from", "to", "reason"]);
    let component = match fields.get("component") {
        Some(value) => fields.parsed::<ComponentName>("component", value).map(Some),
        None => Some(None),
    };
    let (from, to) = (fields.versions("from"), fields.versions("to"));
    let reason = fields
        .required("reason")
        .and_then(|value| fields.text("reason", value));
    if let (Some(component), Some(from), Some(to), Some(reason)) = (component, from, to, reason) {
        let spans = fields.spans(&[
            (Part::Scope, "component"),
            (Part::From, "from"),
            (Part::To, "to"),
            (Part::Reason, "reason"),
        ]);
        read.spans.blocked.push(spans);
        read.blocked.push(Blocked {
            component,
            from,
            to,
            reason: reason.to_owned(),
        });
    }
}

fn integer(value: &Value<'_>) -> Option<i64> {
    let integer = value.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A table whose entries are read one by one.
struct Fields<'a, 'i, 't> {
    table: &'a DeTable<'i>,
    span: Range<usize>,
    faults: &'a mut Collected<'t>,
}

impl<'a, 'i, 't> Fields<'a, 'i, 't> {
    fn new(table: &'a DeTable<'i>, span: Range<usize>, faults: &'a mut Collected<'t>) -> Self {
        Self {
            table,
            span,
            faults,
        }
    }

    /// The entries of a value that has to be a table.
    fn of(value: &'a Value<'i>, faults: &'a mut Collected<'t>) -> Option<Self> {
        match value.get_ref().as_table() {
            Some(table) => Some(Self::new(table, value.span(), faults)),
            None => {
                wrong_type(faults, "this", value, "a table");
                None
            }
        }
    }

    /// Faults all keys but these.
    fn know(&mut self, what: &str, known: &[&str]) {
        for key in self.table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let message = format!(
                    "unknown key {:?}; {what} has {}",
                    key.get_ref(),
                    known.join(", ")
                );
                self.faults.add(key.span(), message);
            }
        }
    }

    fn get(&self, key: &str) -> Option<&'a Value<'i>> {
        self.table.get(key)
    }

    fn required(&mut self, key: &str) -> Option<&'a Value<'i>> {
        let value = self.get(key);
        if value.is_none() {
            self.faults
                .add(self.span.clone(), format!("{key} is missing"));
        }
        value
    }

    fn text(&mut self, key: &str, value: &'a Value<'i>) -> Option<&'a str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            wrong_type(self.faults, key, value, "a string");
        }
        text
    }

    fn optional_text(&mut self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        self.text(key, value).map(str::to_owned)
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(
        &mut self,
        key: &str,
        value: &'a Value<'i>,
    ) -> Option<T> {
        let text = self.text(key, value)?;
        let parsed = T::from_str(text);
        parsed
            .map_err(|error| self.faults.add(value.span(), error.to_string()))
            .ok()
    }

    fn required_as<T: FromStr<Err: fmt::Display>>(&mut self, key: &str) -> Option<T> {
        let value = self.required(key)?;
        self.parsed(key, value)
    }

    fn versions(&mut self, key: &str) -> Option<Versions> {
        let value = self.required(key)?;
        let text = self.text(key, value)?;
        let versions = Versions::from_str(text);
        let add = |error: VersionsError| {
            let message = match &error {
                VersionsError::Malformed { source, .. } => format!("{error}: {source}"),
                _ => error.to_string(),
            };
            self.faults.add(value.span(), message);
        };
        versions.map_err(add).ok()
    }

    fn flag(&mut self, key: &str) -> bool {
        let Some(value) = self.get(key) else {
            return false;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            wrong_type(self.faults, key, value, "true or false");
            false
        })
    }

    /// A list of component names, each with its place.
    fn names(&mut self, key: &str) -> Vec<(ComponentName, Range<usize>)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            wrong_type(self.faults, key, value, "a list of component names");
            return Vec::new();
        };
        let mut names = Vec::new();
        for value in array.iter() {
            names.extend(self.parsed(key, value).map(|name| (name, value.span())));
        }
        names
    }

    /// The tables of a list of them.
    fn tables(&mut self, key: &str) -> impl Iterator<Item = &'a Value<'i>> + use<'a, 'i> {
        let array = self.get(key).and_then(|value| {
            let array = value.get_ref().as_array();
            if array.is_none() {
                wrong_type(self.faults, key, value, "a list of tables");
            }
            array
        });
        array.into_iter().flat_map(|array| array.iter())
    }

    /// Whom a rule speaks of. None if that cannot be told.
    fn scope(&mut self) -> Option<Scope> {
        match (self.get("component"), self.get("components")) {
            (None, None) => Some(Scope::All),
            (Some(one), None) => self.parsed("component", one).map(Scope::Component),
            (None, Some(two)) => {
                let count = two.get_ref().as_array().map(|array| array.len());
                let mut names = self.names("components").into_iter().map(|(name, _)| name);
                match (names.next(), names.next(), count) {
                    (Some(first), Some(second), Some(2)) => Some(Scope::Pair(first, second)),
                    (_, _, Some(2) | None) => None,
                    (_, _, Some(count)) => {
                        let message = format!(
                            "components names {count}, and a pair is two; for one write component, for all neither"
                        );
                        self.faults.add(two.span(), message);
                        None
                    }
                }
            }
            (Some(_), Some(two)) => {
                let message =
                    "both component and components; a rule is for one, for a pair or for all";
                self.faults.add(two.span(), message);
                None
            }
        }
    }

    /// Where the whole is, and where those parts are that are there.
    fn spans(&self, parts: &[(Part, &str)]) -> Vec<(Part, Range<usize>)> {
        let there = parts
            .iter()
            .filter_map(|(part, key)| Some((part.clone(), self.get(key)?.span())));
        [(Part::Whole, self.span.clone())]
            .into_iter()
            .chain(there)
            .collect()
    }
}

fn wrong_type(faults: &mut Collected<'_>, key: &str, value: &Value<'_>, expected: &str) {
    let found = value.get_ref().type_str();
    faults.add(
        value.span(),
        format!("{key} has to be {expected}, not {found}"),
    );
}
