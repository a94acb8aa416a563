//! Downloading and unpacking by the ordinary clients: apt, pip and npm. Nothing is installed, and nobody has to be root.

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::pins::Source;
use crate::process;

/// How long a client waits for a server that says nothing, in seconds.
const SILENCE_S: u32 = 60;

impl Source {
    /// Downloads the archive into `folder`, which is empty, and says where it is. Its content is not to be trusted yet.
    pub(crate) fn download(self, folder: &Utf8Path) -> Result<Utf8PathBuf> {
        match self {
            Self::Debian { package, version } => download_with_apt(package, version, folder)?,
            Self::Pypi { project, version } => {
                process::capture(
                    Command::new("python3")
                        .args([
                            "-m",
                            "pip",
                            "download",
                            "--quiet",
                            "--no-deps",
                            "--only-binary=:all:",
                        ])
                        .arg(format!("--timeout={SILENCE_S}"))
                        .arg(format!("--dest={folder}"))
                        .arg(format!("{project}=={version}")),
                )?;
            }
            Self::Npm { package, version } => {
                process::capture(
                    Command::new("npm")
                        .args(["pack", "--silent", "--ignore-scripts"])
                        .arg(format!("--fetch-timeout={}", SILENCE_S * 1000))
                        .arg(format!("--pack-destination={folder}"))
                        .arg(format!("{package}@{version}")),
                )?;
            }
        }
        only_file_in(folder)
    }

    /// Unpacks an archive of this source's kind into `folder`.
    pub(crate) fn unpack(self, archive: &Utf8Path, folder: &Utf8Path) -> Result<()> {
        let mut command = match self {
            Self::Debian { .. } => {
                let mut command = Command::new("dpkg-deb");
                command.arg("--extract").arg(archive).arg(folder);
                command
            }
            Self::Pypi { .. } => {
                let mut command = Command::new("python3");
                command
                    .args(["-m", "zipfile", "-e"])
                    .arg(archive)
                    .arg(folder);
                command
            }
            Self::Npm { .. } => {
                let mut command = Command::new("tar");
                command.args(["-xzf", archive.as_str(), "-C", folder.as_str()]);
                command
            }
        };
        process::capture(&mut command).map(drop)
    }

    /// What a person does when the download keeps failing.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Debian { .. } => {
                "this needs apt-get and dpkg-deb of a Debian release that has this version (12, bookworm), and its mirror"
            }
            Self::Pypi { .. } => {
                "this needs python3 with pip, and PyPI or a mirror of it that pip is set up for"
            }
            Self::Npm { .. } => {
                "this needs npm, and its registry or a mirror of it that npm is set up for"
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian { package, version } => {
                write!(formatter, "Debian package {package} {version}")
            }
            Self::Pypi { project, version } => write!(formatter, "wheel {project} {version}"),
            Self::Npm { package, version } => write!(formatter, "npm package {package} {version}"),
        }
    }
}

/// Asks apt with the package lists the machine has; if those are missing or too old, with fresh ones of our own, which
/// anyone may fetch and which leave the machine's as they are.
fn download_with_apt(package: &str, version: &str, folder: &Utf8Path) -> Result<()> {
    let wanted = format!("{package}={version}");
    if apt(folder)
        .args(["download", &wanted])
        .output()
        .with_context(|| process::not_started(&apt(folder)))?
        .status
        .success()
    {
        return Ok(());
    }
    let own = folder.join("apt");
    for part in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(own.join(part))
            .with_context(|| format!("cannot create {own}/{part}"))?;
    }
    let with_own_lists = || {
        let mut command = apt(folder);
        command
            .arg(format!("-oDir::State::Lists={own}/lists"))
            .arg(format!("-oDir::Cache={own}"));
        command
    };
    process::capture(with_own_lists().arg("update"))?;
    process::capture(with_own_lists().args(["download", &wanted]))?;
    fs::remove_dir_all(&own).with_context(|| format!("cannot remove {own}"))
}

fn apt(folder: &Utf8Path) -> Command {
    let mut command = Command::new("apt-get");
    command
        .current_dir(folder)
        // Without this, apt run by root warns that its sandbox user cannot write here.
        .args(["-qq", "-oAPT::Sandbox::User=root", "-oAcquire::Retries=2"])
        .arg(format!("-oAcquire::http::Timeout={SILENCE_S}"));
    command
}

fn only_file_in(folder: &Utf8Path) -> Result<Utf8PathBuf> {
    let mut entries = folder
        .read_dir_utf8()
        .with_context(|| format!("cannot list {folder}"))?;
    let first = entries
        .next()
        .with_context(|| format!("the download left nothing in {folder}"))??;
    anyhow::ensure!(
        entries.next().is_none(),
        "the download left more than one file in {folder}"
    );
    Ok(first.into_path())
}
