//! Reading certificates, keys and lists: small files, with a bound, and private where they hold a secret.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};

/// Largest certificate, key or list that is read; a CRL of ten thousand entries is about 400 KiB.
pub const SMALL_FILE_BYTES_MAX: u64 = 4 << 20;

/// Mode of a file that only its owner may read.
pub const PRIVATE_FILE_MODE: u32 = 0o600;

/// Permissions that make a secret none: any of group or others.
const OTHERS_MODE_MASK: u32 = 0o077;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It does not exist, may not be read, or the disk failed.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is larger than [`SMALL_FILE_BYTES_MAX`].
    #[error("{path} is larger than the {SMALL_FILE_BYTES_MAX} bytes that are allowed")]
    TooLarge {
        /// The file.
        path: Utf8PathBuf,
    },
    /// It holds a secret and others than its owner may touch it.
    #[error(
        "{path} holds a private key, but its mode {mode:04o} lets others use it too; run `chmod 600 {path}`"
    )]
    NotPrivate {
        /// The file.
        path: Utf8PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Reads a file of at most [`SMALL_FILE_BYTES_MAX`].
///
/// # Errors
/// When it cannot be read or is larger.
pub fn read_small(path: &Utf8Path) -> Result<Vec<u8>, ReadError> {
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    read_bounded(path, file)
}

/// Reads a file that holds a secret, of at most [`SMALL_FILE_BYTES_MAX`].
///
/// # Errors
/// As [`read_small`], and when group or others have any permission on it.
pub fn read_private(path: &Utf8Path) -> Result<Vec<u8>, ReadError> {
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    // Asked of the open file: a look at the path could see another file than the one that is read.
    let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_MODE_MASK != 0 {
        return Err(ReadError::NotPrivate {
            path: path.to_owned(),
            mode,
        });
    }
    read_bounded(path, file)
}

fn read_bounded(path: &Utf8Path, file: File) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    file.take(SMALL_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| unreadable(path, source))?;
    if bytes.len() as u64 > SMALL_FILE_BYTES_MAX {
        return Err(ReadError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

fn unreadable(path: &Utf8Path, source: io::Error) -> ReadError {
    ReadError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_atomically;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn in_a_folder(test: impl Fn(&Utf8Path)) {
        let folder = tempfile::tempdir().unwrap();
        test(Utf8Path::from_path(folder.path()).unwrap());
    }

    #[test]
    fn a_secret_that_others_may_touch_is_refused_with_the_remedy() {
        in_a_folder(|folder| {
            let path = folder.join("key.pem");
            write_atomically(&path, b"secret", PRIVATE_FILE_MODE).unwrap();
            assert_eq!(read_private(&path).unwrap(), b"secret");
            for mode in [0o640, 0o604, 0o660, 0o610, 0o602] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                let message = read_private(&path).unwrap_err().to_string();
                assert!(message.contains(&format!("chmod 600 {path}")), "{message}");
            }
            assert_eq!(read_small(&path).unwrap(), b"secret");
        });
    }

    #[test]
    fn a_file_beyond_the_bound_is_not_read() {
        in_a_folder(|folder| {
            let path = folder.join("large");
            let file = File::create(&path).unwrap();
            file.set_len(SMALL_FILE_BYTES_MAX).unwrap();
            assert!(read_small(&path).is_ok());
            file.set_len(SMALL_FILE_BYTES_MAX + 1).unwrap();
            assert!(matches!(read_small(&path), Err(ReadError::TooLarge { .. })));
        });
    }
}
