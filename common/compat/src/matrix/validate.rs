//! What has to be true of a matrix' parts before they are one.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::{names::ComponentName, text::is_bidi_control};

use crate::contradictions;
use crate::lookup::Sides;
use crate::{
    Blocked, COMPONENTS_MAX, Component, FAULTS_MAX, Fault, Faults, Part, Place, RULES_MAX, Rule,
    Scope, WORDS_CHARS_MAX,
};

/// Refuses what is too large to be looked at more closely.
pub(super) fn sizes(
    components: &BTreeMap<ComponentName, Component>,
    rules: &[Rule],
    blocked: &[Blocked],
) -> Result<(), Faults> {
    let mut faults = Collected::default();
    let hops = rules.len().saturating_add(blocked.len());
    if hops > RULES_MAX {
        faults.add(
            Place::Matrix,
            Part::Whole,
            format!("{hops} rules and blocked hops are too many, at most {RULES_MAX} are allowed"),
        );
    }
    if components.len() > COMPONENTS_MAX {
        faults.add(
            Place::Matrix,
            Part::Whole,
            format!(
                "{} components are too many, at most {COMPONENTS_MAX} are allowed",
                components.len()
            ),
        );
    }
    faults.end()
}

/// Holds every part against the others.
pub(super) fn parts(
    components: &BTreeMap<ComponentName, Component>,
    (rules, sides): (&[Rule], &[Sides]),
    (blocked, blocked_sides): (&[Blocked], &[Sides]),
) -> Result<(), Faults> {
    let mut faults = Collected::default();
    for (name, component) in components {
        check_component(components, name, component, &mut faults);
    }
    if let Some(cycle) = cycle(components) {
        add_cycle(&cycle, &mut faults);
    }
    for (number, (rule, sides)) in rules.iter().zip(sides).enumerate() {
        check_rule(components, Place::Rule(number), rule, sides, &mut faults);
    }
    for (number, (blocked, sides)) in blocked.iter().zip(blocked_sides).enumerate() {
        let place = Place::Blocked(number);
        check_blocked(components, &place, blocked, sides, &mut faults);
    }
    add_contradictions(rules, sides, &mut faults);
    faults.end()
}

/// The faults found so far.
#[derive(Default)]
struct Collected {
    faults: Vec<Fault>,
    more: bool,
}

impl Collected {
    fn add(&mut self, place: Place, part: Part, sentence: String) {
        self.push(Fault {
            place,
            part,
            other: None,
            sentence,
        });
    }

    fn push(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.more = true;
        }
    }

    fn end(mut self) -> Result<(), Faults> {
        if self.faults.is_empty() {
            return Ok(());
        }
        self.faults
            .sort_by(|a, b| (&a.place, &a.part).cmp(&(&b.place, &b.part)));
        Err(Faults {
            faults: self.faults,
            more: self.more,
        })
    }
}

fn check_component(
    components: &BTreeMap<ComponentName, Component>,
    name: &ComponentName,
    component: &Component,
    faults: &mut Collected,
) {
    let place = || Place::Component(name.clone());
    let after = component
        .upgrade_after
        .iter()
        .map(|other| (other, Part::UpgradeAfter(other.clone())));
    let links = component
        .talks_to
        .iter()
        .map(|other| (other, Part::TalksTo(other.clone())));
    for (other, part) in after.chain(links) {
        if other == name {
            let sentence = match part {
                Part::TalksTo(_) => format!("{name} is linked to itself"),
                _ => format!("{name} is to be upgraded after itself"),
            };
            faults.add(place(), part, sentence);
            continue;
        }
        match (components.get(other), &part) {
            (None, _) => faults.add(place(), part, unknown(other)),
            (Some(known), Part::UpgradeAfter(_)) if known.external => {
                let sentence = format!("{other} is external: nobody of ours upgrades it first");
                faults.add(place(), part, sentence);
            }
            (Some(_), _) => {}
        }
    }
    if component.external && component.finalizes_itself {
        let sentence = format!(
            "{name} is external, so no plan holds its last instance back; leave out external or finalizes_itself"
        );
        faults.add(place(), Part::Whole, sentence);
    }
    if let (true, Some(first)) = (component.external, component.upgrade_after.first()) {
        let sentence =
            format!("{name} is external, so nobody of ours upgrades it, after others or before");
        faults.add(place(), Part::UpgradeAfter(first.clone()), sentence);
    }
}

fn unknown(component: &ComponentName) -> String {
    format!("component {component} is not listed under [components]")
}

