//! One test a sentence of what the rules mean.

use super::{blocked, components, matrix, name, rule, try_matrix, version};
use crate::{Apart, Level, Matrix, Method, NoHop, Undo, Way};

/// Whether two versions may run side by side; asked both ways round, which has to give the same.
fn beside(matrix: &Matrix, a: (&str, &str), b: (&str, &str)) -> bool {
    let (a, b) = ((name(a.0), version(a.1)), (name(b.0), version(b.1)));
    let there = matrix.beside((&a.0, &a.1), (&b.0, &b.1)).is_ok();
    let back = matrix.beside((&b.0, &b.1), (&a.0, &a.1)).is_ok();
    assert_eq!(there, back, "{a:?} {b:?}");
    there
}

fn hop(matrix: &Matrix, from: &str, to: &str) -> Result<Way, NoHop> {
    let hop = matrix.hop(&name("a"), &version(from), &version(to));
    hop.map(|hop| hop.way)
}

fn way(
    method: Method,
    level: Level,
    reversed: bool,
    undo: Undo,
    undo_when_final: Undo,
) -> Result<Way, NoHop> {
    Ok(Way {
        method,
        level,
        reversed,
        undo,
        undo_when_final,
    })
}

fn full() -> Result<Way, NoHop> {
    way(
        Method::InPlace,
        Level::Full,
        false,
        Undo::InPlace,
        Undo::InPlace,
    )
}

/// What is said of a contradiction.
fn contradiction(rules: &[&str]) -> Option<String> {
    let faults = try_matrix(rules, &[]).err()?;
    Some(faults.to_string())
}

#[test]
fn a_pre_release_matches_only_a_range_that_names_one_of_the_same_version() {
    let matrix = matrix(&[
        "a: 1.0.0 -> >=1.1.0, <2.0.0 full",
        "a: 1.0.0 -> >=3.0.0-b, <4.0.0 full",
    ]);
    assert!(hop(&matrix, "1.0.0", "1.2.0").is_ok());
    assert!(hop(&matrix, "1.0.0", "1.2.0-rc.1").is_err());
    assert!(hop(&matrix, "1.0.0", "3.0.0-b.1").is_ok());
    assert!(hop(&matrix, "1.0.0", "3.0.0-a").is_err());
    assert!(hop(&matrix, "1.0.0", "3.1.0-b").is_err());
}

#[test]
fn build_metadata_is_ignored_in_matching_and_comparing() {
    let matrix = matrix(&["a: 1.0.0+x -> 1.1.0 full"]);
    assert_eq!(hop(&matrix, "1.0.0+y", "1.1.0+z"), full());
    assert!(beside(&matrix, ("a", "3.0.0+x"), ("b", "3.0.0+y")));
}

#[test]
fn a_rule_that_names_its_component_or_pair_beats_one_for_all_however_exact() {
    let matrix = matrix(&[
        "all: 1.0.0 -> 1.1.0 none",
        "a: ^1 -> ^1 full",
        "a, b: ^1 -> ^1 full",
    ]);
    assert_eq!(hop(&matrix, "1.0.0", "1.1.0"), full());
    assert!(beside(&matrix, ("a", "1.0.0"), ("a", "1.1.0")));
    assert!(beside(&matrix, ("a", "1.0.0"), ("b", "1.1.0")));
    assert!(!beside(&matrix, ("c", "1.0.0"), ("c", "1.1.0")));
    assert!(!beside(&matrix, ("a", "1.0.0"), ("c", "1.1.0")));
}

#[test]
fn a_rule_with_more_exact_sides_beats_one_with_fewer() {
    let matrix = matrix(&[
        "a: ^1 -> ^1 none",
        "a: 1.0.0 -> ^1 forward",
        "a: 1.0.0 -> 1.1.0 backward",
    ]);
    let level = |from, to| hop(&matrix, from, to).map(|way| way.level);
    assert_eq!(level("1.0.0", "1.1.0"), Ok(Level::Backward));
    assert_eq!(level("1.0.0", "1.2.0"), Ok(Level::Forward));
    assert_eq!(level("1.1.0", "1.2.0"), Err(NoHop::Apart { rule: 0 }));
}

