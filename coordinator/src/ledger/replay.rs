//! Reading records back, a segment at a time, each checked again.

use bytes::Bytes;

use super::error::{Fault, LedgerError};
use super::frame::{Cursor, FrameRead};
use super::recovery::{SegmentFile, damaged, read_segment};
use super::segment::SEGMENT_HEADER_BYTES;
use super::{Position, Record};

/// The records from one revision to the ledger's end.
pub(super) struct LocalReplay<'a> {
    cluster: &'a str,
    /// Segments not read yet.
    segments: &'a [SegmentFile],
    current: Option<(&'a SegmentFile, Vec<u8>, Cursor)>,
    from_revision: u64,
    end: Position,
    payload: Vec<u8>,
    finished: bool,
}

impl<'a> LocalReplay<'a> {
    pub(super) fn new(
        cluster: &'a str,
        segments: &'a [SegmentFile],
        from_revision: u64,
        end: Position,
    ) -> Self {
        let before = segments.partition_point(|segment| segment.start.revision < from_revision);
        Self {
            cluster,
            segments: &segments[before.saturating_sub(1)..],
            current: None,
            from_revision,
            end,
            payload: Vec::new(),
            finished: from_revision > end.revision,
        }
    }

    /// The next record, wanted or not; `None` at the end.
    fn read(&mut self) -> Result<Option<Position>, LedgerError> {
        loop {
            if let Some((segment, bytes, cursor)) = &mut self.current {
                if cursor.position.revision == self.end.revision {
                    return Ok(None);
                }
                let fault = |cursor: &Cursor, fault| {
                    damaged(
                        &segment.path,
                        cursor.offset as u64,
                        cursor.position.revision + 1,
                        fault,
                    )
                };
                match cursor.read(bytes, &mut self.payload) {
                    Ok(FrameRead::Record) => return Ok(Some(cursor.position)),
                    Ok(FrameRead::Seal) => {}
                    Ok(FrameRead::Nothing) => return Err(fault(cursor, Fault::RecordsMissing)),
                    Err(found) => return Err(fault(cursor, found)),
                }
            }
            let Some((segment, rest)) = self.segments.split_first() else {
                let revision = self.end.revision;
                let path = self
                    .current
                    .as_ref()
                    .map(|(segment, ..)| segment.path.clone())
                    .unwrap_or_default();
                return Err(damaged(
                    &path,
                    0,
                    revision,
                    Fault::SegmentMissing {
                        first_revision: revision,
                    },
                ));
            };
            self.segments = rest;
            let bytes = read_segment(&segment.path, self.cluster, segment.start)?;
            let cursor = Cursor {
                offset: SEGMENT_HEADER_BYTES,
                position: segment.start,
                index: 0,
            };
            self.current = Some((segment, bytes, cursor));
        }
    }
}

impl Iterator for LocalReplay<'_> {
    type Item = Result<Record, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.finished {
            match self.read() {
                Ok(Some(position)) if position.revision < self.from_revision => {}
                Ok(Some(position)) => {
                    return Some(Ok(Record {
                        position,
                        payload: Bytes::copy_from_slice(&self.payload),
                    }));
                }
                Ok(None) => self.finished = true,
                Err(error) => {
                    self.finished = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
