//! Plain questions, the index and the naive reading agree, whatever the rules.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::names::ComponentName;
use proptest::prelude::*;
use semver::Version;

use super::naive::Naive;
use super::{components, name};
use crate::index::Index;
use crate::versions::tests::{a_version, versions};
use crate::{Blocked, Level, Matrix, Part, Place, Rule, Scope};

fn a_name() -> impl Strategy<Value = ComponentName> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(name)
}

fn a_scope() -> impl Strategy<Value = Scope> {
    let two = prop::sample::subsequence(vec!["a", "b", "c"], 2).prop_shuffle();
    let pair = two.prop_map(|two| match two.as_slice() {
        [first, second] => Scope::Pair(name(first), name(second)),
        _ => Scope::All,
    });
    prop_oneof![2 => Just(Scope::All), 3 => a_name().prop_map(Scope::Component), 2 => pair]
}

fn a_rule() -> impl Strategy<Value = Rule> {
    let level = prop::sample::select(Level::ALL.to_vec());
    (a_scope(), versions(), versions(), level).prop_map(|(scope, from, to, level)| Rule {
        scope,
        from,
        to,
        level,
        note: None,
    })
}

fn a_blocked() -> impl Strategy<Value = Blocked> {
    (prop::option::of(a_name()), versions(), versions()).prop_map(|(component, from, to)| Blocked {
        component,
        from,
        to,
        reason: "it goes wrong".to_owned(),
    })
}

/// As many of the rules and blocked hops as go together, in their order; no rule twice, as in a file.
pub(crate) fn a_matrix() -> impl Strategy<Value = Matrix> {
    let rules = prop::collection::vec(a_rule(), 0..14);
    let blocked = prop::collection::vec(a_blocked(), 0..4);
    (rules, blocked).prop_map(|(rules, blocked)| {
        let mut matrix = Matrix::new(components(), vec![], vec![]).unwrap();
        for rule in rules {
            if matrix.rules().contains(&rule) {
                continue;
            }
            let more = [matrix.rules(), &[rule]].concat();
            matrix = Matrix::new(components(), more, vec![]).unwrap_or(matrix);
        }
        for hop in blocked {
            let more = [matrix.blocked(), &[hop]].concat();
            matrix = Matrix::new(components(), matrix.rules().to_vec(), more).unwrap_or(matrix);
        }
        matrix
    })
}

fn a_universe() -> impl Strategy<Value = BTreeMap<ComponentName, BTreeSet<Version>>> {
    prop::collection::vec(prop::collection::btree_set(a_version(), 0..12), 3)
        .prop_map(|sets| ["a", "b", "c"].map(name).into_iter().zip(sets).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn rules_contradict_each_other_where_the_naive_reading_says_so(
        rules in prop::collection::vec(a_rule(), 2..7),
        versions in prop::collection::btree_set(a_version(), 1..16),
    ) {
        let naive = Naive { rules: &rules, blocked: &[] };
        let names = components();
        let of_all = || names.keys().flat_map(|name| versions.iter().map(move |version| (name, version)));
        let differ = of_all().any(|a| of_all().any(|b| naive.contradicts(a, b)));
        match Matrix::new(components(), rules.clone(), vec![]) {
            Ok(_) => prop_assert!(!differ),
            Err(faults) => {
                for fault in faults.faults.iter().filter(|fault| fault.part == Part::Whole) {
                    let (Place::Rule(later), Some(Place::Rule(earlier))) = (&fault.place, &fault.other) else {
                        return Err(TestCaseError::fail("a contradiction is between two rules"));
                    };
                    prop_assert!(earlier < later);
                    let two = [rules[*earlier].clone(), rules[*later].clone()];
                    let text = fault.sentence.split_once(" of ").unwrap().1.split_once(" this one").unwrap().0;
                    let (a, b) = example(text);
                    let naive = Naive { rules: &two, blocked: &[] };
                    prop_assert!(naive.contradicts((&a.0, &a.1), (&b.0, &b.1)), "{}", fault);
                }
                let found = faults.faults.iter().any(|fault| fault.part == Part::Whole);
                prop_assert!(found || !differ);
            }
        }
    }

    #[test]
    fn plain_questions_agree_with_the_naive_reading(matrix in a_matrix(), universe in a_universe()) {
        let naive = Naive { rules: matrix.rules(), blocked: matrix.blocked() };
        for (a, own) in &universe {
            for x in own {
                for (b, others) in &universe {
                    for y in others {
                        let beside = matrix.beside((a, x), (b, y));
                        prop_assert_eq!(beside.is_ok(), naive.beside((a, x), (b, y)), "{} {} {} {}", a, x, b, y);
                    }
                }
                for y in own {
                    let hop = matrix.hop(a, x, y).ok().map(|hop| hop.way);
                    prop_assert_eq!(hop, naive.hop(a, x, y), "{} {} -> {}", a, x, y);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_index_agrees_with_plain_questions(matrix in a_matrix(), universe in a_universe()) {
        let index = Index::new(&matrix, &universe);
        for (c, a) in index.components().iter().enumerate() {
            prop_assert_eq!(index.component(a), Some(c));
            for (x, from) in index.versions().iter().enumerate() {
                prop_assert_eq!(index.version(from), Some(x));
                for (d, b) in index.components().iter().enumerate() {
                    let row = index.beside(c, x, d);
                    for (y, version) in index.versions().iter().enumerate() {
                        let plain = matrix.beside((a, from), (b, version)).is_ok();
                        prop_assert_eq!(row.contains(y), plain, "{} {} {} {}", a, from, b, version);
                    }
                    prop_assert!(row.iter().all(|y| y < index.versions().len()));
                }
                let hops = index.hops(c, x);
                let plain: Vec<_> = index
                    .of(c)
                    .iter()
                    .filter(|y| *y != x)
                    .filter_map(|y| Some((y, matrix.hop(a, from, &index.versions()[y]).ok()?.way)))
                    .collect();
                prop_assert_eq!(hops, plain, "{} {}", a, from);
            }
        }
    }
}

/// What a contradiction gives as an example: `a 1.0.0 -> 2.0.0`, `a 1.0.0 and b 2.0.0`, or without a component.
fn example(text: &str) -> ((ComponentName, Version), (ComponentName, Version)) {
    let one = |text: &str| match text.split_once(' ') {
        Some((component, version)) => (name(component), Version::parse(version).unwrap()),
        None => (name("a"), Version::parse(text).unwrap()),
    };
    match text.split_once(" and ") {
        Some((first, second)) => (one(first), one(second)),
        None => {
            let (first, second) = text.split_once(" -> ").unwrap();
            let first = one(first);
            let second = Version::parse(second).unwrap();
            (first.clone(), (first.0, second))
        }
    }
}
