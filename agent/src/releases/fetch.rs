//! Downloads an artifact from the coordinator and makes it a release.
//!
//! What arrives goes into a part file that a later attempt continues. It becomes a release only when its size
//! and its SHA-256 are those of a manifest that a trusted key signed; otherwise it is deleted.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::Release;
use evenkeel_common::{
    digest::{Digest, Hasher},
    limits::FETCH_CHUNK_BYTES,
    manifest::{ReleaseManifest, SignedManifest},
};
use evenkeel_proto::v1::{FetchArtifactRequest, agent_service_client::AgentServiceClient};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use tokio::{
    sync::mpsc,
    task::{JoinError, spawn_blocking},
    time::timeout,
};
use tonic::transport::Channel;

use super::{Origin, Store, StoreError};

/// How long the next bytes may take.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);

/// As many chunks may wait for the disk.
const CHUNKS_WAITING_MAX: usize = 4;

/// Space that has to stay free on the file system beside a download, in bytes.
const SPACE_RESERVED_BYTES: u64 = 64 << 20;

/// A release that is wanted and verified to be wanted by someone who is trusted.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// What is in the manifest.
    pub manifest: ReleaseManifest,
    /// The manifest.
    pub signed: SignedManifest,
    /// The name of the program in the release's folder.
    pub binary: String,
}

impl Artifact {
    /// The release that it is.
    #[must_use]
    pub fn release(&self) -> Release {
        Release {
            version: self.manifest.version.clone(),
            digest: self.manifest.sha256,
        }
    }
}

/// Why an artifact is not there.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The coordinator does not send it.
    #[error("the coordinator did not send it: {}", .0.message())]
    Refused(Box<tonic::Status>),
    /// Nothing came for too long.
    #[error("nothing came for {} s", CHUNK_TIMEOUT.as_secs())]
    Silent,
    /// It ended too early.
    #[error("the download ended after {got} of {expected} bytes")]
    Truncated {
        /// How many bytes there are.
        got: u64,
        /// How many there ought to be.
        expected: u64,
    },
    /// It did not end.
    #[error("the download goes on after its {expected} bytes")]
    Overlong {
        /// How many bytes there ought to be.
        expected: u64,
    },
    /// A message is larger than allowed.
    #[error("a message of the download has {0} bytes, at most {FETCH_CHUNK_BYTES} are allowed")]
    LargeChunk(usize),
    /// The bytes are not those that were promised.
    #[error("the download has the SHA-256 {found}, not {expected}")]
    Corrupted {
        /// What they are.
        found: Digest,
        /// What they ought to be.
        expected: Digest,
    },
    /// There is not enough space.
    #[error("it needs {needed} bytes, and the disk has {free} to spare")]
    Space {
        /// How many bytes are still to come.
        needed: u64,
        /// How many there is space for.
        free: u64,
    },
    /// The file system refused.
    #[error("cannot write {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
    /// It was there, but could not be installed.
    #[error("cannot install it")]
    Install(#[from] StoreError),
    /// Another download of it, which nobody waits for any more, has not ended yet.
    #[error("an earlier download of it has not ended yet")]
    Busy,
    /// The program is being stopped.
    #[error("the download was interrupted")]
    Interrupted(#[from] JoinError),
}

impl FetchError {
    /// Whether nothing is wrong but that others are being served.
    pub(super) fn is_wait(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code() == tonic::Code::ResourceExhausted)
    }

    /// Whether the artifact itself will not do, however often it is tried.
    pub(super) fn is_for_good(&self) -> bool {
        matches!(self, Self::Install(error) if error.is_for_good())
    }
}

/// Fetches an artifact and makes it a release.
///
/// # Errors
/// When it is not there afterwards; what was downloaded stays for the next attempt if it can be of use.
pub async fn fetch(
    channel: Channel,
    store: &Arc<Store>,
    artifact: &Artifact,
) -> Result<(), FetchError> {
    let expected = artifact.manifest.size_bytes;
    let digest = artifact.manifest.sha256;
    let path = store
        .component_folder(&artifact.manifest.component)?
        .join(format!(".part-{digest}"));
    let part = {
        let path = path.clone();
        let tree = artifact.manifest.tree.as_ref();
        let unpacked = tree.map_or(0, |tree| tree.unpacked_bytes);
        spawn_blocking(move || Part::open(path, expected, unpacked)).await??
    };
    let part = if part.length < expected {
        download(channel, part, digest, expected).await?
    } else {
        part
    };
    let (store, artifact) = (Arc::clone(store), artifact.clone());
    spawn_blocking(move || finish(&store, &artifact, part)).await?
}

