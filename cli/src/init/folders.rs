//! Folders that are there whole or not at all.

use std::fs;
use std::io;

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::files::{create_private_folder, sync_folder, write_atomically};
use evenkeel_common::tls::TlsFiles;
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// The CA's certificate, in every folder.
pub(super) const CA: &str = "ca.pem";
/// The holder's own certificate.
pub(super) const CERTIFICATE: &str = "certificate.pem";
/// The holder's private key.
pub(super) const KEY: &str = "key.pem";

/// Mode of what is no secret. The folder around it is private all the same.
pub(super) const PUBLIC_FILE_MODE: u32 = 0o644;

/// A folder that this command makes.
pub(super) struct Folder(Utf8PathBuf);

impl Folder {
    pub(super) fn new(path: Utf8PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Utf8Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str) -> Utf8PathBuf {
        self.0.join(name)
    }

    pub(super) fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            ca: self.file(CA),
            certificate: self.file(CERTIFICATE),
            key: self.file(KEY),
        }
    }

    /// Whether the folder is there, and then with all these files: this command never makes half of one.
    pub(super) fn exists(&self, files: &[&str]) -> anyhow::Result<bool> {
        let exists = |path: &Utf8Path| {
            path.try_exists()
                .with_context(|| format!("cannot look at {path}"))
        };
        if !exists(&self.0)? {
            return Ok(false);
        }
        for name in files {
            if !exists(&self.file(name))? {
                bail!(
                    "{} is not complete, {name} is missing: put it back, or move the folder away and run again for a new one",
                    self.0
                );
            }
        }
        Ok(true)
    }

    /// Makes the folder with these files (name, mode, text).
    pub(super) fn create(&self, files: &[(&str, u32, &str)]) -> anyhow::Result<()> {
        self.create_inner(files)
            .with_context(|| format!("cannot make {}", self.0))
    }

    fn create_inner(&self, files: &[(&str, u32, &str)]) -> io::Result<()> {
        let (Some(parent), Some(name)) = (self.0.parent(), self.0.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        create_private_folder(parent)?;
        let unfinished = parent.join(format!(".{name}.new"));
        // Of a run that was interrupted: the lock on the whole sees to it that nobody is at work there now.
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        create_private_folder(&unfinished)?;
        for (name, mode, text) in files {
            write_atomically(&unfinished.join(name), text.as_bytes(), *mode)?;
        }
        renameat_with(
            CWD,
            unfinished.as_std_path(),
            CWD,
            self.0.as_std_path(),
            RenameFlags::NOREPLACE,
        )?;
        sync_folder(parent)?;
        // The parent itself may be new.
        match parent.parent() {
            Some(above) if !above.as_str().is_empty() => sync_folder(above),
            Some(_) | None => Ok(()),
        }
    }
}
