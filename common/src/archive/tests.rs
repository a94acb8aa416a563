//! Archives of all kinds, good and bad, most of them put together byte by byte.

mod made;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::platform;
use made::{Made, gzip, zstd};

/// What there is, by path.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen(BTreeMap<String, What>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Folder,
    File(bool, Vec<u8>),
    OtherName(String),
    Link(String),
}

impl Sink for Seen {
    fn folder(&mut self, path: &TreePath) -> io::Result<()> {
        assert!(self.has_folder_of(path));
        assert_eq!(self.0.insert(path.to_string(), What::Folder), None);
        Ok(())
    }

    fn file(&mut self, path: &TreePath, x: bool, content: &mut dyn Read) -> io::Result<()> {
        assert!(self.has_folder_of(path));
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        assert_eq!(self.0.insert(path.to_string(), What::File(x, bytes)), None);
        Ok(())
    }

    fn other_name(&mut self, path: &TreePath, of: &TreePath) -> io::Result<()> {
        assert!(matches!(
            self.0.get(of.as_str()),
            Some(What::File(..) | What::OtherName(_))
        ));
        let what = What::OtherName(of.to_string());
        assert_eq!(self.0.insert(path.to_string(), what), None);
        Ok(())
    }

    fn link(&mut self, path: &TreePath, target: &str) -> io::Result<()> {
        assert!(self.has_folder_of(path));
        let what = What::Link(target.to_owned());
        assert_eq!(self.0.insert(path.to_string(), what), None);
        Ok(())
    }
}

impl Seen {
    fn has_folder_of(&self, path: &TreePath) -> bool {
        path.parent()
            .is_none_or(|parent| self.0.get(parent.as_str()) == Some(&What::Folder))
    }
}

fn program() -> Vec<u8> {
    let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    bytes.truncate(5000);
    bytes
}

/// An archive with a program at `bin/store`, to which more is added.
fn with_program() -> Made {
    Made::default().file("bin/store", 0o755, &program())
}

fn read_as(
    format: ArchiveFormat,
    archive: &[u8],
    unpacked: Option<u64>,
) -> Result<(Contents, Seen), ArchiveError> {
    let executable = "bin/store".parse().unwrap();
    let expected = Expected {
        format,
        size_bytes: archive.len() as u64,
        executable: &executable,
        platform: platform::current(),
        unpacked_bytes: unpacked,
    };
    let mut seen = Seen::default();
    read(archive, &expected, &mut seen).map(|contents| (contents, seen))
}

fn check(made: Made) -> Result<(Contents, Seen), ArchiveError> {
    let tar = made.end();
    let read = read_as(ArchiveFormat::TarGz, &gzip(&tar), None);
    let too = read_as(ArchiveFormat::TarZst, &zstd(&tar), None);
    match (&read, too) {
        (Ok(read), Ok(too)) => assert_eq!(*read, too),
        (Err(read), Err(too)) => assert_eq!(read.to_string(), too.to_string()),
        (_, too) => panic!("{read:?} and {too:?}"),
    }
    read
}

