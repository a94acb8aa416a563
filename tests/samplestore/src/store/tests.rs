//! The store across restarts, crashes, damage and releases.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;

use super::{LogError, OpenError, Store};
use crate::limits::WASTE_BYTES_MIN;
use crate::release::{V1_0_0, V1_1_0, V2_0_0};
use crate::{Key, Release, Stamp};

fn key(number: usize) -> Key {
    format!("key-{number}").parse().unwrap()
}

fn stamp(counter: u64) -> Stamp {
    Stamp { counter, nonce: 0 }
}

fn log(directory: &TempDir) -> PathBuf {
    directory.path().join("blobs.log")
}

/// Opens what another store of this process may be about to close: its thread ends a moment after the store.
fn open(directory: &Path, release: &'static Release) -> Result<Store, OpenError> {
    let begun = Instant::now();
    loop {
        match Store::open(directory, release) {
            Err(OpenError::InUse) if begun.elapsed() < Duration::from_secs(5) => {
                std::thread::yield_now()
            }
            result => return result,
        }
    }
}

async fn write(directory: &TempDir, release: &'static Release, keys: std::ops::Range<usize>) {
    let store = open(directory.path(), release).unwrap();
    for number in keys {
        store
            .append(key(number), stamp(1), Bytes::from(format!("blob {number}")))
            .await
            .unwrap();
    }
}

/// How many of the keys from 0 on are there, in order and whole; there may be no other.
fn count(store: &Store) -> usize {
    let page = store.page(None, usize::MAX);
    for number in 0..page.len() {
        let blob = store.read(&key(number)).unwrap().unwrap();
        assert_eq!(blob.bytes, format!("blob {number}"));
    }
    page.len()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = TempDir::new().unwrap();
    write(&directory, &V1_0_0, 0..20).await;
    assert_eq!(count(&open(directory.path(), &V1_0_0).unwrap()), 20);
}

#[tokio::test]
async fn an_older_value_never_replaces_a_newer_one() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), &V1_0_0).unwrap();
    for (counter, text) in [(2, "new"), (1, "old"), (2, "again")] {
        store
            .append(key(0), stamp(counter), Bytes::from(text))
            .await
            .unwrap();
    }
    drop(store);
    let blob = open(directory.path(), &V1_0_0)
        .unwrap()
        .read(&key(0))
        .unwrap()
        .unwrap();
    assert_eq!((blob.stamp, &blob.bytes[..]), (stamp(2), &b"new"[..]));
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_dropped_and_the_rest_is_kept() {
    for release in [&V1_0_0, &V2_0_0] {
        let directory = TempDir::new().unwrap();
        write(&directory, release, 0..2).await;
        let two = fs::read(log(&directory)).unwrap().len();
        write(&directory, release, 2..3).await;
        let whole = fs::read(log(&directory)).unwrap();
        for end in two..whole.len() {
            fs::write(log(&directory), &whole[..end]).unwrap();
            assert_eq!(
                count(&open(directory.path(), release).unwrap()),
                2,
                "cut at {end}"
            );
            assert_eq!(
                fs::read(log(&directory)).unwrap().len(),
                two,
                "cut at {end}"
            );
        }
        write(&directory, release, 2..4).await;
        assert_eq!(count(&open(directory.path(), release).unwrap()), 4);
    }
}

#[tokio::test]
async fn damage_before_the_end_stops_the_start() {
    let directory = TempDir::new().unwrap();
    write(&directory, &V1_0_0, 0..3).await;
    let whole = fs::read(log(&directory)).unwrap();
    let last_record = 9 + (whole.len() - 9) / 3 * 2;
    for at in 9..last_record {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(log(&directory), &damaged).unwrap();
        let error = open(directory.path(), &V1_0_0).unwrap_err();
        assert!(
            matches!(error, OpenError::Log(LogError::Damaged { .. })),
            "byte {at}: {error:?}"
        );
        assert_eq!(
            fs::read(log(&directory)).unwrap(),
            damaged,
            "it was changed"
        );
    }
    fs::write(log(&directory), "something else").unwrap();
    let error = open(directory.path(), &V1_0_0).unwrap_err();
    assert!(
        matches!(error, OpenError::Log(LogError::NotALog)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_copy_stays_established_until_its_log_is_gone() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), &V1_0_0).unwrap();
    assert!(!store.is_established());
    store.establish().unwrap();
    drop(store);
    assert!(open(directory.path(), &V1_0_0).unwrap().is_established());
    fs::remove_file(log(&directory)).unwrap();
    assert!(!open(directory.path(), &V1_0_0).unwrap().is_established());
}

#[test]
fn a_data_directory_belongs_to_one_store_at_a_time() {
    let directory = TempDir::new().unwrap();
    let _first = Store::open(directory.path(), &V1_0_0).unwrap();
    assert!(matches!(
        Store::open(directory.path(), &V1_0_0),
        Err(OpenError::InUse)
    ));
}

#[tokio::test]
async fn overwritten_values_do_not_fill_the_disk() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), &V2_0_0).unwrap();
    let blob = Bytes::from(vec![7; 1 << 20]);
    for counter in 1..40 {
        store
            .append(key(0), stamp(counter), blob.clone())
            .await
            .unwrap();
    }
    assert!(fs::metadata(log(&directory)).unwrap().len() < WASTE_BYTES_MIN + (3 << 20));
    assert_eq!(store.read(&key(0)).unwrap().unwrap().stamp, stamp(39));
    drop(store);
    assert_eq!(
        open(directory.path(), &V2_0_0)
            .unwrap()
            .read(&key(0))
            .unwrap()
            .unwrap()
            .bytes,
        blob
    );
}

#[tokio::test]
async fn data_goes_up_and_down_through_the_releases_step_by_step() {
    let directory = TempDir::new().unwrap();
    let path = [
        &V1_0_0, &V1_1_0, &V1_0_0, &V1_1_0, &V2_0_0, &V1_1_0, &V2_0_0, &V1_1_0, &V1_0_0,
    ];
    for (step, release) in path.into_iter().enumerate() {
        assert_eq!(
            count(&open(directory.path(), release).unwrap()),
            step,
            "before step {step}"
        );
        write(&directory, release, step..step + 1).await;
    }
    assert_eq!(count(&open(directory.path(), &V1_0_0).unwrap()), 9);
}

#[tokio::test]
async fn release_2_refuses_data_that_release_1_0_opened_last() {
    let directory = TempDir::new().unwrap();
    write(&directory, &V1_1_0, 0..1).await;
    write(&directory, &V1_0_0, 1..2).await;
    let error = open(directory.path(), &V2_0_0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the data was last opened by samplestore 1.0.0 and is not ready for storage format 2, which samplestore 2.0.0 \
         writes: run samplestore 1.1 on it first"
    );
    assert_eq!(count(&open(directory.path(), &V1_0_0).unwrap()), 2);
}

#[tokio::test]
async fn release_1_0_refuses_data_of_release_2() {
    let directory = TempDir::new().unwrap();
    write(&directory, &V2_0_0, 0..1).await;
    let error = open(directory.path(), &V1_0_0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the data is in storage format 2 (last opened by samplestore 2.0.0), which samplestore 1.0.0 cannot read"
    );
    assert_eq!(count(&open(directory.path(), &V2_0_0).unwrap()), 1);
}
