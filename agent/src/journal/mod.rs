//! The journal of one instance: what was accepted and what is being done, durable before it is done.
//!
//! One file of fixed size that is appended to, and replaced by a new one with only the last record when it is
//! full. Every record says all there is to know, so the last whole one counts. An end that was torn by a crash is
//! dropped; anything else that does not read back is damage, and nothing is decided on a guess.

mod frame;
mod record;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::Record;
use evenkeel_common::{failpoint, files::write_atomically};

pub use record::RecordError;

use crate::failpoints;
use frame::Parsed;

/// How large the file is: hundreds of records between two replacements.
const FILE_BYTES: usize = 64 << 10;

/// How much of the file a word from outside leaves free for all the records that may follow from it: a way there
/// and a way back, each record with a reason of the greatest length.
const ROOM_BYTES: usize = 32 << 10;

/// The largest file that is read; a journal is never larger than [`FILE_BYTES`] by much.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Only the agent may read it.
const MODE: u32 = 0o600;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot read or write the journal {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
    /// Bytes in it are not what was written.
    #[error("the journal {path} is damaged at byte {offset}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// Where.
        offset: usize,
    },
    /// A whole frame holds no record.
    #[error("the journal {path} holds something else than records at byte {offset}")]
    Record {
        /// The file.
        path: Utf8PathBuf,
        /// Where.
        offset: usize,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// A record does not fit.
    #[error("a record of {bytes} bytes does not fit into the journal {path}")]
    TooLarge {
        /// The file.
        path: Utf8PathBuf,
        /// Its size.
        bytes: usize,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: Utf8PathBuf,
    /// The open file and the offset of its end; none when it has to be replaced before it is written again.
    file: Option<(File, usize)>,
    last: Record,
}

impl Journal {
    /// Opens the journal at `path`; where there is none, nothing was ever accepted.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn open(path: Utf8PathBuf) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        let bytes = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    path,
                    file: None,
                    last: Record::default(),
                });
            }
            Err(error) => return Err(io(error)),
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(JournalError::Damaged {
                    path,
                    offset: FILE_BYTES,
                });
            }
            Ok(_) => fs::read(&path).map_err(io)?,
        };
        let (last, end) = replay(&path, &bytes)?;
        let file = match end {
            // What a crash tore is not written over in place: the file is replaced as a whole.
            End::Torn => None,
            End::Clean(_) if bytes.len() != FILE_BYTES => None,
            End::Clean(offset) => Some((open_for_writing(&path).map_err(io)?, offset)),
        };
        Ok(Self { path, file, last })
    }

    /// The last record that is known to be durable.
    #[must_use]
    pub fn last(&self) -> &Record {
        &self.last
    }

    /// Sees to it that what follows from an order can be written without replacing the file on the way, when
    /// there may be no space for another and nothing runs. To be called before a word from outside is written.
    ///
    /// # Errors
    /// When the file would have to be replaced, and cannot be. What is durable stands, and so does the file as
    /// far as it can still be written.
    pub fn make_room(&mut self) -> Result<(), JournalError> {
        let is_short = |(_, end): &mut (File, usize)| *end > FILE_BYTES - ROOM_BYTES;
        let Some(old) = self.file.take_if(is_short) else {
            return Ok(());
        };
        let frame = frame::build(&record::encode(&self.last));
        match replace(&self.path, &frame) {
            Ok(new) => self.file = Some(new),
            Err(source) => {
                // Unless the new one is in its place already and only that is not durable yet.
                self.file = Some(old).filter(|(file, _)| is_at(file, &self.path));
                return Err(JournalError::Io {
                    path: self.path.clone(),
                    source,
                });
            }
        }
        Ok(())
    }

    /// Makes a record durable.
    ///
    /// # Errors
    /// When it cannot be written. Then it may or may not be there after a crash, [`Journal::last`] is what it
    /// was, and the next append replaces the file.
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let [before, after] = failpoints::of_record(&record.standing);
        failpoint::hit(before);
        let frame = frame::build(&record::encode(record));
        if frame.len() > FILE_BYTES {
            return Err(JournalError::TooLarge {
                path: self.path.clone(),
                bytes: frame.len(),
            });
        }
        let written = match self.file.take() {
            Some((file, end)) if end + frame.len() <= FILE_BYTES => {
                let write = |bytes: &[u8]| {
                    file.write_all_at(bytes, end as u64)
                        .and_then(|()| file.sync_data())
                };
                failpoint::tear(failpoints::JOURNAL_TORN, &frame, write);
                write(&frame).map(|()| (file, end + frame.len()))
            }
            Some(_) | None => replace(&self.path, &frame),
        };
        let file = written.map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })?;
        self.file = Some(file);
        self.last = record.clone();
        failpoint::hit(after);
        Ok(())
    }
}

/// How the file ends.
enum End {
    /// After the last record, at this offset.
    Clean(usize),
    /// In the middle of a record.
    Torn,
}

fn replay(path: &Utf8Path, bytes: &[u8]) -> Result<(Record, End), JournalError> {
    let mut last = Record::default();
    let mut offset = 0;
    loop {
        match frame::parse(bytes.get(offset..).unwrap_or_default()) {
            Parsed::Frame(body, taken) => {
                last = record::decode(body).map_err(|source| JournalError::Record {
                    path: path.to_owned(),
                    offset,
                    source,
                })?;
                offset += taken;
            }
            Parsed::End => return Ok((last, End::Clean(offset))),
            Parsed::Torn => return Ok((last, End::Torn)),
            Parsed::Damaged => {
                return Err(JournalError::Damaged {
                    path: path.to_owned(),
                    offset,
                });
            }
        }
    }
}

