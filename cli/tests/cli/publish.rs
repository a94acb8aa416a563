//! Publishing: looked at and signed here, sent whole or not at all.

use evenkeel_common::problem::{ErrorCode, Problem};

use crate::coordinator::{Coordinator, State};

fn publish<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let common = [
        "release",
        "publish",
        "-c",
        "store",
        "--version",
        "1.1.0",
        "--key",
        "releases.key",
    ];
    [&common[..], more].concat()
}

/// A program of more than one chunk.
fn program(coordinator: &Coordinator) -> Vec<u8> {
    let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    bytes.truncate(3 << 20);
    std::fs::write(coordinator.cluster.path("program"), &bytes).unwrap();
    bytes
}

#[test]
fn a_program_arrives_byte_for_byte_with_its_signed_manifest() {
    let coordinator = Coordinator::start(State::default());
    let bytes = program(&coordinator);
    let release = coordinator.run(&publish(&["program", "-o", "json"])).json();
    assert!(coordinator.state().published == bytes);
    let artifact = &release["artifacts"][0];
    assert_eq!(artifact["size_bytes"], bytes.len());
    let digest = evenkeel_common::digest::digest_of(&bytes).to_string();
    assert_eq!(artifact["digest"], digest);
    let manifest = artifact["manifest"]["manifest"].as_str().unwrap();
    assert!(
        manifest.contains(&format!(
            "version: 1.1.0\nplatform: linux/amd64\nsha256: {digest}\n"
        )) || cfg!(not(target_arch = "x86_64")),
        "{manifest}"
    );
    let text = coordinator.run(&publish(&["program"])).good();
    assert!(
        text.starts_with("store 1.1.0 is published: 3.00 MiB, sha256:"),
        "{text}"
    );
}

/// Packs a program with a file beside it, by what people pack with.
fn pack(coordinator: &Coordinator, compress: &str, into: &str) {
    let tree = coordinator.cluster.path("tree");
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::write(tree.join("bin/store"), program(coordinator)).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(tree.join("bin/store"), executable).unwrap();
    std::fs::write(tree.join("README"), "read me").unwrap();
    let packed = std::process::Command::new("tar")
        .args([compress, "-cf"])
        .arg(coordinator.cluster.path(into))
        .arg("-C")
        .arg(&tree)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
}

#[test]
fn an_archive_is_published_with_what_is_in_it_once_its_executable_is_named() {
    let coordinator = Coordinator::start(State::default());
    pack(&coordinator, "--gzip", "store.tar.gz");
    let run = coordinator.run(&publish(&["store.tar.gz"]));
    run.refused(1, "tar.gz archive, and it is not said", "--executable says");
    for wrong in ["bin/other", "README", "bin"] {
        let run = coordinator.run(&publish(&["store.tar.gz", "-e", wrong]));
        run.refused(1, "no executable file", "docs/RELEASES.md");
    }
    let run = coordinator.run(&publish(&["program", "-e", "bin/store"]));
    run.refused(
        1,
        "neither a tar.zst nor a tar.gz",
        "leave --executable away",
    );
    assert!(coordinator.state().published.is_empty());

    let words = publish(&["store.tar.gz", "-e", "bin/store", "-o", "json"]);
    let release = coordinator.run(&words).json();
    let bytes = std::fs::read(coordinator.cluster.path("store.tar.gz")).unwrap();
    assert!(coordinator.state().published == bytes);
    let artifact = &release["artifacts"][0];
    let manifest = artifact["manifest"]["manifest"].as_str().unwrap();
    // 3 MiB, a block for the text, and a name each for them and the folder.
    let unpacked = (3 << 20) + 4 * 4096;
    assert!(
        manifest.ends_with(&format!(
            "format: tar.gz\nexecutable: bin/store\nunpacked_bytes: {unpacked}\n"
        )),
        "{manifest}"
    );
    assert_eq!(artifact["format"], "tar.gz");
    assert_eq!(artifact["executable"], "bin/store");
    assert_eq!(artifact["unpacked_bytes"], unpacked);
}

#[test]
fn a_publish_call_that_broke_off_is_made_again_with_the_same_id_and_all_bytes() {
    let coordinator = Coordinator::start(State::default());
    let bytes = program(&coordinator);
    let unavailable = Problem::new(ErrorCode::Unavailable, "not now");
    coordinator.state().failures = [unavailable.into()].into();
    coordinator.run(&publish(&["program"])).good();
    let state = coordinator.state();
    assert!(state.published == bytes);
    assert_eq!(state.changes.len(), 2);
    assert_eq!(state.changes[0], state.changes[1]);
}

#[test]
fn a_version_that_exists_with_other_bytes_is_refused() {
    let coordinator = Coordinator::start(State::default());
    program(&coordinator);
    let exists = Problem::new(ErrorCode::AlreadyExists, "store 1.1.0 has other bytes");
    coordinator.state().failures = [exists.into()].into();
    let run = coordinator.run(&publish(&["program"]));
    run.refused(5, "store 1.1.0 has other bytes", "take another version");
}

#[test]
fn what_cannot_be_published_is_refused_before_a_byte_is_sent() {
    let coordinator = Coordinator::start(State::default());
    program(&coordinator);
    std::fs::write(coordinator.cluster.path("script"), "#!/bin/sh\n").unwrap();
    coordinator.run(&publish(&["script"])).refused(
        1,
        "no executable",
        "name the executable itself",
    );
    let other = if cfg!(target_arch = "x86_64") {
        "linux/arm64"
    } else {
        "linux/amd64"
    };
    let run = coordinator.run(&publish(&["program", "--platform", other]));
    run.refused(1, &format!("not for {other}"), "--platform");
    let run = coordinator.run(&publish(&["nothing"]));
    assert_eq!(run.status, Some(1), "{run:?}");
    assert!(run.err.contains("cannot read nothing"), "{run:?}");
    let run = coordinator.run(&[
        "release",
        "publish",
        "-c",
        "store",
        "--version",
        "1.1.0",
        "--key",
        "ca.pem",
        "program",
    ]);
    run.refused(1, "ca.pem", "releases.key");
    assert!(coordinator.state().changes.is_empty());
}