/// Why an archive is refused, in one line.
fn refusal(made: Made) -> String {
    let error = check(made).unwrap_err();
    let mut words = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

#[test]
fn a_tree_with_all_that_may_be_in_one_is_read_in_both_formats() {
    let made = Made::default()
        .folder("./")
        .folder("./bin/")
        .file("./bin/store", 0o755, &program())
        .file("./share/doc/README", 0o644, b"read me")
        .link("bin/tool", "store")
        .link("doc", "share/doc")
        .link("share/up", "../doc/../doc/README")
        .other_name("bin/store-too", "bin/store")
        .folder("./bin/")
        .file("empty", 0o600, b"");
    let (contents, Seen(seen)) = check(made).unwrap();
    let text = |path: &str| seen.get(path).cloned();
    assert_eq!(text("bin/store"), Some(What::File(true, program())));
    assert_eq!(
        text("share/doc/README"),
        Some(What::File(false, b"read me".to_vec()))
    );
    assert_eq!(text("bin/tool"), Some(What::Link("store".to_owned())));
    assert_eq!(
        text("bin/store-too"),
        Some(What::OtherName("bin/store".to_owned()))
    );
    assert_eq!(text("empty"), Some(What::File(false, Vec::new())));
    // 10 names of 4,096 each, two blocks of the program, and one of the README.
    assert_eq!(seen.len(), 10);
    assert_eq!(
        contents,
        Contents {
            unpacked_bytes: 13 * 4096,
            entries: 10
        }
    );
}

#[test]
fn what_other_programs_pack_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    let long = "a-name-that-is-rather-long-".repeat(6);
    std::fs::create_dir_all(tree.join("bin").join(&long)).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), tree.join("bin/store")).unwrap();
    std::fs::write(tree.join("bin").join(&long).join("file"), "long").unwrap();
    std::os::unix::fs::symlink(format!("{long}/file"), tree.join("bin/short")).unwrap();
    std::fs::hard_link(tree.join("bin/store"), tree.join("bin/store-too")).unwrap();
    for format in ["gnu", "pax"] {
        let packed = folder.path().join(format);
        let status = std::process::Command::new("tar")
            .args(["--format", format, "-czf"])
            .arg(&packed)
            .arg("-C")
            .arg(&tree)
            .arg(".")
            .status()
            .unwrap();
        assert!(status.success());
        let archive = std::fs::read(&packed).unwrap();
        let (contents, Seen(seen)) = read_as(ArchiveFormat::TarGz, &archive, None).unwrap();
        assert_eq!(contents.entries, 6, "{:?}", seen.keys());
        assert!(matches!(
            seen[&format!("bin/{long}/file")],
            What::File(false, _)
        ));
        assert_eq!(seen["bin/short"], What::Link(format!("{long}/file")));
    }
}

#[test]
fn what_leaves_the_tree_is_refused() {
    for path in [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "a/./b",
        "..",
        "a//b",
        "a\nb",
    ] {
        let refused = refusal(with_program().file(path, 0o644, b"x"));
        assert!(refused.contains("path"), "{path:?}: {refused}");
        let refused = refusal(
            with_program()
                .pax(&[("path", path)])
                .file("good", 0o644, b"x"),
        );
        assert!(
            refused.contains("path") || refused.contains("malformed"),
            "{path:?}: {refused}"
        );
        let refused = refusal(with_program().gnu_long_name(path).file("good", 0o644, b"x"));
        assert!(refused.contains("path"), "{path:?}: {refused}");
    }
    for (target, problem) in [
        ("/etc/passwd", "absolute"),
        ("../../etc", "outside"),
        ("..", "goes"),
        ("../..", "outside"),
        ("gone", "not in it"),
        ("self", "no end"),
        ("store/x", "through a file"),
        ("", "leads"),
    ] {
        let refused = check(with_program().link("bin/self", target));
        match (target, refused) {
            // Up to the tree's own folder is in it.
            ("..", refused) => assert!(refused.is_ok(), "{refused:?}"),
            (_, Ok(read)) => panic!("{target:?} was taken: {read:?}"),
            (_, Err(error)) => assert!(error.to_string().contains(problem), "{target:?}: {error}"),
        }
    }
}

#[test]
fn links_that_leave_the_tree_only_together_are_refused() {
    // Each by itself stays in: `up` is the tree's folder, and `a/b/up/..` looks like `a/b`.
    let made = with_program()
        .folder("a/b")
        .link("a/b/up", "../..")
        .link("out", "a/b/up/..");
    assert!(refusal(made).contains("outside"));
    let long = (0..60).fold(with_program().link("l0", "bin"), |made, n| {
        made.link(&format!("l{}", n + 1), &format!("l{n}"))
    });
    assert!(refusal(long).contains("no end"));
}

