use proptest::prelude::*;

use super::*;
use crate::digest::digest_of;
use crate::pki::new_release_key_pem;

fn key() -> SigningKey {
    SigningKey::from_pem(new_release_key_pem().unwrap().as_bytes()).unwrap()
}

fn trusting(keys: &[&SigningKey]) -> TrustedKeys {
    keys.iter().map(|key| key.public_key()).collect()
}

fn manifest() -> ReleaseManifest {
    ReleaseManifest {
        component: "data-service".parse().unwrap(),
        version: "1.2.3-rc.1+build.7".parse().unwrap(),
        platform: "linux/amd64".to_owned(),
        sha256: digest_of(b"artifact"),
        size_bytes: 8,
        tree: None,
    }
}

#[test]
fn a_manifest_is_written_as_the_documented_text() {
    let text = String::from_utf8(manifest().encode()).unwrap();
    let digest = digest_of(b"artifact");
    assert_eq!(
        text,
        format!(
            "evenkeel release manifest v1\ncomponent: data-service\nversion: 1.2.3-rc.1+build.7\n\
             platform: linux/amd64\nsha256: {digest}\nsize_bytes: 8\n"
        )
    );
    assert_eq!(
        ReleaseManifest::decode(text.as_bytes()).unwrap(),
        manifest()
    );
}

fn manifest_of_a_tree() -> ReleaseManifest {
    ReleaseManifest {
        tree: Some(Tree {
            format: ArchiveFormat::TarZst,
            executable: "bin/store".parse().unwrap(),
            unpacked_bytes: 8192,
        }),
        ..manifest()
    }
}