#[test]
fn it_does_not_matter_which_of_the_sides_is_exact() {
    assert!(contradiction(&["a: 1.0.0 -> ^1 full", "a: ^1 -> 1.1.0 backward"]).is_some());
}

#[test]
fn equally_specific_rules_that_differ_on_the_same_versions_are_an_error() {
    assert_eq!(
        contradiction(&[
            "a: ^1.1 -> ^2 backward",
            "a: ^1.3 -> >=2.1.0, <2.2.0 forward"
        ])
        .unwrap(),
        "rule 2: contradicts an equally specific rule: of a 1.3.0 -> 2.1.0 this one says forward, the other backward \
         (see rule 1)"
    );
    // Apart from each other, in different directions, of different weight or agreed, they are none.
    for fine in [
        ["a: 1.1.* -> ^2 backward", "a: 1.2.* -> ^2 forward"],
        ["a: 1.1.* -> 2.* backward", "a: 2.* -> 1.1.* forward"],
        ["a: ^1 -> ^2 backward", "a: 1.1.0 -> ^2 forward"],
        ["a: ^1 -> ^2 backward", "b: ^1 -> ^2 forward"],
        ["a: ^1 -> ^2 backward", "all: ^1 -> ^2 forward"],
        ["a: ^1.1 -> ^2 backward", "a: ^1.3 -> ^2 backward"],
        [
            "a: <=1.1.0 -> ^2 backward",
            "a: >1.1.0, <2.0.0 -> ^2 forward",
        ],
    ] {
        assert_eq!(contradiction(&fine), None, "{fine:?}");
    }
}

#[test]
fn an_overlap_of_pre_releases_alone_is_an_error_too() {
    let overlap = contradiction(&[
        "a: >1.0.0-b, <1.0.0 -> 2.0.0 full",
        "a: >=1.0.0-a, <1.0.0-c -> 2.0.0 none",
    ]);
    assert!(overlap.unwrap().contains("1.0.0-b.0"));
}

#[test]
fn a_pair_is_the_same_pair_the_other_way_round() {
    assert_eq!(
        contradiction(&["a, b: 1.0.0 -> 2.0.0 full", "b, a: 2.0.0 -> 1.0.0 backward"]).unwrap(),
        "rule 2: contradicts an equally specific rule: of b 2.0.0 and a 1.0.0 this one says backward, the other full \
         (see rule 1)"
    );
    assert_eq!(
        contradiction(&["a, b: 1.0.0 -> 2.0.0 full", "b, a: 1.0.0 -> 2.0.0 none"]),
        None
    );
}

#[test]
fn full_and_none_speak_of_both_directions() {
    let matrix = matrix(&["a: 1.0.0 -> 1.1.0 full", "a: 1.0.0 -> 1.2.0 none"]);
    assert_eq!(hop(&matrix, "1.1.0", "1.0.0"), full());
    assert_eq!(
        hop(&matrix, "1.2.0", "1.0.0"),
        Err(NoHop::Apart { rule: 1 })
    );
    assert!(contradiction(&["a: 1.0.0 -> 1.1.0 full", "a: 1.1.0 -> 1.0.0 backward"]).is_some());
}

#[test]
fn backward_and_forward_speak_of_the_opposite_direction_by_the_last_column_alone() {
    let matrix = matrix(&["a: 1.0.0 -> 1.1.0 backward", "a: 2.0.0 -> 2.1.0 forward"]);
    assert_eq!(
        hop(&matrix, "1.1.0", "1.0.0"),
        Err(NoHop::OnlyBackward { rule: 0 })
    );
    assert_eq!(
        hop(&matrix, "2.1.0", "2.0.0"),
        way(
            Method::InPlace,
            Level::Forward,
            true,
            Undo::Rebuild,
            Undo::Rebuild
        )
    );
}

