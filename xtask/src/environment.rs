//! What the environment says about the run as a whole.

/// Whether this is a run that nobody watches (`CI` is `true` or `1`): what would be a notice elsewhere is an error, and the
/// lockfile may not change.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| is_yes(&value))
}

fn is_yes(value: &str) -> bool {
    matches!(value, "true" | "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_is_on_only_when_it_says_so() {
        assert!(is_yes("true") && is_yes("1"));
        assert!(!is_yes("false") && !is_yes(""));
    }
}
