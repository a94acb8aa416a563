//! Unpacks a packed release into a folder of its own, durably, and follows no link on the way.
//!
//! What may be in an archive is decided in [`evenkeel_common::archive`]; here it is written. Every folder on the way to
//! a file is opened by its name in the one above, as a folder and not as a link, so that nobody who changes the folder
//! meanwhile can have anything written elsewhere.

use std::{
    fs::{self, File},
    io::{self, Read, Seek as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::{
    archive::{self, ArchiveError, Contents, Expected, RESERVED_NAMES, Sink},
    digest::{Digest, Hasher},
    failpoint,
    tree_path::TreePath,
};
use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, symlinkat};

use crate::failpoints;

/// What a folder is opened with.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What a file is made with: it must not be there.
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// For folders and for what can be executed: the agent's alone.
const EXECUTABLE: Mode = Mode::RWXU;

/// For all else.
const READABLE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Unpacks an archive into `folder`, which must not be there. Everything in it is durable afterwards, but not the
/// folder's own name. Blocks.
///
/// # Errors
/// When the archive is not what is expected, or the file system refuses. Something may be there then.
pub(super) fn unpack(
    mut archive: &File,
    expected: &Expected<'_>,
    folder: &Utf8Path,
) -> Result<Contents, ArchiveError> {
    failpoint::hit(failpoints::UNPACK[0]);
    archive.rewind().map_err(ArchiveError::Damaged)?;
    let mut staging = Staging::make(folder).map_err(ArchiveError::Sink)?;
    let contents = archive::read(archive, expected, &mut staging)?;
    staging.sync().map_err(ArchiveError::Sink)?;
    failpoint::hit(failpoints::UNPACK[2]);
    Ok(contents)
}

/// A folder that is being filled.
struct Staging {
    root: OwnedFd,
    /// The folders in it, each after the one that it is in.
    folders: Vec<TreePath>,
    /// The folder that was written to last.
    last: Option<(TreePath, OwnedFd)>,
}

impl Staging {
    fn make(folder: &Utf8Path) -> io::Result<Self> {
        rustix::fs::mkdir(folder.as_std_path(), EXECUTABLE)?;
        let root = rustix::fs::open(folder.as_std_path(), FOLDER, Mode::empty())?;
        Ok(Self {
            root,
            folders: Vec::new(),
            last: None,
        })
    }

    fn open(&self, folder: &TreePath) -> io::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        for name in folder.names() {
            let above = at.as_ref().unwrap_or(&self.root);
            at = Some(openat(above, name, FOLDER, Mode::empty())?);
        }
        match at {
            Some(folder) => Ok(folder),
            None => self.root.try_clone(),
        }
    }

    /// The folder that something is in, for as long as nothing else is asked for.
    fn folder_of(&mut self, path: &TreePath) -> io::Result<&OwnedFd> {
        let Some(folder) = path.parent() else {
            return Ok(&self.root);
        };
        let opened = match self.last.take() {
            Some((last, opened)) if last == folder => opened,
            Some(_) | None => self.open(&folder)?,
        };
        let (_, opened) = self.last.insert((folder, opened));
        Ok(opened)
    }

    /// Makes durable which names there are.
    fn sync(self) -> io::Result<()> {
        for folder in self.folders.iter().rev() {
            rustix::fs::fsync(self.open(folder)?)?;
        }
        Ok(rustix::fs::fsync(self.root.as_fd())?)
    }
}

impl Sink for Staging {
    fn folder(&mut self, path: &TreePath) -> io::Result<()> {
        mkdirat(self.folder_of(path)?, path.name(), EXECUTABLE)?;
        self.folders.push(path.clone());
        Ok(())
    }

    fn file(
        &mut self,
        path: &TreePath,
        is_executable: bool,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let mode = match is_executable {
            true => EXECUTABLE,
            false => READABLE,
        };
        let file = openat(self.folder_of(path)?, path.name(), NEW_FILE, mode)?;
        let mut file = File::from(file);
        io::copy(content, &mut file)?;
        // Whatever the mask of the agent's process takes away.
        file.set_permissions(fs::Permissions::from_mode(mode.bits()))?;
        file.sync_all()?;
        failpoint::hit(failpoints::UNPACK[1]);
        Ok(())
    }

    fn other_name(&mut self, path: &TreePath, of: &TreePath) -> io::Result<()> {
        let there = match of.parent() {
            Some(folder) => self.open(&folder)?,
            None => self.root.try_clone()?,
        };
        let folder = self.folder_of(path)?;
        Ok(linkat(
            there,
            of.name(),
            folder,
            path.name(),
            AtFlags::empty(),
        )?)
    }

    fn link(&mut self, path: &TreePath, target: &str) -> io::Result<()> {
        Ok(symlinkat(target, self.folder_of(path)?, path.name())?)
    }
}

/// A digest of all that is in a release's folder but the agent's own words on it: names, kinds, modes and bytes.
///
/// # Errors
/// When there is anything but files, folders and links, or the file system refuses.
pub(super) fn fingerprint(folder: &Utf8Path) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut ahead: Vec<Utf8PathBuf> = vec![Utf8PathBuf::new()];
    while let Some(path) = ahead.pop() {
        let place = folder.join(&path);
        let metadata = place.symlink_metadata()?;
        let mode = metadata.permissions().mode();
        hasher.update(format!("{mode:o} {} {path}\0", path.as_str().len()).as_bytes());
        if metadata.is_dir() {
            let mut names = place
                .read_dir_utf8()?
                .map(|entry| Ok(path.join(entry?.file_name())))
                .collect::<io::Result<Vec<_>>>()?;
            names.retain(|name| !RESERVED_NAMES.contains(&name.as_str()));
            names.sort_unstable();
            ahead.append(&mut names);
        } else if metadata.is_file() {
            hasher.update(format!("{}\0", metadata.len()).as_bytes());
            let mut file = File::open(&place)?;
            let mut buffer = vec![0; 64 << 10];
            loop {
                let length = file.read(&mut buffer)?;
                if length == 0 {
                    break;
                }
                hasher.update(buffer.get(..length).unwrap_or_default());
            }
        } else if metadata.is_symlink() {
            let target = place.read_link_utf8()?;
            hasher.update(format!("{} {target}\0", target.as_str().len()).as_bytes());
        } else {
            return Err(io::Error::other("neither a file nor a folder nor a link"));
        }
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests;
