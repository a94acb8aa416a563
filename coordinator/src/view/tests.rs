//! What a view promises when nothing is damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ledger::local::{LocalLedger, LocalLedgerSettings};
use crate::ledger::{ChainHash, Ledger};

pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn position(revision: u64) -> Position {
    Position {
        revision,
        hash: ChainHash::from_bytes([revision as u8; 32]),
    }
}

pub(super) fn entries(count: u64, round: u64) -> Entries {
    (0..count).map(|at| (key(at), value(at, round))).collect()
}

pub(super) fn key(at: u64) -> Bytes {
    format!("instance/{at:06}").into()
}

pub(super) fn value(at: u64, round: u64) -> Bytes {
    format!("{at} in round {round}: {}", "x".repeat((at % 90) as usize)).into()
}

/// Opens the view. A process that another test has just begun to start may hold the lock for a moment: until it is
/// replaced, it has all that this process has open.
pub(super) fn open(folder: &Path) -> ViewOpen {
    let settings = ViewSettings {
        patience: PATIENCE,
        ..ViewSettings::new(folder)
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match View::open(&settings) {
            Err(ViewError::InUse { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            result => return result.unwrap(),
        }
    }
}

pub(super) fn fill(folder: &Path, entries: Entries, position: Position) -> View {
    match open(folder) {
        ViewOpen::RebuildNeeded { view, .. } => view.fill(entries, position).unwrap(),
        ViewOpen::Loaded { .. } => panic!("expected no view yet"),
    }
}

pub(super) fn loaded(folder: &Path) -> (View, Entries, Position) {
    match open(folder) {
        ViewOpen::Loaded {
            view,
            entries,
            position,
        } => (view, entries, position),
        ViewOpen::RebuildNeeded { reason, .. } => panic!("expected a whole view: {reason}"),
    }
}

pub(super) fn rebuild_reason(folder: &Path) -> RebuildReason {
    match open(folder) {
        ViewOpen::RebuildNeeded { reason, .. } => reason,
        ViewOpen::Loaded { .. } => panic!("expected that a rebuild is needed"),
    }
}

fn update(revision: u64, upserts: &[(u64, u64)], deletes: &[u64]) -> ViewUpdate {
    ViewUpdate {
        upserts: upserts
            .iter()
            .map(|(at, round)| (key(*at), value(*at, *round)))
            .collect(),
        deletes: deletes.iter().copied().map(key).collect(),
        position: position(revision),
    }
}

#[test]
fn the_first_opening_asks_for_a_rebuild_and_then_the_content_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view");
    assert_eq!(rebuild_reason(&path), RebuildReason::Missing);
    let view = fill(&path, entries(25_000, 1), position(7));
    assert_eq!(view.position(), position(7));
    drop(view);
    let (_, found, at) = loaded(&path);
    assert_eq!((found, at), (entries(25_000, 1), position(7)));
}

#[test]
fn a_view_of_nothing_is_a_view() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view");
    drop(fill(&path, Entries::new(), position(0)));
    let (_, found, at) = loaded(&path);
    assert_eq!((found, at), (Entries::new(), position(0)));
}

#[test]
fn updates_are_there_after_reopening_with_their_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view");
    let view = fill(&path, entries(100, 1), position(1));
    let writer = view.into_writer(ViewWriterSettings::default()).unwrap();
    writer
        .submit(update(2, &[(3, 2), (500, 2)], &[4, 5, 9_999]))
        .unwrap();
    assert_eq!(writer.flush(PATIENCE).unwrap(), position(2));
    writer.submit(update(3, &[(5, 3)], &[500])).unwrap();
    writer.submit(update(9, &[], &[])).unwrap();
    assert_eq!(writer.close(PATIENCE).unwrap(), position(9));

    let mut expected = entries(100, 1);
    expected.insert(key(3), value(3, 2));
    expected.insert(key(5), value(5, 3));
    expected.remove(&key(4));
    let (_, found, at) = loaded(&path);
    assert_eq!((found, at), (expected, position(9)));
}

