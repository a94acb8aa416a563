//! What a view does with what a crash or a bad disk left of it: all that was written up to the position it says, or a
//! rebuild, said so.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::tests::{
    PATIENCE, copy_folder, entries, fill, key, loaded, open, position, rebuild_reason, value,
};
use super::*;

const COUNT: u64 = 400;

const ROUNDS: u64 = 5;

/// A view with some history: at position `n` every entry is of round `n`.
fn sample(path: &Path) {
    let writer = fill(path, entries(COUNT, 0), position(0))
        .into_writer(ViewWriterSettings::default())
        .unwrap();
    for round in 1..=ROUNDS {
        writer.submit(round_of_updates(round)).unwrap();
        writer.flush(PATIENCE).unwrap();
    }
    writer.close(PATIENCE).unwrap();
}

fn round_of_updates(round: u64) -> ViewUpdate {
    ViewUpdate {
        upserts: (0..COUNT).map(|at| (key(at), value(at, round))).collect(),
        deletes: Vec::new(),
        position: position(round),
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Opens a damaged copy: it must hold exactly what belongs to the position it says, or need a rebuild, and then a
/// rebuild must work. sled may take damage for an interrupted write and go back; the ledger's tail makes up for that.
fn check(path: &Path, damage: &str) -> Option<RebuildReason> {
    match open(path) {
        ViewOpen::Loaded {
            entries: found,
            position: at,
            ..
        } => {
            assert!(
                at.revision <= ROUNDS && at == position(at.revision),
                "{damage}: {at:?}"
            );
            assert!(
                found == entries(COUNT, at.revision),
                "{damage}: {} entries at {at:?}",
                found.len()
            );
            None
        }
        ViewOpen::RebuildNeeded { view, reason } => {
            drop(view.fill(entries(COUNT, ROUNDS), position(ROUNDS)).unwrap());
            let (_, found, at) = loaded(path);
            assert!(
                found == entries(COUNT, ROUNDS) && at == position(ROUNDS),
                "{damage}: the rebuild failed"
            );
            Some(reason)
        }
    }
}

/// A view to take damaged copies of.
struct Sample {
    folder: tempfile::TempDir,
    original: PathBuf,
}

impl Sample {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("original");
        sample(&original);
        Self { folder, original }
    }

    /// Does `damage` to a copy of `file` in a copy of the view, and checks what comes out; true if it was made again.
    fn damaged(&self, file: &Path, what: &str, damage: impl FnOnce(&Path)) -> bool {
        let name = file.strip_prefix(&self.original).unwrap();
        let copies = self.folder.path().join("copies");
        let copy = copies.join("view");
        copy_folder(&self.original, &copy);
        damage(&copy.join(name));
        let reason = check(&copy, &format!("{} {what}", name.display()));
        fs::remove_dir_all(copies).unwrap();
        reason.is_some()
    }
}

#[test]
fn a_view_cut_short_anywhere_is_whole_or_made_again() {
    let sample = Sample::new();
    let mut made_again = 0;
    for file in files_in(&sample.original) {
        let length = fs::metadata(&file).unwrap().len();
        for part in 0..20 {
            let length_kept = length * part / 20 + u64::from(part == 1);
            let cut = |path: &Path| {
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(length_kept).unwrap();
            };
            let what = format!("cut to {length_kept} of {length}");
            made_again += u32::from(sample.damaged(&file, &what, cut));
        }
    }
    assert!(made_again > 20, "{made_again}");
}

#[test]
fn a_view_with_a_file_missing_is_made_again() {
    let sample = Sample::new();
    for file in files_in(&sample.original) {
        sample.damaged(&file, "removed", |path| fs::remove_file(path).unwrap());
    }
    let path = &sample.original;
    fs::remove_dir_all(path).unwrap();
    assert_eq!(rebuild_reason(path), RebuildReason::Missing);
    fs::create_dir(path).unwrap();
    assert_eq!(rebuild_reason(path), RebuildReason::MetaMissing);
    fs::write(path, "a file").unwrap();
    check(path, "a file instead of a folder").unwrap();
}

#[test]
fn a_view_with_any_byte_changed_is_whole_or_made_again() {
    let sample = Sample::new();
    let mut random = StdRng::seed_from_u64(1);
    let mut made_again = 0;
    for file in files_in(&sample.original) {
        let bytes = fs::read(&file).unwrap();
        let data: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for case in 0..130 {
            // Mostly where there is data: most of a database is empty space.
            let at = match case % 8 {
                0 => random.random_range(0..bytes.len()),
                _ => data[random.random_range(0..data.len())],
            };
            let mut changed = bytes.clone();
            changed[at] ^= 1 << random.random_range(0..8);
            let flip = |path: &Path| fs::write(path, changed).unwrap();
            made_again += u32::from(sample.damaged(&file, &format!("flipped at {at}"), flip));
        }
    }
    assert!(made_again > 100, "{made_again}");
}

#[test]
fn copies_taken_while_the_view_is_written_stand_for_a_position_or_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view");
    let settings = ViewWriterSettings {
        collect_for: Duration::ZERO,
        ..Default::default()
    };
    let writer = fill(&path, entries(COUNT, 0), position(0))
        .into_writer(settings)
        .unwrap();
    let mut usable = 0;
    for round in 1..=120 {
        writer.submit(round_of_updates(round)).unwrap();
        if round % 10 == 0 {
            let copy = folder.path().join(format!("copy-{round}"));
            copy_folder(&path, &copy);
            if let ViewOpen::Loaded {
                entries: found,
                position: at,
                ..
            } = open(&copy)
            {
                assert!(at.revision <= round);
                assert!(
                    found == entries(COUNT, at.revision),
                    "at revision {}",
                    at.revision
                );
                usable += 1;
            }
        }
    }
    writer.close(PATIENCE).unwrap();
    assert!(usable > 0);
    assert_eq!(loaded(&path).1, entries(COUNT, 120));
}

