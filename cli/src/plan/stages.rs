//! Stages as text for people: what each does, on whose word, and how it is undone.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::look::Look;
use crate::table::Table;
use crate::time::age;
use crate::view::{RuledOut, Stage};

/// The most versions that the way of a component is shown with; further ones are left out of its middle.
const WAY_VERSIONS_MAX: usize = 6;

/// The most versions to go back to that are shown.
const BACK_VERSIONS_MAX: usize = 8;

/// A stage in a line.
pub(super) fn line(stage: &Stage) -> String {
    format!(
        "{}, {}, {}",
        hop(stage),
        how(&stage.method),
        instances(stage.instances)
    )
}

/// Whether there is nothing to tell of its way: it only restarts, or undoes what was told before.
fn is_plain(stage: &Stage) -> bool {
    stage.undoes.is_some() || stage.from_version == stage.to_version
}

/// Where a stage brings its component; what is only restarted stays where it is.
pub(super) fn hop(stage: &Stage) -> String {
    let Stage {
        component,
        from_version: from,
        to_version: to,
        ..
    } = stage;
    match from == to {
        true => format!("{component} {to}"),
        false => format!("{component} {from} -> {to}"),
    }
}

/// A section for each stage. `plan` is the plan's name, empty as long as it has none; `done` says how many of a stage's
/// tasks are done, where there are any.
pub(super) fn sections(
    stages: &[Stage],
    plan: &str,
    done: impl Fn(usize) -> Option<usize>,
    look: Look,
    now: SystemTime,
) -> String {
    let ways = Ways::of(stages);
    let mut page = String::new();
    for (index, stage) in stages.iter().enumerate() {
        let heading = match stage.undoes {
            None => hop(stage),
            Some(undone) => format!("{}, undoing stage {}", hop(stage), u64::from(undone) + 1),
        };
        let label = format!("\nStage {} of {}: ", index + 1, stages.len());
        page.push_str(&label);
        page.push_str(&crate::table::printable(&heading));
        page.push('\n');

        let mut pairs = Table::pairs(look);
        if !is_plain(stage) {
            pairs.pair("  Level", level(stage));
        }
        pairs.pair(
            "  Method",
            format!("{}, {}", how(&stage.method), instances(stage.instances)),
        );
        if is_plain(stage) {
            if let Some(done) = done(index) {
                pairs.pair("  Done", format!("{done}/{}", stage.instances));
            }
            page.push_str(&pairs.render());
            continue;
        }
        pairs.pair("  Way", ways.text(stages, index));
        if stage.out_of_order {
            pairs.pair(
                "  Order",
                "before its turn: no way keeps the declared order",
            );
        }
        pairs.pair("  Undo", undo(stage));
        let asked_before = match stage.undo.as_str() {
            _ if !asks(stage) => None,
            "not-at-all" => Some("it begins"),
            _ if stage.finalizes_itself => Some("its last instance is changed"),
            _ => None,
        };
        match (stage.confirmed_by.as_str(), asked_before) {
            ("", None) => {}
            ("", Some(before)) => {
                let command = finalize_command(plan);
                pairs.pair("  Asks", format!("for {command} before {before}"));
            }
            (who, _) => {
                let when = stage.confirmed_at.as_deref();
                let when = when.map(|time| format!("{} ago ", age(Some(time), now)));
                pairs.pair(
                    "  Confirmed",
                    format!("{}by {who}", when.unwrap_or_default()),
                );
            }
        }
        pairs.pair("  Back to", back(stage));
        if !stage.note.is_empty() {
            pairs.pair("  Note", &stage.note);
        }
        if let Some(done) = done(index) {
            pairs.pair("  Done", format!("{done}/{}", stage.instances));
        }
        page.push_str(&pairs.render());
    }
    page
}

/// What was not chosen and why, under a heading of its own; nothing where there is nothing.
pub(super) fn ruled_out(ruled_out: &[RuledOut], look: Look) -> String {
    let mut page = String::new();
    for (index, hop) in ruled_out.iter().enumerate() {
        if index == 0 {
            page.push_str("\nRuled out:\n");
        }
        let text = format!(
            "{} {} -> {}: {}",
            hop.component, hop.from_version, hop.to_version, hop.reason
        );
        look.paragraph(&mut page, "  - ", &text);
    }
    page
}

/// Whether a person has to say that there need be no way back.
pub(super) fn asks(stage: &Stage) -> bool {
    stage.undo != stage.undo_when_final || stage.undo == "not-at-all"
}

/// What a person types to say that there need be no way back.
pub(super) fn finalize_command(plan: &str) -> String {
    match plan {
        "" => "`evenkeel plan finalize`".to_owned(),
        name => format!("`evenkeel plan finalize {name}`"),
    }
}

/// So many instances.
fn instances(count: u32) -> String {
    match count {
        1 => "1 instance".to_owned(),
        count => format!("{count} instances"),
    }
}

