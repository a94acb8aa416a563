//! What besides the blobs must survive a restart: one small file, replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

const NAME: &str = "marker.json";

/// Reads tolerantly (fields of later releases are ignored) and is written whole by whoever opens the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The release that opened the data last.
    pub(super) opened_by: String,
    /// The newest storage format that this release made the data ready for.
    pub(super) ready_for_format: u8,
    /// Whether this copy has once been complete.
    pub(super) established: bool,
}

/// Why the marker could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// The file system said no.
    #[error("cannot read or write {NAME}")]
    Io(#[from] io::Error),
    /// The content makes no sense.
    #[error("{NAME} is damaged")]
    Damaged(#[from] serde_json::Error),
}

impl Marker {
    pub(super) fn load(directory: &Path) -> Result<Option<Self>, MarkerError> {
        match fs::read(directory.join(NAME)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn save(&self, directory: &Path) -> Result<(), MarkerError> {
        let new = directory.join(format!("{NAME}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&new, directory.join(NAME))?;
        sync_directory(directory)?;
        Ok(())
    }
}

/// Makes the names in the directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
