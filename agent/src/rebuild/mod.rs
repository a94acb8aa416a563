//! An instance's data out of the way, and back: what a rebuild does to the disk.
//!
//! A data folder is set aside by a rename within its file system, to `<folder>.before-<generation>` beside it, and an
//! empty one with the same owner and mode takes its place. On the way back that one becomes
//! `<folder>.failed-<generation>`, unless it is still empty, and the old one is what it was. Nothing is ever deleted
//! before the order has ended well, and then only when its time is up ([`Rebuilds::collect`]). What was set aside is
//! written down first (`shelf`), so that it finds its way back whatever the configuration says by then.
//!
//! Left alone on purpose: whether a process runs. Whoever calls holds the instance's lock.

mod folder;
mod room;
mod shelf;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::BootId;
use evenkeel_common::failpoint;
use tokio::sync::watch;

use crate::{clock, config::RebuildSettings, failpoints, report::sentence};
use folder::{Copy, Folder};
use room::Room;
use shelf::{Ended, Moved, Shelf};

/// Why data is not where it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The configuration says no, or no longer says yes.
    #[error("the configuration of this instance does not allow it to be rebuilt")]
    NotAllowed,
    /// The file system refused.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: Utf8PathBuf,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
}

fn failed(what: &'static str, path: &Utf8Path) -> impl Fn(io::Error) -> RebuildError {
    let path = path.to_owned();
    move |source| RebuildError::Io {
        what,
        path: path.clone(),
        source,
    }
}

/// What is set aside of one instance. Everything here blocks.
#[derive(Debug, Clone)]
pub struct Rebuilds {
    settings: Option<RebuildSettings>,
    boot: BootId,
    shelf: Arc<Mutex<Shelf>>,
    room: Arc<Room>,
    leave: Arc<watch::Sender<Leave>>,
}

/// Whether an instance could be rebuilt, as last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leave {
    /// It could.
    pub is_given: bool,
    /// Why it could not, though the configuration allows it. Empty otherwise.
    pub obstacle: String,
}

impl Rebuilds {
    /// Those of the instance that keeps in `folder` what it has to remember.
    #[must_use]
    pub fn new(folder: &Utf8Path, settings: Option<RebuildSettings>, boot: BootId) -> Self {
        let shelf = Shelf::at(folder.join("set-aside.json"));
        Self {
            settings,
            boot,
            shelf: Arc::new(Mutex::new(shelf)),
            room: Arc::default(),
            leave: Arc::new(watch::Sender::new(Leave::default())),
        }
    }

    /// Whether the instance could be rebuilt, each time that this changes.
    #[must_use]
    pub fn leave(&self) -> watch::Receiver<Leave> {
        self.leave.subscribe()
    }

    /// Looks at how much room another copy of the data would take, if that was not done lately. It may take minutes on a
    /// slow disk, so that nobody else should have to wait for it.
    pub fn measure(&self) {
        if let Some(settings) = &self.settings {
            self.room.measure(&settings.folders);
        }
    }

