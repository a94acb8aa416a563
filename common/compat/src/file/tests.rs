//! Files, good and bad.

use proptest::prelude::*;

use super::{FILE_BYTES_MAX, parse, to_toml};
use crate::tests::agreement::a_matrix;
use crate::{Matrix, RULES_MAX};

const GOOD: &str = r#"
format = 1

[components.metadata-service]
talks_to = ["client-sdk"]
[components.data-service]
upgrade_after = ["metadata-service"]
finalizes_itself = true
[components.client-sdk]
external = true
[components."with.dots"]

[[rules]]
component = "data-service"
from = "1.0.0"
to = ">=1.1.0, <1.2.0"
level = "backward"
note = "one \"release\" at a time\nand slowly"

[[rules]]
components = ["metadata-service", "data-service"]
from = "1.*"
to = "1.0.0-rc.1+b7"
level = "none"

[[rules]]
from = "^1.2"
to = "*"
level = "full"

[[blocked]]
component = "data-service"
from = "1.1.0"
to = "1.1.1"
reason = 'loses writes under load'
"#;

/// What is said of a file.
fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// What is said of a file with these rules, of components `a`, `b` and `c`.
fn of_rules(rules: &str) -> String {
    refusal(&format!(
        "format = 1\ncomponents = {{ a = {{}}, b = {{}}, c = {{}} }}\n{rules}"
    ))
}

#[test]
fn a_file_is_read_and_written_and_read_again() {
    let matrix = parse(GOOD).unwrap();
    assert_eq!(
        (
            matrix.components().len(),
            matrix.rules().len(),
            matrix.blocked().len()
        ),
        (4, 3, 1)
    );
    insta::assert_snapshot!(to_toml(&matrix));
    assert_eq!(parse(&to_toml(&matrix)).unwrap(), matrix);
}

#[test]
fn an_empty_matrix_is_a_format_and_no_more() {
    assert_eq!(parse("format = 1").unwrap(), Matrix::default());
    assert_eq!(to_toml(&Matrix::default()), "format = 1\n");
}

#[test]
fn every_fault_is_shown_in_its_line() {
    insta::assert_snapshot!(refusal(
        r#"
format = 1
colour = "blue"

[components.a]
upgrade_after = ["b"]
externall = true
[components.b]
upgrade_after = ["a", "x"]
[components.Bad]
[components.c]
external = "yes"
talks_to = "a"

[[rules]]
component = "a"
from = "3.4"
to = "latest"
level = "fine"

[[rules]]
component = "b"
	components = ["a", "b"]
from = 1
level = "full"

[[rules]]
components = ["a", "b", "c"]
from = "1.0.0"
to = "1.1.0"
level = "full"

[[rules]]
component = "x"
from = ">2, <1"
to = "1.1.0"
level = "none"

[[blocked]]
from = "1.0.0"
to = "1.0.0"
"#
    ));
}

#[test]
fn of_a_contradiction_both_lines_are_told() {
    insta::assert_snapshot!(of_rules(
        r#"
[[rules]]
component = "a"
from = ">=1.1.0, <2.0.0"
to = "^2"
level = "backward"

[[rules]]
component = "a"
from = "^1.3"
to = "2.1.*"
level = "forward"
"#
    ));
}

#[test]
fn what_the_matrix_refuses_is_shown_where_it_is_written() {
    insta::assert_snapshot!(refusal(
        r#"
format = 1
[components.a]
upgrade_after = ["b", "a"]
[components.b]
upgrade_after = [
    "c",
    "a",
]
[components.c]
external = true
talks_to = ["a", "y"]
upgrade_after = ["a"]

[[rules]]
components = ["a", "a"]
from = "1.0.0"
to = "1.1.0"
level = "full"

[[blocked]]
component = "z"
from = "1.0.0"
to = "<0.0.0"
reason = ""
"#
    ));
}

#[test]
fn what_is_external_neither_finalizes_itself_nor_comes_before_others() {
    insta::assert_snapshot!(refusal(
        r#"
format = 1
[components.store]
upgrade_after = ["client-sdk"]
[components.client-sdk]
external = true
finalizes_itself = true
"#
    ));
}

