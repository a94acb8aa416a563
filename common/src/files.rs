//! Files that are there whole or not at all, also after the power went.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use camino::Utf8Path;
use rustix::fs::{FlockOperation, flock};

/// Makes what was created, renamed or deleted in a folder durable.
///
/// # Errors
/// What the file system says.
pub fn sync_folder(folder: impl AsRef<Path>) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder and those above it, for its owner alone; fine if it is there.
///
/// # Errors
/// What the file system says.
pub fn create_private_folder(folder: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Puts a file in place so that a reader, at any moment and after any crash, sees the old one or the new
/// one, whole. `mode` is the file's permissions.
///
/// # Errors
/// What the file system says. The old file is still there then, unless only the last step, making the
/// rename durable, failed.
pub fn write_atomically(path: &Utf8Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent,
        _ => Utf8Path::new("."),
    };
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
    let temporary = folder.join(format!(".{name}.new"));
    let written = (|| {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder(folder)
}

/// Holds a folder for one process at a time, for as long as it lives.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the folder, by a lock on the file `lock` in it. The lock goes with the process.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it; otherwise what the file system says.
    pub fn take(folder: impl AsRef<Path>) -> io::Result<Self> {
        Self::take_by(folder.as_ref().join("lock"))
    }

    /// Takes the folder by a lock on `file`, which need not be in it: for a folder that is itself renamed.
    ///
    /// # Errors
    /// As [`FolderLock::take`].
    pub fn take_by(file: impl AsRef<Path>) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(file)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, camino::Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let (_dir, path) = folder();
        let file = path.join("a");
        write_atomically(&file, b"one", 0o600).unwrap();
        write_atomically(&file, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_held_once() {
        let (_dir, path) = folder();
        let held = FolderLock::take(&path).unwrap();
        let second = FolderLock::take(&path).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        FolderLock::take(&path).unwrap();
    }
}