    /// Looks whether the instance could be rebuilt.
    pub fn look(&self) {
        let obstacle = self.obstacle(None);
        let leave = Leave {
            is_given: obstacle.is_none(),
            obstacle: obstacle
                .filter(|_| self.settings.is_some())
                .unwrap_or_default(),
        };
        self.leave.send_if_modified(|before| {
            let is_new = *before != leave;
            *before = leave;
            is_new
        });
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the data must not be set aside now, under this order's generation or that of any to come, in one sentence;
    /// none if it may be.
    #[must_use]
    pub fn obstacle(&self, generation: Option<u64>) -> Option<String> {
        let Some(settings) = &self.settings else {
            return Some(RebuildError::NotAllowed.to_string());
        };
        if let Some(problem) = settings.folders.iter().find_map(|path| problem(path)) {
            return Some(problem);
        }
        let copies = |path| match Folder::open(path).and_then(|folder| folder.copies()) {
            Ok(copies) => copies
                .into_iter()
                .find(|copy| copy.is_before || Some(copy.generation) == generation)
                .map(|copy| self.kept(settings, &copy)),
            Err(error) => Some(format!("{path} cannot be looked at: {error}")),
        };
        let mut folders = settings.folders.iter();
        folders
            .find_map(|path| copies(path))
            .or_else(|| self.room.lacks())
    }

    /// That there still is what an earlier rebuild set aside.
    fn kept(&self, settings: &RebuildSettings, copy: &Copy) -> String {
        let Copy {
            path, generation, ..
        } = copy;
        let is_kept = format!("{path}, which order {generation} set aside, is still kept");
        let entry = match self.shelf().read() {
            Ok(entries) => entries.into_iter().find(|entry| {
                entry.generation == *generation
                    && entry.folders.iter().any(|moved| moved.has_left(copy))
            }),
            Err(error) => return format!("{is_kept}: {}", sentence(&error)),
        };
        let Some(entry) = entry else {
            return format!(
                "{path} is in the way, and is nothing that was set aside here, so it is for a person to remove"
            );
        };
        match entry.ended {
            Some(ended) if ended.since(self.boot) >= settings.keep_for => {
                format!("{is_kept} and about to be removed")
            }
            // The same words for all that time, so that they are not news each minute.
            Some(_) => {
                let keep_for = settings.keep_for;
                format!("{is_kept}, for {keep_for:?} from that order's end")
            }
            None => {
                format!("{is_kept}: that order did not end well, so it is for a person to remove")
            }
        }
    }

    /// Sets the data aside under an order's generation; what was already, stays so.
    ///
    /// # Errors
    /// When a part of it is not set aside. What is, can be put back.
    pub fn set_aside(&self, generation: u64) -> Result<(), RebuildError> {
        let settings = self.settings.as_ref().ok_or(RebuildError::NotAllowed)?;
        let entry = self.shelf().add(generation, &settings.folders)?;
        failpoint::hit(failpoints::SET_ASIDE[0]);
        for Moved { path, inode, .. } in &entry.folders {
            Folder::open(path)
                .and_then(|folder| folder.set_aside(generation, *inode))
                .map_err(failed("set aside", path))?;
        }
        failpoint::hit(failpoints::SET_ASIDE[2]);
        Ok(())
    }

    /// Puts back what was set aside under an order's generation; what was not, is left as it is.
    ///
    /// # Errors
    /// When a part of it is not back.
    pub fn put_back(&self, generation: u64) -> Result<(), RebuildError> {
        failpoint::hit(failpoints::PUT_BACK[0]);
        let entry = self.shelf().returning(generation)?;
        let folders = entry.iter().flat_map(|entry| &entry.folders);
        for Moved { path, inode, .. } in folders {
            Folder::open(path)
                .and_then(|folder| folder.put_back(generation, *inode))
                .map_err(failed("put back", path))?;
        }
        failpoint::hit(failpoints::PUT_BACK[2]);
        Ok(())
    }

    /// An order has ended well: the time begins after which what it set aside is removed.
    ///
    /// # Errors
    /// When that cannot be written down. It is kept until it can.
    pub fn ended_well(&self, generation: u64) -> Result<(), RebuildError> {
        self.shelf().end(generation, Ended::now(self.boot))
    }

    /// Removes what was kept long enough.
    ///
    /// # Errors
    /// What cannot be removed stays, and is tried again next time.
    pub fn collect(&self) -> Result<(), RebuildError> {
        let Some(settings) = &self.settings else {
            return Ok(());
        };
        let entries = self.shelf().read()?;
        let newest = entries
            .iter()
            .filter(|entry| entry.ended.is_some())
            .map(|entry| entry.generation)
            .max();
        // One disk that is away is no reason to keep what is on the others.
        let mut trouble = Ok(());
        for entry in &entries {
            let Some(ended) = &entry.ended else { continue };
            let is_time = ended.since(self.boot) >= settings.keep_for;
            // Of what did not do, the newest is enough.
            let is_old = Some(entry.generation) < newest;
            let mut is_gone = is_time;
            for moved in &entry.folders {
                let is_due = |copy: &Copy| is_time || (is_old && !copy.is_before);
                match remove(moved, entry.generation, is_due) {
                    Ok(could_be_seen) => is_gone &= could_be_seen,
                    Err(error) => {
                        is_gone = false;
                        trouble = Err(failed("remove what was set aside of", &moved.path)(error));
                    }
                }
            }
            if is_gone {
                self.shelf().remove(entry.generation)?;
            }
        }
        trouble
    }

    /// How often [`Rebuilds::collect`] is worth calling; none if it never is.
    #[must_use]
    pub fn look_every(&self) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_secs(60);
        const SHORTEST: Duration = Duration::from_millis(100);
        let settings = self.settings.as_ref()?;
        Some((settings.keep_for / 2).clamp(SHORTEST, LONGEST))
    }
}

