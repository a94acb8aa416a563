//! Folders of tests.

use anyhow::Context as _;
use camino::Utf8Path;
use tempfile::TempDir;

/// Where a test's own folder is.
///
/// # Errors
/// When its name is not UTF-8.
pub fn utf8(dir: &TempDir) -> anyhow::Result<&Utf8Path> {
    Utf8Path::from_path(dir.path()).context("the folder's name is not UTF-8")
}
