//! What a ledger promises when nothing is damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::local::{LocalLedger, LocalLedgerSettings, OpenReport, SEGMENT_BYTES_MIN};
use super::{Ledger, LedgerError, PAYLOAD_BYTES_MAX, Position};

pub(super) fn settings(folder: &Path) -> LocalLedgerSettings {
    LocalLedgerSettings {
        segment_bytes: SEGMENT_BYTES_MIN,
        ..LocalLedgerSettings::new(folder, "test")
    }
}

/// Opens the ledger. A process that another test has just begun to start may hold the lock for a moment: until it is
/// replaced, it has all that this process has open.
pub(super) fn try_open(folder: &Path) -> Result<(LocalLedger, OpenReport), LedgerError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match LocalLedger::open(settings(folder)) {
            Err(LedgerError::InUse { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            result => return result,
        }
    }
}

pub(super) fn open(folder: &Path) -> (LocalLedger, OpenReport) {
    try_open(folder).unwrap()
}

pub(super) fn payload(seed: u64, bytes: usize) -> Bytes {
    (0..bytes)
        .map(|at| (seed as usize * 31 + at * 7) as u8)
        .collect()
}

pub(super) fn replayed(ledger: &LocalLedger, from_revision: u64) -> Vec<(u64, Bytes)> {
    ledger
        .replay(from_revision)
        .unwrap()
        .map(|record| {
            record
                .map(|record| (record.position.revision, record.payload))
                .unwrap()
        })
        .collect()
}

fn numbered(payloads: &[Bytes]) -> Vec<(u64, Bytes)> {
    (1..).zip(payloads.iter().cloned()).collect()
}

#[test]
fn what_was_appended_is_replayed_in_order_and_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let payloads: Vec<_> = (0..20)
        .map(|seed| payload(seed, seed as usize * 13))
        .collect();
    let (mut ledger, report) = open(folder.path());
    assert!(report.created);
    assert_eq!(ledger.position().revision, 0);
    let first = ledger.append(&payloads[..1]).unwrap();
    let last = ledger.append(&payloads[1..]).unwrap();
    assert_eq!((first.revision, last.revision), (1, 20));
    assert_eq!(replayed(&ledger, 0), numbered(&payloads));
    drop(ledger);

    let (ledger, report) = open(folder.path());
    assert!(!report.created && report.torn.is_none());
    assert_eq!(ledger.position(), last);
    assert_eq!(replayed(&ledger, 1), numbered(&payloads));
    assert_eq!(replayed(&ledger, 18), numbered(&payloads)[17..]);
    assert_eq!(replayed(&ledger, 21), []);
}

#[test]
fn the_chain_has_a_digest_at_every_revision_and_none_beyond() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    let appended: Vec<Position> = (0..60)
        .map(|seed| ledger.append(&[payload(seed, 100)]).unwrap())
        .collect();
    for position in &appended {
        assert_eq!(
            ledger.hash_at(position.revision).unwrap(),
            Some(position.hash)
        );
    }
    assert_eq!(ledger.hash_at(0).unwrap(), Some(ledger.genesis().hash));
    assert_eq!(ledger.hash_at(61).unwrap(), None);
}

#[test]
fn equal_payloads_in_two_clusters_have_different_digests() {
    let folder = tempfile::tempdir().unwrap();
    let append = |name: &str| {
        let settings = LocalLedgerSettings {
            cluster: name.to_owned(),
            ..settings(&folder.path().join(name))
        };
        LocalLedger::open(settings)
            .unwrap()
            .0
            .append(&[payload(1, 10)])
            .unwrap()
    };
    assert_ne!(append("one").hash, append("two").hash);
}

#[test]
fn segments_rotate_and_a_batch_larger_than_a_segment_gets_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    let mut payloads = Vec::new();
    for seed in 0..100 {
        let batch: Vec<_> = (0..3).map(|part| payload(seed * 3 + part, 150)).collect();
        ledger.append(&batch).unwrap();
        payloads.extend(batch);
    }
    let large: Vec<_> = (0..4).map(|seed| payload(seed, 5_000)).collect();
    ledger.append(&large).unwrap();
    payloads.extend(large);
    ledger.append(&[payload(7, 1)]).unwrap();
    payloads.push(payload(7, 1));
    drop(ledger);

    let (ledger, report) = open(folder.path());
    assert!(report.segments > 10, "{report:?}");
    assert_eq!(replayed(&ledger, 1), numbered(&payloads));
    let from = payloads.len() as u64 - 3;
    assert_eq!(
        replayed(&ledger, from),
        numbered(&payloads)[from as usize - 1..]
    );
}

