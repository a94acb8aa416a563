//! What an archive's entries are together: a tree in which every path leads to one thing, and no link leads out.

use std::{collections::BTreeMap, io::Read};

use super::{
    ArchiveError, BLOCK_BYTES, Contents, ENTRIES_MAX, RESERVED_NAMES, UNPACKED_BYTES_MAX,
    entries::{Entry, Kind},
};
use crate::tree_path::TreePath;

/// As many links may be followed from one: what Linux follows.
const LINKS_MAX: u32 = 40;

/// What is there so far.
pub(super) struct Tree {
    expected_bytes: Option<u64>,
    unpacked_bytes: u64,
    there: BTreeMap<TreePath, Node>,
}

enum Node {
    Folder,
    File,
    Link(String),
}

impl Tree {
    pub(super) fn new(expected_bytes: Option<u64>) -> Self {
        Self {
            expected_bytes,
            unpacked_bytes: 0,
            there: BTreeMap::new(),
        }
    }

    /// Takes in an entry; the folders that come to be with it, the outermost first.
    pub(super) fn add<R: Read>(
        &mut self,
        entry: &Entry<'_, R>,
    ) -> Result<Vec<TreePath>, ArchiveError> {
        let path = &entry.path;
        if let Some(first) = path.names().next()
            && RESERVED_NAMES.contains(&first)
        {
            return Err(ArchiveError::Reserved(first.to_owned()));
        }
        let mut new = self.missing_folders(path)?;
        let is_there = self.there.get(path);
        let node = match (&entry.kind, is_there) {
            // Folders are often named again, with what came to be in them.
            (Kind::Folder, Some(Node::Folder)) => return Ok(new),
            (_, Some(_)) => return Err(ArchiveError::Twice(path.clone())),
            (Kind::Folder, None) => {
                new.push(path.clone());
                Node::Folder
            }
            (Kind::File { .. }, None) => Node::File,
            (Kind::Link { target }, None) => Node::Link(target.clone()),
            (Kind::OtherName { of }, None) => match self.there.get(of) {
                Some(Node::File) => Node::File,
                Some(Node::Folder | Node::Link(_)) | None => {
                    return Err(ArchiveError::Link {
                        path: path.clone(),
                        target: of.to_string(),
                        problem: "which is no file that is in it before",
                    });
                }
            },
        };
        for folder in &new {
            self.there.insert(folder.clone(), Node::Folder);
            self.count(0)?;
        }
        if !matches!(entry.kind, Kind::Folder) {
            self.there.insert(path.clone(), node);
            self.count(entry.size)?;
        }
        Ok(new)
    }

    /// The folders that a path is in and that are not there yet, the outermost first.
    fn missing_folders(&self, path: &TreePath) -> Result<Vec<TreePath>, ArchiveError> {
        let mut missing = Vec::new();
        let mut above = path.parent();
        while let Some(folder) = above {
            match self.there.get(&folder) {
                Some(Node::Folder) => break,
                Some(Node::File | Node::Link(_)) => {
                    return Err(ArchiveError::NotInFolder {
                        path: path.clone(),
                        parent: folder,
                    });
                }
                None => {
                    above = folder.parent();
                    missing.push(folder);
                }
            }
        }
        missing.reverse();
        Ok(missing)
    }

    fn count(&mut self, size: u64) -> Result<(), ArchiveError> {
        let takes = size
            .checked_next_multiple_of(BLOCK_BYTES)
            .and_then(|size| size.checked_add(BLOCK_BYTES));
        let sum = takes.and_then(|takes| self.unpacked_bytes.checked_add(takes));
        let allowed = self
            .expected_bytes
            .unwrap_or(u64::MAX)
            .min(UNPACKED_BYTES_MAX);
        self.unpacked_bytes = sum
            .filter(|sum| *sum <= allowed)
            .ok_or_else(|| ArchiveError::large(self.expected_bytes))?;
        if self.there.len() as u64 > ENTRIES_MAX {
            return Err(ArchiveError::Entries);
        }
        Ok(())
    }

    /// The links, each of which leads to something in the tree.
    pub(super) fn links(&self) -> Result<Vec<(&TreePath, &str)>, ArchiveError> {
        let links = self.there.iter().filter_map(|(path, node)| match node {
            Node::Link(target) => Some((path, target.as_str())),
            Node::File | Node::Folder => None,
        });
        links
            .map(|(path, target)| match self.follow(path, target) {
                Ok(()) => Ok((path, target)),
                Err(problem) => Err(ArchiveError::Link {
                    path: path.clone(),
                    target: target.to_owned(),
                    problem,
                }),
            })
            .collect()
    }

    /// Follows a link as the kernel would, name by name.
    fn follow(&self, path: &TreePath, target: &str) -> Result<(), &'static str> {
        let mut links = 0;
        let mut at = path.parent();
        let mut ahead: Vec<String> = Vec::new();
        let push = |ahead: &mut Vec<String>, target: &str| {
            if target.is_empty() || target.len() > crate::tree_path::TREE_PATH_BYTES_MAX {
                return Err("which is empty or too long");
            }
            if target.starts_with('/') {
                return Err("which is absolute");
            }
            if target.chars().any(char::is_control) {
                return Err("which has a control character in it");
            }
            ahead.extend(target.split('/').rev().map(str::to_owned));
            Ok(())
        };
        push(&mut ahead, target)?;
        while let Some(name) = ahead.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    let Some(folder) = at else {
                        return Err("which is outside of it");
                    };
                    at = folder.parent();
                    continue;
                }
                _ => {}
            }
            let next = TreePath::within(at.as_ref(), &name)
                .map_err(|_| "which is too long or too deep")?;
            match self.there.get(&next) {
                Some(Node::Folder) => at = Some(next),
                Some(Node::File) => {
                    return match ahead.is_empty() {
                        true => Ok(()),
                        false => Err("which goes through a file"),
                    };
                }
                Some(Node::Link(target)) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err("which comes to no end");
                    }
                    push(&mut ahead, target)?;
                }
                None => return Err("which is not in it"),
            }
        }
        Ok(())
    }

    /// What there is in all.
    pub(super) fn contents(&self) -> Result<Contents, ArchiveError> {
        let found = self.unpacked_bytes;
        match self.expected_bytes {
            Some(expected) if expected != found => Err(ArchiveError::OtherSize { found, expected }),
            Some(_) | None => Ok(Contents {
                unpacked_bytes: found,
                entries: self.there.len() as u64,
            }),
        }
    }
}