const CHILD_FOLDER: &str = "EVENKEEL_TEST_VIEW_FOLDER";

#[test]
#[ignore = "runs as a child of the test below"]
fn child_that_writes_until_it_is_killed() {
    let path = PathBuf::from(std::env::var_os(CHILD_FOLDER).expect("the parent says where"));
    let settings = ViewWriterSettings {
        collect_for: Duration::ZERO,
        ..Default::default()
    };
    let writer = fill(&path, entries(COUNT, 0), position(0))
        .into_writer(settings)
        .unwrap();
    for round in 1.. {
        writer.submit(round_of_updates(round)).unwrap();
        let written = writer.flush(PATIENCE).unwrap();
        println!("\nwritten {}", written.revision);
    }
}

#[test]
fn a_killed_process_leaves_what_it_had_flushed() {
    for kill_after in [1, 2, 5, 9, 14, 20] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("view");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "view::damage_tests::child_that_writes_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_FOLDER, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut written = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(revision) = line.unwrap().strip_prefix("written ") {
                written = revision.parse().unwrap();
            }
            assert!(Instant::now() < deadline, "the child is too slow");
            if written >= kill_after {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        assert!(written >= kill_after, "the child ended by itself");
        let (_, found, at) = loaded(&path);
        assert!(
            at.revision >= written,
            "flushed {written}, found {}",
            at.revision
        );
        assert!(
            found == entries(COUNT, at.revision),
            "at revision {}",
            at.revision
        );
    }
}

#[test]
fn whatever_was_interrupted_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    for (file, reason) in [
        ("view.rebuilding", RebuildReason::RebuildInterrupted),
        ("view.opening", RebuildReason::OpenInterrupted),
        (
            "view/snap.00000000000000A1.generating",
            RebuildReason::SnapshotInterrupted,
        ),
    ] {
        let path = folder.path().join("view");
        sample(&path);
        fs::write(folder.path().join(file), "").unwrap();
        assert_eq!(check(&path, file), Some(reason));
        fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn of_views_set_aside_the_latest_two_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view");
    for round in 1..=4 {
        let view = fill(&path, entries(3, round), position(round));
        drop(
            view.discard(&RebuildReason::Disagrees { revision: round })
                .unwrap(),
        );
    }
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["view.damaged-3", "view.damaged-4", "view.lock"]);
    assert_eq!(
        loaded(&folder.path().join("view.damaged-4")).1,
        entries(3, 4)
    );
}
