//! SHA-256 of files, and the check of a file against the digest it is pinned to.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};
use camino::Utf8Path;
use ring::digest::{Context as Hasher, SHA256};

/// Read at once; large enough that the system calls do not show.
const CHUNK_BYTES: usize = 256 * 1024;

/// The SHA-256 of a file, in lower-case hexadecimal.
pub(crate) fn sha256(path: &Utf8Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let mut hasher = Hasher::new(&SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file
            .read(&mut chunk)
            .with_context(|| format!("cannot read {path}"))?;
        if length == 0 {
            break;
        }
        hasher.update(chunk.get(..length).unwrap_or_default());
    }
    Ok(hasher
        .finish()
        .as_ref()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
}

/// An error unless the file's SHA-256 is `pinned`; the message names both.
pub(crate) fn verify(path: &Utf8Path, pinned: &str) -> Result<()> {
    let found = sha256(path)?;
    anyhow::ensure!(
        found == pinned,
        "{path} has SHA-256 {found}, but {pinned} is pinned"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use camino::Utf8PathBuf;

    use super::*;

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn file_of(content: &[u8]) -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("file")).unwrap();
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn the_digest_of_a_file_is_its_sha256() {
        let (_folder, path) = file_of(b"abc");
        assert_eq!(sha256(&path).unwrap(), OF_ABC);
    }

    #[test]
    fn a_file_longer_than_one_read_is_hashed_whole() {
        let (_folder, path) = file_of(&vec![7; CHUNK_BYTES + 1]);
        let whole = ring::digest::digest(&SHA256, &vec![7; CHUNK_BYTES + 1]);
        let hex: String = whole
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(sha256(&path).unwrap(), hex);
    }

    #[test]
    fn a_file_with_another_digest_is_refused_and_both_digests_are_named() {
        let (_folder, path) = file_of(b"abd");
        let error = verify(&path, OF_ABC).unwrap_err().to_string();
        assert!(
            error.contains(OF_ABC) && error.contains(&sha256(&path).unwrap()),
            "{error}"
        );
    }
}
