//! What may be dropped from a ledger's end after a crash, and what may not.
//!
//! At most one batch is ever unacknowledged: it is written in one call and synced before anyone is told, and after
//! a failed write nothing more is written. A crash can leave any of its sectors unwritten, and an unwritten sector
//! of a segment is zeros. So what is not a whole batch at the end is an interrupted append only if
//!
//! - zeros are where it is incomplete: a frame's header is missing together with the rest of its sector, or the
//!   part of a body that lies in some sector is all zeros (a written body never has such a part, see
//!   [`super::frame`]); and
//! - nothing behind it belongs to another batch.
//!
//! Everything else is damage to what was acknowledged, and is refused. What this cannot tell apart is a disk that
//! lost whole sectors of the newest acknowledged batch; a view that is ahead of the ledger tells.

use super::Fault;
use super::frame::{Cursor, FRAME_ALIGNMENT, FRAME_HEADER_BYTES, FrameHeader, is_zero};
use super::segment::SECTOR_BYTES;

/// Decides on the bytes of the newest segment behind `committed`, its last complete batch, where reading stopped at
/// `stop` with `fault`, or with `None` at a header's worth of zeros. `Ok` means that they are an interrupted append
/// or nothing at all; the error is what to refuse with.
pub(super) fn judge(
    bytes: &[u8],
    committed: &Cursor,
    stop: &Cursor,
    fault: Option<Fault>,
) -> Result<(), Fault> {
    let behind = match fault {
        None => behind_missing_header(bytes, stop)?,
        Some(Fault::Content) => behind_missing_content(bytes, stop)?,
        Some(other) => return Err(other),
    };
    let interrupted_batch = committed.position.revision + 1;
    let other_batch = (behind..bytes.len())
        .step_by(FRAME_ALIGNMENT)
        .filter_map(|offset| FrameHeader::decode(bytes, offset))
        .any(|header| header.batch_start() != Some(interrupted_batch));
    if other_batch {
        Err(Fault::DamagedBeforeOthers)
    } else {
        Ok(())
    }
}

fn behind_missing_header(bytes: &[u8], stop: &Cursor) -> Result<usize, Fault> {
    let sector_end = (stop.offset + 1)
        .next_multiple_of(SECTOR_BYTES)
        .min(bytes.len());
    if is_zero(&bytes[stop.offset.min(sector_end)..sector_end]) {
        Ok(sector_end)
    } else {
        Err(Fault::FrameHeader)
    }
}

fn behind_missing_content(bytes: &[u8], stop: &Cursor) -> Result<usize, Fault> {
    let header = FrameHeader::decode(bytes, stop.offset).ok_or(Fault::FrameHeader)?;
    let body_start = stop.offset + FRAME_HEADER_BYTES;
    let body_end = (stop.offset + header.frame_bytes()).min(bytes.len());
    if !has_unwritten_sector(bytes, body_start, body_end) {
        return Err(Fault::Content);
    }
    if header.is_last_of_batch() && !is_zero(&bytes[body_end..]) {
        return Err(Fault::DamagedBeforeOthers);
    }
    Ok(body_end)
}

/// Whether the part of `start..end` in some sector is all zeros. The sector that `start` lies in does not count
/// unless it begins there: it also holds the frame's header, which was read.
fn has_unwritten_sector(bytes: &[u8], start: usize, end: usize) -> bool {
    (start.next_multiple_of(SECTOR_BYTES)..end)
        .step_by(SECTOR_BYTES)
        .any(|sector| is_zero(&bytes[sector..end.min(sector + SECTOR_BYTES)]))
}
