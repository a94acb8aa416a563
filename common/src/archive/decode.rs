//! The compression around an archive, with bounds on memory and output.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, errors::FrameDecoderError};

use super::{ArchiveError, ENTRIES_MAX, EXPANSION_FREE_BYTES, EXPANSION_MAX, UNPACKED_BYTES_MAX};
use crate::manifest::ArchiveFormat;

/// The largest window of Zstandard, in bytes: what levels up to 19 use, and about as much memory unpacking takes.
const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// As much of an archive is read at once.
const READ_BYTES: usize = 128 << 10;

/// The most zeroes after the end of a tar file. tar fills up to 10 KiB, with large blocking factors to some hundred.
const PADDING_BYTES_MAX: u64 = 4 << 20;

/// What each header of a tar file adds to the output, in bytes: itself, what it is filled up with, and its share of
/// long names.
const HEADER_BYTES_MAX: u64 = 2048;

/// What is in a compressed file.
pub(super) enum Decoder<R> {
    Gzip(MultiGzDecoder<BufReader<R>>),
    Zstd(Box<Zstd<R>>),
}

/// One frame of Zstandard, and the end of the file after it.
pub(super) struct Zstd<R> {
    frame: FrameDecoder,
    source: BufReader<R>,
}

impl<R: Read> Decoder<R> {
    pub(super) fn new(format: ArchiveFormat, archive: R) -> Result<Self, ArchiveError> {
        let mut source = BufReader::with_capacity(READ_BYTES, archive);
        Ok(match format {
            ArchiveFormat::TarGz => Self::Gzip(MultiGzDecoder::new(source)),
            ArchiveFormat::TarZst => {
                let mut frame = FrameDecoder::new();
                frame.set_max_window_size(WINDOW_BYTES_MAX);
                frame.init(&mut source).map_err(|error| match error {
                    FrameDecoderError::WindowSizeTooBig { requested, max } => {
                        ArchiveError::Window {
                            window: requested,
                            max,
                        }
                    }
                    other => ArchiveError::Damaged(io::Error::other(other)),
                })?;
                Self::Zstd(Box::new(Zstd { frame, source }))
            }
        })
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(gzip) => gzip.read(buffer),
            Self::Zstd(zstd) => zstd.read(buffer),
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { frame, source } = self;
        while frame.can_collect() == 0 {
            if frame.is_finished() {
                return match source.fill_buf()?.is_empty() {
                    true => Ok(0),
                    false => Err(io::Error::other(Fault::Trailing)),
                };
            }
            frame
                .decode_blocks(&mut *source, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(io::Error::other)?;
        }
        frame.read(buffer)
    }
}

/// What is in a compressed file, up to a limit.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
    reached: Fault,
}

/// What ends the reading, where that is not the inner reader's doing. It travels as an error of the standard library
/// through the tar reader, which knows no other.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Fault {
    #[error("something follows on the end of the archive")]
    Trailing,
    #[error("the archive becomes too large for its size")]
    Expansion,
    #[error("the archive becomes too large")]
    Large,
}

impl<R: Read> Bounded<R> {
    /// `size_bytes` is how many bytes there are before they are unpacked.
    pub(super) fn new(inner: R, size_bytes: u64) -> Self {
        let expansion = size_bytes
            .saturating_mul(EXPANSION_MAX)
            .max(EXPANSION_FREE_BYTES);
        let all = UNPACKED_BYTES_MAX + ENTRIES_MAX * HEADER_BYTES_MAX + PADDING_BYTES_MAX;
        let (left, reached) = match expansion < all {
            true => (expansion, Fault::Expansion),
            false => (all, Fault::Large),
        };
        Self {
            inner,
            left,
            reached,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or_else(|| io::Error::other(self.reached))?;
        Ok(length)
    }
}

/// What an error means that came through the tar reader.
pub(super) fn fault(error: io::Error) -> ArchiveError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(one) = cause {
        if let Some(fault) = one.downcast_ref::<Fault>() {
            return match fault {
                Fault::Trailing => ArchiveError::Trailing,
                Fault::Expansion => ArchiveError::Expansion,
                Fault::Large => ArchiveError::large(None),
            };
        }
        // An error of the standard library names the cause of its cause, but not the cause itself.
        cause = match one.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => one.source(),
        };
    }
    ArchiveError::Damaged(error)
}

/// Reads what follows on the end of a tar file, which also has the compression's own checks made.
pub(super) fn expect_only_zeroes(mut rest: impl Read) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; READ_BYTES];
    let mut zeroes: u64 = 0;
    loop {
        let length = match rest.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(fault(error)),
        };
        let read = buffer.get(..length).unwrap_or_default();
        if read.is_empty() {
            return Ok(());
        }
        zeroes = zeroes.saturating_add(length as u64);
        if zeroes > PADDING_BYTES_MAX || read.iter().any(|byte| *byte != 0) {
            return Err(ArchiveError::Trailing);
        }
    }
}