#[test]
fn a_flushed_update_survives_without_closing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("view"), folder.path().join("copy"));
    let writer = fill(&path, entries(10, 1), position(1))
        .into_writer(ViewWriterSettings::default())
        .unwrap();
    writer.submit(update(2, &[(3, 2)], &[])).unwrap();
    writer.flush(PATIENCE).unwrap();
    copy_folder(&path, &copy);
    let (_, found, at) = loaded(&copy);
    assert_eq!(at, position(2));
    assert_eq!(found[&key(3)], value(3, 2));
}

#[test]
fn a_burst_is_collected_and_its_last_change_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view");
    let settings = ViewWriterSettings {
        collect_for: Duration::from_secs(3_600),
        ..Default::default()
    };
    let writer = fill(&path, Entries::new(), position(0))
        .into_writer(settings)
        .unwrap();
    for revision in 1..=1_000 {
        writer
            .submit(update(revision, &[(revision % 3, revision)], &[]))
            .unwrap();
    }
    let health = writer.health();
    assert_eq!((health.waiting_changes, health.written), (3, position(0)));
    assert!(health.failure.is_none());
    assert_eq!(writer.close(PATIENCE).unwrap(), position(1_000));
    let expected: Entries = [(0, 999), (1, 1_000), (2, 998)]
        .map(|(at, round)| (key(at), value(at, round)))
        .into();
    assert_eq!(loaded(&path).1, expected);
}

#[test]
fn enough_changes_end_the_collecting() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ViewWriterSettings {
        collect_for: Duration::from_secs(3_600),
        collect_changes: 2,
    };
    let view = fill(&folder.path().join("view"), Entries::new(), position(0));
    let writer = view.into_writer(settings).unwrap();
    writer.submit(update(1, &[(1, 1), (2, 1)], &[])).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while writer.health().written != position(1) {
        assert!(Instant::now() < deadline, "{:?}", writer.health());
        std::thread::yield_now();
    }
}

#[test]
fn an_update_that_cannot_be_taken_gives_the_view_up_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view");
    let writer = fill(&path, entries(5, 1), position(5))
        .into_writer(ViewWriterSettings::default())
        .unwrap();
    let error = writer.submit(update(5, &[(1, 2)], &[])).unwrap_err();
    let ViewError::GivenUp { cause } = error else {
        panic!("{error}")
    };
    assert!(
        matches!(
            *cause,
            ViewError::OutOfOrder {
                revision: 5,
                after: 5
            }
        ),
        "{cause}"
    );
    let error = writer.submit(update(6, &[(1, 2)], &[])).unwrap_err();
    assert!(matches!(error, ViewError::GivenUp { .. }), "{error}");
    let failure = writer.health().failure.unwrap();
    assert!(std::sync::Arc::ptr_eq(&failure, &cause), "{failure}");
    assert!(matches!(
        writer.flush(PATIENCE).unwrap_err(),
        ViewError::GivenUp { .. }
    ));
    assert!(matches!(
        writer.close(PATIENCE).unwrap_err(),
        ViewError::GivenUp { .. }
    ));
    copy_folder(&path, &folder.path().join("copy"));
    assert_eq!(loaded(&folder.path().join("copy")).1, entries(5, 1));
}

#[test]
fn a_failure_of_the_thread_is_told_and_ends_the_writing() {
    let folder = tempfile::tempdir().unwrap();
    let view = fill(&folder.path().join("view"), entries(5, 1), position(5));
    view.store.damage_for_test(&key(3));
    let writer = view.into_writer(ViewWriterSettings::default()).unwrap();
    writer.submit(update(6, &[(3, 2)], &[])).unwrap();
    let is_told = |result: Result<Position, ViewError>| matches!(result, Err(ViewError::GivenUp { cause }) if matches!(*cause, ViewError::EntryInvalid));
    assert!(is_told(writer.flush(PATIENCE)));
    assert!(is_told(
        writer.submit(update(7, &[], &[])).map(|()| position(7))
    ));
    assert_eq!(writer.health().written, position(5));
    assert!(is_told(writer.close(PATIENCE)));
}

