//! Refuses a file that is too large before anything is built from it.
//!
//! A parsed text takes many times its own size in memory, least of all when it is what one expects. So its tokens are
//! counted first, in no memory at all.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use super::FILE_BYTES_MAX;
use super::error::{Collected, FileError};
use crate::{COMPONENTS_MAX, RULES_MAX};

/// The most tokens. A rule with everything has 48, blanks and line ends among them.
const TOKENS_MAX: usize = 64 * RULES_MAX;

/// The most tables that are rules, blocked hops or components. How many of each there are is looked at later.
const TABLES_MAX: usize = RULES_MAX + COMPONENTS_MAX;

/// How many tokens the text has, or why that is too much.
pub(super) fn check(text: &str) -> Result<usize, FileError> {
    let refuse = |at: usize, message: String| {
        let mut faults = Collected::new(text);
        faults.add(at..at, message);
        Err(faults.end())
    };
    if text.len() > FILE_BYTES_MAX {
        let bytes = text.len();
        return refuse(
            0,
            format!("the file is {bytes} bytes long, at most {FILE_BYTES_MAX} are allowed"),
        );
    }
    let (mut tables, mut tokens) = (0, 0);
    let mut last = (TokenKind::Newline, TokenKind::Newline);
    for token in Source::new(text).lex() {
        tokens += 1;
        let at = token.span().start();
        let kind = token.kind();
        let is_header = last == (TokenKind::Newline, TokenKind::LeftSquareBracket)
            && kind == TokenKind::LeftSquareBracket;
        if is_header || kind == TokenKind::LeftCurlyBracket {
            tables += 1;
        }
        if tables > TABLES_MAX {
            return refuse(
                at,
                format!(
                    "there are too many rules and blocked hops, at most {RULES_MAX} are allowed"
                ),
            );
        }
        if tokens > TOKENS_MAX {
            return refuse(
                at,
                "there is too much in this file for a matrix of any size".to_owned(),
            );
        }
        if kind != TokenKind::Whitespace {
            last = (last.1, kind);
        }
    }
    Ok(tokens)
}
