//! Where the programs under test are: what `cargo xtask` built and fetched, and tells through the environment.

use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;

fn folder(variable: &str) -> anyhow::Result<Utf8PathBuf> {
    let path = std::env::var(variable).with_context(|| {
        format!("{variable} is not set: run `cargo xtask test` or `cargo demo`, which build, fetch and tell")
    })?;
    Ok(Utf8PathBuf::from(path))
}

fn file(path: Utf8PathBuf) -> anyhow::Result<Utf8PathBuf> {
    ensure!(
        path.is_file(),
        "{path} is not there: run `cargo xtask test` or `cargo demo`, which make it"
    );
    Ok(path)
}

/// One of our own programs.
///
/// # Errors
/// When it is not built.
pub fn program(name: &str) -> anyhow::Result<Utf8PathBuf> {
    file(folder("EVENKEEL_BIN_DIR")?.join(name))
}

/// The sample store in one of its releases.
///
/// # Errors
/// When it is not built.
pub fn samplestore(version: &str) -> anyhow::Result<Utf8PathBuf> {
    file(
        folder("EVENKEEL_SAMPLESTORE_DIR")?
            .join(version)
            .join("samplestore"),
    )
}

/// A program of another storage system, in one of its versions.
///
/// # Errors
/// When it is not fetched.
pub fn system(system: &str, version: &str, program: &str) -> anyhow::Result<Utf8PathBuf> {
    file(
        folder("EVENKEEL_SYSTEMS_DIR")?
            .join(system)
            .join(version)
            .join(program),
    )
}
