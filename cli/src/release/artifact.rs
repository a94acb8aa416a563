//! The file that is published: looked through before anything is sent, then read again piece by piece.

use std::fs::File;
use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::archive::{self, ArchiveError, Expected, Nowhere};
use evenkeel_common::digest::{Digest, Hasher};
use evenkeel_common::limits::{ARTIFACT_BYTES_MAX, PUBLISH_CHUNK_BYTES_MAX};
use evenkeel_common::manifest::{ArchiveFormat, Tree};
use evenkeel_common::platform::{EXECUTABLE_HEADER_BYTES, PlatformError, check_executable};
use evenkeel_common::tree_path::TreePath;
use tokio::sync::mpsc;

/// How much is read at once when looking through a file.
const READ_BYTES: usize = 256 << 10;

/// Why a file cannot be published.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArtifactError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is larger than any artifact.
    #[error("{path} has {bytes} bytes, at most {ARTIFACT_BYTES_MAX} are allowed")]
    TooLarge {
        /// The file.
        path: Utf8PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It does not run on the platform.
    #[error("cannot publish {path}")]
    Platform {
        /// The file.
        path: Utf8PathBuf,
        /// What it is instead.
        #[source]
        source: PlatformError,
    },
    /// It is an archive, and nobody said what in it is to be run.
    #[error("{path} is a {format} archive, and it is not said which file in it is the executable")]
    NoneNamed {
        /// The file.
        path: Utf8PathBuf,
        /// What it is.
        format: &'static str,
    },
    /// It is no archive, and somebody said what in it is to be run.
    #[error("{path} is neither a tar.zst nor a tar.gz archive")]
    NoArchive {
        /// The file.
        path: Utf8PathBuf,
    },
    /// It is an archive that no host would unpack.
    #[error("cannot publish {path}")]
    Archive {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: ArchiveError,
    },
    /// It is another file now than the one that was looked through.
    #[error("{path} changed while it was being sent")]
    Changed {
        /// The file.
        path: Utf8PathBuf,
    },
}

/// A file that may be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Artifact {
    path: Utf8PathBuf,
    /// The digest of its bytes.
    pub(super) digest: Digest,
    /// How many they are.
    pub(super) size_bytes: u64,
    /// What it unpacks to, if it is an archive.
    pub(super) tree: Option<Tree>,
}

impl Artifact {
    /// Looks a file through: it has to be an executable for `platform`, or an archive with one by this name. Blocks.
    ///
    /// # Errors
    /// When it is not, is too large or cannot be read.
    pub(super) fn inspect(
        path: &Utf8Path,
        platform: &str,
        executable: Option<&TreePath>,
    ) -> Result<Self, ArtifactError> {
        let mut file = open(path)?;
        let mut header = Vec::new();
        file.by_ref()
            .take(EXECUTABLE_HEADER_BYTES as u64)
            .read_to_end(&mut header)
            .map_err(|source| unreadable(path, source))?;
        let format = ArchiveFormat::ALL
            .into_iter()
            .find(|format| format.begins(&header));
        if let (Some(format), None) = (format, executable) {
            return Err(ArtifactError::NoneNamed {
                path: path.to_owned(),
                format: format.as_str(),
            });
        }
        if format.is_none() {
            if executable.is_some() {
                return Err(ArtifactError::NoArchive {
                    path: path.to_owned(),
                });
            }
            check_executable(&header, platform).map_err(|source| ArtifactError::Platform {
                path: path.to_owned(),
                source,
            })?;
        }
        let mut hasher = Hasher::new();
        hasher.update(&header);
        let mut size_bytes = header.len() as u64;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let piece = read_some(path, &mut file, &mut buffer)?;
            if piece.is_empty() {
                break;
            }
            hasher.update(piece);
            size_bytes += piece.len() as u64;
            if size_bytes > ARTIFACT_BYTES_MAX {
                let bytes = file
                    .metadata()
                    .map_or(size_bytes, |metadata| metadata.len());
                return Err(ArtifactError::TooLarge {
                    path: path.to_owned(),
                    bytes,
                });
            }
        }
        let tree = match (format, executable) {
            (Some(format), Some(executable)) => Some(Tree {
                format,
                executable: executable.clone(),
                unpacked_bytes: look_into(path, format, size_bytes, executable, platform)?,
            }),
            (Some(_) | None, _) => None,
        };
        Ok(Self {
            path: path.to_owned(),
            digest: hasher.finish(),
            size_bytes,
            tree,
        })
    }

    /// Reads the file again and hands out its bytes in order, until all are out or nobody takes them. Blocks.
    ///
    /// # Errors
    /// When it cannot be read or has changed; what was handed out by then is not the artifact.
    pub(super) fn read_into(&self, pieces: &mpsc::Sender<Vec<u8>>) -> Result<(), ArtifactError> {
        let mut file = open(&self.path)?;
        let mut hasher = Hasher::new();
        let mut left = self.size_bytes;
        while left > 0 {
            let length = left.min(PUBLISH_CHUNK_BYTES_MAX as u64);
            let mut piece = Vec::new();
            file.by_ref()
                .take(length)
                .read_to_end(&mut piece)
                .map_err(|source| unreadable(&self.path, source))?;
            if piece.is_empty() {
                break;
            }
            hasher.update(&piece);
            left -= piece.len() as u64;
            // Checked before the last piece goes out: nobody ever gets the whole of another file.
            if left == 0 && hasher.clone().finish() != self.digest {
                return Err(self.changed());
            }
            if pieces.blocking_send(piece).is_err() {
                return Ok(());
            }
        }
        match left {
            0 => Ok(()),
            _ => Err(self.changed()),
        }
    }

    fn changed(&self) -> ArtifactError {
        ArtifactError::Changed {
            path: self.path.clone(),
        }
    }
}

