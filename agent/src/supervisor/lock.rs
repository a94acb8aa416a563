//! The lock that every process of an instance holds, so that there is never more than one at its data.
//!
//! It is a lock on an open file which the storage process inherits without knowing of it; it goes with the
//! process and with every child that it leaves behind.

use std::{io, os::fd::OwnedFd};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
};

/// The file that is locked.
pub(super) fn path(folder: &Utf8Path) -> Utf8PathBuf {
    folder.join("process.lock")
}

/// Takes the instance's lock for this process and all that it becomes; none if another process holds it.
pub(super) fn take_for_life(folder: &Utf8Path) -> io::Result<Option<OwnedFd>> {
    // Without CLOEXEC on purpose.
    take(folder, OFlags::empty())
}

/// Takes the instance's lock for as long as this is held, and for nobody else; none if a process holds it.
pub(super) fn take_for_now(folder: &Utf8Path) -> io::Result<Option<OwnedFd>> {
    take(folder, OFlags::CLOEXEC)
}

fn take(folder: &Utf8Path, flags: OFlags) -> io::Result<Option<OwnedFd>> {
    let flags = flags | OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
    let file = open(path(folder).as_std_path(), flags, Mode::RUSR | Mode::WUSR)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