/// Removes those that are due of what an order set aside of a folder. Whether it could be seen what there is: while the
/// disk is away, nothing is said of what is on it.
fn remove(moved: &Moved, generation: u64, is_due: impl Fn(&Copy) -> bool) -> io::Result<bool> {
    let folder = Folder::open(&moved.path)?;
    let Some(copies) = moved.copies(&folder, generation)? else {
        return Ok(false);
    };
    for copy in copies.iter().filter(|copy| is_due(copy)) {
        folder.remove(copy)?;
        tracing::info!(folder = %copy.path, "removed what was kept long enough");
    }
    Ok(true)
}

/// What is wrong with a folder that is to be set aside one day; none if nothing is.
#[must_use]
pub fn problem(path: &Utf8Path) -> Option<String> {
    match Folder::open(path).and_then(|folder| folder.is_movable()) {
        Ok(None) => None,
        Ok(Some(problem)) => Some(format!("{path} {problem}")),
        Err(error) => Some(format!("{path} cannot be looked at: {error}")),
    }
}

impl Ended {
    fn now(boot: BootId) -> Self {
        Self {
            boot,
            clock_ms: clock::now_ms(),
            at_ms: evenkeel_common::clock::now().0,
        }
    }

    /// How long ago that was. Within a boot no change of the wall clock makes a difference.
    fn since(&self, boot: BootId) -> Duration {
        let (now_ms, then_ms) = match self.boot == boot {
            true => (clock::now_ms(), self.clock_ms),
            false => (evenkeel_common::clock::now().0, self.at_ms),
        };
        Duration::from_millis(now_ms.saturating_sub(then_ms))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const BOOT: BootId = BootId([7; 16]);

    /// An instance with two data folders below `disk`, which may be rebuilt.
    fn with_rebuilds(keep_for: Duration, test: impl FnOnce(&Utf8Path, &Rebuilds)) {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let folders = ["disk/data", "disk/wal"].map(|name| root.join(name));
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("blob"), "old").unwrap();
        }
        let settings = RebuildSettings {
            folders: folders.to_vec(),
            keep_for,
        };
        test(root, &Rebuilds::new(root, Some(settings), BOOT));
    }

    fn blobs(root: &Utf8Path) -> usize {
        let folders = ["disk/data", "disk/wal"].iter();
        folders
            .filter(|f| root.join(f).join("blob").exists())
            .count()
    }

    #[test]
    fn a_disk_that_is_not_mounted_is_not_taken_for_data_that_is_back() {
        with_rebuilds(Duration::from_secs(1), |root, rebuilds| {
            rebuilds.set_aside(7).unwrap();
            let (disk, away) = (root.join("disk"), root.join("away"));
            fs::rename(&disk, &away).unwrap();
            rebuilds.put_back(7).unwrap_err();
            // With nothing, or with other folders, where it should be.
            fs::create_dir(&disk).unwrap();
            rebuilds.put_back(7).unwrap_err();
            fs::create_dir(disk.join("data")).unwrap();
            fs::create_dir(disk.join("wal")).unwrap();
            let error = sentence(&rebuilds.put_back(7).unwrap_err());
            assert!(
                error.contains("is not the folder that was there"),
                "{error}"
            );
            rebuilds.set_aside(7).unwrap_err();
            fs::remove_dir_all(&disk).unwrap();
            fs::rename(&away, &disk).unwrap();
            assert_eq!(blobs(root), 0);
            rebuilds.put_back(7).unwrap();
            assert_eq!(blobs(root), 2);
        });
    }

    #[test]
    fn what_was_set_aside_only_in_part_is_put_back_or_set_aside_in_full() {
        with_rebuilds(Duration::from_secs(1), |root, rebuilds| {
            let wal = root.join("disk/wal");
            fs::rename(&wal, root.join("wal")).unwrap();
            rebuilds.set_aside(6).unwrap_err();
            fs::rename(root.join("wal"), &wal).unwrap();
            assert_eq!(blobs(root), 2);
            // A file in the way of the second one.
            fs::write(root.join("disk/wal.before-7"), "").unwrap();
            rebuilds.set_aside(7).unwrap_err();
            assert_eq!(blobs(root), 1);
            rebuilds.put_back(7).unwrap_err();
            fs::remove_file(root.join("disk/wal.before-7")).unwrap();
            rebuilds.set_aside(7).unwrap();
            assert_eq!(blobs(root), 0);
            rebuilds.put_back(7).unwrap();
            assert_eq!(blobs(root), 2);
        });
    }

    #[test]
    fn what_is_set_aside_finds_its_way_back_though_the_configuration_says_nothing_of_it_any_more() {
        with_rebuilds(Duration::from_secs(1), |root, rebuilds| {
            rebuilds.set_aside(7).unwrap();
            let without = Rebuilds::new(root, None, BOOT);
            assert!(matches!(
                without.set_aside(7),
                Err(RebuildError::NotAllowed)
            ));
            without.put_back(7).unwrap();
            assert_eq!(blobs(root), 2);
        });
    }

    #[test]
    fn nothing_is_removed_before_its_order_has_ended_well_and_its_time_is_up() {
        with_rebuilds(Duration::from_millis(1), |root, rebuilds| {
            let before = root.join("disk/data.before-7");
            rebuilds.set_aside(7).unwrap();
            rebuilds.collect().unwrap();
            assert!(before.exists());
            let obstacle = rebuilds.obstacle(Some(8)).unwrap();
            assert!(obstacle.contains("did not end well"), "{obstacle}");
            rebuilds.ended_well(7).unwrap();
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while before.exists() {
                assert!(std::time::Instant::now() < deadline);
                rebuilds.collect().unwrap();
            }
            assert_eq!(rebuilds.obstacle(Some(8)), None);
        });
        with_rebuilds(Duration::from_secs(3600), |root, rebuilds| {
            rebuilds.set_aside(7).unwrap();
            rebuilds.ended_well(7).unwrap();
            rebuilds.collect().unwrap();
            assert!(root.join("disk/data.before-7").exists());
            let obstacle = rebuilds.obstacle(Some(8)).unwrap();
            assert!(
                obstacle.contains("is still kept, for 3600s from that"),
                "{obstacle}"
            );
        });
    }

    #[test]
    fn of_what_would_not_do_the_newest_is_kept_and_is_in_nobodys_way() {
        with_rebuilds(Duration::from_secs(3600), |root, rebuilds| {
            for generation in [7, 8] {
                assert_eq!(rebuilds.obstacle(Some(generation)), None);
                rebuilds.set_aside(generation).unwrap();
                fs::write(root.join("disk/data/new"), "").unwrap();
                rebuilds.put_back(generation).unwrap();
                rebuilds.ended_well(generation).unwrap();
            }
            rebuilds.collect().unwrap();
            assert!(!root.join("disk/data.failed-7").exists());
            assert!(root.join("disk/data.failed-8").exists());
            assert_eq!(blobs(root), 2);
        });
    }

    #[test]
    fn what_is_on_a_disk_that_is_away_when_its_time_comes_is_removed_once_it_is_back() {
        with_rebuilds(Duration::ZERO, |root, rebuilds| {
            let (disk, away) = (root.join("disk"), root.join("away"));
            let before = disk.join("data.before-7");
            rebuilds.set_aside(7).unwrap();
            fs::rename(&disk, &away).unwrap();
            // Where it is mounted, there is a folder all the same.
            fs::create_dir(&disk).unwrap();
            rebuilds.ended_well(7).unwrap();
            rebuilds.collect().unwrap();
            fs::create_dir(disk.join("data")).unwrap();
            fs::create_dir(&before).unwrap();
            rebuilds.collect().unwrap();
            assert!(before.exists());
            fs::remove_dir_all(&disk).unwrap();
            rebuilds.collect().unwrap_err();
            fs::rename(&away, &disk).unwrap();
            assert!(before.exists());
            rebuilds.collect().unwrap();
            assert!(!before.exists());
            assert_eq!(rebuilds.shelf().read().unwrap(), []);
            assert_eq!(rebuilds.obstacle(Some(8)), None);
        });
    }

    #[test]
    fn one_disk_that_is_away_does_not_keep_what_is_on_another() {
        with_rebuilds(Duration::ZERO, |root, _| {
            let folders = ["disk/data", "other/wal"].map(|name| root.join(name));
            fs::create_dir_all(&folders[1]).unwrap();
            let settings = RebuildSettings {
                folders: folders.to_vec(),
                keep_for: Duration::ZERO,
            };
            let rebuilds = Rebuilds::new(root, Some(settings), BOOT);
            rebuilds.set_aside(7).unwrap();
            rebuilds.ended_well(7).unwrap();
            fs::rename(root.join("disk"), root.join("away")).unwrap();
            rebuilds.collect().unwrap_err();
            assert!(!root.join("other/wal.before-7").exists());
            fs::rename(root.join("away"), root.join("disk")).unwrap();
            rebuilds.collect().unwrap();
            assert!(!root.join("disk/data.before-7").exists());
            assert_eq!(rebuilds.shelf().read().unwrap(), []);
        });
    }

    #[test]
    fn a_folder_that_only_has_the_name_of_a_copy_is_not_removed() {
        with_rebuilds(Duration::ZERO, |root, rebuilds| {
            let (failed, before) = (
                root.join("disk/data.failed-7"),
                root.join("disk/wal.before-7"),
            );
            rebuilds.set_aside(7).unwrap();
            fs::write(root.join("disk/data/new"), "").unwrap();
            rebuilds.put_back(7).unwrap();
            rebuilds.ended_well(7).unwrap();
            fs::rename(&failed, root.join("disk/moved")).unwrap();
            for folder in [&failed, &before] {
                fs::create_dir(folder).unwrap();
            }
            let obstacle = rebuilds.obstacle(Some(8)).unwrap();
            assert!(
                obstacle.ends_with(
                    "disk/wal.before-7 is in the way, and is nothing that was set aside here, so it is for a person to remove"
                ),
                "{obstacle}"
            );
            rebuilds.collect().unwrap();
            assert!(failed.exists() && before.exists());
            assert_eq!(rebuilds.shelf().read().unwrap(), []);
        });
    }

    #[test]
    fn what_was_in_the_way_is_known_again_also_where_the_way_back_was_interrupted() {
        with_rebuilds(Duration::ZERO, |root, rebuilds| {
            let (data, failed) = (root.join("disk/data"), root.join("disk/data.failed-7"));
            rebuilds.set_aside(7).unwrap();
            fs::write(data.join("new"), "").unwrap();
            rebuilds.shelf().returning(7).unwrap();
            fs::rename(&data, &failed).unwrap();
            // The second time there is nothing in the way any more, the third nothing to put back.
            for _ in 0..2 {
                rebuilds.put_back(7).unwrap();
                assert_eq!(blobs(root), 2);
            }
            assert!(failed.exists());
            rebuilds.ended_well(7).unwrap();
            rebuilds.collect().unwrap();
            assert!(!failed.exists());
            assert_eq!(blobs(root), 2);
        });
    }

    #[test]
    fn a_removal_that_was_interrupted_goes_on() {
        with_rebuilds(Duration::ZERO, |root, rebuilds| {
            rebuilds.set_aside(7).unwrap();
            rebuilds.ended_well(7).unwrap();
            // One in part, the other whole, and the record of both still there.
            fs::remove_file(root.join("disk/data.before-7/blob")).unwrap();
            fs::remove_dir_all(root.join("disk/wal.before-7")).unwrap();
            rebuilds.collect().unwrap();
            assert!(!root.join("disk/data.before-7").exists());
            assert_eq!(rebuilds.shelf().read().unwrap(), []);
        });
    }

    #[test]
    fn a_damaged_file_of_what_is_set_aside_is_an_error_and_no_reason_to_guess() {
        with_rebuilds(Duration::from_secs(1), |root, rebuilds| {
            rebuilds.set_aside(7).unwrap();
            fs::write(root.join("set-aside.json"), "[{").unwrap();
            rebuilds.put_back(7).unwrap_err();
            rebuilds.set_aside(8).unwrap_err();
            rebuilds.collect().unwrap_err();
            assert!(rebuilds.obstacle(Some(8)).is_some());
        });
    }
}
