//! Folders on file systems that are full, or can only be read.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::namespace;

fn settings() -> VitalsSettings {
    VitalsSettings {
        interval: Duration::from_millis(20),
        check: true,
        check_interval: Duration::from_millis(20),
    }
}

/// Watches one folder until this is true of it.
async fn until(latest: &Latest, is_it: impl Fn(&DataFolder) -> bool) -> DataFolder {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = latest.get();
        let folder = seen.as_ref().and_then(|vitals| vitals.folders.first());
        if let Some(folder) = folder.filter(|folder| is_it(folder)) {
            return folder.clone();
        }
        assert!(Instant::now() < deadline, "{seen:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_data_folder_is_seen_to_fill_and_to_become_one_that_can_only_be_read() {
    let test =
        "vitals::tests::a_data_folder_is_seen_to_fill_and_to_become_one_that_can_only_be_read";
    if !namespace::entered(test) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    namespace::mount(&root, 1024, 16);
    let latest = Arc::new(Latest::default());
    let folders = vec![("s1".parse().unwrap(), 0, root.clone())];
    let watching = tokio::spawn(watch(settings(), folders, |_| true, Arc::clone(&latest)));

    let well = until(&latest, |folder| folder.seen.check_us > 0).await;
    assert_eq!(well.trouble, "");
    assert_eq!((well.seen.bytes, well.seen.inodes), (1 << 20, 16));
    assert!(!well.seen.read_only);
    assert!(latest.get().unwrap().host.is_some());

    fs::write(root.join("blob"), vec![1; 1 << 20]).unwrap();
    let full = until(&latest, |folder| !folder.trouble.is_empty()).await;
    assert!(
        full.trouble.contains("cannot write to it: No space left"),
        "{full:?}"
    );
    assert_eq!(full.seen.available_bytes, 0);
    fs::remove_file(root.join("blob")).unwrap();
    until(&latest, |folder| folder.trouble.is_empty()).await;

    for file in 0..15 {
        fs::write(root.join(format!("{file}")), "").unwrap();
    }
    let full = until(&latest, |folder| !folder.trouble.is_empty()).await;
    assert!(full.trouble.contains("No space left"), "{full:?}");
    assert_eq!(full.seen.available_inodes, 0);

    namespace::make_read_only(&root);
    let kept = until(&latest, |folder| folder.seen.read_only).await;
    assert_eq!(kept.trouble, "its file system can only be read");
    watching.abort();
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_said_not_to_be_and_one_is_not_written_to_where_that_is_not_wanted()
 {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    let latest = Arc::new(Latest::default());
    let data = root.join("data");
    let folders = vec![("s1".parse().unwrap(), 0, data.clone())];
    let settings = VitalsSettings {
        check: false,
        ..settings()
    };
    let watching = tokio::spawn(watch(settings, folders, |_| true, Arc::clone(&latest)));
    let gone = until(&latest, |folder| !folder.trouble.is_empty()).await;
    assert!(
        gone.trouble.contains("cannot look at it: No such file"),
        "{gone:?}"
    );
    fs::create_dir(&data).unwrap();
    let modified = fs::metadata(&data).unwrap().modified().unwrap();
    until(&latest, |folder| {
        folder.trouble.is_empty() && folder.seen.bytes > 0
    })
    .await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(fs::metadata(&data).unwrap().modified().unwrap(), modified);
    watching.abort();
}

#[tokio::test]
async fn a_folder_that_nobody_uses_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    let latest = Arc::new(Latest::default());
    let folders = vec![("s1".parse().unwrap(), 0, root.clone())];
    let at_work = Arc::new(AtomicBool::new(false));
    let is_at_work = Arc::clone(&at_work);
    let is_at_work = move |_: &InstanceName| is_at_work.load(Ordering::Relaxed);
    let modified = || fs::metadata(&root).unwrap().modified().unwrap();
    let before = modified();
    let watching = watch(settings(), folders, is_at_work, Arc::clone(&latest));
    let watching = tokio::spawn(watching);
    until(&latest, |folder| folder.seen.bytes > 0).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(modified(), before);
    at_work.store(true, Ordering::Relaxed);
    until(&latest, |folder| folder.seen.check_us > 0).await;
    assert_ne!(modified(), before);
    watching.abort();
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_said_not_to_and_gets_no_second_thread() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let mut one = Watched {
        path: "/nowhere".into(),
        folder: DataFolder {
            instance: "s1".parse().unwrap(),
            index: 0,
            seen: disk::Disk::default(),
            trouble: String::new(),
        },
        hung: Some(spawn_blocking(move || {
            // Ends with the sender.
            let _ = held.recv();
            Ok(disk::Disk::default())
        })),
        check_at: Instant::now(),
    };
    one.look(None, 0, Duration::from_millis(50)).await;
    assert_eq!(one.folder.trouble, "the disk did not answer for 50ms");
    assert!(one.hangs());
    drop(release);
    one.look(None, HUNG_MAX, LOOK_TIMEOUT).await;
    assert_eq!(one.folder.trouble, "");
    let mut other = Watched { hung: None, ..one };
    other.look(None, HUNG_MAX, LOOK_TIMEOUT).await;
    assert!(other.folder.trouble.contains("while other disks"));
}
