//! What is wrong with an archive.

use std::io;

use super::{ENTRIES_MAX, EXPANSION_MAX, UNPACKED_BYTES_MAX};
use crate::{
    platform::PlatformError,
    tree_path::{TreePath, TreePathError},
};

/// Why an archive is no release.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its bytes are no archive of that format, or it cannot be read.
    #[error("the archive cannot be read")]
    Damaged(#[source] io::Error),
    /// It needs more memory than it may.
    #[error(
        "the archive was packed with a window of {window} bytes, at most {max} are allowed; pack it without `--long` and `--ultra`"
    )]
    Window {
        /// How much it needs.
        window: u64,
        /// How much it may need.
        max: u64,
    },
    /// Something follows where it should end.
    #[error("something follows on the end of the archive")]
    Trailing,
    /// It ends in the middle of a file.
    #[error("the archive ends in the middle of a file")]
    Short,
    /// It becomes too large for what it is.
    #[error("the archive becomes more than {EXPANSION_MAX} times as large as it is")]
    Expansion,
    /// It becomes larger than allowed.
    #[error("the archive unpacks to more than the {0} bytes that are allowed")]
    Large(u64),
    /// It becomes something else than was said.
    #[error("the archive unpacks to {found} bytes, and its manifest says {expected}")]
    OtherSize {
        /// What it unpacks to.
        found: u64,
        /// What was said.
        expected: u64,
    },
    /// It has too much in it.
    #[error("the archive has more than {ENTRIES_MAX} entries")]
    Entries,
    /// A name in it is not allowed.
    #[error("a name in the archive is not allowed")]
    Path(#[from] TreePathError),
    /// A name in it is no text.
    #[error("a name in the archive is not in UTF-8")]
    NoText,
    /// A name that is not the release's to use.
    #[error("the archive has {0:?} in it, a name that the agent uses itself")]
    Reserved(String),
    /// It is there already, as something else or as a file.
    #[error("the archive has {0} in it twice")]
    Twice(TreePath),
    /// Something is said to be in what is no folder.
    #[error("the archive has {path} in it, and {parent} is no folder")]
    NotInFolder {
        /// What.
        path: TreePath,
        /// In what.
        parent: TreePath,
    },
    /// It is neither file nor folder nor link.
    #[error("the archive has {path} in it, which is {kind}")]
    Kind {
        /// Where.
        path: TreePath,
        /// What it is instead.
        kind: &'static str,
    },
    /// It has more rights than it needs.
    #[error("{0} in the archive is setuid, setgid or sticky")]
    Mode(TreePath),
    /// A part of the format that could be understood in more than one way.
    #[error("the archive is not plain: {0}")]
    Odd(&'static str),
    /// A link does not lead to something in the tree.
    #[error("the link {path} in the archive leads to {target:?}, {problem}")]
    Link {
        /// The link.
        path: TreePath,
        /// Where it leads.
        target: String,
        /// What is wrong with that.
        problem: &'static str,
    },
    /// What should be run is not there.
    #[error("the archive has no executable file {0}")]
    NoExecutable(TreePath),
    /// What should be run cannot run.
    #[error("the executable in the archive does not fit")]
    Platform(#[from] PlatformError),
    /// It cannot be written.
    #[error("cannot unpack the archive")]
    Sink(#[source] io::Error),
}

impl ArchiveError {
    /// It unpacks to more than may be.
    pub(super) fn large(allowed: Option<u64>) -> Self {
        Self::Large(
            allowed
                .unwrap_or(UNPACKED_BYTES_MAX)
                .min(UNPACKED_BYTES_MAX),
        )
    }
}