#[test]
fn nothing_is_written_through_a_link_or_over_another_file() {
    let through = with_program()
        .link("etc", "bin")
        .file("etc/passwd", 0o644, b"x");
    assert!(refusal(through).contains("etc is no folder"));
    let through = with_program().file("bin/store/x", 0o644, b"x");
    assert!(refusal(through).contains("bin/store is no folder"));
    for made in [
        with_program().file("bin/store", 0o755, b"x"),
        with_program().link("x", "bin").file("x", 0o644, b"x"),
        with_program().file("x", 0o644, b"x").link("x", "bin"),
        with_program().folder("x").link("x", "bin"),
        with_program().link("x", "bin").folder("x"),
        with_program()
            .file("x", 0o644, b"x")
            .other_name("x", "bin/store"),
        with_program()
            .file("./x", 0o644, b"x")
            .file("x", 0o644, b"y"),
    ] {
        let refused = refusal(made);
        assert!(refused.contains("twice"), "{refused}");
    }
    for of in ["gone", "bin", "l", "later"] {
        let made = with_program().link("l", "bin/store").other_name("x", of);
        assert!(refusal(made.file("later", 0o644, b"")).contains("no file that is in it before"));
    }
    assert!(refusal(with_program().other_name("x", "/etc/passwd")).contains("absolute"));
    assert!(refusal(with_program().other_name("x", "../x")).contains(".."));
}

#[test]
fn the_names_that_the_agent_uses_are_refused() {
    for name in RESERVED_NAMES {
        assert!(refusal(with_program().file(name, 0o644, b"{}")).contains("uses itself"));
        assert!(
            refusal(with_program().file(&format!("{name}/x"), 0o644, b"{}"))
                .contains("uses itself")
        );
        check(with_program().file(&format!("bin/{name}"), 0o644, b"{}")).unwrap();
    }
}

#[test]
fn what_is_more_than_a_file_a_folder_or_a_link_is_refused() {
    for (kind, what) in [
        (b'3', "a device"),
        (b'4', "a device"),
        (b'6', "a fifo"),
        (b'S', "with holes"),
        (b'7', "neither"),
        (b'V', "neither"),
        (b'M', "neither"),
        (b'D', "neither"),
    ] {
        let refused = refusal(with_program().entry("x", kind, 0o644, "", b""));
        assert!(refused.contains(what), "{}: {refused}", char::from(kind));
    }
    for mode in [0o4755, 0o2755, 0o1755, 0o7000] {
        assert!(refusal(with_program().file("x", mode, b"")).contains("setuid"));
        assert!(refusal(with_program().entry("x/", b'5', mode, "", b"")).contains("setuid"));
    }
    assert!(
        refusal(with_program().entry("x/", b'5', 0o755, "", b"content")).contains("has content")
    );
    assert!(
        refusal(with_program().entry("x", b'2', 0o777, "bin", b"content")).contains("has content")
    );
    assert!(refusal(with_program().entry("x", b'0', 0o644, "", b"").holes()).contains("holes"));
}

#[test]
fn what_could_be_understood_in_two_ways_is_refused() {
    for made in [
        // Another size to those who know the newer format than to those who do not.
        with_program()
            .pax(&[("size", "0")])
            .file("x", 0o644, &[0; 512]),
        with_program()
            .pax(&[("size", "600")])
            .file("x", 0o644, &[0; 512]),
        with_program().pax(&[("size", "x")]).file("x", 0o644, b""),
        with_program()
            .pax(&[("path", "a"), ("path", "b")])
            .file("x", 0o644, b""),
        with_program()
            .pax(&[("path", "a")])
            .gnu_long_name("b")
            .file("x", 0o644, b""),
        with_program()
            .gnu_long_name("a")
            .gnu_long_name("b")
            .file("x", 0o644, b""),
        with_program()
            .pax_of_all(&[("path", "a")])
            .file("x", 0o644, b""),
        with_program().gnu_long_name("a"),
    ] {
        let refused = refusal(made);
        assert!(refused.contains("not plain"), "{refused}");
    }
    let said = with_program()
        .pax_of_all(&[("comment", "0123456789abcdef")])
        .pax(&[("size", "1"), ("mtime", "1.5"), ("path", "y")])
        .file("x", 0o644, b"y");
    let (_, Seen(seen)) = check(said).unwrap();
    assert_eq!(seen["y"], What::File(false, b"y".to_vec()));
    // A second archive behind the first, which some programs read and others do not.
    let mut two = with_program().end();
    two.extend(with_program().file("y", 0o644, b"").end());
    let refused = read_as(ArchiveFormat::TarGz, &gzip(&two), None).unwrap_err();
    assert!(matches!(refused, ArchiveError::Trailing), "{refused:?}");
    let two = [zstd(&with_program().end()), zstd(b"more")].concat();
    let refused = read_as(ArchiveFormat::TarZst, &two, None).unwrap_err();
    assert!(matches!(refused, ArchiveError::Trailing), "{refused:?}");
}

