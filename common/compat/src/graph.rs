//! Pictures of a matrix: the versions of a component as boxes, what the rules say of each two as lines.
//!
//! Levels are line styles: full is a solid line with a head at both ends, backward a dashed one, forward a dotted one, a
//! blocked hop red with its reason. A line points the way its rule speaks of; the way back follows from the level and is
//! not drawn, nor is what is `none` or has no rule.

mod dot;
mod svg;

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::{Level, Matrix, NoHop};

pub use dot::dot;
pub use svg::svg;

/// The components to draw, each with the versions to draw of it.
pub type Drawn = BTreeMap<ComponentName, BTreeSet<Version>>;

/// The most versions that are drawn of a component, the latest ones: there are as many lines as pairs of them.
pub const VERSIONS_MAX: usize = 60;

/// What is drawn of one component.
struct Picture<'a> {
    component: &'a ComponentName,
    /// Nobody of ours changes its versions.
    external: bool,
    versions: Vec<&'a Version>,
    /// How many earlier versions are left out.
    left_out: usize,
    lines: Vec<Line>,
}

/// From one of the versions to another.
struct Line {
    from: usize,
    to: usize,
    kind: Kind,
    /// Whether it stands for the opposite direction, too.
    both_ways: bool,
    /// What it says, as a sentence.
    sentence: String,
    /// Why it must not be gone, if it must not.
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Backward,
    Forward,
    Blocked,
}

impl Picture<'_> {
    /// The component and what is remarkable about it.
    fn title(&self) -> String {
        let mut title = self.component.to_string();
        if self.external {
            title += " (external)";
        }
        match self.left_out {
            0 => {}
            1 => title += ", without an earlier version",
            count => title += &format!(", without {count} earlier versions"),
        }
        title
    }
}

/// What there is to draw, by component.
fn pictures<'a>(matrix: &Matrix, drawn: &'a Drawn) -> impl Iterator<Item = Picture<'a>> {
    drawn.iter().map(|(component, all)| {
        // Of versions that differ in build metadata alone one is enough.
        let mut versions: Vec<&Version> = all.iter().collect();
        versions.dedup_by(|a, b| a.cmp_precedence(b).is_eq());
        let left_out = versions.len().saturating_sub(VERSIONS_MAX);
        versions.drain(..left_out);
        let known = matrix.components().get(component);
        Picture {
            component,
            external: known.is_some_and(|known| known.external),
            lines: lines(matrix, component, &versions),
            versions,
            left_out,
        }
    })
}

fn lines(matrix: &Matrix, component: &ComponentName, versions: &[&Version]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (x, lower) in versions.iter().enumerate() {
        for (y, upper) in versions.iter().enumerate().skip(x + 1) {
            let up = line(matrix, component, (x, lower), (y, upper));
            let down = line(matrix, component, (y, upper), (x, lower));
            match (up, down) {
                (Some(up), Some(down)) if up.kind == Kind::Full && down.kind == Kind::Full => {
                    lines.push(Line {
                        sentence: up.sentence.replacen('→', "↔", 1),
                        both_ways: true,
                        ..up
                    });
                }
                (up, down) => lines.extend([up, down].into_iter().flatten()),
            }
        }
    }
    lines
}

/// What is to be drawn from one version to another.
fn line(
    matrix: &Matrix,
    component: &ComponentName,
    (from, lower): (usize, &Version),
    (to, upper): (usize, &Version),
) -> Option<Line> {
    let (kind, words, reason) = match matrix.hop(component, lower, upper) {
        Ok(hop) if hop.way.reversed => return None,
        Ok(hop) => {
            let kind = match hop.way.level {
                Level::Full => Kind::Full,
                Level::Backward => Kind::Backward,
                Level::Forward => Kind::Forward,
                Level::None => return None,
            };
            let rule = hop.rule.map(|rule| format!(" (rule {})", rule + 1));
            let note = hop.note.map(|note| format!(": {note}"));
            let words = [Some(hop.way.level.to_string()), rule, note];
            (kind, words.into_iter().flatten().collect(), None)
        }
        Err(NoHop::Blocked { reason, .. }) => {
            (Kind::Blocked, format!("blocked: {reason}"), Some(reason))
        }
        Err(NoHop::Apart { .. } | NoHop::OnlyBackward { .. } | NoHop::NoRule) => return None,
    };
    Some(Line {
        from,
        to,
        kind,
        both_ways: false,
        sentence: format!("{lower} → {upper} {words}"),
        reason,
    })
}

#[cfg(test)]
mod tests;