#[test]
fn the_last_column_holds_only_where_nothing_as_specific_speaks_of_that_direction() {
    let as_specific = matrix(&["a: 1.0.0 -> 1.1.0 backward", "a: 1.1.0 -> 1.0.0 backward"]);
    assert_eq!(
        hop(&as_specific, "1.1.0", "1.0.0").unwrap().level,
        Level::Backward
    );
    let less_specific = matrix(&["a: 1.0.0 -> 1.1.0 backward", "a: 1.1.0 -> ^1 backward"]);
    assert_eq!(
        hop(&less_specific, "1.1.0", "1.0.0"),
        Err(NoHop::OnlyBackward { rule: 0 })
    );
    let more_specific = matrix(&["a: 1.0.0 -> ^1 backward", "a: 1.1.0 -> 1.0.0 forward"]);
    assert_eq!(
        hop(&more_specific, "1.1.0", "1.0.0").unwrap().method,
        Method::Rebuild
    );
}

#[test]
fn none_one_way_and_another_level_the_other_way_is_an_error() {
    for level in ["full", "backward", "forward"] {
        let other = format!("a: 1.1.0 -> 1.0.0 {level}");
        assert!(
            contradiction(&["a: 1.0.0 -> 1.1.0 none", &other]).is_some(),
            "{level}"
        );
    }
}

#[test]
fn the_most_specific_rule_either_way_round_decides_about_side_by_side() {
    let matrix = matrix(&[
        "a: ^1 -> ^1 full",
        "a: 1.1.0 -> 1.0.0 none",
        "a, b: 1.0.0 -> ^2 none",
        "b, a: 2.0.0 -> 1.0.0 forward",
    ]);
    assert!(beside(&matrix, ("a", "1.0.0"), ("a", "1.2.0")));
    assert!(!beside(&matrix, ("a", "1.0.0"), ("a", "1.1.0")));
    assert!(beside(&matrix, ("a", "1.0.0"), ("b", "2.0.0")));
    assert!(!beside(&matrix, ("a", "1.0.0"), ("b", "2.1.0")));
}

#[test]
fn all_levels_but_none_allow_side_by_side() {
    for (level, allowed) in [
        ("full", true),
        ("backward", true),
        ("forward", true),
        ("none", false),
    ] {
        for scope in ["a", "all"] {
            let matrix = matrix(&[&format!("{scope}: 1.0.0 -> 1.1.0 {level}")]);
            assert_eq!(
                beside(&matrix, ("a", "1.0.0"), ("a", "1.1.0")),
                allowed,
                "{scope} {level}"
            );
        }
    }
}

#[test]
fn without_a_rule_versions_do_not_run_side_by_side() {
    let matrix = matrix(&["a: 1.0.0 -> 1.1.0 full"]);
    let (a, x, y) = (name("a"), version("1.0.0"), version("1.2.0"));
    assert_eq!(matrix.beside((&a, &x), (&a, &y)), Err(Apart::NoRule));
    assert!(!beside(&matrix, ("a", "1.0.0"), ("b", "1.1.0")));
}

#[test]
fn equal_versions_run_side_by_side_across_components_too_unless_a_rule_says_otherwise() {
    let plain = matrix(&[]);
    assert!(beside(&plain, ("a", "1.0.0"), ("a", "1.0.0")));
    assert!(beside(&plain, ("a", "1.0.0"), ("b", "1.0.0")));
    let ruled = matrix(&["a, b: 1.0.0 -> 1.0.0 none"]);
    assert!(beside(&ruled, ("a", "1.0.0"), ("a", "1.0.0")));
    assert!(!beside(&ruled, ("a", "1.0.0"), ("b", "1.0.0")));
}

#[test]
fn a_rule_for_all_holds_between_any_two_in_either_order() {
    let matrix = matrix(&["all: 1.0.0 -> 2.0.0 backward"]);
    assert!(beside(&matrix, ("a", "1.0.0"), ("b", "2.0.0")));
    assert!(beside(&matrix, ("a", "2.0.0"), ("b", "1.0.0")));
    assert!(beside(&matrix, ("c", "2.0.0"), ("c", "1.0.0")));
}