fn replace(path: &Utf8Path, frame: &[u8]) -> io::Result<(File, usize)> {
    let mut bytes = frame.to_vec();
    bytes.resize(FILE_BYTES, 0);
    write_atomically(path, &bytes, MODE)?;
    Ok((open_for_writing(path)?, frame.len()))
}

/// Whether this open file is still the one at the path.
fn is_at(file: &File, path: &Utf8Path) -> bool {
    let number = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => number(open) == number(there),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn open_for_writing(path: &Utf8Path) -> io::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    OpenOptions::new()
        .write(true)
        .custom_flags(no_follow)
        .open(path)
}

#[cfg(test)]
mod tests {
    use evenkeel_agent_core::{Fence, Hold, Standing};
    use proptest::prelude::*;

    use super::*;

    fn with_journal(test: impl FnOnce(&Utf8Path)) {
        let dir = tempfile::tempdir().unwrap();
        test(&Utf8Path::from_path(dir.path()).unwrap().join("journal"));
    }

    fn record(epoch: u64) -> Record {
        Record {
            fence: Fence { epoch, order: None },
            drained: false,
            quiesced: false,
            finalizing: None,
            unproven: false,
            finalized: None,
            hold: Hold::default(),
            standing: Standing::default(),
        }
    }

    fn last(path: &Utf8Path) -> Record {
        Journal::open(path.to_owned()).unwrap().last().clone()
    }

    #[test]
    fn the_last_record_is_found_again_over_many_replacements_of_the_file() {
        with_journal(|path| {
            let mut journal = Journal::open(path.to_owned()).unwrap();
            assert_eq!(*journal.last(), Record::default());
            // A frame of these takes 32 bytes, and 2,048 of them fill the file.
            for epoch in 1..2_500 {
                journal.append(&record(epoch)).unwrap();
            }
            assert_eq!(last(path), record(2_499));
            assert_eq!(fs::metadata(path).unwrap().len(), FILE_BYTES as u64);
        });
    }

    #[test]
    fn a_nearly_full_file_is_replaced_in_time_and_written_on_when_it_cannot_be() {
        with_journal(|path| {
            let mut journal = Journal::open(path.to_owned()).unwrap();
            let room = |journal: &Journal| FILE_BYTES - journal.file.as_ref().unwrap().1;
            let mut epoch = 1;
            journal.append(&record(epoch)).unwrap();
            while room(&journal) >= ROOM_BYTES {
                journal.make_room().unwrap();
                epoch += 1;
                journal.append(&record(epoch)).unwrap();
            }
            // A folder in the way of the new file.
            let in_the_way = path.with_file_name(".journal.new");
            fs::create_dir(&in_the_way).unwrap();
            let refused = journal.make_room();
            assert!(
                matches!(refused, Err(JournalError::Io { .. })),
                "{refused:?}"
            );
            assert_eq!(last(path), record(epoch));
            journal.append(&record(epoch + 1)).unwrap();
            assert_eq!(last(path), record(epoch + 1));
            fs::remove_dir(&in_the_way).unwrap();
            journal.make_room().unwrap();
            assert!(room(&journal) > FILE_BYTES - ROOM_BYTES);
            assert_eq!(last(path), record(epoch + 1));
        });
    }

    #[test]
    fn a_torn_end_is_dropped_and_written_over_safely() {
        with_journal(|path| {
            let mut journal = Journal::open(path.to_owned()).unwrap();
            journal.append(&record(1)).unwrap();
            let whole = frame::build(&record::encode(&record(1))).len();
            journal.append(&record(2)).unwrap();
            for kept in [1, 5, 13, 16] {
                let mut bytes = fs::read(path).unwrap();
                bytes[whole + kept..].fill(0);
                fs::write(path, &bytes).unwrap();
                let mut journal = Journal::open(path.to_owned()).unwrap();
                assert_eq!(*journal.last(), record(1), "{kept} bytes kept");
                journal.append(&record(3)).unwrap();
                assert_eq!(last(path), record(3));
                let mut journal = Journal::open(path.to_owned()).unwrap();
                journal.append(&record(1)).unwrap();
                fs::remove_file(path).unwrap();
                let mut journal = Journal::open(path.to_owned()).unwrap();
                journal.append(&record(1)).unwrap();
                journal.append(&record(2)).unwrap();
            }
        });
    }

    #[test]
    fn a_truncated_file_keeps_what_is_whole_or_is_damaged() {
        with_journal(|path| {
            let mut journal = Journal::open(path.to_owned()).unwrap();
            journal.append(&record(1)).unwrap();
            journal.append(&record(2)).unwrap();
            let bytes = fs::read(path).unwrap();
            let one = frame::build(&record::encode(&record(1))).len();
            fs::write(path, &bytes[..one]).unwrap();
            assert_eq!(last(path), record(1));
            fs::write(path, &bytes[..one + 14]).unwrap();
            assert!(matches!(
                Journal::open(path.to_owned()),
                Err(JournalError::Damaged { .. })
            ));
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_flipped_bit_is_never_taken_for_another_record(
            records in proptest::collection::vec(record::tests::any_record(), 1..6),
            at in any::<proptest::sample::Index>(),
            bit in 0..8_u8,
        ) {
            with_journal(|path| {
                let mut journal = Journal::open(path.to_owned()).unwrap();
                for record in &records {
                    journal.append(record).unwrap();
                }
                let used: usize = records.iter().map(|r| frame::build(&record::encode(r)).len()).sum();
                let mut bytes = fs::read(path).unwrap();
                bytes[at.index(used)] ^= 1 << bit;
                fs::write(path, &bytes).unwrap();
                // A flip in the padding harms nobody.
                if let Ok(journal) = Journal::open(path.to_owned()) {
                    assert_eq!(journal.last(), records.last().unwrap());
                }
            });
        }
    }
}
