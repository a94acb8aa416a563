//! The entries of a tar file, in the two dialects that are written today: GNU and POSIX (ustar, pax).
//!
//! What could be understood in two ways is refused: an archive that one program sees other files in than another one
//! has no business on a storage host.

use std::io::{self, Read};

use tar::{EntryType, PaxExtensions};

use super::{ArchiveError, ENTRIES_MAX, decode};
use crate::tree_path::{TREE_PATH_BYTES_MAX, TreePath, TreePathError};

/// The most bytes of something that is said about the next entry: its long name, its times, its owner.
const ABOUT_BYTES_MAX: u64 = 64 << 10;

/// Set user id, set group id, sticky.
const SPECIAL_MODES: u32 = 0o7000;

/// Who may execute.
const EXECUTE_MODES: u32 = 0o111;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File {
        is_executable: bool,
    },
    Link {
        target: String,
    },
    /// A hard link.
    OtherName {
        of: TreePath,
    },
}

/// An entry of the tree.
pub(super) struct Entry<'a, R: Read> {
    pub(super) path: TreePath,
    pub(super) kind: Kind,
    /// How many bytes of content it has.
    pub(super) size: u64,
    pub(super) content: tar::Entry<'a, R>,
}

/// The entries, one after the other.
pub(super) struct Entries<'a, R: Read> {
    raw: tar::Entries<'a, R>,
    headers: u64,
}

/// What was said about the next entry.
#[derive(Default)]
struct About {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<'a, R: Read> Entries<'a, R> {
    pub(super) fn of(archive: &'a mut tar::Archive<R>) -> Result<Self, ArchiveError> {
        let raw = archive.entries().map_err(ArchiveError::Damaged)?.raw(true);
        Ok(Self { raw, headers: 0 })
    }

    fn read_next(&mut self) -> Result<Option<Entry<'a, R>>, ArchiveError> {
        let mut about = About::default();
        let mut is_said = false;
        loop {
            let Some(entry) = self.raw.next() else {
                return match is_said {
                    true => Err(ArchiveError::Odd("it ends where an entry should follow")),
                    false => Ok(None),
                };
            };
            let mut entry = entry.map_err(decode::fault)?;
            self.headers += 1;
            if self.headers > ENTRIES_MAX {
                return Err(ArchiveError::Entries);
            }
            match entry.header().entry_type() {
                EntryType::GNULongName => set(&mut about.path, name(&mut entry)?)?,
                EntryType::GNULongLink => set(&mut about.link, name(&mut entry)?)?,
                EntryType::XHeader => about.hear(&content(&mut entry)?)?,
                EntryType::XGlobalHeader => {
                    let mut of_all = About::default();
                    of_all.hear(&content(&mut entry)?)?;
                    if of_all.path.is_some() || of_all.link.is_some() || of_all.size.is_some() {
                        return Err(ArchiveError::Odd("it says one name or size of all entries"));
                    }
                    continue;
                }
                _ => match about.finish(entry)? {
                    Some(entry) => return Ok(Some(entry)),
                    None => {
                        about = About::default();
                        is_said = false;
                        continue;
                    }
                },
            }
            is_said = true;
        }
    }
}

impl<'a, R: Read> Iterator for Entries<'a, R> {
    type Item = Result<Entry<'a, R>, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}

impl About {
    /// What a POSIX header says of the entry after it; times and owners are nothing to us.
    fn hear(&mut self, records: &[u8]) -> Result<(), ArchiveError> {
        for record in PaxExtensions::new(records) {
            let record = record.map_err(ArchiveError::Damaged)?;
            let value = || record.value_bytes().to_vec();
            match record.key_bytes() {
                b"path" => set(&mut self.path, value())?,
                b"linkpath" => set(&mut self.link, value())?,
                b"size" => {
                    let size = record.value().ok().and_then(|size| size.parse().ok());
                    set(
                        &mut self.size,
                        size.ok_or(ArchiveError::Odd("a size is no number"))?,
                    )?;
                }
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(ArchiveError::Odd("a file in it has holes"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The entry with what was said of it; none for the tree's own folder.
    fn finish<R: Read>(
        self,
        entry: tar::Entry<'_, R>,
    ) -> Result<Option<Entry<'_, R>>, ArchiveError> {
        let header = entry.header();
        let kind = header.entry_type();
        let path = self
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let path = match text(&path)? {
            // Written by `tar -C folder .`, for the folder itself.
            "." | "./" if kind.is_dir() => return Ok(None),
            text => tree_path(text, kind.is_dir())?,
        };
        let size = header.entry_size().map_err(ArchiveError::Damaged)?;
        if self.size.is_some_and(|said| said != size) {
            return Err(ArchiveError::Odd("it says two sizes of one file"));
        }
        let mode = header.mode().map_err(ArchiveError::Damaged)?;
        if mode & SPECIAL_MODES != 0 {
            return Err(ArchiveError::Mode(path));
        }
        let link = || {
            let link = self
                .link
                .or_else(|| Some(header.link_name_bytes()?.into_owned()));
            link.ok_or(ArchiveError::Odd("a link in it leads nowhere"))
        };
        let other = |kind| {
            Err(ArchiveError::Kind {
                path: path.clone(),
                kind,
            })
        };
        let kind = match kind {
            EntryType::Regular => Kind::File {
                is_executable: mode & EXECUTE_MODES != 0,
            },
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => Kind::Link {
                target: text(&link()?)?.to_owned(),
            },
            EntryType::Link => Kind::OtherName {
                of: tree_path(text(&link()?)?, false)?,
            },
            EntryType::Char | EntryType::Block => return other("a device"),
            EntryType::Fifo => return other("a fifo"),
            EntryType::GNUSparse => return other("a file with holes"),
            _ => return other("neither a file nor a folder nor a link"),
        };
        let has_content = matches!(kind, Kind::File { .. });
        if size > 0 && !has_content {
            return Err(ArchiveError::Odd("what is no file has content"));
        }
        Ok(Some(Entry {
            path,
            kind,
            size,
            content: entry,
        }))
    }
}

/// Keeps what is said, once.
fn set<T>(place: &mut Option<T>, value: T) -> Result<(), ArchiveError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ArchiveError::Odd("it says two names or sizes of one entry")),
    }
}

fn content(entry: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, ArchiveError> {
    let size = entry.header().entry_size().map_err(ArchiveError::Damaged)?;
    if size > ABOUT_BYTES_MAX {
        return Err(ArchiveError::Odd(
            "it says more about an entry than there is to say",
        ));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(decode::fault)?;
    match bytes.len() as u64 == size {
        true => Ok(bytes),
        false => Err(ArchiveError::Damaged(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// A long name, which ends with a zero byte.
fn name(entry: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = content(entry)?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.len() > TREE_PATH_BYTES_MAX {
        return Err(TreePathError::Long(bytes.len()).into());
    }
    Ok(bytes)
}

fn text(bytes: &[u8]) -> Result<&str, ArchiveError> {
    str::from_utf8(bytes).map_err(|_| ArchiveError::NoText)
}

/// A path as tar files write them: perhaps with `./` before, and with `/` after a folder.
fn tree_path(text: &str, is_folder: bool) -> Result<TreePath, ArchiveError> {
    let text = text.strip_prefix("./").unwrap_or(text);
    let text = match is_folder {
        true => text.strip_suffix('/').unwrap_or(text),
        false => text,
    };
    Ok(text.parse()?)
}