/// Looks through an archive by the rules that hosts unpack it by; the space that it takes there.
fn look_into(
    path: &Utf8Path,
    format: ArchiveFormat,
    size_bytes: u64,
    executable: &TreePath,
    platform: &str,
) -> Result<u64, ArtifactError> {
    let expected = Expected {
        format,
        size_bytes,
        executable,
        platform,
        unpacked_bytes: None,
    };
    match archive::read(open(path)?, &expected, &mut Nowhere) {
        Ok(contents) => Ok(contents.unpacked_bytes),
        Err(source) => Err(ArtifactError::Archive {
            path: path.to_owned(),
            source,
        }),
    }
}

fn open(path: &Utf8Path) -> Result<File, ArtifactError> {
    File::open(path).map_err(|source| unreadable(path, source))
}

fn read_some<'a>(
    path: &Utf8Path,
    file: &mut File,
    buffer: &'a mut [u8],
) -> Result<&'a [u8], ArtifactError> {
    loop {
        match file.read(buffer) {
            Ok(length) => return Ok(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(unreadable(path, source)),
        }
    }
}

fn unreadable(path: &Utf8Path, source: io::Error) -> ArtifactError {
    ArtifactError::Read {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_common::digest::digest_of;
    use evenkeel_common::platform;

    use super::*;

    fn this_program() -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(std::env::current_exe().unwrap()).unwrap()
    }

    /// This program's header and some bytes more than one piece holds.
    fn program(folder: &tempfile::TempDir) -> (Utf8PathBuf, Vec<u8>) {
        let mut bytes = std::fs::read(this_program()).unwrap();
        bytes.resize(PUBLISH_CHUNK_BYTES_MAX + 1000, 7);
        let path = Utf8Path::from_path(folder.path()).unwrap().join("program");
        std::fs::write(&path, &bytes).unwrap();
        (path, bytes)
    }

    fn read(artifact: &Artifact) -> (Result<(), ArtifactError>, Vec<u8>) {
        let (sender, mut receiver) = mpsc::channel(64);
        let outcome = artifact.read_into(&sender);
        drop(sender);
        let mut bytes = Vec::new();
        while let Some(piece) = receiver.blocking_recv() {
            assert!(piece.len() <= PUBLISH_CHUNK_BYTES_MAX);
            bytes.extend(piece);
        }
        (outcome, bytes)
    }

    #[test]
    fn what_was_looked_through_is_what_is_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = program(&folder);
        let artifact = Artifact::inspect(&path, platform::current(), None).unwrap();
        assert_eq!(artifact.size_bytes, bytes.len() as u64);
        assert_eq!(artifact.digest, digest_of(&bytes));
        let (outcome, handed_out) = read(&artifact);
        outcome.unwrap();
        assert!(handed_out == bytes);
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_never_handed_out_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = program(&folder);
        let artifact = Artifact::inspect(&path, platform::current(), None).unwrap();
        let mut changed = bytes.clone();
        changed[100] ^= 1;
        for other in [&changed[..], &bytes[..bytes.len() - 1], b""] {
            std::fs::write(&path, other).unwrap();
            let (outcome, handed_out) = read(&artifact);
            assert!(matches!(outcome, Err(ArtifactError::Changed { .. })));
            assert!(handed_out.len() < bytes.len());
        }
    }

    #[test]
    fn a_script_or_a_missing_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("script");
        let error = Artifact::inspect(&path, platform::current(), None).unwrap_err();
        assert!(matches!(error, ArtifactError::Read { .. }));
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        let error = Artifact::inspect(&path, platform::current(), None).unwrap_err();
        assert!(matches!(error, ArtifactError::Platform { .. }));
        assert!(error.to_string().contains("script"));
    }
}
