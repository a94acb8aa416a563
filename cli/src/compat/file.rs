//! A matrix file as people keep it: read within its limit, and what is wrong with it shown beside the line it is wrong
//! in.

use std::io::{self, Read};

use camino::Utf8Path;
use evenkeel_compat::Matrix;
use evenkeel_compat::file::{FILE_BYTES_MAX, FileError, parse};

use crate::exit::Exit;
use crate::failure::Failure;

/// What stands for standard input.
const STDIN: &str = "-";

/// Why there is no matrix.
pub(super) enum NoMatrix {
    /// The file cannot be read.
    Unread(Failure),
    /// What is in it is wrong.
    Wrong(FileError),
}

/// Reads a matrix from a file, or from standard input for `-`.
pub(super) fn read(path: &Utf8Path) -> Result<Matrix, NoMatrix> {
    let text = text(path).map_err(NoMatrix::Unread)?;
    parse(&text).map_err(NoMatrix::Wrong)
}

/// A file's name for people.
pub(super) fn name(path: &Utf8Path) -> &str {
    match path.as_str() {
        STDIN => "standard input",
        path => path,
    }
}

fn text(path: &Utf8Path) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        let name = name(path);
        Failure::new(Exit::Other, format!("cannot read {name}: {error}"))
    };
    let source: Box<dyn Read> = match path.as_str() {
        STDIN => Box::new(io::stdin().lock()),
        path => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    // One more than is allowed, to know that there is more.
    let limit = FILE_BYTES_MAX as u64 + 1;
    source.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        let sentence = format!(
            "{} is larger than {} MiB, the most that a matrix may have",
            name(path),
            FILE_BYTES_MAX >> 20
        );
        return Err(Failure::new(Exit::Other, sentence).hint(
            "one rule with ranges says as much as many with versions, for example from = \"1.2.*\"",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(
            Exit::Other,
            format!("{} is no text: byte {at} is not UTF-8", name(path)),
        )
    })
}

/// What is wrong with a file, each with its place, and marks below it in its line.
pub(super) fn faults(file: &str, error: &FileError) -> String {
    let mut page = String::new();
    for fault in &error.faults {
        page.push_str(&format!("{file}: {fault}\n\n"));
    }
    if error.more {
        page.push_str("and more, to be told once these are mended\n");
    }
    page
}

/// That a file cannot be used; what is wrong with it has been shown.
pub(super) fn failure(file: &str, error: &FileError) -> Failure {
    let count = match (error.faults.len(), error.more) {
        (1, false) => "1 fault".to_owned(),
        (count, false) => format!("{count} faults"),
        (count, true) => format!("more than {count} faults"),
    };
    Failure::new(Exit::Other, format!("{file} has {count}"))
}