#[test]
fn keys_and_values_over_the_limit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (key_bytes, value_bytes) in [(0, 1), (KEY_BYTES_MAX + 1, 1), (1, VALUE_BYTES_MAX + 1)] {
        let entries = Entries::from([(vec![1; key_bytes].into(), vec![1; value_bytes].into())]);
        let ViewOpen::RebuildNeeded { view, .. } = open(&folder.path().join("view")) else {
            panic!("no view yet")
        };
        let error = view.fill(entries, position(1)).unwrap_err();
        assert!(matches!(error, ViewError::EntryTooLarge { .. }), "{error}");
    }
    let largest = Entries::from([(
        vec![1; KEY_BYTES_MAX].into(),
        vec![1; VALUE_BYTES_MAX].into(),
    )]);
    let path = folder.path().join("largest");
    drop(fill(&path, largest.clone(), position(1)));
    assert_eq!(loaded(&path).1, largest);
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view");
    let view = fill(&path, entries(5, 1), position(5));
    let error = View::open(&ViewSettings::new(&path)).unwrap_err();
    assert!(matches!(error, ViewError::InUse { .. }), "{error}");
    drop(view);
    assert_eq!(loaded(&path).1, entries(5, 1));
}

#[test]
fn the_folder_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view");
    drop(fill(&path, entries(5, 1), position(5)));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn beside_its_ledger_a_view_is_usable_or_made_again_or_proof_of_a_loss() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) =
        LocalLedger::open(LocalLedgerSettings::new(folder.path(), "test")).unwrap();
    let genesis = ledger.genesis();
    let first = ledger.append(&[Bytes::from_static(b"one")]).unwrap();
    let second = ledger.append(&[Bytes::from_static(b"two")]).unwrap();
    for (view, expected) in [
        (genesis, Reconciliation::Usable { replay_from: 1 }),
        (first, Reconciliation::Usable { replay_from: 2 }),
        (second, Reconciliation::Usable { replay_from: 3 }),
        (
            Position {
                hash: second.hash,
                ..first
            },
            Reconciliation::Rebuild(RebuildReason::Disagrees { revision: 1 }),
        ),
        (
            Position {
                revision: 3,
                ..second
            },
            Reconciliation::LedgerLostRecords {
                ledger_revision: 2,
                view_revision: 3,
            },
        ),
    ] {
        assert_eq!(reconcile(view, &ledger).unwrap(), expected);
    }
}

/// Copies a database as a crash would leave it: without asking the one who writes it.
pub(super) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            // sled renames its snapshots while it runs.
            match fs::copy(entry.path(), target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_updates_end_in_what_a_map_would_hold(
        steps in prop::collection::vec(prop::collection::vec((0_u64..40, any::<Option<u16>>()), 0..30), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("view");
        let settings = ViewWriterSettings { collect_changes: 5, ..Default::default() };
        let writer = fill(&path, Entries::new(), position(0)).into_writer(settings).unwrap();
        let mut expected = Entries::new();
        for (step, revision) in steps.iter().zip(1..) {
            let changes: std::collections::BTreeMap<_, _> = step.iter().copied().collect();
            let mut update = update(revision, &[], &[]);
            for (at, change) in changes {
                match change {
                    Some(round) => {
                        update.upserts.push((key(at), value(at, u64::from(round))));
                        expected.insert(key(at), value(at, u64::from(round)));
                    }
                    None => {
                        update.deletes.push(key(at));
                        expected.remove(&key(at));
                    }
                }
            }
            writer.submit(update).unwrap();
        }
        prop_assert_eq!(writer.close(PATIENCE).unwrap(), position(steps.len() as u64));
        prop_assert_eq!(loaded(&path).1, expected);
    }
}
