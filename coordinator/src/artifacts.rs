//! The artifacts' bytes: files named by their digest, whole and verified or not there.

use std::io::ErrorKind;

use bytes::{Bytes, BytesMut};
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::{
    digest::{Digest, Hasher},
    files,
    limits::ARTIFACT_BYTES_MAX,
    manifest::ReleaseManifest,
    platform::{EXECUTABLE_HEADER_BYTES, check_executable},
    problem::{ErrorCode, Problem},
};
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};

/// Where the artifacts are.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: Utf8PathBuf,
}

impl Artifacts {
    /// Opens the folder, and clears away what uploads that never ended have left.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(folder: Utf8PathBuf) -> std::io::Result<Self> {
        files::create_private_folder(&folder)?;
        for entry in folder.read_dir_utf8()? {
            let entry = entry?;
            if entry.file_name().starts_with('.') {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { folder })
    }

    fn path(&self, digest: &Digest) -> Utf8PathBuf {
        self.folder.join(digest.to_string())
    }

    /// Whether the artifact that a manifest describes is there, as long as it says.
    ///
    /// # Errors
    /// When what is there is neither the executable nor the archive that the manifest says, or the file system
    /// refuses.
    pub async fn has(&self, manifest: &ReleaseManifest) -> Result<bool, Problem> {
        let path = self.path(&manifest.sha256);
        let look = async {
            let mut file = match File::open(&path).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            // Cut short by whatever befell the disk: it has to come again.
            if file.metadata().await?.len() != manifest.size_bytes {
                return Ok(None);
            }
            next_chunk(&mut file, EXECUTABLE_HEADER_BYTES)
                .await
                .map(Some)
        };
        let header = look.await.map_err(|error| cannot_read(&path, &error))?;
        let Some(header) = header else {
            return Ok(false);
        };
        // Known bytes may be published again, for another component say, but not for another machine.
        check_header(&header, manifest)
            .map_err(|reason| Problem::new(ErrorCode::BadArgument, reason))?;
        Ok(true)
    }

    /// Begins to take in the artifact that a manifest describes. `upload` is a name for it among those
    /// going on.
    ///
    /// # Errors
    /// When it is too large, or the file system refuses.
    pub async fn upload(&self, manifest: &ReleaseManifest, upload: u64) -> Result<Upload, Problem> {
        if manifest.size_bytes > ARTIFACT_BYTES_MAX {
            return Err(Problem::new(
                ErrorCode::BadArgument,
                format!(
                    "the artifact has {} bytes, at most {ARTIFACT_BYTES_MAX} are allowed",
                    manifest.size_bytes
                ),
            ));
        }
        let temporary = self.folder.join(format!(".upload-{upload}"));
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .await
            .map_err(|error| cannot_keep(&temporary, &error))?;
        Ok(Upload {
            path: self.path(&manifest.sha256),
            folder: self.folder.clone(),
            temporary: Temporary(temporary),
            file,
            hasher: Hasher::new(),
            header: Vec::with_capacity(EXECUTABLE_HEADER_BYTES),
            bytes: 0,
            manifest: manifest.clone(),
        })
    }

    /// Opens an artifact for reading from `offset` on.
    ///
    /// # Errors
    /// `NotFound` when there is none of that digest; `BadArgument` when the offset is past its end.
    pub async fn read(&self, digest: &Digest, offset: u64) -> Result<File, Problem> {
        let path = self.path(digest);
        let mut file = File::open(&path)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => Problem::new(
                    ErrorCode::NotFound,
                    format!("there is no artifact {digest}"),
                ),
                _ => cannot_read(&path, &error),
            })?;
        let length = file
            .metadata()
            .await
            .map_err(|e| cannot_read(&path, &e))?
            .len();
        if offset > length {
            return Err(Problem::new(
                ErrorCode::BadArgument,
                format!("the offset {offset} is past the artifact's end at {length}"),
            ));
        }
        file.seek(std::io::SeekFrom::Start(offset))
            .await
            .map_err(|error| cannot_read(&path, &error))?;
        Ok(file)
    }
}