#[test]
fn what_becomes_too_large_is_refused_before_it_is_written() {
    // 20 MiB of nothing in 20 KiB.
    let bomb = with_program()
        .file("zeroes", 0o644, &vec![0; 20 << 20])
        .end();
    for (format, packed) in [
        (ArchiveFormat::TarGz, gzip(&bomb)),
        (ArchiveFormat::TarZst, zstd(&bomb)),
    ] {
        assert!((packed.len() as u64) < EXPANSION_FREE_BYTES / EXPANSION_MAX);
        let refused = read_as(format, &packed, None).unwrap_err();
        assert!(matches!(refused, ArchiveError::Expansion), "{refused:?}");
    }
    // A file that says to be larger than all that may be: nothing of it is read.
    let large = Made(made::header("x", b'0', 0o644, "", UNPACKED_BYTES_MAX));
    assert!(refusal(large).contains("unpacks to more than"));
    let allowed = with_program().file("x", 0o644, &[1; 4096]).end();
    let archive = gzip(&allowed);
    let unpacked = read_as(ArchiveFormat::TarGz, &archive, None)
        .unwrap()
        .0
        .unpacked_bytes;
    read_as(ArchiveFormat::TarGz, &archive, Some(unpacked)).unwrap();
    let refused = read_as(ArchiveFormat::TarGz, &archive, Some(unpacked - 1)).unwrap_err();
    assert!(matches!(refused, ArchiveError::Large(_)), "{refused:?}");
    let refused = read_as(ArchiveFormat::TarGz, &archive, Some(unpacked + 1)).unwrap_err();
    assert!(
        matches!(refused, ArchiveError::OtherSize { .. }),
        "{refused:?}"
    );
}

#[test]
fn too_many_entries_too_long_names_and_too_deep_folders_are_refused() {
    let many = (0..ENTRIES_MAX).fold(with_program(), |made, n| made.folder(&format!("f{n}/")));
    assert!(refusal(many).contains("entries"));
    let deep = vec!["d"; 33].join("/");
    assert!(refusal(with_program().file(&deep, 0o644, b"")).contains("deep"));
    let long = vec!["d".repeat(200); 3].join("/");
    assert!(
        refusal(with_program().gnu_long_name(&long).file("x", 0o644, b"")).contains("602 bytes")
    );
    assert!(
        refusal(with_program().pax(&[("path", &long)]).file("x", 0o644, b"")).contains("602 bytes")
    );
    let name = "n".repeat(256);
    assert!(
        refusal(with_program().gnu_long_name(&name).file("x", 0o644, b"")).contains("256 bytes")
    );
    // More words about the next entry than memory should be had for.
    let words = "x".repeat(70_000);
    assert!(
        refusal(
            with_program()
                .pax(&[("comment", &words)])
                .file("x", 0o644, b"")
        )
        .contains("more about an entry")
    );
    assert!(
        refusal(with_program().gnu_long_name(&words).file("x", 0o644, b""))
            .contains("more about an entry")
    );
}