/// What the rule says, and what that means.
fn level(stage: &Stage) -> String {
    let (a, b) = if stage.reversed {
        (&stage.to_version, &stage.from_version)
    } else {
        (&stage.from_version, &stage.to_version)
    };
    let meaning = match stage.level.as_str() {
        "full" => "each reads what the other writes".to_owned(),
        "backward" => format!("{b} reads what {a} wrote"),
        "forward" => format!("{a} accepts what {b} writes"),
        other => return other.to_owned(),
    };
    match stage.reversed {
        false => format!("{}: {meaning}", stage.level),
        true => format!("{}, said of {a} -> {b}: {meaning}", stage.level),
    }
}

fn how(method: &str) -> String {
    match method {
        "in-place" => "in place".to_owned(),
        "rebuild" => "by rebuild (drained, started empty)".to_owned(),
        other => other.to_owned(),
    }
}

/// How it is undone, until when.
fn undo(stage: &Stage) -> String {
    let words = |undo: &str| undo.replace('-', " ");
    let (before, after) = (words(&stage.undo), words(&stage.undo_when_final));
    if before == after {
        return match stage.undo.as_str() {
            "not-at-all" => before,
            _ => format!("{before}, also once finalized"),
        };
    }
    match stage.finalizes_itself {
        true => format!(
            "{before} until the last instance runs {}, then {after}",
            stage.to_version
        ),
        false => format!("{before} until finalized, then {after}"),
    }
}

fn back(stage: &Stage) -> String {
    let for_good = back_for_good(&stage.reachable_back);
    let until_the_last = stage.finalizes_itself && stage.confirmed_by.is_empty() && asks(stage);
    match stage.undo.as_str() {
        "in-place" if until_the_last => format!(
            "{} until the last instance runs {}, then {for_good}",
            stage.from_version, stage.to_version
        ),
        _ => for_good,
    }
}

fn back_for_good(versions: &[String]) -> String {
    if versions.is_empty() {
        return "no other version".to_owned();
    }
    let (shown, more) = versions.split_at(versions.len().min(BACK_VERSIONS_MAX));
    match more.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} older", shown.join(", ")),
    }
}

/// Which stage of a component takes up where which other ended.
struct Ways {
    before: Vec<Option<usize>>,
    after: Vec<Option<usize>>,
}

impl Ways {
    fn of(stages: &[Stage]) -> Self {
        let mut before = vec![None; stages.len()];
        let mut after = vec![None; stages.len()];
        let mut ends = BTreeMap::new();
        let forward = stages.iter().enumerate();
        let forward = forward.filter(|(_, stage)| !is_plain(stage));
        for (index, stage) in forward {
            if let Some(&from) = ends.get(&(&stage.component, &stage.from_version)) {
                before[index] = Some(from);
                after[from] = Some(index);
            }
            ends.insert((&stage.component, &stage.to_version), index);
        }
        Self { before, after }
    }

    /// The component's whole way, and which hop of it the stage is.
    fn text(&self, stages: &[Stage], index: usize) -> String {
        if stages[index].direct {
            return "direct".to_owned();
        }
        let walk = |from: usize, next: &[Option<usize>]| {
            std::iter::successors(next[from], |&at| next[at]).collect::<Vec<_>>()
        };
        let mut hops = walk(index, &self.before);
        hops.reverse();
        let hop = hops.len();
        hops.push(index);
        hops.extend(walk(index, &self.after));

        let first = stages[hops[0]].from_version.as_str();
        let others = hops.iter().map(|&hop| stages[hop].to_version.as_str());
        let versions: Vec<_> = std::iter::once(first).chain(others).collect();
        format!(
            "{}, hop {} of {}",
            around(&versions, hop).join(" -> "),
            hop + 1,
            hops.len()
        )
    }
}

/// The versions of a way: its ends, and those that hop number `hop` is between.
fn around<'a>(versions: &[&'a str], hop: usize) -> Vec<&'a str> {
    if versions.len() <= WAY_VERSIONS_MAX {
        return versions.to_vec();
    }
    let last = versions.len() - 1;
    let mut shown = Vec::new();
    let mut next = 0;
    for at in [0, hop, hop + 1, last] {
        if at >= next {
            if at > next {
                shown.push("...");
            }
            shown.push(versions[at]);
            next = at + 1;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_way_is_shown_by_its_ends_and_the_hop_in_question() {
        let versions = ["1", "2", "3", "4", "5", "6", "7"];
        let text = |hop| around(&versions, hop).join(" ");
        assert_eq!(text(0), "1 2 ... 7");
        assert_eq!(text(1), "1 2 3 ... 7");
        assert_eq!(text(3), "1 ... 4 5 ... 7");
        assert_eq!(text(5), "1 ... 6 7");
        assert_eq!(around(&versions[..6], 3).len(), 6);
    }

    #[test]
    fn versions_to_go_back_to_are_counted_where_there_are_many() {
        let versions: Vec<_> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(
            back_for_good(&versions),
            "0, 1, 2, 3, 4, 5, 6, 7 and 2 older"
        );
        assert_eq!(back_for_good(&versions[..1]), "0");
        assert_eq!(back_for_good(&[]), "no other version");
    }
}
