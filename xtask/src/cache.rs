//! Where downloads are kept: outside the tree, so that a clean build or a second clone does not fetch them again.
//!
//! ```text
//! <cache>/systems/<name>/<version>/<program>    storage systems, e.g. systems/etcd/3.5.1/etcd
//! <cache>/tools/<name>/<version>/…              what the commands of this crate run
//! <cache>/scratch/                              downloads under way; only the holder of the lock uses it
//! <cache>/lock
//! ```

use std::fs::{self, File};

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::pins::{Kind, Pin};

/// The folder that downloads are kept in.
pub(crate) struct Cache {
    root: Utf8PathBuf,
}

impl Cache {
    /// The place `EVENKEEL_CACHE` names, else `evenkeel` below `XDG_CACHE_HOME`, else below `~/.cache`. A variable that is
    /// empty counts as not set; a relative path is an error, because it would mean another place in every folder.
    pub(crate) fn locate(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let root = if let Some(cache) = set("EVENKEEL_CACHE") {
            Utf8PathBuf::from(cache)
        } else if let Some(caches) = set("XDG_CACHE_HOME") {
            Utf8PathBuf::from(caches).join("evenkeel")
        } else {
            let home = set("HOME")
                .context("no place for downloads: set EVENKEEL_CACHE, XDG_CACHE_HOME or HOME")?;
            Utf8PathBuf::from(home).join(".cache/evenkeel")
        };
        anyhow::ensure!(
            root.is_absolute(),
            "the place for downloads has to be an absolute path, not {root:?}"
        );
        Ok(Self { root })
    }

    /// The folder of the storage systems; what `EVENKEEL_SYSTEMS_DIR` says to tests.
    pub(crate) fn systems(&self) -> Utf8PathBuf {
        self.root.join("systems")
    }

    /// The folder of one version of a tool.
    pub(crate) fn tool(&self, name: &str, version: &str) -> Utf8PathBuf {
        self.root.join("tools").join(name).join(version)
    }

    /// The folder that a pin's programs belong in.
    pub(crate) fn home_of(&self, pin: &Pin) -> Utf8PathBuf {
        match pin.kind {
            Kind::System => self.systems().join(pin.name).join(pin.version),
            Kind::Tool => self.tool(pin.name, pin.version),
        }
    }

    /// Waits until no other process downloads into this cache. What an interrupted one left half done is removed.
    pub(crate) fn lock(&self) -> Result<LockedCache> {
        let lock = lock_file(&self.root.join("lock"))?;
        let scratch = self.root.join("scratch");
        empty_folder(&scratch)?;
        Ok(LockedCache {
            scratch,
            _lock: lock,
        })
    }
}

/// The right to download into the cache; given back when dropped.
pub(crate) struct LockedCache {
    scratch: Utf8PathBuf,
    _lock: File,
}

impl LockedCache {
    /// An empty folder for work under way, on the same file system as the rest of the cache. What was in it is gone.
    pub(crate) fn scratch(&self) -> Result<Utf8PathBuf> {
        empty_folder(&self.scratch)?;
        Ok(self.scratch.clone())
    }
}

impl Drop for LockedCache {
    fn drop(&mut self) {
        // What stays behind only takes space: the next holder of the lock removes it.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Opens `path` and waits for an exclusive lock on it, which the operating system gives back however the holder ends.
pub(crate) fn lock_file(path: &Utf8Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {path}"))?;
    file.lock().with_context(|| format!("cannot lock {path}"))?;
    Ok(file)
}

fn empty_folder(folder: &Utf8Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {folder}"))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pins::PINS;

    fn located(variables: &[(&str, &str)]) -> Result<Utf8PathBuf> {
        let look_up = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Cache::locate(look_up).map(|cache| cache.root)
    }

    #[test]
    fn the_cache_is_where_the_most_specific_variable_says() {
        let all = [
            ("EVENKEEL_CACHE", "/a"),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/c"),
        ];
        assert_eq!(located(&all).unwrap(), "/a");
        assert_eq!(located(&all[1..]).unwrap(), "/b/evenkeel");
        assert_eq!(located(&all[2..]).unwrap(), "/c/.cache/evenkeel");
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(
            located(&[("EVENKEEL_CACHE", ""), ("HOME", "/c")]).unwrap(),
            "/c/.cache/evenkeel"
        );
        assert!(located(&[("HOME", "")]).is_err());
    }

    #[test]
    fn a_relative_cache_is_refused() {
        let error = located(&[("EVENKEEL_CACHE", "cache")]).unwrap_err();
        assert!(error.to_string().contains("absolute"), "{error}");
    }

    #[test]
    fn systems_and_tools_have_a_folder_per_name_and_version() {
        let cache = Cache::locate(|_| Some("/cache".to_owned())).unwrap();
        let homes: Vec<_> = PINS.iter().map(|pin| cache.home_of(pin)).collect();
        assert!(
            homes.contains(&Utf8PathBuf::from("/cache/systems/etcd/3.5.1")),
            "{homes:?}"
        );
        assert!(
            homes.contains(&Utf8PathBuf::from("/cache/tools/buf/1.75.0")),
            "{homes:?}"
        );
    }

    #[test]
    fn the_holder_of_the_lock_finds_scratch_empty_and_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let cache = Cache { root };
        fs::create_dir_all(cache.root.join("scratch/left behind")).unwrap();
        let locked = cache.lock().unwrap();
        assert_eq!(fs::read_dir(locked.scratch().unwrap()).unwrap().count(), 0);
        drop(locked);
        assert!(!cache.root.join("scratch").exists());
    }
}
