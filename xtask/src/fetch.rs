//! `cargo xtask fetch`: the pinned programs, in the cache, with the bytes they are pinned to.
//!
//! A program is hashed each time before it is relied on; one that is missing or wrong is fetched. The digest is checked
//! twice on the way in: the archive's before anything opens it, the program's before it is put in place.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::cache::{Cache, LockedCache};
use crate::pins::{Kind, PINS, PLATFORM, Pin, Source};
use crate::{digest, environment, place};

/// Waits between the attempts at one download; one attempt more than waits.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];

/// Makes sure of everything in the table.
pub(crate) fn everything(cache: &Cache) -> Result<()> {
    ensure(cache, PINS.iter())
}

/// Makes sure of the storage systems that tests upgrade.
pub(crate) fn systems(cache: &Cache) -> Result<()> {
    ensure(cache, PINS.iter().filter(|pin| pin.kind == Kind::System))
}

/// Makes sure of one pinned tool; its only program's path.
pub(crate) fn tool(cache: &Cache, name: &str) -> Result<Utf8PathBuf> {
    let pinned = PINS
        .iter()
        .find(|pin| pin.kind == Kind::Tool && pin.name == name);
    let pin = pinned.with_context(|| format!("no tool {name} is pinned"))?;
    ensure(cache, std::iter::once(pin))?;
    let program = pin
        .programs
        .first()
        .with_context(|| format!("the pin of {name} has no program"))?;
    Ok(cache.home_of(pin).join(program.file_name()))
}

