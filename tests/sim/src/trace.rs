//! What happened, in lines that a person can read, and their hash.

use std::fmt::{self, Write as _};

/// FNV-1a, 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The lines of a life.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    /// The lines themselves, if anybody is going to read them.
    lines: Option<Vec<String>>,
    line: String,
}

impl Trace {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self {
            hash: FNV_OFFSET,
            lines: is_kept.then(Vec::new),
            line: String::new(),
        }
    }

    /// Adds a line: when it was, and what.
    pub(crate) fn note(&mut self, now_ms: u64, what: fmt::Arguments<'_>) {
        self.line.clear();
        let (seconds, ms) = (now_ms / 1000, now_ms % 1000);
        // Writing to a string does not fail.
        let _ = write!(self.line, "{seconds:>6}.{ms:03}  {what}");
        for byte in self.line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(self.line.clone());
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
