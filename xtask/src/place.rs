//! Putting a finished program where others find it, so that they see the old one or the new one and nothing between.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use camino::Utf8Path;

/// Anyone may read and run it, its owner may replace it.
const PROGRAM_MODE: u32 = 0o755;

/// Copies the program `from` to `to` by way of a file beside it and a rename. The copy keeps the modification time, which
/// is how [`is_in_place`] knows it again.
pub(crate) fn put(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    let folder = to
        .parent()
        .with_context(|| format!("{to} is in no folder"))?;
    let name = to
        .file_name()
        .with_context(|| format!("{to} has no name"))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
    let beside = folder.join(format!(".{name}.{}.new", std::process::id()));
    let placed = copy_whole(from, &beside).and_then(|()| Ok(fs::rename(&beside, to)?));
    if placed.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    placed.with_context(|| format!("cannot put {from} at {to}"))
}

/// Whether `to` is already the copy of `from` that [`put`] makes: same length, same modification time.
pub(crate) fn is_in_place(from: &Utf8Path, to: &Utf8Path) -> bool {
    let look = |path: &Utf8Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    look(from).is_some_and(|source| look(to) == Some(source))
}

fn copy_whole(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    fs::copy(from, to)?;
    let copy = File::options().write(true).open(to)?;
    copy.set_permissions(Permissions::from_mode(PROGRAM_MODE))?;
    copy.set_modified(fs::metadata(from)?.modified()?)?;
    copy.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_put_can_be_run_and_is_known_again_until_its_source_changes() {
        let (_folder, path) = folder();
        let (from, to) = (path.join("built"), path.join("deep/place"));
        fs::write(&from, "one").unwrap();
        assert!(!is_in_place(&from, &to));
        put(&from, &to).unwrap();
        assert!(is_in_place(&from, &to));
        assert_eq!(
            fs::metadata(&to).unwrap().permissions().mode() & 0o777,
            PROGRAM_MODE
        );
        fs::write(&from, "three").unwrap();
        assert!(!is_in_place(&from, &to));
    }

    #[test]
    fn a_put_that_fails_leaves_the_old_one_and_no_remains() {
        let (_folder, path) = folder();
        let to = path.join("place");
        fs::write(&to, "old").unwrap();
        put(&path.join("missing"), &to).unwrap_err();
        assert_eq!(fs::read_to_string(&to).unwrap(), "old");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }
}
