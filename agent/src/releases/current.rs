//! The link that says which release of an instance is current.

use std::{fs, io, os::unix::fs::symlink};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::Release;
use evenkeel_common::{failpoint, files::sync_folder, names::ComponentName};

use super::Store;
use crate::failpoints;

/// Why it is not known which release is current, or it could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum CurrentError {
    /// The file system refused.
    #[error("cannot use the link {path}")]
    Io {
        /// The link.
        path: Utf8PathBuf,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
    /// It leads to something that is no release.
    #[error("the link {path} leads to {target}, which is no release")]
    NoRelease {
        /// The link.
        path: Utf8PathBuf,
        /// Where it leads.
        target: Utf8PathBuf,
    },
}

fn path(folder: &Utf8Path) -> Utf8PathBuf {
    folder.join("current")
}

/// The current release of the instance in this folder, which stays usable whoever signed it; none if there never
/// was one.
///
/// # Errors
/// When the link cannot be read, or does not lead to a release.
pub fn read(
    folder: &Utf8Path,
    store: &Store,
    component: &ComponentName,
) -> Result<Option<Release>, CurrentError> {
    let path = path(folder);
    let target = match path.read_link_utf8() {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CurrentError::Io { path, source }),
    };
    match target
        .file_name()
        .and_then(|name| store.named(component, name))
    {
        Some(release) => {
            store.keep_usable(component, &release);
            Ok(Some(release))
        }
        None => Err(CurrentError::NoRelease { path, target }),
    }
}

/// Makes a release current: at every moment, also of a crash, it is the old one or the new one. Blocks.
///
/// # Errors
/// When the release is not there, or the file system refuses.
pub fn swap(
    folder: &Utf8Path,
    store: &Store,
    component: &ComponentName,
    release: &Release,
) -> Result<(), CurrentError> {
    let path = path(folder);
    let target = Utf8Path::new("../../releases")
        .join(component.as_str())
        .join(release.to_string());
    if !store.has(component, release) {
        return Err(CurrentError::NoRelease { path, target });
    }
    let new = folder.join(".current.new");
    let replace = || -> io::Result<()> {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(&target, &new)?;
        failpoint::hit(failpoints::SWAP[0]);
        fs::rename(&new, &path)?;
        sync_folder(folder)?;
        failpoint::hit(failpoints::SWAP[1]);
        Ok(())
    };
    replace().map_err(|source| CurrentError::Io {
        path: path.clone(),
        source,
    })
}
