//! A matrix file as people keep it: read within its limit, and what is wrong with it shown beside the line it is wrong
//! in.

use std::io::{self, Read};

use camino::Utf8Path;
use evenkeel_compat::Matrix;
use evenkeel_compat::file::{FILE_BYTES_MAX, FileError, parse};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{remark, remark_lines};

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

/// Reads a matrix that something is to be done with; what is wrong with it is told beside the failure.
pub(super) fn read_sound(path: &Utf8Path) -> Result<Matrix, Failure> {
    read(path).map_err(|error| match error {
        NoMatrix::Unread(failure) => failure,
        NoMatrix::Wrong(error) => unsound(path, &error),
    })
}

/// Tells what is wrong with a file, each with its place and marks below it in its line; gives the failure that it is.
pub(super) fn unsound(path: &Utf8Path, error: &FileError) -> Failure {
    let name = name(path);
    for fault in &error.faults {
        remark_lines(&format!("{name}: {fault}\n\n"));
    }
    if error.more {
        remark("and more, to be told once these are mended");
    }
    let count = match (error.faults.len(), error.more) {
        (1, false) => "1 fault".to_owned(),
        (count, false) => format!("{count} faults"),
        (count, true) => format!("more than {count} faults"),
    };
    Failure::new(Exit::Other, format!("{name} has {count}"))
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
