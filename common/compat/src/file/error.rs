//! What is wrong with a file, shown beside the line it is wrong in.

use std::fmt;

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
    /// The line, cut if it is very long.
    pub text: String,
    /// What is wrong, as a sentence.
    pub message: String,
}

/// All that is wrong with a file. Displayed, each fault has its line and a caret below the place in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// At least one, by line.
    pub faults: Vec<FileFault>,
    /// Whether there are more than are told.
    pub more: bool,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(
                f,
                "line {}, column {}: {}",
                fault.line, fault.column, fault.message
            )?;
        }
        Ok(())
    }
}