#[test]
fn a_blocked_hop_is_no_hop_whatever_the_rules_say() {
    let matrix = try_matrix(&["a: 1.0.0 -> 1.1.0 full"], &["a: 1.0.0 -> ^1"]).unwrap();
    assert_eq!(
        hop(&matrix, "1.0.0", "1.1.0"),
        Err(NoHop::Blocked {
            blocked: 0,
            reason: "it goes wrong".to_owned()
        })
    );
    assert!(beside(&matrix, ("a", "1.0.0"), ("a", "1.1.0")));
}

#[test]
fn a_blocked_hop_without_a_component_is_blocked_for_all() {
    let rules = ["a: 1.0.0 -> 1.1.0 full", "b: 1.0.0 -> 1.1.0 full"];
    let of_b = try_matrix(&rules, &["b: 1.0.0 -> 1.1.0"]).unwrap();
    assert_eq!(hop(&of_b, "1.0.0", "1.1.0"), full());
    let of_all = try_matrix(&rules, &["all: 1.0.0 -> 1.1.0"]).unwrap();
    assert!(hop(&of_all, "1.0.0", "1.1.0").is_err());
}

#[test]
fn without_a_rule_or_with_none_there_is_no_hop() {
    let matrix = matrix(&["a: 1.0.0 -> 1.1.0 none"]);
    assert_eq!(
        hop(&matrix, "1.0.0", "1.1.0"),
        Err(NoHop::Apart { rule: 0 })
    );
    assert_eq!(hop(&matrix, "1.0.0", "1.2.0"), Err(NoHop::NoRule));
}

#[test]
fn full_leads_either_way_in_place_and_back_in_place() {
    let matrix = matrix(&["a: 1.0.0 -> 1.1.0 full"]);
    assert_eq!(hop(&matrix, "1.0.0", "1.1.0"), full());
    assert_eq!(hop(&matrix, "1.1.0", "1.0.0"), full());
}

#[test]
fn backward_leads_there_in_place_and_back_in_place_until_it_is_final() {
    let matrix = matrix(&["a: 1.0.0 -> 1.1.0 backward"]);
    assert_eq!(
        hop(&matrix, "1.0.0", "1.1.0"),
        way(
            Method::InPlace,
            Level::Backward,
            false,
            Undo::InPlace,
            Undo::NotAtAll
        )
    );
}

#[test]
fn once_final_a_backward_hop_is_undone_as_a_rule_for_the_opposite_direction_says() {
    for (back, undo) in [("backward", Undo::InPlace), ("forward", Undo::Rebuild)] {
        let back = format!("a: 1.1.0 -> 1.0.0 {back}");
        let matrix = matrix(&["a: 1.0.0 -> 1.1.0 backward", &back]);
        assert_eq!(
            hop(&matrix, "1.0.0", "1.1.0"),
            way(Method::InPlace, Level::Backward, false, Undo::InPlace, undo)
        );
    }
    let less_specific = matrix(&["a: 1.0.0 -> 1.1.0 backward", "a: 1.1.0 -> ^1 backward"]);
    assert_eq!(
        hop(&less_specific, "1.0.0", "1.1.0")
            .unwrap()
            .undo_when_final,
        Undo::NotAtAll
    );
}

#[test]
fn forward_leads_there_by_rebuild_and_back_in_place() {
    let matrix = matrix(&["a: 1.0.0 -> 1.1.0 forward"]);
    assert_eq!(
        hop(&matrix, "1.0.0", "1.1.0"),
        way(
            Method::Rebuild,
            Level::Forward,
            false,
            Undo::InPlace,
            Undo::InPlace
        )
    );
}

#[test]
fn a_direct_statement_wins_over_a_reversed_one_of_equal_weight() {
    let matrix = matrix(&["a: 1.0.0 -> 1.1.0 backward", "a: 1.1.0 -> 1.0.0 forward"]);
    assert_eq!(
        hop(&matrix, "1.0.0", "1.1.0").unwrap().level,
        Level::Backward
    );
    let back = hop(&matrix, "1.1.0", "1.0.0").unwrap();
    assert_eq!((back.level, back.reversed), (Level::Forward, false));
}