#[test]
fn an_empty_batch_changes_nothing_and_an_empty_payload_is_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    assert_eq!(ledger.append(&[]).unwrap(), ledger.genesis());
    assert_eq!(ledger.append(&[Bytes::new()]).unwrap().revision, 1);
    drop(ledger);
    assert_eq!(replayed(&open(folder.path()).0, 1), [(1, Bytes::new())]);
}

#[test]
fn payloads_and_batches_over_the_limit_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    let largest = Bytes::from(vec![1; PAYLOAD_BYTES_MAX]);
    let larger = Bytes::from(vec![1; PAYLOAD_BYTES_MAX + 1]);
    let error = ledger.append(&[largest.clone(), larger]).unwrap_err();
    assert!(
        matches!(error, LedgerError::RecordTooLarge { index: 1, .. }),
        "{error}"
    );
    let error = ledger.append(&vec![largest.clone(); 16]).unwrap_err();
    assert!(
        matches!(error, LedgerError::BatchTooLarge { .. }),
        "{error}"
    );
    assert_eq!(ledger.position().revision, 0);
    assert_eq!(
        ledger
            .append(std::slice::from_ref(&largest))
            .unwrap()
            .revision,
        1
    );
    drop(ledger);
    assert_eq!(replayed(&open(folder.path()).0, 1), [(1, largest)]);
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path());
    let error = LocalLedger::open(settings(folder.path())).unwrap_err();
    assert!(matches!(error, LedgerError::InUse { .. }), "{error}");
    drop(ledger);
    open(folder.path());
}

#[test]
fn another_cluster_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    let other = LocalLedgerSettings {
        cluster: "other".to_owned(),
        ..settings(folder.path())
    };
    let error = LocalLedger::open(other).unwrap_err();
    assert!(matches!(error, LedgerError::WrongCluster { .. }), "{error}");
}

#[test]
fn a_ledger_that_must_be_there_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let must_exist = LocalLedgerSettings {
        may_create: false,
        ..settings(folder.path())
    };
    for _ in 0..2 {
        let error = LocalLedger::open(must_exist.clone()).unwrap_err();
        assert!(matches!(error, LedgerError::Missing { .. }), "{error}");
    }
    open(folder.path());
    assert!(!LocalLedger::open(must_exist).unwrap().1.created);
}

#[test]
fn settings_outside_their_range_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        LocalLedgerSettings {
            segment_bytes: SEGMENT_BYTES_MIN - 1,
            ..settings(folder.path())
        },
        LocalLedgerSettings {
            cluster: String::new(),
            ..settings(folder.path())
        },
        LocalLedgerSettings {
            cluster: "x".repeat(256),
            ..settings(folder.path())
        },
    ] {
        let error = LocalLedger::open(wrong).unwrap_err();
        assert!(matches!(error, LedgerError::Setting { .. }), "{error}");
    }
}

#[test]
fn folder_and_files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state").join("ledger");
    open(&path).0.append(&[payload(1, 10)]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn after_a_failed_write_nothing_more_is_accepted_until_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    ledger.append(&[payload(1, 10)]).unwrap();
    ledger.fail_writes_for_test();
    assert!(matches!(
        ledger.append(&[payload(2, 10)]).unwrap_err(),
        LedgerError::Io { .. }
    ));
    assert!(matches!(
        ledger.append(&[payload(3, 10)]).unwrap_err(),
        LedgerError::Poisoned
    ));
    assert_eq!(ledger.position().revision, 1);
    drop(ledger);
    let (mut ledger, _) = open(folder.path());
    assert_eq!(ledger.append(&[payload(4, 10)]).unwrap().revision, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_batches_in_any_segment_length_come_back(
        batches in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 1..6), 1..10),
        segment_bytes in SEGMENT_BYTES_MIN..20_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let settings = LocalLedgerSettings { segment_bytes, ..settings(folder.path()) };
        let mut payloads = Vec::new();
        for batch in &batches {
            let (mut ledger, report) = LocalLedger::open(settings.clone()).unwrap();
            prop_assert!(report.torn.is_none());
            let batch: Vec<Bytes> = batch.iter().cloned().map(Bytes::from).collect();
            payloads.extend(batch.iter().cloned());
            let end = ledger.append(&batch).unwrap();
            prop_assert_eq!(end.revision, payloads.len() as u64);
        }
        let (ledger, _) = LocalLedger::open(settings).unwrap();
        prop_assert_eq!(replayed(&ledger, 1), numbered(&payloads));
    }
}
