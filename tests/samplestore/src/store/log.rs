//! The log file: a line that names the format, then records one after another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::{Entry, Index};
use super::marker::sync_directory;
use super::record::{Broken, Format, RECORD_BYTES_MAX, Record};
use crate::Key;
use crate::limits::BATCH_BYTES_MAX;

const NAME: &str = "blobs.log";
const MAGIC: &[u8; 7] = b"blobs v";
const HEADER_BYTES: usize = 9;
/// What one crash can leave unfinished: the batch that was being written.
const TORN_BYTES_MAX: u64 = (BATCH_BYTES_MAX + RECORD_BYTES_MAX) as u64;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system said no.
    #[error("cannot read or write {NAME}")]
    Io(#[from] io::Error),
    /// The first line is none that a release wrote.
    #[error("{NAME} does not begin like a log of the sample store")]
    NotALog,
    /// Records follow a damaged one, so this is no write that a crash cut short.
    #[error(
        "{NAME} is damaged at byte {offset}, before its end: empty the data directory and let the node fetch its \
         blobs from its peers"
    )]
    Damaged {
        /// Where the first damaged record begins.
        offset: u64,
    },
}

/// An open log, ready to be appended to.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    file: Arc<File>,
    format: Format,
    len: u64,
}

impl Log {
    /// The format of the log in the directory; none if there is no log.
    pub(super) fn format_in(directory: &Path) -> Result<Option<Format>, LogError> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        match File::open(directory.join(NAME)) {
            Ok(file) => file.take(HEADER_BYTES as u64).read_to_end(&mut header)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let digit = header
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.strip_suffix(b"\n"));
        let number = digit.and_then(|d| d.first()).map(|d| d.wrapping_sub(b'0'));
        number
            .and_then(Format::from_number)
            .map(Some)
            .ok_or(LogError::NotALog)
    }

    /// Writes a log of these values and puts it in the place of the one that is there, if any. Also returns where the
    /// values now lie. A crash leaves the old log or the new one, whole.
    pub(super) fn rewrite(
        directory: &Path,
        format: Format,
        values: &[(Key, Entry)],
    ) -> Result<(Self, Vec<(Key, Entry)>), LogError> {
        let new = directory.join(format!("{NAME}.new"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)?;
        let mut log = Self {
            directory: directory.to_owned(),
            file: Arc::new(file),
            format,
            len: 0,
        };
        let mut batch = [MAGIC, &[b'0' + format.number(), b'\n'][..]].concat();
        let mut moved = Vec::with_capacity(values.len());
        for (key, entry) in values {
            let blob = entry.read()?;
            let record_at = log.len + batch.len() as u64;
            let record = format.encode(key, entry.stamp, &blob, &mut batch);
            if record.blob_crc != entry.blob_crc {
                return Err(LogError::Damaged {
                    offset: entry.blob_at,
                });
            }
            moved.push((key.clone(), Entry::new(&record, record_at, &log.file)));
            if batch.len() > BATCH_BYTES_MAX {
                log.write(&batch)?;
                batch.clear();
            }
        }
        log.write(&batch)?;
        log.file.sync_all()?;
        fs::rename(&new, directory.join(NAME))?;
        sync_directory(directory)?;
        Ok((log, moved))
    }

    /// Opens the log in the directory and fills the index from it. What a crash cut short at its end is dropped: it
    /// was never acknowledged.
    pub(super) fn load(
        directory: &Path,
        format: Format,
        index: &mut Index,
    ) -> Result<Self, LogError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(directory.join(NAME))?;
        let shared = Arc::new(file.try_clone()?);
        let file_len = file.metadata()?.len();
        file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        let mut window = Window::new(file, HEADER_BYTES as u64);
        while let Some((record, at)) = window.next_record(format)? {
            index.insert(record.key.clone(), Entry::new(&record, at, &shared));
        }
        let len = window.offset;
        if len < file_len {
            if file_len - len > TORN_BYTES_MAX || window.has_record_behind(format)? {
                return Err(LogError::Damaged { offset: len });
            }
            tracing::warn!(
                dropped_bytes = file_len - len,
                "dropped the torn end of the log"
            );
            shared.set_len(len)?;
            shared.sync_all()?;
        }
        Ok(Self {
            directory: directory.to_owned(),
            file: shared,
            format,
            len,
        })
    }

    /// Appends records as [`Self::encode`] made them and makes them durable.
    pub(super) fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        self.write(batch)?;
        self.file.sync_data()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The part of the file that is being looked at.
struct Window {
    file: File,
    bytes: Vec<u8>,
    /// What of `bytes` has been dealt with.
    start: usize,
    /// Where in the file `start` is.
    offset: u64,
}

impl Window {
    fn new(file: File, offset: u64) -> Self {
        Self {
            file,
            bytes: Vec::new(),
            start: 0,
            offset,
        }
    }

    /// The next record and where it begins; none at the end or where the bytes are no record.
    fn next_record(&mut self, format: Format) -> io::Result<Option<(Record, u64)>> {
        loop {
            match format.decode(&self.bytes[self.start..]) {
                Ok(record) => {
                    let at = self.offset;
                    self.start += record.blob.end;
                    self.offset += record.blob.end as u64;
                    return Ok(Some((record, at)));
                }
                Err(Broken::Damaged) => return Ok(None),
                Err(Broken::Short) => {
                    if self.read_more(RECORD_BYTES_MAX as u64)? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Whether a whole record begins anywhere behind the first byte of what is left.
    fn has_record_behind(&mut self, format: Format) -> io::Result<bool> {
        while self.read_more(TORN_BYTES_MAX)? > 0 {}
        let left = &self.bytes[self.start..];
        Ok((1..left.len()).any(|at| format.decode(&left[at..]).is_ok()))
    }

    fn read_more(&mut self, bytes_max: u64) -> io::Result<usize> {
        self.bytes.drain(..self.start);
        self.start = 0;
        (&mut self.file)
            .take(bytes_max)
            .read_to_end(&mut self.bytes)
    }
}
