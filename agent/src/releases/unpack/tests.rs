//! Trees that are written, and folders that change while they are.

use std::{os::unix::fs::symlink, thread};

use evenkeel_common::{archive::Nowhere, manifest::ArchiveFormat, platform};

use super::*;
use crate::namespace;

struct Place {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        Self { _dir: dir, root }
    }

    /// Packs a tree with `bin/store`, some text, and as many more files as this.
    fn pack(&self, more: u32) -> (File, u64) {
        let path = self.root.join("packed");
        let packed = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut tar = tar::Builder::new(packed);
        let mut add = |name: &str, mode: u32, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_mode(mode);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        };
        let mut program = fs::read(std::env::current_exe().unwrap()).unwrap();
        program.truncate(100_000);
        add("bin/store", 0o777, &program);
        add("share/doc/README", 0o666, b"read me");
        for n in 0..more {
            add(&format!("share/more/{n}"), 0o644, &[7; 100_000]);
        }
        for (kind, name, target) in [
            (tar::EntryType::Symlink, "doc", "share/doc"),
            (tar::EntryType::Link, "bin/store-too", "bin/store"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o777);
            header.set_size(0);
            tar.append_link(&mut header, name, target).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let file = File::open(&path).unwrap();
        let size_bytes = file.metadata().unwrap().len();
        (file, size_bytes)
    }
}

fn with<T>(size_bytes: u64, act: impl FnOnce(&Expected<'_>) -> T) -> T {
    let executable = "bin/store".parse().unwrap();
    act(&Expected {
        format: ArchiveFormat::TarGz,
        size_bytes,
        executable: &executable,
        platform: platform::current(),
        unpacked_bytes: None,
    })
}

#[test]
fn a_tree_is_there_as_it_was_packed_for_its_owner_alone() {
    let place = Place::new();
    let (archive, size) = place.pack(1);
    let folder = place.root.join("new");
    let contents = with(size, |expected| unpack(&archive, expected, &folder)).unwrap();
    let seen = with(size, |expected| {
        (&archive).rewind().unwrap();
        archive::read(&archive, expected, &mut Nowhere)
    });
    assert_eq!(contents, seen.unwrap());
    let mode = |path: &str| {
        let metadata = folder.join(path).symlink_metadata().unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!((mode(""), mode("share/doc")), (0o700, 0o700));
    assert_eq!(
        (mode("bin/store"), mode("share/doc/README")),
        (0o700, 0o600)
    );
    assert_eq!(fs::read(folder.join("doc/README")).unwrap(), b"read me");
    assert_eq!(folder.join("doc").read_link_utf8().unwrap(), "share/doc");
    let ids = ["bin/store", "bin/store-too"].map(|name| {
        use std::os::unix::fs::MetadataExt as _;
        folder.join(name).metadata().unwrap().ino()
    });
    assert_eq!(ids[0], ids[1]);
    // Into what is there, nothing is unpacked.
    with(size, |expected| unpack(&archive, expected, &folder)).unwrap_err();
}

#[test]
fn a_tree_that_differs_in_anything_has_another_fingerprint() {
    let place = Place::new();
    let (archive, size) = place.pack(1);
    let [one, other] = ["one", "other"].map(|name| place.root.join(name));
    for folder in [&one, &other] {
        with(size, |expected| unpack(&archive, expected, folder)).unwrap();
    }
    let same = fingerprint(&one).unwrap();
    assert_eq!(same, fingerprint(&other).unwrap());
    fs::write(other.join(RESERVED_NAMES[0]), "{}").unwrap();
    assert_eq!(same, fingerprint(&other).unwrap());
    let readme = other.join("share/doc/README");
    let changes: [&dyn Fn(); 5] = [
        &|| fs::write(&readme, "read mE").unwrap(),
        &|| fs::set_permissions(&readme, fs::Permissions::from_mode(0o700)).unwrap(),
        &|| fs::rename(&readme, other.join("share/doc/README2")).unwrap(),
        &|| {
            fs::remove_file(other.join("doc")).unwrap();
            symlink("share/more", other.join("doc")).unwrap();
        },
        &|| fs::create_dir(other.join("more")).unwrap(),
    ];
    let mut seen = vec![same];
    for change in changes {
        change();
        let now = fingerprint(&other).unwrap();
        assert!(!seen.contains(&now));
        seen.push(now);
    }
}

/// Puts a link in the place of a folder, once that is there.
struct Meddler<'a> {
    inner: Staging,
    folder: &'a Utf8Path,
    outside: &'a Utf8Path,
    at: &'static str,
}

impl Meddler<'_> {
    fn meddle(&self, made: &TreePath) {
        if made.as_str() == self.at {
            let place = self.folder.join(self.at);
            fs::rename(&place, self.folder.join("aside")).unwrap();
            symlink(self.outside, place).unwrap();
        }
    }
}

