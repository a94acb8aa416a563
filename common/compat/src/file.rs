//! The file that people keep a matrix in: TOML.
//!
//! ```toml
//! format = 1
//!
//! [components.metadata-service]
//! talks_to = ["client-sdk"]            # either side's word is enough
//! [components.data-service]
//! upgrade_after = ["metadata-service"]
//! finalizes_itself = true
//! [components.client-sdk]
//! external = true
//!
//! [[rules]]
//! component = "data-service"           # or components = ["data-service", "client-sdk"]; neither: all components
//! from = "1.0.0"                       # a version, or a range: an operator or a wildcard in every part of it
//! to = ">=1.1.0, <1.2.0"
//! level = "backward"                   # full, backward, forward or none
//! note = "one release at a time"
//!
//! [[blocked]]
//! component = "data-service"           # without it: all components
//! from = "1.1.0"
//! to = "1.1.1"
//! reason = "loses writes under load"
//! ```

mod error;
mod read;
mod size;
mod write;

use std::collections::BTreeMap;

use crate::{FAULTS_MAX, Matrix, Part, Place, Rule};

pub use error::{FileError, FileFault};
pub use write::to_toml;

/// The longest file, in bytes. [`crate::RULES_MAX`] rules of a usual length are 5 MiB.
pub const FILE_BYTES_MAX: usize = 8 << 20;

/// The version of the file's format that is understood.
pub const FORMAT: i64 = 1;

/// Reads a matrix.
///
/// # Errors
/// Names all that is wrong, up to [`FAULTS_MAX`], each with its line and column. What is too large is refused before it
/// is looked at more closely.
pub fn parse(text: &str) -> Result<Matrix, FileError> {
    let tokens = size::check(text)?;
    let mut faults = error::Collected::new(text);
    let read = read::read(text, tokens, &mut faults);
    match Matrix::new(read.components, read.rules, read.blocked) {
        Ok(matrix) if faults.is_empty() => {
            let twice = repeated(matrix.rules());
            if twice.is_empty() {
                return Ok(matrix);
            }
            for (rule, first) in twice {
                let whole = |number| read.spans.of(&Place::Rule(number), &Part::Whole);
                let sentence = format!("rule {} says the same as rule {}", rule + 1, first + 1);
                faults.add_with(whole(rule), sentence, Some(whole(first)));
            }
        }
        Ok(_) => {}
        Err(found) => {
            for fault in found.faults.into_iter().take(FAULTS_MAX) {
                let span = read.spans.of(&fault.place, &fault.part);
                let other = fault.other.map(|place| read.spans.of(&place, &Part::Whole));
                faults.add_with(span, fault.sentence, other);
            }
            if found.more {
                faults.more();
            }
        }
    }
    Err(faults.end())
}

/// Rules that say word for word what an earlier one says, by their numbers: whoever changes one of two easily overlooks
/// the other. Notes are no part of what is said. A fault of files alone: what is computed may well repeat a rule.
fn repeated(rules: &[Rule]) -> Vec<(usize, usize)> {
    let mut first = BTreeMap::new();
    let numbered = rules.iter().enumerate();
    let twice = numbered.filter_map(|(number, rule)| {
        let said = (
            &rule.scope,
            rule.from.to_string(),
            rule.to.to_string(),
            rule.level,
        );
        let earlier = *first.entry(said).or_insert(number);
        (earlier != number).then_some((number, earlier))
    });
    twice.collect()
}

#[cfg(test)]
mod tests;
