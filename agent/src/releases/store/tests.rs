//! Releases that are put in place, found again and deleted.

use evenkeel_common::manifest::{ReleaseManifest, SigningKey};

use super::*;
use crate::releases::fetch;

/// A store, and this very test as a program for this host, with a few bytes of its own at the end.
struct Place {
    dir: tempfile::TempDir,
    store: Store,
    component: ComponentName,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("releases");
        let store = Store::open(root, &Trust::default()).unwrap();
        Self {
            dir,
            store,
            component: "blob".parse().unwrap(),
        }
    }

    fn program(&self, version: u64) -> (Release, Utf8PathBuf) {
        let path = Utf8Path::from_path(self.dir.path())
            .unwrap()
            .join(format!("program-{version}"));
        let mut bytes = vec![0; 4096];
        File::open(std::env::current_exe().unwrap())
            .unwrap()
            .read_exact(&mut bytes)
            .unwrap();
        bytes.extend_from_slice(&version.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        let digest = evenkeel_common::digest::digest_of(&bytes);
        (
            Release {
                version: semver::Version::new(version, 0, 0),
                digest,
            },
            path,
        )
    }

    fn install(&self, version: u64) -> Release {
        let (release, path) = self.program(version);
        self.store
            .install(&self.component, "blob", &release, &path, Origin::Configured)
            .unwrap();
        release
    }

    fn reopened(&self) -> Store {
        let versions = (1..=6).map(|version| semver::Version::new(version, 0, 0));
        self.reopened_with(&Trust {
            keys: TrustedKeys::default(),
            initial: versions.map(|v| (self.component.clone(), v)).collect(),
        })
    }

    fn reopened_with(&self, trust: &Trust) -> Store {
        Store::open(self.store.root().to_owned(), trust).unwrap()
    }
}

#[test]
fn an_installed_release_is_found_again_also_by_its_executable() {
    let place = Place::new();
    let release = place.install(1);
    let store = place.reopened();
    assert!(store.has(&place.component, &release));
    let executable = store.folder_of(&place.component, &release).join("blob");
    assert!(executable.is_file());
    assert_eq!(store.release_of_executable(&executable), Some(release));
    assert_eq!(store.release_of_executable(Utf8Path::new("/bin/sh")), None);
}

#[test]
fn other_bytes_than_promised_never_become_a_release() {
    let place = Place::new();
    let (release, path) = place.program(1);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = place.store.install(
        &place.component,
        "blob",
        &release,
        &path,
        Origin::Configured,
    );
    assert!(
        matches!(refused, Err(StoreError::Digest { .. })),
        "{refused:?}"
    );
    assert!(!place.reopened().has(&place.component, &release));
}

#[test]
fn what_takes_the_place_of_a_verified_file_never_becomes_a_release() {
    let place = Place::new();
    let (_, verified) = place.program(1);
    let open = open_artifact(&verified).unwrap();
    let (_, other) = place.program(2);
    fs::rename(&other, &verified).unwrap();

    let new = place.store.root().join(".new-1");
    let put = put_program(&new, "blob", &verified, &open);
    assert!(matches!(put, Err(StoreError::Exchanged { .. })), "{put:?}");
}

#[test]
fn a_release_is_usable_on_the_word_of_those_who_are_trusted_now() {
    let place = Place::new();
    let (release, path) = place.program(1);
    let again = path.with_extension("again");
    fs::copy(&path, &again).unwrap();
    let [old, new] = [(); 2].map(|()| {
        let pem = evenkeel_common::pki::new_release_key_pem().unwrap();
        SigningKey::from_pem(pem.as_bytes()).unwrap()
    });
    let manifest = ReleaseManifest {
        component: place.component.clone(),
        version: release.version.clone(),
        platform: platform::current().to_owned(),
        sha256: release.digest,
        size_bytes: fs::metadata(&path).unwrap().len(),
        tree: None,
    };
    let install = |store: &Store, key: &SigningKey, file: &Utf8Path| {
        let signed = manifest.sign(key).unwrap();
        let origin = Origin::Signed(&signed);
        store
            .install(&place.component, "blob", &release, file, origin)
            .unwrap();
    };
    let trusting = |key: &SigningKey| {
        place.reopened_with(&Trust {
            keys: [key.public_key()].into_iter().collect(),
            ..Trust::default()
        })
    };
    install(&place.store, &old, &path);
    assert!(trusting(&old).has(&place.component, &release));

    let store = trusting(&new);
    assert!(!store.has(&place.component, &release));
    let named = store.named(&place.component, &release.to_string());
    assert_eq!(named.as_ref(), Some(&release));
    store.keep_usable(&place.component, &release);
    assert!(store.has(&place.component, &release));

    install(&trusting(&new), &new, &again);
    assert!(trusting(&new).has(&place.component, &release));
    assert!(!trusting(&old).has(&place.component, &release));
}

