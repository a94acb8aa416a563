//! Pages of a list: a size with a bound, and a token that is the name of the last thing shown.

use std::{fmt::Display, str::FromStr};

use evenkeel_common::problem::{ErrorCode, Problem};

/// Things on a page where the caller does not say.
const PAGE_DEFAULT: usize = 100;

/// The most things on a page.
const PAGE_MAX: usize = 1_000;

/// How many things the caller gets on a page.
pub(super) fn size(asked: u32) -> usize {
    match usize::try_from(asked).unwrap_or(PAGE_MAX) {
        0 => PAGE_DEFAULT,
        asked => asked.min(PAGE_MAX),
    }
}

/// The thing after which the page begins.
pub(super) fn after<T: FromStr>(token: &str) -> Result<Option<T>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    token.parse().map(Some).map_err(|_| {
        Problem::new(
            ErrorCode::BadArgument,
            "page_token: is not one that a page before ended with",
        )
    })
}

/// The first `size` things, and the token for the next page if there is one.
pub(super) fn page<T, N: Display>(
    things: impl Iterator<Item = T>,
    size: usize,
    name: impl Fn(&T) -> N,
) -> (Vec<T>, String) {
    let mut page: Vec<T> = things.take(size.saturating_add(1)).collect();
    let more = page.len() > size;
    page.truncate(size);
    let last = page.last().filter(|_| more);
    let token = last.map_or_else(String::new, |last| name(last).to_string());
    (page, token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        let all: Vec<u32> = (1..=5).collect();
        let mut token = String::new();
        let mut seen = Vec::new();
        loop {
            let start = after::<u32>(&token).unwrap().unwrap_or(0);
            let rest = all.iter().copied().filter(|n| *n > start);
            let (things, next) = page(rest, 2, |n| *n);
            seen.extend(things);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, all);
        assert!(after::<u32>("x").is_err());
        assert_eq!((size(0), size(7), size(u32::MAX)), (100, 7, 1000));
    }
}
