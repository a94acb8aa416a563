//! Whether something that is written to a folder can be read again: one small file, synced, read back and removed.
//!
//! The folder is the storage system's, and may be another user's: nothing that somebody put there by the same name is
//! written to or followed.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    time::{Duration, Instant},
};

use camino::Utf8Path;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::fs::{Advice, AtFlags, Mode, OFlags, fadvise, open, openat, unlinkat};

/// The file's name.
const NAME: &str = ".evenkeel-check";

/// Its size: the smallest that disks write.
const BYTES: usize = 4096;

/// What did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    /// The folder cannot be used.
    #[error("cannot open the folder")]
    Folder(#[source] io::Error),
    /// It takes nothing.
    #[error("cannot write to it")]
    Write(#[source] io::Error),
    /// It gives nothing back.
    #[error("cannot read what was written to it")]
    Read(#[source] io::Error),
    /// It gives something else back.
    #[error("what is read from it is not what was written")]
    Different,
}

/// Writes to a folder and reads that again; how long it took. Blocks.
///
/// # Errors
/// What does not work.
pub(super) fn check(folder: &Utf8Path) -> Result<Duration, CheckError> {
    let begun = Instant::now();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(folder.as_std_path(), flags, Mode::empty())
        .map_err(|error| CheckError::Folder(error.into()))?;
    let remove = || unlinkat(&folder, NAME, AtFlags::empty());
    // Left behind by an agent that died, or put there by somebody; gone is all that it has to be.
    match remove() {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(CheckError::Write(error.into())),
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&folder, NAME, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| CheckError::Write(error.into()))?;
    let checked = write_and_read(File::from(file));
    let removed = remove();
    checked?;
    removed.map_err(|error| CheckError::Write(error.into()))?;
    Ok(begun.elapsed())
}

fn write_and_read(mut file: File) -> Result<(), CheckError> {
    let mut written = vec![0; BYTES];
    // Without randomness it is the same each time, which a disk that gives old blocks back would pass.
    let _ = SystemRandom::new().fill(&mut written);
    file.write_all(&written)
        .and_then(|()| file.sync_all())
        .map_err(CheckError::Write)?;
    // From the disk, as far as the kernel lets go of what it has in memory.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    let mut read = Vec::with_capacity(BYTES);
    file.rewind()
        .and_then(|()| (&file).take(BYTES as u64 + 1).read_to_end(&mut read))
        .map_err(CheckError::Read)?;
    match read == written {
        true => Ok(()),
        false => Err(CheckError::Different),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_folder_is_left_as_it_was_whatever_was_there_by_that_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap().join("data");
        let other = folder.with_file_name("other");
        fs::create_dir(&folder).unwrap();
        fs::write(&other, "precious").unwrap();
        assert!(check(&folder).unwrap() > Duration::ZERO);
        symlink(&other, folder.join(NAME)).unwrap();
        check(&folder).unwrap();
        fs::hard_link(&other, folder.join(NAME)).unwrap();
        check(&folder).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::create_dir(folder.join(NAME)).unwrap();
        assert!(matches!(check(&folder), Err(CheckError::Write(_))));
        assert!(matches!(
            check(&folder.join("gone")),
            Err(CheckError::Folder(_))
        ));
    }
}
