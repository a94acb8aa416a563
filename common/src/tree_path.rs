//! Names of files within a release's tree: relative, plain, and never a way out of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest path in a tree, in bytes. Real ones have under 200.
pub const TREE_PATH_BYTES_MAX: usize = 512;

/// The longest name of one file or folder, in bytes: what every file system of Linux takes.
const NAME_BYTES_MAX: usize = 255;

/// The most folders in each other, with what is in the innermost.
pub const TREE_DEPTH_MAX: usize = 32;

/// Where a file or folder is in a tree: names with `/` between them, none of them `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(String);

/// Why a text is no path in a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreePathError {
    /// It names nothing.
    #[error("a path in a release is empty, or has an empty name in it")]
    Empty,
    /// It begins at the root of the file system.
    #[error("the path {0:?} is absolute; a release has only relative ones")]
    Absolute(String),
    /// It goes up, or stays.
    #[error("the path {0:?} has `.` or `..` in it")]
    Dots(String),
    /// It has something in it that no name has.
    #[error("the path {0:?} has a control character in it")]
    Control(String),
    /// It is too long.
    #[error(
        "a path of {0} bytes: at most {TREE_PATH_BYTES_MAX}, and {NAME_BYTES_MAX} for each name, are allowed"
    )]
    Long(usize),
    /// It is too deep.
    #[error("a path is {0} folders deep, at most {TREE_DEPTH_MAX} are allowed")]
    Deep(usize),
}

impl TreePath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its names, the outermost folder first.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The folder that it is in; none for what stands in the tree's own folder.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('/')?;
        Some(Self(parent.to_owned()))
    }

    /// The last of its names.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// What it names when its last name is in this folder: `name` beside it, or in the tree's own folder.
    ///
    /// # Errors
    /// When that is too long or too deep.
    pub(crate) fn within(folder: Option<&Self>, name: &str) -> Result<Self, TreePathError> {
        match folder {
            Some(folder) => format!("{folder}/{name}").parse(),
            None => name.parse(),
        }
    }
}

impl FromStr for TreePath {
    type Err = TreePathError;

    fn from_str(text: &str) -> Result<Self, TreePathError> {
        if text.len() > TREE_PATH_BYTES_MAX
            || text.split('/').any(|name| name.len() > NAME_BYTES_MAX)
        {
            return Err(TreePathError::Long(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(TreePathError::Control(text.to_owned()));
        }
        if text.starts_with('/') {
            return Err(TreePathError::Absolute(text.to_owned()));
        }
        if text.split('/').any(str::is_empty) {
            return Err(TreePathError::Empty);
        }
        if text.split('/').any(|name| matches!(name, "." | "..")) {
            return Err(TreePathError::Dots(text.to_owned()));
        }
        let depth = text.split('/').count();
        if depth > TREE_DEPTH_MAX {
            return Err(TreePathError::Deep(depth));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TreePath {
    type Error = TreePathError;

    fn try_from(text: String) -> Result<Self, TreePathError> {
        text.parse()
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_relative_path_is_one_and_nothing_else_is() {
        for good in ["etcd", "bin/etcd", "a/..b/c.", "ä/b c", "a\\..\\b"] {
            let path: TreePath = good.parse().unwrap();
            assert_eq!(path.as_str(), good);
        }
        for (bad, why) in [
            ("", TreePathError::Empty),
            ("a//b", TreePathError::Empty),
            ("a/", TreePathError::Empty),
            (
                "/etc/passwd",
                TreePathError::Absolute("/etc/passwd".to_owned()),
            ),
            ("..", TreePathError::Dots("..".to_owned())),
            ("a/../../b", TreePathError::Dots("a/../../b".to_owned())),
            ("./a", TreePathError::Dots("./a".to_owned())),
            ("a\nb", TreePathError::Control("a\nb".to_owned())),
            ("a\0b", TreePathError::Control("a\0b".to_owned())),
            (&"x".repeat(256), TreePathError::Long(256)),
            (
                &["x".repeat(200), "x".repeat(200), "x".repeat(200)].join("/"),
                TreePathError::Long(602),
            ),
            (
                &["d"; TREE_DEPTH_MAX + 1].join("/"),
                TreePathError::Deep(TREE_DEPTH_MAX + 1),
            ),
        ] {
            assert_eq!(bad.parse::<TreePath>(), Err(why), "{bad:?}");
        }
        assert!(["d"; TREE_DEPTH_MAX].join("/").parse::<TreePath>().is_ok());
    }

    #[test]
    fn a_path_knows_its_folder_and_its_name() {
        let path: TreePath = "a/b/c".parse().unwrap();
        assert_eq!(path.parent().unwrap().as_str(), "a/b");
        assert_eq!(path.name(), "c");
        let top: TreePath = "c".parse().unwrap();
        assert_eq!((top.parent(), top.name()), (None, "c"));
    }
}
