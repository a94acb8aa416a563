//! Releases that are packed: what is in an archive, read so that nothing in it can do harm.
//!
//! An archive is looked at by whoever publishes it and again by each host that unpacks it, with the same function and
//! the same rules: [`read`]. It hands over what it has checked to a [`Sink`], entry by entry, and keeps none of the
//! content. Where to write it, and how to make that durable, is the sink's business.
//!
//! The rules: paths are relative and stay in the tree; there are files, folders and links to what is in the tree, and
//! nothing else; no file is there twice, none is reached through a link, none is more than readable and executable; the
//! sizes have limits. `decode` is the compression, `entries` the tar format, `tree` what the rules say of all together.

mod decode;
mod entries;
mod error;
mod tree;

use std::io::{self, Read};

use crate::{
    manifest::ArchiveFormat,
    platform::{EXECUTABLE_HEADER_BYTES, check_executable},
    tree_path::TreePath,
};

use decode::{Bounded, Decoder};
use entries::{Entries, Kind};
pub use error::ArchiveError;
use tree::Tree;

/// The most bytes that a tree takes. The largest storage systems come with some GiB of debug information.
pub const UNPACKED_BYTES_MAX: u64 = 16 << 30;

/// The most headers of an archive, each an entry or something about the next one.
pub const ENTRIES_MAX: u64 = 50_000;

/// As many times its own size an archive may become. Programs and texts become 3 to 10 times as large, tables of
/// zeroes over 1,000 times.
pub const EXPANSION_MAX: u64 = 100;

/// Up to this size it may become what it wants, in bytes: a small archive of small files is mostly padding.
pub const EXPANSION_FREE_BYTES: u64 = 16 << 20;

/// What a file takes is counted in blocks of this many bytes, and so is what a name takes.
const BLOCK_BYTES: u64 = 4096;

/// Names in a release's folder that are not the tree's: what the agent writes about the release.
pub const RESERVED_NAMES: [&str; 2] = ["release.json", ".release.json.new"];

/// What an archive has to be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// How it is packed.
    pub format: ArchiveFormat,
    /// How many bytes the archive has.
    pub size_bytes: u64,
    /// The file in it that has to be an executable.
    pub executable: &'a TreePath,
    /// For which platform.
    pub platform: &'a str,
    /// What it takes when it is unpacked, if that is known.
    pub unpacked_bytes: Option<u64>,
}

/// What was in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// The space that it takes when it is unpacked, in bytes, as [`crate::manifest::Tree::unpacked_bytes`] counts.
    pub unpacked_bytes: u64,
    /// How many files, folders and links there are, with the folders that are only named in paths.
    pub entries: u64,
}

/// Takes in what is in an archive. A parent is always there before what is in it.
pub trait Sink {
    /// There is a folder; told once.
    ///
    /// # Errors
    /// When it cannot be made; nothing is read any more then.
    fn folder(&mut self, path: &TreePath) -> io::Result<()>;

    /// There is a file with this content, which has to be read to its end.
    ///
    /// # Errors
    /// When it cannot be made, or the content cannot be read.
    fn file(
        &mut self,
        path: &TreePath,
        is_executable: bool,
        content: &mut dyn Read,
    ) -> io::Result<()>;

    /// A file is also there by another name.
    ///
    /// # Errors
    /// When that cannot be made.
    fn other_name(&mut self, path: &TreePath, of: &TreePath) -> io::Result<()>;

    /// There is a symbolic link. Told when all files and folders are there, and when it is known that each link leads
    /// to one of them.
    ///
    /// # Errors
    /// When it cannot be made.
    fn link(&mut self, path: &TreePath, target: &str) -> io::Result<()>;
}

/// Reads an archive to its end and hands over what is in it.
///
/// # Errors
/// When it is not what is expected, breaks a rule, or the sink cannot take it. The sink may have taken some of it by
/// then, all of it checked.
pub fn read(
    archive: impl Read,
    expected: &Expected<'_>,
    sink: &mut impl Sink,
) -> Result<Contents, ArchiveError> {
    let decoder = Decoder::new(expected.format, archive)?;
    let mut bounded = Bounded::new(decoder, expected.size_bytes);
    let mut tar = tar::Archive::new(&mut bounded);
    let mut tree = Tree::new(expected.unpacked_bytes);
    let mut header = None;
    for entry in Entries::of(&mut tar)? {
        let mut entry = entry?;
        for folder in tree.add(&entry)? {
            sink.folder(&folder).map_err(ArchiveError::Sink)?;
        }
        let path = &entry.path;
        match &entry.kind {
            Kind::Folder | Kind::Link { .. } => {}
            Kind::OtherName { of } => {
                sink.other_name(path, of).map_err(ArchiveError::Sink)?;
            }
            Kind::File { is_executable } => {
                let mut content = Content {
                    inner: &mut entry.content,
                    left: entry.size,
                    failed: None,
                    header: Vec::new(),
                };
                let taken = sink.file(path, *is_executable, &mut content);
                if let Some(error) = content.failed {
                    return Err(decode::fault(error));
                }
                taken.map_err(ArchiveError::Sink)?;
                if content.left > 0 {
                    return Err(ArchiveError::Short);
                }
                if path == expected.executable && *is_executable {
                    header = Some(content.header);
                }
            }
        }
    }
    let rest = tar.into_inner();
    decode::expect_only_zeroes(rest)?;
    let Some(header) = header else {
        return Err(ArchiveError::NoExecutable(expected.executable.clone()));
    };
    check_executable(&header, expected.platform)?;
    for (path, target) in tree.links()? {
        sink.link(path, target).map_err(ArchiveError::Sink)?;
    }
    tree.contents()
}

/// A sink for those who only want to know what there is.
#[derive(Debug, Default)]
pub struct Nowhere;

impl Sink for Nowhere {
    fn folder(&mut self, _: &TreePath) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, _: &TreePath, _: bool, content: &mut dyn Read) -> io::Result<()> {
        io::copy(content, &mut io::sink()).map(drop)
    }

    fn other_name(&mut self, _: &TreePath, _: &TreePath) -> io::Result<()> {
        Ok(())
    }

    fn link(&mut self, _: &TreePath, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// The content of a file, as far as it is read, with its first bytes.
struct Content<'a, R> {
    inner: &'a mut R,
    left: u64,
    failed: Option<io::Error>,
    header: Vec<u8>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match self.inner.read(buffer) {
            Ok(0) if self.left > 0 && !buffer.is_empty() => {
                Err(io::Error::from(io::ErrorKind::UnexpectedEof))
            }
            read => read,
        };
        match length {
            Ok(length) => {
                self.left = self.left.saturating_sub(length as u64);
                let missing = EXECUTABLE_HEADER_BYTES.saturating_sub(self.header.len());
                self.header.extend(buffer.iter().take(length.min(missing)));
                Ok(length)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                // What the sink makes of it is not the reason.
                let told = io::Error::new(error.kind(), "the archive cannot be read");
                self.failed = Some(error);
                Err(told)
            }
        }
    }
}

#[cfg(test)]
mod tests;