/// A cycle in `upgrade_after`, if there is one: each is upgraded after the next, the last after the first.
fn cycle(components: &BTreeMap<ComponentName, Component>) -> Option<Vec<&ComponentName>> {
    let mut done = BTreeSet::new();
    for start in components.keys() {
        let mut path: Vec<(&ComponentName, Vec<&ComponentName>)> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(name) = next.take() {
                if let Some(place) = path.iter().position(|(other, _)| *other == name) {
                    return Some(path.into_iter().skip(place).map(|(name, _)| name).collect());
                }
                if done.insert(name) {
                    let after = components.get(name).map(|c| &c.upgrade_after);
                    // To itself is a fault of its own.
                    let after = after.into_iter().flatten().filter(|other| *other != name);
                    path.push((name, after.rev().collect()));
                }
            }
            let Some((_, open)) = path.last_mut() else {
                break;
            };
            match open.pop() {
                Some(name) => next = Some(name),
                None => drop(path.pop()),
            }
        }
    }
    None
}

fn add_cycle(cycle: &[&ComponentName], faults: &mut Collected) {
    let (Some(first), Some(second)) = (cycle.first(), cycle.get(1)) else {
        return;
    };
    let names: Vec<_> = cycle
        .iter()
        .chain([first])
        .map(|name| name.as_str())
        .collect();
    faults.add(
        Place::Component((*first).clone()),
        Part::UpgradeAfter((*second).clone()),
        format!("upgrade_after goes in a circle: {}", names.join(" after ")),
    );
}

fn check_rule(
    components: &BTreeMap<ComponentName, Component>,
    place: Place,
    rule: &Rule,
    sides: &Sides,
    faults: &mut Collected,
) {
    let named = match &rule.scope {
        Scope::All => vec![],
        Scope::Component(name) => vec![name],
        Scope::Pair(first, second) => vec![first, second],
    };
    if let Scope::Pair(first, second) = &rule.scope
        && first == second
    {
        let sentence = format!(
            "a pair of {first} with itself; for versions of one component write component = \"{first}\""
        );
        faults.add(place.clone(), Part::Scope, sentence);
    }
    for name in named {
        if !components.contains_key(name) {
            faults.add(place.clone(), Part::Scope, unknown(name));
        }
    }
    check_sides(&place, (&rule.from, &rule.to), sides, faults);
    if let Some(note) = &rule.note {
        check_words(&place, Part::Note, "note", note, faults);
    }
}

fn check_blocked(
    components: &BTreeMap<ComponentName, Component>,
    place: &Place,
    blocked: &Blocked,
    sides: &Sides,
    faults: &mut Collected,
) {
    if let Some(name) = &blocked.component
        && !components.contains_key(name)
    {
        faults.add(place.clone(), Part::Scope, unknown(name));
    }
    check_sides(place, (&blocked.from, &blocked.to), sides, faults);
    if let (Some(from), Some(to)) = (sides.from.single(), sides.to.single())
        && from == to
    {
        let sentence = format!("nothing can match this: a hop from {from} to {from} is none");
        faults.add(place.clone(), Part::To, sentence);
    }
    if blocked.reason.trim().is_empty() {
        let sentence = "the reason is empty; say why the hop is blocked".to_owned();
        faults.add(place.clone(), Part::Reason, sentence);
    }
    check_words(place, Part::Reason, "reason", &blocked.reason, faults);
}

fn check_sides(
    place: &Place,
    (from, to): (&crate::Versions, &crate::Versions),
    sides: &Sides,
    faults: &mut Collected,
) {
    for (part, versions, reach) in [(Part::From, from, &sides.from), (Part::To, to, &sides.to)] {
        if reach.intervals().is_empty() {
            let sentence = format!("nothing can match this: no version is in {versions}");
            faults.add(place.clone(), part, sentence);
        }
    }
}

fn check_words(place: &Place, part: Part, kind: &str, words: &str, faults: &mut Collected) {
    let chars = words.chars().count();
    if chars > WORDS_CHARS_MAX {
        let sentence =
            format!("the {kind} is {chars} characters long, at most {WORDS_CHARS_MAX} are allowed");
        faults.add(place.clone(), part, sentence);
    } else if words
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        let sentence = format!("the {kind} has control characters");
        faults.add(place.clone(), part, sentence);
    } else if let Some(c) = words.chars().find(|c| is_bidi_control(*c)) {
        let sentence = format!(
            "the {kind} has a character that changes the direction of the text around it (U+{:04X})",
            u32::from(c)
        );
        faults.add(place.clone(), part, sentence);
    }
}

fn add_contradictions(rules: &[Rule], sides: &[Sides], faults: &mut Collected) {
    for found in contradictions::find(rules, sides, FAULTS_MAX + 1) {
        let (Some(rule), Some(other)) = (rules.get(found.rule), rules.get(found.other)) else {
            continue;
        };
        let (scope, from, to) = found.example;
        let versions = match scope {
            Scope::All => format!("{from} -> {to}"),
            Scope::Component(name) => format!("{name} {from} -> {to}"),
            Scope::Pair(first, second) => format!("{first} {from} and {second} {to}"),
        };
        faults.push(Fault {
            place: Place::Rule(found.rule),
            part: Part::Whole,
            other: Some(Place::Rule(found.other)),
            sentence: format!(
                "contradicts an equally specific rule: of {versions} this one says {}, the other {}",
                rule.level, other.level
            ),
        });
    }
}
