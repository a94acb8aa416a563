//! Commands and paths as a person can paste them.

use camino::Utf8Path;

/// A path as short as it can be said from here, in quotes where a shell needs them.
pub(super) fn path(path: &Utf8Path) -> String {
    let here = std::env::current_dir().ok();
    let here = here.as_deref().and_then(Utf8Path::from_path);
    path_from(here, path)
}

fn path_from(here: Option<&Utf8Path>, path: &Utf8Path) -> String {
    let below = here.and_then(|here| path.strip_prefix(here).ok());
    let shown = match below {
        Some(below) if below.as_str().is_empty() => ".".to_owned(),
        // A program in this folder itself would be looked for on PATH.
        Some(below) if below.components().count() == 1 => format!("./{below}"),
        Some(below) => below.to_string(),
        None => path.to_string(),
    };
    quoted(shown)
}

fn quoted(word: String) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if word.chars().all(is_plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_here_is_relative_and_any_other_absolute() {
        let from = |here: &str, path: &str| path_from(Some(here.into()), path.into());
        assert_eq!(from("/home/me", "/home/me/target/demo"), "target/demo");
        assert_eq!(from("/home/me", "/home/me/demo"), "./demo");
        assert_eq!(from("/home/me", "/home/me"), ".");
        assert_eq!(from("/home/me", "/home/you/demo"), "/home/you/demo");
    }

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(
            path_from(None, "/my files/it's".into()),
            r"'/my files/it'\''s'"
        );
    }
}