#[test]
fn an_unsigned_release_is_usable_while_the_configuration_names_it() {
    let place = Place::new();
    let release = place.install(1);
    assert!(place.reopened().has(&place.component, &release));
    let store = place.reopened_with(&Trust::default());
    assert!(!store.has(&place.component, &release));
}

#[test]
fn a_script_is_not_a_release() {
    let place = Place::new();
    let script = Utf8Path::from_path(place.dir.path())
        .unwrap()
        .join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let refused = place.store.adopt(
        &place.component,
        "blob",
        &semver::Version::new(1, 0, 0),
        &script,
    );
    assert!(
        matches!(refused, Err(StoreError::Platform(_))),
        "{refused:?}"
    );
}

#[test]
fn a_folder_that_is_only_half_there_is_cleared_away_and_never_a_release() {
    let place = Place::new();
    let release = place.install(1);
    let folder = place.store.component_folder(&place.component).unwrap();
    fs::create_dir(folder.join(".new-2.0.0-aaaaaaaaaaaa")).unwrap();
    fs::create_dir(folder.join("3.0.0-aaaaaaaaaaaa")).unwrap();
    let store = place.reopened();
    assert!(store.has(&place.component, &release));
    assert_eq!(store.named(&place.component, "3.0.0-aaaaaaaaaaaa"), None);
    assert!(!folder.join(".new-2.0.0-aaaaaaaaaaaa").exists());
}

#[test]
fn what_is_needed_and_the_two_newest_others_stay() {
    let place = Place::new();
    let releases: Vec<Release> = (1..=6).map(|version| place.install(version)).collect();
    for (age, release) in releases.iter().enumerate() {
        let file = place
            .store
            .folder_of(&place.component, release)
            .join(description::FILE_NAME);
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
        File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_modified(at)
            .unwrap();
    }
    place.store.need(
        &"a".parse().unwrap(),
        &place.component,
        vec![releases[0].clone()],
    );
    place.store.expect(&"b".parse().unwrap(), &place.component);
    place.store.collect(&place.component).unwrap();
    assert!(
        releases
            .iter()
            .all(|release| place.reopened().has(&place.component, release))
    );
    place.store.need(
        &"b".parse().unwrap(),
        &place.component,
        vec![releases[1].clone()],
    );
    place.store.collect(&place.component).unwrap();
    let store = place.reopened();
    let kept: Vec<bool> = releases
        .iter()
        .map(|r| store.has(&place.component, r))
        .collect();
    assert_eq!(kept, [true, true, false, false, true, true]);
}

#[test]
fn a_local_program_is_adopted_while_others_adopt_it_and_downloads_are_cleared_away() {
    let place = Place::new();
    let version = semver::Version::new(1, 0, 0);
    let (_, program) = place.program(1);
    // Large enough that the others come in between.
    File::options()
        .write(true)
        .open(&program)
        .unwrap()
        .set_len(4 << 20)
        .unwrap();
    let folder = place.store.component_folder(&place.component).unwrap();
    let adopted = std::thread::scope(|scope| {
        let adopt = || {
            place
                .store
                .adopt(&place.component, "blob", &version, &program)
        };
        let threads = [scope.spawn(adopt), scope.spawn(adopt)];
        while !threads.iter().all(|thread| thread.is_finished()) {
            fetch::forget_others(&folder, &[]).unwrap();
        }
        threads.map(|thread| thread.join().unwrap().unwrap())
    });
    assert!(place.store.has(&place.component, &adopted[0]));
    assert_eq!(adopted[0], adopted[1]);
    // The release and nothing beside it.
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}