#[test]
fn a_manifest_of_a_tree_has_three_lines_more() {
    let text = String::from_utf8(manifest_of_a_tree().encode()).unwrap();
    let plain = String::from_utf8(manifest().encode()).unwrap();
    assert_eq!(
        text,
        format!("{plain}format: tar.zst\nexecutable: bin/store\nunpacked_bytes: 8192\n")
    );
    assert_eq!(
        ReleaseManifest::decode(text.as_bytes()).unwrap(),
        manifest_of_a_tree()
    );
    for (from, to) in [
        ("tar.zst", "plain"),
        ("tar.zst", "zip"),
        ("bin/store", "/bin/store"),
        ("bin/store", "../store"),
        ("bin/store", "bin/./store"),
        ("bin/store", ""),
        ("bin/store", &"long/".repeat(52)),
        ("8192", "08192"),
        ("executable: bin/store\n", ""),
        ("unpacked_bytes: 8192\n", ""),
        ("8192\n", "8192\nmore: 1\n"),
        ("8192\n", "8192"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        assert!(
            ReleaseManifest::decode(changed.as_bytes()).is_err(),
            "{changed}"
        );
    }
}

#[test]
fn the_longest_manifest_is_short_enough() {
    let mut longest = manifest_of_a_tree();
    longest.component = "c".repeat(63).parse().unwrap();
    longest.version = format!("1.0.0-{}", "v".repeat(VERSION_CHARS_MAX - 6))
        .parse()
        .unwrap();
    longest.platform = "linux/riscv64".to_owned();
    longest.size_bytes = u64::MAX;
    let tree = longest.tree.as_mut().unwrap();
    tree.executable = "x".repeat(EXECUTABLE_BYTES_MAX).parse().unwrap();
    tree.unpacked_bytes = u64::MAX;
    assert_eq!(ReleaseManifest::decode(&longest.encode()).unwrap(), longest);
}

#[test]
fn the_same_manifest_written_in_another_way_is_refused() {
    let text = String::from_utf8(manifest().encode()).unwrap();
    for changed in [
        String::new(),
        text.trim_end().to_owned(),
        format!("{text}\n"),
        format!(" {text}"),
        format!("{text}size_bytes: 8\n"),
        text.replace('\n', "\r\n"),
        text.replace("size_bytes: 8", "size_bytes: 08"),
        text.replace("size_bytes: 8", "size_bytes: +8"),
        text.replace("size_bytes: 8", "size_bytes: -8"),
        text.replace("size_bytes: 8", "size_bytes: 18446744073709551616"),
        text.replace("sha256: ", "sha256: sha256:"),
        text.replace("version: 1.2.3", "version: 01.2.3"),
        text.replace("component: data-service", "component: Data-service"),
        text.replace("component: data-service\n", ""),
        text.replace("linux/amd64", "linux"),
        text.replace(" v1\n", " v2\n"),
        "x".repeat(MANIFEST_BYTES_MAX + 1),
    ] {
        assert!(
            ReleaseManifest::decode(changed.as_bytes()).is_err(),
            "{changed}"
        );
    }
}

#[test]
fn a_signed_manifest_is_believed_by_those_who_trust_the_key() {
    let (ours, theirs) = (key(), key());
    let signed = manifest().sign(&ours).unwrap();
    assert_eq!(signed.signature.len(), SIGNATURE_BYTES);
    assert_eq!(
        signed.verify(&trusting(&[&theirs, &ours])).unwrap(),
        manifest()
    );
    for trusted in [trusting(&[&theirs]), TrustedKeys::default()] {
        assert!(matches!(
            signed.verify(&trusted),
            Err(ManifestError::UntrustedKey { .. })
        ));
    }
    let mut renamed = signed.clone();
    renamed.key_id = theirs.public_key().id();
    assert!(matches!(
        renamed.verify(&trusting(&[&ours, &theirs])),
        Err(ManifestError::Signature { .. })
    ));
}

#[test]
fn a_change_to_any_one_bit_of_manifest_or_signature_is_noticed() {
    let key = key();
    let trusted = trusting(&[&key]);
    let signed = manifest().sign(&key).unwrap();
    for bit in 0..signed.manifest.len() * 8 {
        let mut changed = signed.clone();
        changed.manifest[bit / 8] ^= 1 << (bit % 8);
        assert!(changed.verify(&trusted).is_err(), "manifest bit {bit}");
    }
    for bit in 0..signed.signature.len() * 8 {
        let mut changed = signed.clone();
        changed.signature[bit / 8] ^= 1 << (bit % 8);
        assert!(changed.verify(&trusted).is_err(), "signature bit {bit}");
    }
    for length in 0..signed.signature.len() {
        let mut changed = signed.clone();
        changed.signature.truncate(length);
        assert!(
            changed.verify(&trusted).is_err(),
            "{length} bytes of signature"
        );
    }
    assert!(signed.verify(&trusted).is_ok());
}

#[test]
fn a_signature_over_the_bare_bytes_is_not_one_over_the_manifest() {
    let key = key();
    let mut signed = manifest().sign(&key).unwrap();
    signed.signature = key.sign(&signed.manifest);
    assert!(signed.verify(&trusting(&[&key])).is_err());
}

#[test]
fn what_is_signed_can_always_be_read_back() {
    let mut manifest = manifest();
    manifest.version.pre = semver::Prerelease::new(&"a".repeat(VERSION_CHARS_MAX)).unwrap();
    assert!(matches!(
        manifest.sign(&key()),
        Err(ManifestError::VersionTooLong)
    ));
}

#[test]
fn public_keys_and_their_ids_read_back_as_written() {
    let public = key().public_key();
    assert_eq!(public.to_string().parse(), Ok(public));
    assert_eq!(public.id().to_string().parse(), Ok(public.id()));
    assert_eq!(public.id().to_string().len(), 16);
    let text = public.to_string();
    for wrong in [
        "",
        "ed25519:",
        text.trim_start_matches("ed25519:"),
        &text[..text.len() - 1],
        &text.to_uppercase(),
    ] {
        assert_eq!(wrong.parse::<PublicKey>(), Err(InvalidPublicKey), "{wrong}");
    }
}

#[test]
fn a_private_key_of_another_kind_is_refused() {
    let p256 = rcgen::KeyPair::generate().unwrap().serialize_pem();
    assert!(matches!(
        SigningKey::from_pem(p256.as_bytes()),
        Err(SigningKeyError::NotEd25519)
    ));
    assert!(matches!(
        SigningKey::from_pem(b"nothing"),
        Err(SigningKeyError::Pem(_))
    ));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic_and_only_in_the_one_way(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(manifest) = ReleaseManifest::decode(&bytes) {
            prop_assert_eq!(manifest.encode(), bytes);
        }
    }

    #[test]
    fn every_manifest_reads_back_as_written(
        component in "[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?",
        (major, minor, patch) in any::<(u64, u64, u64)>(),
        platform in proptest::sample::select(&PLATFORMS),
        content in any::<[u8; 8]>(),
        size_bytes in any::<u64>(),
        tree in proptest::option::of((
            proptest::sample::select(&ArchiveFormat::ALL),
            "[a-z]{1,9}(/[a-z.]{3,9}){0,4}",
            any::<u64>(),
        )),
    ) {
        let manifest = ReleaseManifest {
            component: component.parse().unwrap(),
            version: semver::Version::new(major, minor, patch),
            platform: platform.to_owned(),
            sha256: digest_of(&content),
            size_bytes,
            tree: tree.map(|(format, executable, unpacked_bytes)| Tree {
                format,
                executable: executable.parse().unwrap(),
                unpacked_bytes,
            }),
        };
        prop_assert_eq!(ReleaseManifest::decode(&manifest.encode()).unwrap(), manifest);
    }
}
