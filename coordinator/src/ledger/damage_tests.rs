//! What a ledger does with what a crash or a bad disk left: it goes back to a batch's boundary where only an
//! unacknowledged batch can be concerned, and refuses otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;

use super::segment::{SECTOR_BYTES, SEGMENT_HEADER_BYTES, segment_path};
use super::tests::{open, payload, replayed, try_open};
use super::{Fault, Ledger, LedgerError};

/// A ledger on disk and what was acknowledged.
struct Sample {
    folder: tempfile::TempDir,
    records: Vec<(u64, Bytes)>,
}

impl Sample {
    fn new(batches: &[Vec<Bytes>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut ledger, _) = open(folder.path());
        for batch in batches {
            ledger.append(batch).unwrap();
        }
        drop(ledger);
        let records = (1..).zip(batches.iter().flatten().cloned()).collect();
        Self { folder, records }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "segment")
            })
            .collect();
        paths.sort();
        paths
    }

    /// The fault that opening refuses with.
    fn refusal(&self) -> Fault {
        match try_open(self.path()) {
            Err(LedgerError::Damaged(damage)) => damage.fault,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
}

fn end_of_data(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1)
}

fn batch(seed: u64, lengths: &[usize]) -> Vec<Bytes> {
    lengths
        .iter()
        .zip(seed..)
        .map(|(bytes, seed)| payload(seed, *bytes))
        .collect()
}

