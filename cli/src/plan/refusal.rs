//! Why there is no plan, as text for people.

use super::stages;
use crate::look::Look;
use crate::table::Table;
use crate::view::{PlanRefusal, Reachable};

/// What is in the way, what would open one, and how far it goes without.
pub(super) fn page(refusal: &PlanRefusal, look: Look) -> String {
    let mut page = String::new();
    look.paragraph(&mut page, "No plan: ", &refusal.summary);
    if !refusal.reasons.is_empty() {
        page.push_str("\nWhy:\n");
        for reason in &refusal.reasons {
            look.paragraph(&mut page, "  - ", reason);
        }
    }
    page.push('\n');
    look.paragraph(&mut page, "", remedies_heading(refusal));
    numbered(
        &mut page,
        refusal
            .remedies
            .iter()
            .map(|remedy| remedy.sentence.clone()),
        look,
    );
    if !refusal.furthest.is_empty() {
        page.push_str("\nHow far it goes as things are:\n");
        let mut table = Table::pairs(look);
        for reachable in &refusal.furthest {
            table.row([format!("  {}", reachable.component), how_far(reachable)]);
        }
        page.push_str(&table.render());
    }
    if !refusal.stages.is_empty() {
        page.push_str("\nThe stages there would be then:\n");
        numbered(&mut page, refusal.stages.iter().map(stages::line), look);
    }
    page.push_str(&stages::ruled_out(&refusal.ruled_out, look));
    page
}

fn remedies_heading(refusal: &PlanRefusal) -> &'static str {
    let remedies = refusal.remedies.as_slice();
    let only_releases = remedies.iter().all(|remedy| remedy.kind == "publish");
    match remedies {
        [] => "What would open a way is not known.",
        _ if only_releases => "Publish first, and there is a way:",
        [_] => "This would open a way:",
        _ if refusal.remedies_are_smallest => {
            "All of these together would open a way, and no fewer would:"
        }
        _ => "All of these together would open a way:",
    }
}

fn how_far(reachable: &Reachable) -> String {
    match (reachable.version.as_str(), reachable.at_least) {
        (version, false) => version.to_owned(),
        ("", true) => "not known: there was too much to look at".to_owned(),
        (version, true) => format!("{version} or further: there was too much to look at"),
    }
}

fn numbered(page: &mut String, lines: impl ExactSizeIterator<Item = String>, look: Look) {
    let width = lines.len().to_string().len();
    for (index, line) in lines.enumerate() {
        let label = format!("  {:>width$}. ", index + 1);
        look.paragraph(page, &label, &line);
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_proto::v1;

    use super::super::samples::{WIDTHS, refusal, wide};
    use super::*;

    fn page_of(refusal: v1::PlanRefusal, width: Option<usize>) -> String {
        page(&refusal.into(), wide(width))
    }

    #[test]
    fn a_refusal_says_what_is_in_the_way_and_what_would_help() {
        for width in WIDTHS {
            let page = page_of(refusal(), Some(width));
            let widest = page.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{page}");
            insta::assert_snapshot!(format!("refusal_{width}"), page);
        }
    }

    #[test]
    fn where_only_a_release_is_missing_it_is_to_be_published_first() {
        let mut refusal = refusal();
        refusal.reasons.clear();
        refusal.ruled_out.clear();
        refusal
            .remedies
            .retain(|remedy| remedy.kind == i32::from(v1::RemedyKind::Publish));
        refusal.summary =
            "data-service 1.2.0 is not published, and the way is through it".to_owned();
        insta::assert_snapshot!(page_of(refusal, Some(80)));
    }

    #[test]
    fn where_nothing_is_known_to_help_that_is_said() {
        let refusal = v1::PlanRefusal {
            summary: "the search was given up after 1,000,000 mixes".to_owned(),
            ..v1::PlanRefusal::default()
        };
        assert_eq!(
            page_of(refusal, Some(80)),
            "No plan: the search was given up after 1,000,000 mixes\n\nWhat would open a way is not known.\n"
        );
    }

    #[test]
    fn no_fewer_is_said_only_where_it_is_known() {
        let sure = page_of(refusal(), None);
        assert!(
            sure.contains("\nAll of these together would open a way, and no fewer would:\n"),
            "{sure}"
        );
        let unsure = v1::PlanRefusal {
            remedies_are_smallest: false,
            ..refusal()
        };
        let unsure = page_of(unsure, None);
        assert!(
            unsure.contains("\nAll of these together would open a way:\n"),
            "{unsure}"
        );
    }

    #[test]
    fn how_far_it_goes_is_not_said_to_be_the_end_where_there_was_too_much_to_look_at() {
        let mut refusal = refusal();
        for reachable in &mut refusal.furthest {
            reachable.at_least = true;
        }
        refusal.furthest[1].version.clear();
        let page = page_of(refusal, None);
        assert!(
            page.contains("  metadata-service   1.2.0 or further: there was too much to look at\n"),
            "{page}"
        );
        assert!(
            page.contains("  data-service       not known: there was too much to look at\n"),
            "{page}"
        );
    }

    #[test]
    fn one_thing_that_helps_is_not_called_several() {
        let mut refusal = refusal();
        refusal.remedies.truncate(1);
        assert!(page_of(refusal, None).contains("\nThis would open a way:\n  1. add a rule"));
    }

    #[test]
    fn many_stages_are_numbered_below_each_other() {
        let mut refusal = refusal();
        refusal.stages = vec![refusal.stages[0].clone(); 10];
        let page = page_of(refusal, None);
        assert!(page.contains("\n   9. data-service"), "{page}");
        assert!(page.contains("\n  10. data-service"), "{page}");
    }
}