impl Sink for Meddler<'_> {
    fn folder(&mut self, path: &TreePath) -> io::Result<()> {
        self.inner.folder(path)?;
        self.meddle(path);
        Ok(())
    }

    fn file(&mut self, path: &TreePath, x: bool, content: &mut dyn Read) -> io::Result<()> {
        self.inner.file(path, x, content)
    }

    fn other_name(&mut self, path: &TreePath, of: &TreePath) -> io::Result<()> {
        self.inner.other_name(path, of)
    }

    fn link(&mut self, path: &TreePath, target: &str) -> io::Result<()> {
        self.inner.link(path, target)
    }
}

#[test]
fn a_folder_that_becomes_a_link_meanwhile_is_not_followed() {
    for at in ["bin", "share", "share/doc"] {
        let place = Place::new();
        let (archive, size) = place.pack(0);
        let [folder, outside] = ["new", "outside"].map(|name| place.root.join(name));
        fs::create_dir(&outside).unwrap();
        let mut meddler = Meddler {
            inner: Staging::make(&folder).unwrap(),
            folder: &folder,
            outside: &outside,
            at,
        };
        let refused = with(size, |expected| {
            archive::read(&archive, expected, &mut meddler)
        });
        assert!(
            matches!(refused, Err(ArchiveError::Sink(_))),
            "{at}: {refused:?}"
        );
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{at}");
    }
}

#[test]
fn nothing_comes_to_be_outside_while_somebody_swaps_folders_and_links() {
    let place = Place::new();
    let (archive, size) = place.pack(3);
    let [folder, outside] = ["new", "outside"].map(|name| place.root.join(name));
    fs::create_dir(&outside).unwrap();
    let link = place.root.join("link");
    symlink(&outside, &link).unwrap();
    thread::scope(|scope| {
        let unpacking = scope.spawn(|| {
            let mut ended = [0; 2];
            for _ in 0..60 {
                let unpacked = with(size, |expected| unpack(&archive, expected, &folder));
                ended[usize::from(unpacked.is_ok())] += 1;
                while folder.symlink_metadata().is_ok() {
                    // What is a link now is no folder to be removed.
                    let _ = fs::remove_dir_all(&folder);
                    let _ = fs::remove_file(&folder);
                }
            }
            ended
        });
        while !unpacking.is_finished() {
            for at in ["", "bin", "share", "share/more"] {
                let place = folder.join(at);
                let exchanged = rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    place.as_std_path(),
                    rustix::fs::CWD,
                    link.as_std_path(),
                    rustix::fs::RenameFlags::EXCHANGE,
                );
                if exchanged.is_ok() {
                    // What is being written to may not be empty yet when it should go.
                    while link.symlink_metadata().is_ok() {
                        let _ = fs::remove_dir_all(&link);
                        let _ = fs::remove_file(&link);
                    }
                    symlink(&outside, &link).unwrap();
                }
            }
        }
        let [refused, _] = unpacking.join().unwrap();
        assert!(refused > 0, "nobody ever came in between");
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_disk_that_is_full_is_said_to_be() {
    if !namespace::entered("releases::unpack::tests::a_disk_that_is_full_is_said_to_be") {
        return;
    }
    let place = Place::new();
    let (archive, size) = place.pack(20);
    let small = place.root.join("small");
    fs::create_dir(&small).unwrap();
    // Too few bytes, and too few names.
    for (kib, inodes) in [(500, 1000), (50_000, 10)] {
        namespace::mount(&small, kib, inodes);
        let refused = with(size, |expected| {
            unpack(&archive, expected, &small.join("new"))
        });
        let Err(ArchiveError::Sink(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
    namespace::mount(&small, 50_000, 1000);
    with(size, |expected| {
        unpack(&archive, expected, &small.join("new"))
    })
    .unwrap();
}