#[test]
fn a_rule_that_is_there_twice_is_told_with_both_places() {
    insta::assert_snapshot!(of_rules(
        r#"
[[rules]]
component = "a"
from = "1.0.0"
to = ">=1.1.0,<1.2.0"
level = "full"

[[rules]]
component = "a"
from = ">=1.1.0, <1.2.0"
to = "1.0.0"
level = "full"

[[rules]]
component = "a"
from = "1.0.0"
to = ">=1.1.0, <1.2.0"
level = "full"
note = "with a note of its own"
"#
    ));
}

#[test]
fn versions_as_they_are_written_elsewhere_are_told_how_they_are_written_here() {
    insta::assert_snapshot!(of_rules(
        r#"
[[rules]]
from = "=1.2.3"
to = "v3.5.0"
level = "full"

[[rules]]
from = "3.4.* || 3.3.*"
to = "3.5.*"
level = "full"
"#
    ));
}

#[test]
fn a_file_that_is_not_toml_is_refused_in_its_line() {
    insta::assert_snapshot!(refusal(
        "format = 1\n[components.a\n[[rules]]\nfrom = 1.0.0\nto = \"1.1.0\n"
    ));
}

#[test]
fn the_wrong_shape_is_told_as_such() {
    insta::assert_snapshot!(refusal(
        "format = 2\ncomponents = 3\nrules = [4, {}]\n[blocked]\n"
    ));
    insta::assert_snapshot!(refusal("# nothing\n"));
}

#[test]
fn a_line_is_shown_so_that_it_reads_as_it_is_written() {
    let error = parse("format = 1\n\u{202e}\t\u{1b} = 2\n").unwrap_err();
    assert_eq!(error.faults[0].shown, "\u{fffd}   = 2");
}

#[test]
fn of_a_very_long_line_what_is_around_the_place_is_shown() {
    let rule = r#"{ from = "1.0.0", to = "1.1.0", level = "full" }, "#;
    let text = format!(
        "format = 1\nrules = [ {}{{ from = \"3\", to = \"4.*\", level = \"full\" }}, {}]",
        rule.repeat(9),
        rule.repeat(9)
    );
    insta::assert_snapshot!(refusal(&text));
}

#[test]
fn the_largest_matrix_is_read() {
    let matrix = parse(&agreeing(RULES_MAX)).unwrap();
    assert_eq!(matrix.rules().len(), RULES_MAX);
}

#[test]
fn a_million_rules_are_refused_before_they_are_looked_at() {
    let message = "there are too many rules and blocked hops, at most 50000 are allowed";
    assert!(refusal(&agreeing(RULES_MAX + 300)).contains(message));
    assert!(
        refusal(&format!(
            "format = 1\nrules = [{}]",
            "{},".repeat(1_000_000)
        ))
        .contains(message)
    );
    assert!(refusal(&"[[rules]]\n".repeat(800_000)).contains(message));
    assert!(
        refusal(&agreeing(1_000_000)).contains(&format!("at most {FILE_BYTES_MAX} are allowed"))
    );
    assert!(
        refusal(&agreeing(RULES_MAX + 1)).contains("50001 rules and blocked hops are too many")
    );
}

#[test]
fn what_is_large_without_rules_is_refused_before_it_is_looked_at() {
    for token in ["a = 1\n", "[a.a]\n", "x = [[],[]]\n", ","] {
        let text = token.repeat(FILE_BYTES_MAX / token.len());
        assert!(refusal(&text).contains("too much in this file"), "{token}");
    }
}

/// Rules that overlap, and agree.
fn agreeing(count: usize) -> String {
    let mut text = "format = 1\n[components.a]\n".to_owned();
    for n in 0..count {
        let (major, minor) = (n / 100, n % 100);
        text += &format!(
            "[[rules]]\ncomponent = \"a\"\nfrom = \">={major}.{minor}.0, <{}.0.0\"\nto = \"^{}\"\nlevel = \"full\"\n",
            major + 1,
            major + 1
        );
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_matrix_is_read_as_it_is_written(matrix in a_matrix()) {
        prop_assert_eq!(parse(&to_toml(&matrix)).unwrap(), matrix);
    }
}