#[test]
fn a_frame_that_needs_much_memory_is_refused() {
    // A header that asks for a window of 64 MiB: no content size, one byte of window.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (26 - 10) << 3, 1, 0, 0];
    let refused = read_as(ArchiveFormat::TarZst, &frame, None).unwrap_err();
    assert!(
        matches!(
            refused,
            ArchiveError::Window {
                window: 67_108_864,
                ..
            }
        ),
        "{refused:?}"
    );
}

#[test]
fn an_archive_without_the_executable_is_refused() {
    for made in [
        Made::default().file("bin/other", 0o755, &program()),
        Made::default().file("bin/store", 0o644, &program()),
        Made::default().folder("bin/store/"),
        Made::default()
            .file("bin/other", 0o755, &program())
            .link("bin/store", "other"),
    ] {
        assert!(refusal(made).contains("no executable file bin/store"));
    }
    let script = Made::default().file("bin/store", 0o755, b"#!/bin/sh\n");
    assert!(refusal(script).contains("ELF"));
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_refused() {
    let tar = with_program().file("x", 0o644, &[7; 3000]).end();
    for (format, packed) in [
        (ArchiveFormat::TarGz, gzip(&tar)),
        (ArchiveFormat::TarZst, zstd(&tar)),
    ] {
        let contents = read_as(format, &packed, None).unwrap().0;
        for length in (0..packed.len()).step_by(7).chain([packed.len() - 1]) {
            let cut = packed.get(..length).unwrap();
            let read = read_as(format, cut, Some(contents.unpacked_bytes));
            assert!(read.is_err(), "{format:?} of {length} bytes");
        }
    }
    // Within the tar file: all that is before its end is there or it is refused.
    for length in (0..tar.len() - 1024).step_by(111) {
        assert!(read_as(ArchiveFormat::TarGz, &gzip(&tar[..length]), Some(7 * 4096)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for format in ArchiveFormat::ALL {
            let _ = read_as(format, &bytes, None);
        }
        let _ = read_as(ArchiveFormat::TarGz, &gzip(&bytes), None);
    }

    #[test]
    fn a_change_to_any_byte_of_the_tar_file_leaves_the_tree_in_order(
        at in any::<proptest::sample::Index>(),
        value in any::<u8>(),
    ) {
        // The sink asserts that nothing is there twice, and nothing before the folder that it is in.
        let mut tar = with_program()
            .pax(&[("path", "share/a-long-name")])
            .file("x", 0o644, b"x")
            .link("up", "share")
            .other_name("too", "bin/store")
            .end();
        let at = at.index(tar.len());
        tar[at] = value;
        let _ = read_as(ArchiveFormat::TarGz, &gzip(&tar), None);
    }

    #[test]
    fn links_are_followed_as_the_kernel_does(
        links in proptest::collection::vec(("[ab]{1}(/[ab]{1}){0,2}", "(\\.\\.|a|b|\\.)(/(\\.\\.|a|b)){0,4}"), 1..6),
    ) {
        let made = links.iter().fold(with_program().folder("a/a/").folder("b/"), |made, (path, target)| {
            made.link(path, target)
        });
        let Ok((_, Seen(seen))) = check(made) else {
            return Ok(());
        };
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("r/r/r/r/tree");
        std::fs::create_dir_all(&root).unwrap();
        for (path, what) in &seen {
            match what {
                What::Folder => std::fs::create_dir(root.join(path)).unwrap(),
                What::File(_, bytes) => std::fs::write(root.join(path), bytes).unwrap(),
                What::OtherName(_) | What::Link(_) => {}
            }
        }
        for (path, what) in &seen {
            if let What::Link(target) = what {
                std::os::unix::fs::symlink(target, root.join(path)).unwrap();
            }
        }
        let root = root.canonicalize().unwrap();
        for (path, what) in &seen {
            if matches!(what, What::Link(_)) {
                prop_assert!(root.join(path).canonicalize().unwrap().starts_with(&root), "{path}");
            }
        }
    }
}
