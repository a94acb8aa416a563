//! Whether there is room for an instance's data twice: once set aside, and once more as the others fill it again.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, fstatvfs, openat, statat},
    io::Errno,
};

/// Of a folder with more entries its whole file system is counted as its data: what has so many is hardly ever beside
/// something else, and looking at each would be a load of its own.
const ENTRIES_MAX: u32 = 100_000;

/// Folders deeper than this are counted as a folder with too many entries is.
const DEPTH_MAX: usize = 64;

/// For so long what the data takes is taken to be what it was.
const MEASURED_FOR: Duration = Duration::from_secs(15 * 60);

/// What the data of an instance takes, as last measured.
#[derive(Debug, Default)]
pub(super) struct Room {
    last: Mutex<Option<Measured>>,
}

#[derive(Debug)]
struct Measured {
    at: Instant,
    uses: Result<Vec<Use>, String>,
}

/// What the data takes on one file system.
#[derive(Debug, Clone)]
struct Use {
    /// One of the folders there.
    folder: Utf8PathBuf,
    bytes: u64,
}

impl Room {
    /// Looks at what these folders take, if that was not done lately. May take as long as a slow disk does.
    pub(super) fn measure(&self, folders: &[Utf8PathBuf]) {
        let is_fresh = |last: &Measured| last.at.elapsed() < MEASURED_FOR;
        if self.last().as_ref().is_some_and(is_fresh) {
            return;
        }
        let uses = measure(folders).map_err(|error| error.to_string());
        let at = Instant::now();
        *self.last() = Some(Measured { at, uses });
    }

    /// Why there is not room for these folders once more, in one sentence that stays the same while little changes;
    /// none if there is, or if what they take was never looked at.
    pub(super) fn lacks(&self) -> Option<String> {
        let uses = match &self.last().as_ref()?.uses {
            Ok(uses) => uses.clone(),
            Err(error) => return Some(format!("its data cannot be looked at: {error}")),
        };
        uses.iter().find_map(|taken| match free(&taken.folder) {
            Ok(free) if free >= taken.bytes => None,
            Ok(_) => Some(format!(
                "set aside and filled again its data is there twice, and {} has no room for another {}",
                taken.folder,
                told(taken.bytes)
            )),
            Err(error) => Some(format!("{} cannot be looked at: {error}", taken.folder)),
        })
    }

    fn last(&self) -> MutexGuard<'_, Option<Measured>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn measure(folders: &[Utf8PathBuf]) -> io::Result<Vec<Use>> {
    let mut uses: BTreeMap<u64, Use> = BTreeMap::new();
    let mut entries = 0;
    for folder in folders {
        let open = open(CWD, folder.as_str())?;
        let device = fstat(&open)?.st_dev;
        let whole = fstatvfs(&open)?;
        let all = whole.f_blocks.saturating_sub(whole.f_bfree) * whole.f_frsize;
        let bytes = below(open, device, &mut entries, DEPTH_MAX)?;
        let taken = uses.entry(device).or_insert_with(|| Use {
            folder: folder.clone(),
            bytes: 0,
        });
        taken.bytes = match bytes {
            Some(bytes) => taken.bytes.saturating_add(bytes).min(all),
            None => all,
        };
    }
    Ok(uses.into_values().collect())
}

/// What is below a folder on its file system takes there, in bytes; none if that is too much to look at.
fn below(folder: OwnedFd, device: u64, entries: &mut u32, depth: usize) -> io::Result<Option<u64>> {
    let mut bytes: u64 = 0;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        *entries += 1;
        if *entries > ENTRIES_MAX || depth == 0 {
            return Ok(None);
        }
        // A storage process removes its files as it likes.
        let stat = match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        if stat.st_dev != device {
            continue;
        }
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        bytes = bytes.saturating_add(blocks.saturating_mul(512));
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let inner = match open(&folder, name) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            match below(inner, device, entries, depth - 1)? {
                Some(inner) => bytes = bytes.saturating_add(inner),
                None => return Ok(None),
            }
        }
    }
    Ok(Some(bytes))
}

fn open(at: impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

/// What an unprivileged process may still write there, in bytes.
fn free(folder: &Utf8Path) -> io::Result<u64> {
    let space = fstatvfs(open(CWD, folder.as_str())?)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// A size for people.
fn told(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (bytes.div_ceil(1024), 0);
    while size >= 10_240 && unit + 1 < UNITS.len() {
        size = size.div_ceil(1024);
        unit += 1;
    }
    format!("{size} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process::Command};

    use super::*;

    const DISK: &str = "EVENKEEL_TEST_SMALL_DISK";

    /// Runs a test again by itself, in a mount namespace in which a file system of 1 MiB is at the folder that it gets.
    fn on_a_small_disk(name: &str, test: impl FnOnce(&Utf8Path)) {
        if let Ok(disk) = env::var(DISK) {
            return test(disk.as_str().into());
        }
        let disk = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=1m tmpfs \"$1\" && exec \"$2\" --exact \"$3\"";
        let ran = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-euc", script, "sh"])
            .arg(disk.path())
            .arg(env::current_exe().unwrap())
            .arg(format!("rebuild::room::tests::{name}"))
            .env(DISK, disk.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(
            ran.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    #[test]
    fn data_that_fits_once_more_has_room_and_data_that_does_not_has_not() {
        let name = "data_that_fits_once_more_has_room_and_data_that_does_not_has_not";
        on_a_small_disk(name, |disk| {
            let folders = ["data", "wal"].map(|name| disk.join(name));
            for folder in &folders {
                fs::create_dir_all(folder.join("below")).unwrap();
                fs::write(folder.join("below/blob"), vec![1; 200 << 10]).unwrap();
            }
            let lacks = |folders: &[Utf8PathBuf]| {
                let room = Room::default();
                assert_eq!(room.lacks(), None, "nothing was measured");
                room.measure(folders);
                room.lacks()
            };
            assert_eq!(lacks(&folders), None);

            fs::write(folders[1].join("more"), vec![1; 300 << 10]).unwrap();
            // 700 of 1,024 KiB: each folder alone would fit once more, both together do not.
            assert_eq!(lacks(&folders[..1]), None);
            let both = lacks(&folders).unwrap();
            assert!(both.ends_with("no room for another 700 KiB"), "{both}");
        });
    }

    #[test]
    fn too_many_entries_count_as_all_that_their_file_system_holds() {
        let name = "too_many_entries_count_as_all_that_their_file_system_holds";
        on_a_small_disk(name, |disk| {
            fs::create_dir(disk.join("data")).unwrap();
            fs::write(disk.join("beside"), vec![1; 600 << 10]).unwrap();
            let mut entries = ENTRIES_MAX;
            let folder = open(CWD, disk.join("data").as_str()).unwrap();
            let device = fstat(&folder).unwrap().st_dev;
            fs::write(disk.join("data/blob"), "1").unwrap();
            assert_eq!(below(folder, device, &mut entries, 1).unwrap(), None);

            let mut deep = disk.join("data");
            for _ in 0..=DEPTH_MAX {
                deep.push("d");
            }
            fs::create_dir_all(&deep).unwrap();
            let room = Room::default();
            room.measure(&[disk.join("data")]);
            let lacks = room.lacks().unwrap();
            assert!(lacks.ends_with("no room for another 604 KiB"), "{lacks}");
        });
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_shows_two_figures_at_least() {
        assert_eq!(told(1), "1 KiB");
        assert_eq!(told(10_239 << 10), "10239 KiB");
        assert_eq!(told(10_240 << 10), "10 MiB");
        assert_eq!(told(5 << 50), "5120 TiB");
    }
}
