//! What the fuzz targets check, on every run: over the seeds, over seeds that were changed here and there, and over
//! anything at all.

#![allow(clippy::disallowed_methods, reason = "the seeds are files")]
#![allow(clippy::unwrap_used, reason = "a test may be blunt, its helpers, too")]

mod properties;

use std::path::PathBuf;

use proptest::prelude::*;

/// The seeds of a target.
fn seeds(target: &str) -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
        .iter()
        .map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned())
        .collect()
}

/// Pieces that inputs are made of.
const WORDS: &[&str] = &[
    "format = 1\n",
    "[components.a]\n",
    "[components.b]\n",
    "[[rules]]\n",
    "[[blocked]]\n",
    "component = \"a\"\n",
    "components = [\"a\", \"b\"]\n",
    "from = \"",
    "to = \"",
    "level = \"full\"\n",
    "level = \"none\"\n",
    "external = true\n",
    "upgrade_after = [\"a\"]\n",
    "talks_to = [\"b\"]\n",
    "reason = \"x\"\n",
    "\"",
    "'''",
    "\"\"\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "\n",
    "\r",
    "\t",
    "\0",
    "1.0.0",
    "1.0.0-rc.1",
    "2",
    "18446744073709551615",
    "-0",
    "+b",
    ">=",
    "<",
    "^",
    "~",
    "*",
    "ä",
];

/// One place of an input changed.
#[derive(Debug, Clone)]
enum Change {
    Remove { at: usize, chars: usize },
    Repeat { at: usize, chars: usize },
    Insert { at: usize, word: &'static str },
}

impl Change {
    fn make(&self, text: &mut Vec<char>) {
        let place = |at: usize| at % (text.len() + 1);
        match *self {
            Self::Remove { at, chars } => {
                let at = place(at);
                let end = (at + chars).min(text.len());
                text.drain(at..end);
            }
            Self::Repeat { at, chars } => {
                let at = place(at);
                let end = (at + chars).min(text.len());
                let part = text[at..end].to_vec();
                text.splice(at..at, part);
            }
            Self::Insert { at, word } => {
                let at = place(at);
                text.splice(at..at, word.chars());
            }
        }
    }
}

fn a_change() -> impl Strategy<Value = Change> {
    let at = any::<usize>;
    prop_oneof![
        (at(), 1_usize..30).prop_map(|(at, chars)| Change::Remove { at, chars }),
        (at(), 1_usize..90).prop_map(|(at, chars)| Change::Repeat { at, chars }),
        (at(), prop::sample::select(WORDS)).prop_map(|(at, word)| Change::Insert { at, word }),
    ]
}

/// A seed with a few changes.
fn changed(target: &str) -> impl Strategy<Value = String> + use<> {
    let seed = prop::sample::select(seeds(target));
    (seed, prop::collection::vec(a_change(), 1..6)).prop_map(|(seed, changes)| {
        let mut text = seed.chars().collect();
        for change in changes {
            change.make(&mut text);
        }
        text.into_iter().collect()
    })
}

/// Words in any order, or any characters at all.
fn anything() -> impl Strategy<Value = String> {
    let words = prop::collection::vec(prop::sample::select(WORDS), 0..40);
    prop_oneof![words.prop_map(|words| words.concat()), any::<String>()]
}

#[test]
fn every_seed_holds() {
    seeds("matrix_file")
        .iter()
        .for_each(|text| properties::matrix_file(text));
    seeds("version")
        .iter()
        .for_each(|text| properties::version(text));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_changed_matrix_file_does_no_harm(text in changed("matrix_file")) {
        properties::matrix_file(&text);
    }

    #[test]
    fn a_changed_version_does_no_harm(text in changed("version")) {
        properties::version(&text);
    }

    #[test]
    fn no_text_does_harm(text in anything()) {
        properties::matrix_file(&text);
        properties::version(&text);
    }
}