#[test]
fn every_point_at_which_the_last_batch_may_stop_keeps_the_batches_before_it() {
    let acknowledged = vec![batch(1, &[300, 20]), batch(10, &[700])];
    let last = batch(20, &[200, 900, 0, 450]);
    let sample = Sample::new(&[acknowledged.clone(), vec![last.clone()]].concat());
    let kept = &sample.records[..3];
    let path = segment_path(sample.path(), 1);
    let whole = fs::read(&path).unwrap();
    let start = end_of_data(&fs::read(segment_path(Sample::new(&acknowledged).path(), 1)).unwrap());
    let (mut torn, mut refused) = (0, 0);
    for stop in start..end_of_data(&whole) {
        let mut bytes = whole.clone();
        bytes[stop..].fill(0);
        fs::write(&path, &bytes).unwrap();
        match try_open(sample.path()) {
            Ok((mut ledger, report)) => {
                assert_eq!(replayed(&ledger, 1), kept, "stopped at {stop}");
                assert_eq!(report.torn.is_some(), stop > start, "stopped at {stop}");
                torn += 1;
                if stop % SECTOR_BYTES == 0 {
                    // What is appended now must not meet anything of what was dropped.
                    ledger.append(&batch(30, &[100, 100])).unwrap();
                    drop(ledger);
                    let (ledger, report) = open(sample.path());
                    assert_eq!((ledger.position().revision, report.torn), (5, None));
                }
            }
            // A write stops at a sector's boundary or not at all; elsewhere it may be told from damage or not.
            Err(LedgerError::Damaged(_)) => {
                assert_ne!(stop % SECTOR_BYTES, 0, "refused a stop at {stop}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(torn > 0 && refused > 0);
}

#[test]
fn any_set_of_unwritten_sectors_in_the_last_batch_drops_that_batch_and_no_other() {
    let acknowledged = vec![batch(1, &[300, 20]), batch(10, &[700])];
    // Zeros in a payload must not be taken for a sector that was never written, nor hide one.
    let last = vec![
        payload(20, 200),
        Bytes::from(vec![0; 1100]),
        payload(22, 450),
    ];
    let sample = Sample::new(&[acknowledged.clone(), vec![last]].concat());
    let path = segment_path(sample.path(), 1);
    let whole = fs::read(&path).unwrap();
    let start = end_of_data(&fs::read(segment_path(Sample::new(&acknowledged).path(), 1)).unwrap());
    let end = end_of_data(&whole);
    let sectors: Vec<usize> = (start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES)).collect();
    for lost in 1_u32..1 << sectors.len() {
        let mut bytes = whole.clone();
        for (place, sector) in sectors.iter().enumerate() {
            if lost & (1 << place) != 0 {
                bytes[(sector * SECTOR_BYTES).max(start)..((sector + 1) * SECTOR_BYTES).min(end)]
                    .fill(0);
            }
        }
        fs::write(&path, &bytes).unwrap();
        let (ledger, report) = open(sample.path());
        assert_eq!(replayed(&ledger, 1), &sample.records[..3], "lost {lost:b}");
        assert_eq!(
            report.torn.is_some(),
            bytes[start..] != vec![0; bytes.len() - start],
            "lost {lost:b}"
        );
        let now = fs::read(&path).unwrap();
        assert!(
            now[start..].iter().all(|byte| *byte == 0),
            "lost {lost:b}: the tail was not zeroed"
        );
    }
}

#[test]
fn no_flip_of_any_byte_loses_an_acknowledged_record() {
    let batches: Vec<_> = (0..6)
        .map(|seed| batch(seed * 10, &[200, 3, 0, 500]))
        .collect();
    let sample = Sample::new(&batches);
    let segments = sample.segments();
    assert!(segments.len() > 1);
    let (mut refused, mut intact) = (0, 0);
    for path in segments {
        let whole = fs::read(&path).unwrap();
        let end = end_of_data(&whole);
        // Behind the data all bytes are alike, so a few of them do.
        for at in (0..end).chain((end..whole.len()).step_by(61)) {
            let flip = [0x01, 0x80, whole[at].max(1)][at % 3];
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            match try_open(sample.path()) {
                Ok((ledger, _)) => {
                    assert_eq!(
                        replayed(&ledger, 1),
                        sample.records,
                        "{} byte {at}",
                        path.display()
                    );
                    intact += 1;
                }
                Err(LedgerError::Damaged(_)) => {
                    refused += 1;
                    assert_eq!(fs::read(&path).unwrap(), bytes, "a refusal changes nothing");
                }
                Err(other) => panic!("{other}"),
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(
        refused > 2_000 && intact > 0,
        "refused {refused}, intact {intact}"
    );
}

#[test]
fn a_flip_in_the_newest_acknowledged_batch_is_refused_with_the_place() {
    let sample = Sample::new(&[batch(1, &[2_000])]);
    let path = segment_path(sample.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[SEGMENT_HEADER_BYTES + 1_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = try_open(sample.path()).unwrap_err().to_string();
    assert!(error.contains("fails its checksum"), "{error}");
    assert!(
        error.contains("00000000000000000001.segment at byte 512"),
        "{error}"
    );
    assert!(
        error.contains("revision 1") && error.contains("restore"),
        "{error}"
    );
}

#[test]
fn an_unwritten_sector_before_other_batches_is_refused() {
    let sample = Sample::new(&[batch(1, &[700]), batch(2, &[700]), batch(3, &[100])]);
    let path = segment_path(sample.path(), 1);
    let whole = fs::read(&path).unwrap();
    for sector in 1..end_of_data(&whole) / SECTOR_BYTES {
        let mut bytes = whole.clone();
        bytes[sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES].fill(0);
        fs::write(&path, &bytes).unwrap();
        sample.refusal();
    }
}

#[test]
fn a_missing_segment_is_refused_wherever_it_was() {
    let batches: Vec<_> = (0..12).map(|seed| batch(seed, &[900])).collect();
    let sample = Sample::new(&batches);
    let segments = sample.segments();
    assert!(segments.len() > 3);
    for path in segments {
        let kept = path.with_extension("kept");
        fs::rename(&path, &kept).unwrap();
        assert!(
            matches!(sample.refusal(), Fault::SegmentMissing { .. }),
            "{}",
            path.display()
        );
        fs::rename(&kept, &path).unwrap();
    }
    open(sample.path());
}

#[test]
fn a_segment_cut_short_or_put_in_anothers_place_is_refused() {
    let batches: Vec<_> = (0..12).map(|seed| batch(seed, &[900])).collect();
    let sample = Sample::new(&batches);
    let [first, second, ..] = &sample.segments()[..] else {
        panic!("too few segments")
    };
    let (whole, other) = (fs::read(first).unwrap(), fs::read(second).unwrap());
    for length in [0, 1, 511, 512, 700, whole.len() - 1] {
        fs::write(first, &whole[..length]).unwrap();
        assert!(matches!(
            sample.refusal(),
            Fault::SegmentLength { .. } | Fault::SegmentHeader
        ));
    }
    fs::write(first, &other).unwrap();
    assert!(matches!(sample.refusal(), Fault::SegmentName { .. }));
}

#[test]
fn another_ledgers_segment_does_not_fit_into_the_chain() {
    let batches: Vec<_> = (0..12).map(|seed| batch(seed, &[900])).collect();
    let other_batches: Vec<_> = (0..12).map(|seed| batch(seed + 50, &[900])).collect();
    let (sample, other) = (Sample::new(&batches), Sample::new(&other_batches));
    let (second, foreign) = (&sample.segments()[1], &other.segments()[1]);
    fs::copy(foreign, second).unwrap();
    assert_eq!(sample.refusal(), Fault::SegmentChain);
}

#[test]
fn a_batch_left_over_from_another_revision_is_refused() {
    let sample = Sample::new(&[batch(1, &[100]), batch(2, &[100])]);
    let path = segment_path(sample.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let frame = super::frame::frame_bytes(100);
    bytes.copy_within(
        SEGMENT_HEADER_BYTES..SEGMENT_HEADER_BYTES + frame,
        SEGMENT_HEADER_BYTES + 2 * frame,
    );
    fs::write(&path, &bytes).unwrap();
    assert_eq!(sample.refusal(), Fault::Revision { found: 1 });
}

#[test]
fn a_crash_between_a_new_segment_and_the_old_ones_seal_is_mended() {
    let batches: Vec<_> = (0..5).map(|seed| batch(seed, &[900])).collect();
    let sample = Sample::new(&batches);
    let [first, second] = &sample.segments()[..] else {
        panic!("wanted two segments")
    };
    let sealed = fs::read(first).unwrap();
    let seal = end_of_data(&sealed) - super::frame::FRAME_HEADER_BYTES;
    let mut unsealed = sealed.clone();
    unsealed[seal..].fill(0);
    fs::write(first, &unsealed).unwrap();
    let mut empty = fs::read(second).unwrap();
    empty[SEGMENT_HEADER_BYTES..].fill(0);
    fs::write(second, &empty).unwrap();
    let (ledger, _) = open(sample.path());
    assert_eq!(
        replayed(&ledger, 1),
        &sample.records[..ledger.position().revision as usize]
    );
    assert_eq!(fs::read(first).unwrap(), sealed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn after_any_crash_the_ledger_ends_at_the_last_acknowledged_batch(
        lengths in prop::collection::vec(prop::collection::vec(0_usize..1200, 1..5), 1..10),
        crash in prop::collection::vec(0_usize..1200, 1..5),
        lost in any::<u64>(),
    ) {
        let acknowledged: Vec<_> = lengths.iter().zip(0..).map(|(lengths, seed)| batch(seed * 10, lengths)).collect();
        let sample = Sample::new(&acknowledged);
        // The interrupted batch goes to a copy, so that its bytes are known and can be taken away by sectors.
        let path = sample.segments().pop().unwrap();
        let before = fs::read(&path).unwrap();
        let (mut ledger, _) = open(sample.path());
        ledger.append(&batch(900, &crash)).unwrap();
        drop(ledger);
        prop_assume!(sample.segments().last() == Some(&path));
        let mut bytes = fs::read(&path).unwrap();
        let (start, end) = (end_of_data(&before), end_of_data(&bytes));
        let sectors = start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES);
        for (place, sector) in sectors.enumerate() {
            if lost & (1 << (place % 64)) != 0 {
                bytes[(sector * SECTOR_BYTES).max(start)..((sector + 1) * SECTOR_BYTES).min(end)].fill(0);
            }
        }
        fs::write(&path, &bytes).unwrap();
        let (ledger, _) = open(sample.path());
        let found = replayed(&ledger, 1);
        prop_assert_eq!(&found[..sample.records.len()], &sample.records[..]);
        let rest = found.len() - sample.records.len();
        prop_assert!(rest == 0 || rest == crash.len(), "half a batch: {}", rest);
    }
}
