//! How sentences are put together.

use std::{collections::BTreeSet, fmt};

/// How many of many things a sentence lists.
const LISTED_MAX: usize = 5;

/// The first few of `things`, and how many more there are.
pub(super) fn listed(things: &[String]) -> String {
    let (first, more) = things.split_at(things.len().min(LISTED_MAX));
    match (first, more.len()) {
        ([], _) => String::new(),
        ([one], 0) => one.clone(),
        ([most @ .., last], 0) => format!("{} and {last}", most.join(", ")),
        (first, more) => format!("{} and {more} more", first.join(", ")),
    }
}

/// `count` of something, in the singular or the plural.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// Who reported a version, in brackets; nothing where nobody had to.
pub(super) fn reported_by(f: &mut fmt::Formatter<'_>, sources: &BTreeSet<String>) -> fmt::Result {
    if sources.is_empty() {
        return Ok(());
    }
    let sources: Vec<_> = sources.iter().cloned().collect();
    write!(f, " (reported by {})", listed(&sources))
}
