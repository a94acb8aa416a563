//! The pictures, as text.

use super::{Drawn, VERSIONS_MAX, dot, svg};
use crate::file;

const MATRIX: &str = r#"
format = 1
[components.data-service]
[components.client-sdk]
external = true

[[rules]]
from = "1.0.0"
to = "1.1.0"
level = "full"

[[rules]]
from = "1.1.0"
to = "1.2.0"
level = "full"

[[rules]]
from = "1.0.0"
to = "1.2.0"
level = "backward"
note = "mind the \"old\" <clients>"

[[rules]]
component = "data-service"
from = "1.2.0"
to = "2.0.0"
level = "forward"

[[rules]]
component = "data-service"
from = "2.0.0"
to = "2.1.0"
level = "full"

[[blocked]]
component = "data-service"
from = "1.0.0"
to = "1.1.0"
reason = "loses writes under load & more"

[[blocked]]
component = "data-service"
from = "2.1.0"
to = "2.0.0"
reason = "cannot read what it wrote"
"#;

fn drawn(of: &[(&str, &[&str])]) -> Drawn {
    let one = |(name, versions): &(&str, &[&str])| {
        let versions = versions.iter().map(|text| text.parse().unwrap());
        (name.parse().unwrap(), versions.collect())
    };
    of.iter().map(one).collect()
}

fn all() -> Drawn {
    drawn(&[
        (
            "data-service",
            &["1.0.0", "1.1.0", "1.2.0", "2.0.0", "2.1.0", "2.1.0+b"],
        ),
        ("client-sdk", &["1.0.0", "1.2.0"]),
    ])
}

#[test]
fn levels_are_line_styles_and_blocked_hops_are_red() {
    let matrix = file::parse(MATRIX).unwrap();
    insta::assert_snapshot!("dot", dot(&matrix, &all()));
    insta::assert_snapshot!("svg", svg(&matrix, &all()));
}

#[test]
fn of_very_many_versions_the_latest_are_drawn() {
    let matrix = file::parse("format = 1").unwrap();
    let versions: Vec<_> = (0..VERSIONS_MAX + 2).map(|n| format!("1.{n}.0")).collect();
    let versions: Vec<_> = versions.iter().map(String::as_str).collect();
    let dot = dot(&matrix, &drawn(&[("a", &versions)]));
    assert!(dot.contains("without 2 earlier versions"));
    assert!(!dot.contains("\"a 1.1.0\"") && dot.contains("\"a 1.2.0\""));
}

#[test]
fn nothing_to_draw_is_a_picture_too() {
    let matrix = file::parse("format = 1").unwrap();
    assert!(dot(&matrix, &Drawn::new()).ends_with("}\n"));
    assert!(svg(&matrix, &Drawn::new()).ends_with("</svg>\n"));
}

#[test]
fn hops_that_are_blocked_for_one_reason_share_its_number() {
    let rules = "[[blocked]]\nfrom = \"1.*\"\nto = \"2.*\"\nreason = \"lost data\"\n";
    let matrix = file::parse(&format!("format = 1\n{rules}")).unwrap();
    let image = svg(
        &matrix,
        &drawn(&[("a", &["1.0.0", "1.1.0", "2.0.0", "2.1.0"])]),
    );
    assert_eq!(image.matches("class=\"number\">1<").count(), 4);
    assert_eq!(image.matches(">1: lost data<").count(), 1);
}