/// The next bytes of an open artifact, at most `bytes_max`; empty at its end.
///
/// # Errors
/// What the file system says.
pub async fn next_chunk(file: &mut File, bytes_max: usize) -> std::io::Result<Bytes> {
    let mut chunk = BytesMut::with_capacity(bytes_max);
    while chunk.len() < bytes_max {
        let room = bytes_max - chunk.len();
        if (&mut *file).take(room as u64).read_buf(&mut chunk).await? == 0 {
            break;
        }
    }
    Ok(chunk.freeze())
}

/// An artifact that is being taken in. Dropped before its end, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    path: Utf8PathBuf,
    folder: Utf8PathBuf,
    temporary: Temporary,
    file: File,
    hasher: Hasher,
    header: Vec<u8>,
    bytes: u64,
    manifest: ReleaseManifest,
}

impl Upload {
    /// Takes in the next bytes.
    ///
    /// # Errors
    /// When they are more than the manifest says, or the file system refuses.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        self.bytes = self.bytes.saturating_add(chunk.len() as u64);
        if self.bytes > self.manifest.size_bytes {
            return Err(Problem::new(
                ErrorCode::BadArgument,
                format!(
                    "more bytes came than the {} that the manifest says",
                    self.manifest.size_bytes
                ),
            ));
        }
        let wanted = EXECUTABLE_HEADER_BYTES.saturating_sub(self.header.len());
        self.header.extend(chunk.iter().take(wanted));
        self.hasher.update(chunk);
        self.file
            .write_all(chunk)
            .await
            .map_err(|error| cannot_keep(&self.temporary.0, &error))
    }

    /// Checks what came against the manifest and puts it in place, durably.
    ///
    /// # Errors
    /// When it is not what the manifest says, is neither an executable for its platform nor the archive that it should
    /// be, or the file system refuses.
    pub async fn finish(mut self) -> Result<(), Problem> {
        let bad = |message| Problem::new(ErrorCode::BadArgument, message);
        if self.bytes < self.manifest.size_bytes {
            return Err(bad(format!(
                "only {} of the {} bytes that the manifest says came",
                self.bytes, self.manifest.size_bytes
            )));
        }
        let digest = self.hasher.finish();
        if digest != self.manifest.sha256 {
            return Err(bad(format!(
                "the bytes that came have the digest {digest}, the manifest says {}",
                self.manifest.sha256
            )));
        }
        check_header(&self.header, &self.manifest).map_err(bad)?;
        let kept = async {
            self.file.flush().await?;
            self.file.sync_all().await?;
            fs::rename(&self.temporary.0, &self.path).await?;
            let folder = self.folder.clone();
            tokio::task::spawn_blocking(move || files::sync_folder(&folder))
                .await
                .map_err(std::io::Error::other)?
        };
        kept.await.map_err(|error| cannot_keep(&self.path, &error))
    }
}

/// Checks that bytes begin as the manifest says that they do. What is in an archive is looked at by whoever publishes
/// it, and by each host that unpacks it.
fn check_header(header: &[u8], manifest: &ReleaseManifest) -> Result<(), String> {
    match &manifest.tree {
        None => check_executable(header, &manifest.platform).map_err(|error| error.to_string()),
        Some(tree) if tree.format.begins(header) => Ok(()),
        Some(tree) => Err(format!(
            "the artifact is no {} archive: it does not begin like one",
            tree.format.as_str()
        )),
    }
}

/// A file that goes when it is dropped; one that was renamed is gone already.
#[derive(Debug)]
struct Temporary(Utf8PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn cannot_keep(path: &Utf8Path, error: &std::io::Error) -> Problem {
    tracing::error!(%path, %error, "cannot keep an artifact");
    Problem::new(
        ErrorCode::Unavailable,
        format!("the coordinator cannot keep the artifact: {error}"),
    )
}

fn cannot_read(path: &Utf8Path, error: &std::io::Error) -> Problem {
    tracing::error!(%path, %error, "cannot read an artifact");
    Problem::new(
        ErrorCode::Unavailable,
        format!("the coordinator cannot read the artifact: {error}"),
    )
}
