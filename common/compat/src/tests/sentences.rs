//! What is said of parts that make no matrix.

use std::collections::BTreeMap;

use super::{blocked, components, name, rule, try_matrix};
use crate::{
    Blocked, COMPONENTS_MAX, Component, FAULTS_MAX, Matrix, RULES_MAX, Rule, WORDS_CHARS_MAX,
};

/// What is wrong with components of which some are given like this.
fn of_components(change: impl Fn(&mut BTreeMap<String, Component>)) -> String {
    let mut all = ["a", "b", "c"]
        .map(|text| (text.to_owned(), Component::default()))
        .into();
    change(&mut all);
    let all = all
        .into_iter()
        .map(|(text, component)| (name(&text), component));
    Matrix::new(all.collect(), vec![], vec![])
        .unwrap_err()
        .to_string()
}

fn of_rules(rules: &[&str]) -> String {
    try_matrix(rules, &[]).unwrap_err().to_string()
}

fn of_blocked(hops: &[&str]) -> String {
    try_matrix(&[], hops).unwrap_err().to_string()
}

#[test]
fn a_component_is_upgraded_after_known_others() {
    assert_eq!(
        of_components(|all| all.get_mut("a").unwrap().upgrade_after = [name("a"), name("x")].into()),
        "component a: a is to be upgraded after itself; component a: component x is not listed under [components]"
    );
}

#[test]
fn a_component_talks_to_known_others() {
    assert_eq!(
        of_components(|all| all.get_mut("a").unwrap().talks_to = [name("a"), name("x")].into()),
        "component a: a is linked to itself; component a: component x is not listed under [components]"
    );
}

#[test]
fn an_external_component_has_no_place_in_the_order() {
    assert_eq!(
        of_components(|all| {
            let a = all.get_mut("a").unwrap();
            a.external = true;
            a.upgrade_after = [name("b")].into();
        }),
        "component a: a is external, so nobody of ours upgrades it, after others or before"
    );
}

#[test]
fn a_circle_in_the_order_is_spelled_out() {
    assert_eq!(
        of_components(|all| {
            all.insert("d".to_owned(), Component::default());
            for (later, sooner) in [("a", "b"), ("b", "d"), ("d", "c"), ("c", "b")] {
                all.get_mut(later)
                    .unwrap()
                    .upgrade_after
                    .insert(name(sooner));
            }
        }),
        "component b: upgrade_after goes in a circle: b after d after c after b"
    );
}

#[test]
fn an_order_that_branches_and_meets_again_is_no_circle() {
    let mut all = components();
    all.insert(name("d"), Component::default());
    for (later, sooner) in [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")] {
        all.get_mut(&name(later))
            .unwrap()
            .upgrade_after
            .insert(name(sooner));
    }
    assert!(Matrix::new(all, vec![], vec![]).is_ok());
}

#[test]
fn a_rule_names_known_components() {
    assert_eq!(
        of_rules(&["x: 1.0.0 -> 1.1.0 full", "a, y: 1.0.0 -> 1.1.0 full"]),
        "rule 1: component x is not listed under [components]; rule 2: component y is not listed under [components]"
    );
    assert_eq!(
        of_blocked(&["x: 1.0.0 -> 1.1.0"]),
        "blocked 1: component x is not listed under [components]"
    );
}

#[test]
fn a_pair_is_of_two_different_components() {
    assert_eq!(
        of_rules(&["a, a: 1.0.0 -> 1.1.0 full"]),
        "rule 1: a pair of a with itself; for versions of one component write component = \"a\""
    );
}

#[test]
fn a_rule_that_nothing_can_match_is_refused() {
    assert_eq!(
        of_rules(&["a: >2.0.0, <1.0.0 -> <0.0.0 full"]),
        "rule 1: nothing can match this: no version is in >2.0.0, <1.0.0; \
         rule 1: nothing can match this: no version is in <0.0.0"
    );
    assert_eq!(
        of_blocked(&["a: 1.0.0 -> >1.0.0, <1.0.1"]),
        "blocked 1: nothing can match this: no version is in >1.0.0, <1.0.1"
    );
}

#[test]
fn a_blocked_hop_leads_elsewhere() {
    let sentence = "blocked 1: nothing can match this: a hop from 1.0.0 to 1.0.0 is none";
    assert_eq!(of_blocked(&["a: 1.0.0+a -> 1.0.0+b"]), sentence);
    assert_eq!(of_blocked(&["a: 1.0.0 -> =1.0.0"]), sentence);
    assert!(try_matrix(&[], &["a: 1.0.* -> 1.0.*"]).is_ok());
}

#[test]
fn notes_and_reasons_are_a_few_sentences_of_plain_text() {
    let with = |reason: &str, note: &str| {
        let rule = Rule {
            note: Some(note.to_owned()),
            ..rule("a: 1.0.0 -> 1.1.0 full")
        };
        let blocked = Blocked {
            reason: reason.to_owned(),
            ..blocked("a: 1.0.0 -> 1.2.0")
        };
        Matrix::new(components(), vec![rule], vec![blocked]).map_err(|faults| faults.to_string())
    };
    assert!(with("lost writes\nunder load", "…").is_ok());
    assert_eq!(
        with(" ", &"ä".repeat(WORDS_CHARS_MAX + 1)).unwrap_err(),
        "rule 1: the note is 501 characters long, at most 500 are allowed; \
         blocked 1: the reason is empty; say why the hop is blocked"
    );
    assert_eq!(
        with("\u{1b}[2J", "…").unwrap_err(),
        "blocked 1: the reason has control characters"
    );
    assert!(with("lost על writes", "e\u{301} 👩\u{200d}🔧").is_ok());
    assert_eq!(
        with("lost \u{202e}setirw", "\u{2069}").unwrap_err(),
        "rule 1: the note has a character that changes the direction of the text around it (U+2069); \
         blocked 1: the reason has a character that changes the direction of the text around it (U+202E)"
    );
}

#[test]
fn no_more_than_twenty_faults_are_told() {
    let many: Vec<_> = (0..=FAULTS_MAX)
        .map(|n| format!("x{n}: 1.0.0 -> 1.1.0 full"))
        .collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let faults = try_matrix(&many, &[]).unwrap_err();
    assert_eq!((faults.faults.len(), faults.more), (FAULTS_MAX, true));
    assert!(faults.to_string().ends_with("; and more"));
    let faults = try_matrix(&many[..FAULTS_MAX], &[]).unwrap_err();
    assert_eq!((faults.faults.len(), faults.more), (FAULTS_MAX, false));
}

#[test]
fn too_many_rules_are_refused_before_they_are_looked_at() {
    let rules = vec![rule("x: 1.0.0 -> 1.1.0 full"); RULES_MAX];
    let hops = vec![blocked("a: 1.0.0 -> 1.1.0")];
    assert_eq!(
        Matrix::new(components(), rules, hops)
            .unwrap_err()
            .to_string(),
        "the matrix: 50001 rules and blocked hops are too many, at most 50000 are allowed"
    );
}

#[test]
fn too_many_components_are_refused() {
    let all = (0..=COMPONENTS_MAX).map(|n| (name(&format!("c{n}")), Component::default()));
    assert_eq!(
        Matrix::new(all.collect(), vec![], vec![])
            .unwrap_err()
            .to_string(),
        "the matrix: 257 components are too many, at most 256 are allowed"
    );
}
