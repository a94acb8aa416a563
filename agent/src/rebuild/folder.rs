//! One data folder, and what stands beside it. Names are looked up in the folder above it, which is held open, and
//! no link is followed.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::failpoint;
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, StatxAttributes, StatxFlags, Uid,
        fchmod, fchown, fstat, mkdirat, openat, renameat, statat, statx, unlinkat,
    },
    io::Errno,
};

use crate::failpoints;

/// A data folder that may be set aside.
pub(super) struct Folder {
    above: OwnedFd,
    above_path: Utf8PathBuf,
    name: String,
}

/// What stands where a folder that was set aside would.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) path: Utf8PathBuf,
    pub(super) name: String,
    pub(super) inode: u64,
    pub(super) generation: u64,
    /// Whether it holds what was there before; else it is what a release that would not do has left.
    pub(super) is_before: bool,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Folder {
    /// The folder at this path, whether it is there or not.
    pub(super) fn open(path: &Utf8Path) -> io::Result<Self> {
        let (Some(above_path), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "there is no folder above it",
            ));
        };
        let above = openat(CWD, above_path.as_std_path(), DIRECTORY, Mode::empty())?;
        Ok(Self {
            above,
            above_path: above_path.to_owned(),
            name: name.to_owned(),
        })
    }

    /// What keeps it from being renamed as a whole; none if nothing does.
    pub(super) fn is_movable(&self) -> io::Result<Option<&'static str>> {
        match self.kind(&self.name)? {
            Some(FileType::Directory) => {}
            Some(FileType::Symlink) => {
                return Ok(Some("is a link; name the folder that it leads to"));
            }
            Some(_) => return Ok(Some("is no folder")),
            None => return Ok(Some("is not there")),
        }
        let seen = statx(
            &self.above,
            &self.name,
            AtFlags::SYMLINK_NOFOLLOW,
            StatxFlags::BASIC_STATS,
        )?;
        let is_mount_point = seen.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        Ok(is_mount_point.then_some(
            "is where a file system is mounted, and cannot be renamed; keep the data in a folder below it",
        ))
    }

    /// Everything that was set aside of it.
    pub(super) fn copies(&self) -> io::Result<Vec<Copy>> {
        let mut copies = Vec::new();
        for entry in Dir::read_from(&self.above)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let Some(rest) = name.strip_prefix(self.name.as_str()) else {
                continue;
            };
            let parsed = match (rest.strip_prefix(".before-"), rest.strip_prefix(".failed-")) {
                (Some(number), _) => generation(number).map(|generation| (generation, true)),
                (None, Some(number)) => generation(number).map(|generation| (generation, false)),
                (None, None) => None,
            };
            let Some((generation, is_before)) = parsed else {
                continue;
            };
            let Some(inode) = self.inode_of(name)? else {
                continue;
            };
            copies.push(Copy {
                path: self.above_path.join(name),
                name: name.to_owned(),
                inode,
                generation,
                is_before,
            });
        }
        Ok(copies)
    }

    /// Removes a copy with all that is in it, if its name still leads to it. Idempotent.
    pub(super) fn remove(&self, copy: &Copy) -> io::Result<()> {
        self.expect(&copy.name, copy.inode)?;
        // By way of what is held open, whatever is mounted at the path by now.
        let above = self.above.as_raw_fd();
        std::fs::remove_dir_all(format!("/proc/self/fd/{above}/{}", copy.name))?;
        self.sync()
    }

    /// The number of the folder that it is in. With a disk away, that is another folder at the same path.
    pub(super) fn above_inode(&self) -> io::Result<u64> {
        Ok(fstat(&self.above)?.st_ino)
    }

    /// The number of what has to go out of the way for the old folder to return; none if nothing has to.
    pub(super) fn in_the_way(&self, generation: u64) -> io::Result<Option<u64>> {
        match self.inode_of(&self.before(generation))? {
            Some(_) => self.inode_of(&self.name),
            None => Ok(None),
        }
    }

    /// Its number in its file system.
    pub(super) fn inode(&self) -> io::Result<u64> {
        if let Some(problem) = self.is_movable()? {
            return Err(io::Error::other(format!("it {problem}")));
        }
        let gone = || io::Error::from(Errno::NOENT);
        self.inode_of(&self.name)?.ok_or_else(gone)
    }

    /// Moves the folder of this number aside and leaves an empty one, durably. Idempotent.
    pub(super) fn set_aside(&self, generation: u64, inode: u64) -> io::Result<()> {
        let before = self.before(generation);
        if self.kind(&before)?.is_some() {
            self.expect(&before, inode)?;
        } else {
            self.inode()?;
            self.expect(&self.name, inode)?;
            renameat(&self.above, &self.name, &self.above, &before)?;
        }
        failpoint::hit(failpoints::SET_ASIDE[1]);
        match mkdirat(&self.above, &self.name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let (old, new) = (self.open_folder(&before)?, self.open_folder(&self.name)?);
        let old = fstat(&old)?;
        fchown(
            &new,
            Some(Uid::from_raw(old.st_uid)),
            Some(Gid::from_raw(old.st_gid)),
        )?;
        fchmod(&new, Mode::from_raw_mode(old.st_mode))?;
        File::from(new).sync_all()?;
        self.sync()
    }

    /// Puts back the folder of this number, if it was moved aside, and what is there meanwhile out of the way, durably.
    /// Idempotent.
    pub(super) fn put_back(&self, generation: u64, inode: u64) -> io::Result<()> {
        let before = self.before(generation);
        if self.kind(&before)?.is_none() {
            return self.expect(&self.name, inode);
        }
        self.expect(&before, inode)?;
        match unlinkat(&self.above, &self.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                let failed = format!("{}.failed-{generation}", self.name);
                renameat(&self.above, &self.name, &self.above, failed)?;
            }
            Err(error) => return Err(error.into()),
        }
        self.sync()?;
        failpoint::hit(failpoints::PUT_BACK[1]);
        renameat(&self.above, before, &self.above, &self.name)?;
        self.sync()
    }

    fn before(&self, generation: u64) -> String {
        format!("{}.before-{generation}", self.name)
    }

    /// What is there under a name; none if nothing is.
    fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        match statat(&self.above, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn kind(&self, name: &str) -> io::Result<Option<FileType>> {
        let stat = self.stat(name)?;
        Ok(stat.map(|stat| FileType::from_raw_mode(stat.st_mode)))
    }

    fn inode_of(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.stat(name)?.map(|stat| stat.st_ino))
    }

    /// Makes sure that the folder of this name is the one of this number.
    fn expect(&self, name: &str, inode: u64) -> io::Result<()> {
        match self.inode_of(name)? {
            Some(found) if found == inode => return Ok(()),
            Some(_) => {}
            None => return Err(Errno::NOENT.into()),
        }
        let path = self.above_path.join(name);
        Err(io::Error::other(format!(
            "{path} is not the folder that was there; perhaps a disk is not mounted"
        )))
    }

    fn open_folder(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        Ok(openat(&self.above, name, flags, Mode::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        rustix::fs::fsync(self.above.as_fd())?;
        Ok(())
    }
}

/// A generation as it stands in a name: in the one spelling that is used for it, since others are other people's names.
fn generation(text: &str) -> Option<u64> {
    let generation: u64 = text.parse().ok()?;
    (generation.to_string() == text).then_some(generation)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    };

    use super::*;

    fn with_folder(test: impl FnOnce(&Utf8Path, &Folder)) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("data");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o2751)).unwrap();
        fs::write(path.join("blob"), "old").unwrap();
        test(&path, &Folder::open(&path).unwrap());
    }

    fn mode(path: &Utf8Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(path: &Utf8Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_set_aside_leaves_an_empty_folder_of_the_same_mode_and_can_be_put_back() {
        with_folder(|path, folder| {
            let inode = folder.inode().unwrap();
            for _ in 0..2 {
                folder.set_aside(7, inode).unwrap();
                assert_eq!(names(path), [""; 0]);
                assert_eq!(mode(path), 0o2751);
            }
            let above = path.parent().unwrap();
            assert_eq!(names(above), ["data", "data.before-7"]);
            fs::write(path.join("blob"), "new").unwrap();
            // It is not emptied a second time.
            folder.set_aside(7, inode).unwrap();
            for _ in 0..2 {
                folder.put_back(7, inode).unwrap();
                assert_eq!(fs::read_to_string(path.join("blob")).unwrap(), "old");
            }
            assert_eq!(names(above), ["data", "data.failed-7"]);
            assert_eq!(mode(path), 0o2751);
            let copies = folder.copies().unwrap();
            assert_eq!(copies.len(), 1);
            assert!(!copies[0].is_before);
        });
    }

    #[test]
    fn a_move_that_was_interrupted_anywhere_is_finished_or_undone() {
        with_folder(|path, folder| {
            let above = path.parent().unwrap();
            let before = above.join("data.before-7");
            let inode = folder.inode().unwrap();
            fs::rename(path, &before).unwrap();
            folder.put_back(7, inode).unwrap();
            assert_eq!(names(above), ["data"]);
            fs::rename(path, &before).unwrap();
            folder.set_aside(7, inode).unwrap();
            assert_eq!(mode(path), 0o2751);
            fs::write(path.join("blob"), "new").unwrap();
            fs::rename(path, above.join("data.failed-7")).unwrap();
            folder.put_back(7, inode).unwrap();
            assert_eq!(names(above), ["data", "data.failed-7"]);
            assert_eq!(fs::read_to_string(path.join("blob")).unwrap(), "old");
        });
    }

    #[test]
    fn an_empty_folder_leaves_nothing_behind_when_the_old_one_is_put_back() {
        with_folder(|path, folder| {
            let inode = folder.inode().unwrap();
            folder.set_aside(7, inode).unwrap();
            folder.put_back(7, inode).unwrap();
            assert_eq!(names(path.parent().unwrap()), ["data"]);
        });
    }

    #[test]
    fn another_order_s_copy_is_left_alone() {
        with_folder(|path, folder| {
            folder.set_aside(7, folder.inode().unwrap()).unwrap();
            folder.put_back(8, folder.inode().unwrap()).unwrap();
            assert_eq!(names(path.parent().unwrap()), ["data", "data.before-7"]);
        });
    }

    #[test]
    fn only_the_names_that_it_gives_itself_are_those_of_copies() {
        with_folder(|path, folder| {
            for name in [
                "data.before-007",
                "data.before-+7",
                "data.failed-07",
                "data.before-",
                "data.before-7x",
                "data.before--7",
                "data.before-18446744073709551616",
            ] {
                fs::create_dir(path.with_file_name(name)).unwrap();
            }
            assert_eq!(folder.copies().unwrap(), []);
            folder.set_aside(7, folder.inode().unwrap()).unwrap();
            let copies = folder.copies().unwrap();
            assert_eq!(copies.len(), 1);
            assert_eq!(copies[0].path, path.with_file_name("data.before-7"));
        });
    }

    #[test]
    fn a_copy_is_removed_only_as_long_as_its_name_leads_to_it() {
        with_folder(|path, folder| {
            folder.set_aside(7, folder.inode().unwrap()).unwrap();
            let copy = folder.copies().unwrap().remove(0);
            let (before, away) = (copy.path.as_path(), path.with_file_name("away"));
            fs::rename(before, &away).unwrap();
            folder.remove(&copy).unwrap_err();
            fs::create_dir(before).unwrap();
            let error = folder.remove(&copy).unwrap_err();
            assert!(error.to_string().contains("is not the folder"), "{error}");
            assert!(before.exists() && away.exists());
            fs::remove_dir(before).unwrap();
            fs::rename(&away, before).unwrap();
            folder.remove(&copy).unwrap();
            assert_eq!(names(path.parent().unwrap()), ["data"]);
        });
    }

    #[test]
    fn a_link_a_file_and_nothing_at_all_have_no_number_to_be_set_aside_by() {
        with_folder(|path, _| {
            let refused = |name: &str, reason: &str| {
                let path = path.with_file_name(name);
                let error = Folder::open(&path).unwrap().inode().unwrap_err();
                assert!(error.to_string().contains(reason), "{error}");
            };
            symlink(path, path.with_file_name("link")).unwrap();
            fs::write(path.with_file_name("file"), "").unwrap();
            refused("link", "is a link");
            refused("file", "is no folder");
            refused("nothing", "is not there");
        });
    }

    #[test]
    fn a_mount_point_is_not_movable() {
        let proc = Folder::open("/proc".into()).unwrap();
        let problem = proc.is_movable().unwrap().unwrap();
        assert!(problem.contains("is mounted"), "{problem}");
    }
}
