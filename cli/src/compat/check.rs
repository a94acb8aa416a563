//! `evenkeel compat check`: a matrix file, looked at without a coordinator.

use camino::Utf8PathBuf;
use clap::Args;
use evenkeel_compat::Matrix;
use serde::Serialize;

use super::file::{self, NoMatrix};
use super::text::summary;
use crate::failure::Failure;
use crate::output::{Format, Output};

/// What is checked.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The matrix file (TOML); `-` for standard input
    file: Utf8PathBuf,
}

/// What was found, as programs get it.
#[derive(Serialize)]
struct Checked<'a> {
    file: &'a str,
    sound: bool,
    components: Option<usize>,
    rules: Option<usize>,
    blocked: Option<usize>,
    faults: Vec<Fault<'a>>,
}

/// Something wrong, and where.
#[derive(Serialize)]
struct Fault<'a> {
    line: usize,
    column: usize,
    message: &'a str,
}

pub(super) fn run(output: Output, args: &CheckArgs) -> Result<(), Failure> {
    let name = file::name(&args.file);
    let checked = |matrix: Option<&Matrix>, faults| Checked {
        file: args.file.as_str(),
        sound: matrix.is_some(),
        components: matrix.map(|matrix| matrix.components().len()),
        rules: matrix.map(|matrix| matrix.rules().len()),
        blocked: matrix.map(|matrix| matrix.blocked().len()),
        faults,
    };
    match file::read(&args.file) {
        Ok(matrix) => output.result(&checked(Some(&matrix), Vec::new()), || {
            format!("{name} is sound: {}", summary(&matrix))
        }),
        Err(NoMatrix::Unread(failure)) => Err(failure),
        Err(NoMatrix::Wrong(error)) => {
            if output.format == Format::Json {
                let faults = error.faults.iter().map(|fault| Fault {
                    line: fault.line,
                    column: fault.column,
                    message: &fault.message,
                });
                output.result(&checked(None, faults.collect()), String::new)?;
            }
            Err(file::unsound(&args.file, &error))
        }
    }
}