fn ensure<'a>(cache: &Cache, pins: impl Iterator<Item = &'a Pin>) -> Result<()> {
    let missing: Vec<_> = pins
        .filter(|pin| !is_in_place(pin, &cache.home_of(pin)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    anyhow::ensure!(
        (std::env::consts::OS, std::env::consts::ARCH) == PLATFORM,
        "the pinned programs are for {}-{}; this machine needs rows of its own in xtask/src/pins.rs",
        PLATFORM.1,
        PLATFORM.0
    );
    let locked = cache.lock()?;
    for pin in missing {
        let home = cache.home_of(pin);
        // Another process may have fetched it while this one waited for the lock.
        if is_in_place(pin, &home) {
            continue;
        }
        eprintln!("fetching {} {} ({})", pin.name, pin.version, pin.source);
        if let Err(error) = fetch(pin, &home, &locked) {
            if !can_do_without(pin, environment::in_ci()) {
                return Err(error);
            }
            eprintln!(
                "\nNOTICE: {error:#}\nNOTICE: going on without it; tests use the other versions of {} there are\n",
                pin.name
            );
        }
    }
    Ok(())
}

/// Whether a failure to fetch this one is a notice and no error: what comes out of Debian cannot be had everywhere, and
/// other versions of it come from elsewhere. In CI nothing is optional, or a test would quietly become another one.
fn can_do_without(pin: &Pin, in_ci: bool) -> bool {
    matches!(pin.source, Source::Debian { .. }) && !in_ci
}

fn is_in_place(pin: &Pin, home: &Utf8Path) -> bool {
    pin.programs
        .iter()
        .all(|program| digest::verify(&home.join(program.file_name()), program.sha256).is_ok())
}

fn fetch(pin: &Pin, home: &Utf8Path, locked: &LockedCache) -> Result<()> {
    // What has the wrong bytes must not be found by anyone if the download fails.
    for program in pin.programs {
        let path = home.join(program.file_name());
        if path.exists() && digest::verify(&path, program.sha256).is_err() {
            fs::remove_file(&path)
                .with_context(|| format!("cannot remove {path}, which is not what is pinned"))?;
        }
    }
    let mut pauses = PAUSES.iter();
    loop {
        let error = match fetch_once(pin, home, locked) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let pause = pauses.next().filter(|_| may_pass(&error));
        let Some(pause) = pause else {
            return Err(error.context(format!(
                "cannot fetch the {}: {}",
                pin.source,
                pin.source.remedy()
            )));
        };
        eprintln!("trying again in {} s: {error:#}", pause.as_secs());
        thread::sleep(*pause);
    }
}

/// Whether trying again may help. It does not when a client is not installed.
fn may_pass(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    !causes.any(|cause| cause.kind() == io::ErrorKind::NotFound)
}

fn fetch_once(pin: &Pin, home: &Utf8Path, locked: &LockedCache) -> Result<()> {
    let scratch = locked.scratch()?;
    let (downloaded, unpacked) = (scratch.join("downloaded"), scratch.join("unpacked"));
    for folder in [&downloaded, &unpacked] {
        fs::create_dir(folder).with_context(|| format!("cannot create {folder}"))?;
    }
    let archive = pin.source.download(&downloaded)?;
    digest::verify(&archive, pin.archive_sha256)?;
    pin.source.unpack(&archive, &unpacked)?;
    take_out(pin, &unpacked, home)
}

/// Puts the pin's programs from the unpacked archive in place: all of them have the right bytes, or none is put.
fn take_out(pin: &Pin, unpacked: &Utf8Path, home: &Utf8Path) -> Result<()> {
    for program in pin.programs {
        digest::verify(&unpacked.join(program.path), program.sha256)?;
    }
    for program in pin.programs {
        place::put(
            &unpacked.join(program.path),
            &home.join(program.file_name()),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::pins::Program;
    use crate::process;

    const PYPI: Source = Source::Pypi {
        project: "sample",
        version: "1",
    };
    const DEBIAN: Source = Source::Debian {
        package: "sample",
        version: "1",
    };
    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    const fn pin(source: Source) -> Pin {
        let programs = &[
            Program {
                path: "bin/one",
                sha256: OF_ABC,
            },
            Program {
                path: "bin/two",
                sha256: OF_ABC,
            },
        ];
        Pin {
            kind: Kind::System,
            name: "sample",
            version: "1",
            source,
            archive_sha256: "",
            programs,
        }
    }

    fn unpacked_archive(one: &str, two: &str) -> (tempfile::TempDir, Utf8PathBuf, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let (unpacked, home) = (path.join("unpacked"), path.join("home"));
        fs::create_dir_all(unpacked.join("bin")).unwrap();
        fs::write(unpacked.join("bin/one"), one).unwrap();
        fs::write(unpacked.join("bin/two"), two).unwrap();
        (folder, unpacked, home)
    }

    #[test]
    fn programs_with_the_pinned_bytes_are_put_in_place() {
        let (_folder, unpacked, home) = unpacked_archive("abc", "abc");
        take_out(&pin(PYPI), &unpacked, &home).unwrap();
        assert!(is_in_place(&pin(PYPI), &home));
    }

    #[test]
    fn one_wrong_digest_keeps_the_whole_archive_out() {
        let (_folder, unpacked, home) = unpacked_archive("abc", "abd");
        let error = take_out(&pin(PYPI), &unpacked, &home).unwrap_err();
        assert!(
            error.to_string().contains("bin/two") && error.to_string().contains(OF_ABC),
            "{error}"
        );
        assert!(!home.exists());
    }

    #[test]
    fn a_program_changed_in_the_cache_is_no_longer_in_place() {
        let (_folder, unpacked, home) = unpacked_archive("abc", "abc");
        take_out(&pin(PYPI), &unpacked, &home).unwrap();
        fs::write(home.join("two"), "abd").unwrap();
        assert!(!is_in_place(&pin(PYPI), &home));
    }

    #[test]
    fn a_client_that_is_not_installed_is_not_tried_again() {
        let missing = process::capture(&mut Command::new("evenkeel-no-such-program")).unwrap_err();
        assert!(!may_pass(&missing));
        let failing = process::capture(&mut Command::new("false")).unwrap_err();
        assert!(may_pass(&failing));
    }

    #[test]
    fn only_what_debian_lacks_may_be_missing_and_only_outside_ci() {
        assert!(can_do_without(&pin(DEBIAN), false));
        assert!(!can_do_without(&pin(DEBIAN), true));
        assert!(!can_do_without(&pin(PYPI), false));
    }
}