#[test]
fn where_the_way_back_is_blocked_a_hop_cannot_be_undone() {
    for level in ["full", "backward", "forward"] {
        let rule = format!("a: 1.0.0 -> 1.1.0 {level}");
        let matrix = try_matrix(&[&rule], &["a: 1.1.0 -> 1.0.0"]).unwrap();
        let way = hop(&matrix, "1.0.0", "1.1.0").unwrap();
        assert_eq!(
            (way.undo, way.undo_when_final),
            (Undo::NotAtAll, Undo::NotAtAll),
            "{level}"
        );
    }
}

#[test]
fn between_equal_versions_a_hop_is_in_place_and_full_unless_a_rule_says_otherwise() {
    assert_eq!(hop(&matrix(&[]), "1.0.0+a", "1.0.0+b"), full());
    let ruled = matrix(&["a: 1.0.0 -> 1.0.0 forward"]);
    assert_eq!(
        hop(&ruled, "1.0.0+a", "1.0.0+b").unwrap().method,
        Method::Rebuild
    );
}

#[test]
fn a_hop_carries_the_note_of_its_rule() {
    let mut noted = rule("a: 1.0.0 -> 1.1.0 full");
    noted.note = Some("mind the gap".to_owned());
    let rules = vec![rule("a: ^1 -> ^1 full"), noted];
    let matrix = Matrix::new(components(), rules, vec![blocked("a: 2.0.0 -> 2.1.0")]).unwrap();
    let hop = matrix
        .hop(&name("a"), &version("1.0.0"), &version("1.1.0"))
        .unwrap();
    assert_eq!((hop.rule, hop.note), (Some(1), Some("mind the gap")));
}

#[test]
fn two_components_constrain_each_other_by_a_link_a_rule_for_the_pair_or_a_rule_for_all() {
    let (a, b, c) = (name("a"), name("b"), name("c"));
    let none = matrix(&["a: 1.0.0 -> 1.1.0 full"]);
    assert!(!none.constrain(&a, &b));
    let of_pair = matrix(&["b, a: 1.0.0 -> 1.1.0 none"]);
    assert!(of_pair.constrain(&a, &b) && of_pair.constrain(&b, &a));
    assert!(!of_pair.constrain(&a, &c));
    let of_all = matrix(&["all: 1.0.0 -> 1.1.0 full"]);
    assert!(of_all.constrain(&a, &c));
    let mut linked = components();
    if let Some(component) = linked.get_mut(&b) {
        component.talks_to.insert(a.clone());
    }
    let linked = Matrix::new(linked, vec![], vec![]).unwrap();
    assert!(linked.constrain(&a, &b) && linked.constrain(&b, &a));
    assert!(!linked.constrain(&b, &c));
}

#[test]
fn what_comes_before_a_component_is_followed_through() {
    let mut ordered = components();
    for (later, sooner) in [("a", "b"), ("b", "c")] {
        if let Some(component) = ordered.get_mut(&name(later)) {
            component.upgrade_after.insert(name(sooner));
        }
    }
    let matrix = Matrix::new(ordered, vec![], vec![]).unwrap();
    assert_eq!(
        matrix.predecessors(&name("a")),
        [name("b"), name("c")].into()
    );
    assert_eq!(matrix.predecessors(&name("c")), [].into());
}

#[test]
fn all_rules_that_decide_alike_are_named_and_no_less_specific_one() {
    let matrix = matrix(&[
        "all: * -> * full",
        "a: 1.* -> 2.* none",
        "a: * -> 2.* none",
        "a: 2.0.0 -> 1.0.0 none",
        "a: 1.0.0 -> 2.0.0 none",
    ]);
    let deciding = |from: &str, to: &str| {
        let (from, to) = (version(from), version(to));
        matrix.deciding((&name("a"), &from), (&name("a"), &to))
    };
    assert_eq!(deciding("1.0.0", "2.0.0"), [3, 4]);
    assert_eq!(deciding("2.0.0", "1.0.0"), [3, 4]);
    assert_eq!(deciding("2.1.0", "1.1.0"), [1, 2]);
    assert_eq!(deciding("3.0.0", "1.0.0"), [0]);
}
