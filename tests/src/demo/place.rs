//! The demo's folder: one demo at a time, nothing of an earlier one left in it, and nobody else's files ever deleted.

use std::{fs, io, time::Duration};

use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::files::FolderLock;

use super::shell;
use crate::processes;

/// The file that says that a folder is the demo's. It is locked while a demo is at work there.
const MARK: &str = ".evenkeel-demo";

/// How long what was kept may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A folder that is this demo's for as long as this value lives.
#[derive(Debug)]
pub(super) struct Place {
    folder: Utf8PathBuf,
    _lock: FolderLock,
}

impl Place {
    /// Takes the folder, and empties it of what an earlier demo left.
    ///
    /// # Errors
    /// When a demo is at work there, one was kept running there, or the folder holds what is not a demo's.
    pub(super) fn take(folder: &Utf8Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {folder}"))?;
        let folder = folder.canonicalize_utf8()?;
        let mut found = entries(&folder)?;
        ensure!(
            found.is_empty() || found.contains(&folder.join(MARK)),
            "{folder} holds files that no demo made; name an empty folder or a new one with --dir"
        );
        let lock = lock(&folder)?;
        if let Some(process) = processes::below(&folder).first() {
            bail!(
                "a demo that was kept still runs in {folder} ({} is process {}); stop it with: {}",
                process.program,
                process.pid.as_raw_nonzero(),
                stop_command(&folder)
            );
        }
        found.retain(|path| path.file_name() != Some(MARK));
        for path in found {
            remove(&path).with_context(|| format!("cannot remove {path}"))?;
        }
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Its absolute path.
    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }
}

/// Stops what a demo left running in the folder, and says how many processes there were.
///
/// # Errors
/// When a demo is at work there, or something does not end.
pub(super) fn stop(folder: &Utf8Path) -> anyhow::Result<usize> {
    if !folder.join(MARK).exists() {
        bail!("{folder} is no folder of a demo");
    }
    let folder = folder.canonicalize_utf8()?;
    let _lock = lock(&folder)?;
    processes::stop_below(&folder, STOP_WITHIN)
}

/// The command that stops what was kept in the folder.
pub(super) fn stop_command(folder: &Utf8Path) -> String {
    let program = std::env::current_exe()
        .ok()
        .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
        .unwrap_or_else(|| "evenkeel-demo".into());
    format!(
        "{} stop --dir {}",
        shell::path(&program),
        shell::path(folder)
    )
}

fn lock(folder: &Utf8Path) -> anyhow::Result<FolderLock> {
    FolderLock::take_by(folder.join(MARK)).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            anyhow::anyhow!(
                "another demo is at work in {folder}; let it end, press Ctrl-C where it runs, or name another folder with --dir"
            )
        } else {
            anyhow::Error::new(error).context(format!("cannot take the folder {folder}"))
        }
    })
}

fn entries(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let entries = folder.read_dir_utf8().and_then(Iterator::collect);
    let entries: Vec<camino::Utf8DirEntry> =
        entries.with_context(|| format!("cannot read the folder {folder}"))?;
    Ok(entries.into_iter().map(|entry| entry.into_path()).collect())
}

fn remove(path: &Utf8Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn what_an_earlier_demo_left_is_removed() {
        let (_dir, path) = folder();
        drop(Place::take(&path).unwrap());
        fs::create_dir(path.join("agents")).unwrap();
        fs::write(path.join("agents/left"), "").unwrap();
        let _place = Place::take(&path).unwrap();
        assert!(!path.join("agents").exists());
    }

    #[test]
    fn a_folder_with_other_files_is_refused_and_left_as_it_is() {
        let (_dir, path) = folder();
        fs::write(path.join("thesis.txt"), "years of work").unwrap();
        let error = Place::take(&path).unwrap_err().to_string();
        assert!(error.contains("--dir"), "{error}");
        assert_eq!(entries(&path).unwrap(), [path.join("thesis.txt")]);
        assert!(stop(&path).is_err());
    }

    #[test]
    fn a_second_demo_in_the_same_folder_is_refused() {
        let (_dir, path) = folder();
        let first = Place::take(&path).unwrap();
        let error = Place::take(&path).unwrap_err().to_string();
        assert!(error.contains("another demo is at work"), "{error}");
        assert!(stop(&path).is_err());
        drop(first);
        assert_eq!(stop(&path).unwrap(), 0);
    }
}