async fn download(
    channel: Channel,
    part: Part,
    digest: Digest,
    expected: u64,
) -> Result<Part, FetchError> {
    let offset = part.length;
    let request = FetchArtifactRequest {
        digest: digest.to_string(),
        offset,
    };
    let mut client = AgentServiceClient::new(channel);
    let refused = |status| FetchError::Refused(Box::new(status));
    let mut chunks = timeout(CHUNK_TIMEOUT, client.fetch_artifact(request))
        .await
        .map_err(|_| FetchError::Silent)?
        .map_err(refused)?
        .into_inner();
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let writer = spawn_blocking(move || part.append_all(receiver));
    let mut got = offset;
    let arrived = loop {
        match timeout(CHUNK_TIMEOUT, chunks.message()).await {
            Err(_) => break Err(FetchError::Silent),
            Ok(Err(status)) => break Err(refused(status)),
            Ok(Ok(None)) => break Ok(()),
            Ok(Ok(Some(message))) => {
                let length = message.chunk.len();
                if length > FETCH_CHUNK_BYTES {
                    break Err(FetchError::LargeChunk(length));
                }
                got = got.saturating_add(length as u64);
                if got > expected {
                    break Err(FetchError::Overlong { expected });
                }
                if sender.send(message.chunk).await.is_err() {
                    // The writer has failed, and says why below.
                    break Ok(());
                }
            }
        }
    };
    drop(sender);
    let part = writer.await??;
    arrived?;
    if part.length < expected {
        return Err(FetchError::Truncated {
            got: part.length,
            expected,
        });
    }
    Ok(part)
}

fn finish(store: &Store, artifact: &Artifact, part: Part) -> Result<(), FetchError> {
    // Open, and with it locked, until it is in place.
    let Part {
        path,
        hasher,
        file: _locked,
        ..
    } = part;
    let (found, expected) = (hasher.finish(), artifact.manifest.sha256);
    let installed = if found == expected {
        let component = &artifact.manifest.component;
        let origin = Origin::Signed(&artifact.signed);
        store
            .install(
                component,
                &artifact.binary,
                &artifact.release(),
                &path,
                origin,
            )
            .map_err(FetchError::from)
    } else {
        Err(FetchError::Corrupted { found, expected })
    };
    let is_sound = artifact.manifest.tree.is_some() && found == expected;
    if installed.is_err() && !is_sound {
        // Nothing that a later attempt could continue. An archive needs not come again to be unpacked again.
        let _ = fs::remove_file(&path);
    }
    installed
}

/// A download so far.
struct Part {
    path: Utf8PathBuf,
    file: File,
    length: u64,
    hasher: Hasher,
}

impl Part {
    /// Opens what there is of a download of `expected` bytes, which will take `unpacked` more besides.
    fn open(path: Utf8PathBuf, expected: u64, unpacked: u64) -> Result<Self, FetchError> {
        let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let io = |source| FetchError::Io {
            path: path.clone(),
            source,
        };
        let open = || -> io::Result<Option<(File, u64, Hasher)>> {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .custom_flags(no_follow);
            let mut file = options.open(&path)?;
            // Whoever holds it may still append to it.
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                other => other?,
            }
            if file.metadata()?.len() > expected {
                file.set_len(0)?;
            }
            let mut hasher = Hasher::new();
            let mut length = 0;
            let mut buffer = vec![0; FETCH_CHUNK_BYTES];
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    return Ok(Some((file, length, hasher)));
                }
                hasher.update(buffer.get(..read).unwrap_or_default());
                length += read as u64;
            }
        };
        let (file, length, hasher) = open().map_err(io)?.ok_or(FetchError::Busy)?;
        let part = Self {
            path,
            file,
            length,
            hasher,
        };
        part.check_space((expected - length).saturating_add(unpacked))?;
        Ok(part)
    }

    fn check_space(&self, needed: u64) -> Result<(), FetchError> {
        let space = rustix::fs::fstatvfs(&self.file).map_err(|error| FetchError::Io {
            path: self.path.clone(),
            source: error.into(),
        })?;
        let free = space
            .f_bavail
            .saturating_mul(space.f_frsize)
            .saturating_sub(SPACE_RESERVED_BYTES);
        if needed > free {
            return Err(FetchError::Space { needed, free });
        }
        Ok(())
    }

    /// Writes what arrives until nothing more does. Blocks.
    fn append_all(mut self, mut chunks: mpsc::Receiver<Bytes>) -> Result<Self, FetchError> {
        while let Some(chunk) = chunks.blocking_recv() {
            self.file
                .write_all(&chunk)
                .map_err(|source| FetchError::Io {
                    path: self.path.clone(),
                    source,
                })?;
            self.hasher.update(&chunk);
            self.length += chunk.len() as u64;
        }
        Ok(self)
    }
}

/// Deletes the downloads of a component that were begun and are not among those wanted.
///
/// # Errors
/// When the file system refuses.
pub fn forget_others(folder: &Utf8Path, wanted: &[Digest]) -> io::Result<()> {
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        let Some(digest) = entry.file_name().strip_prefix(".part-") else {
            continue;
        };
        if !wanted.iter().any(|wanted| wanted.to_string() == digest) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_that_has_not_ended_is_not_begun_beside_and_goes_on_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join(".part-1");
        let mut first = Part::open(path.clone(), 10, 0).unwrap();
        first.file.write_all(b"half").unwrap();
        let second = Part::open(path.clone(), 10, 0);
        assert!(matches!(second, Err(FetchError::Busy)));
        drop(first);
        assert_eq!(Part::open(path, 10, 0).unwrap().length, 4);
    }
}
