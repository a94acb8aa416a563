//! Releases that are not what they say they are.

use anyhow::Context as _;
use evenkeel_common::{
    digest::digest_of,
    manifest::{ReleaseManifest, SigningKey},
    pki::new_release_key_pem,
    platform,
    problem::ErrorCode::{self, AlreadyExists, BadArgument},
};
use evenkeel_proto::v1::{
    PublishHeader, PublishReleaseRequest, PublishReleaseResponse, SignedManifest,
    publish_release_request::Part,
};
use evenkeel_tests::{
    api::{Api, publish_requests},
    systems::trivial::{COMPONENT, Conduct},
};
use tonic::{Code, Response, Status};

use crate::support::{NEXT, Place, refused};

/// Where an ELF header says what kind of file it is, and for which machine.
const E_TYPE: usize = 16;
const E_MACHINE: usize = 18;

/// A manifest that says the truth about these bytes.
fn manifest(version: &str, bytes: &[u8]) -> anyhow::Result<ReleaseManifest> {
    Ok(ReleaseManifest {
        component: COMPONENT.parse()?,
        version: version.parse()?,
        platform: platform::current().to_owned(),
        sha256: digest_of(bytes),
        size_bytes: bytes.len() as u64,
        tree: None,
    })
}

async fn publish(
    api: &Api,
    requests: Vec<PublishReleaseRequest>,
) -> Result<Response<PublishReleaseResponse>, Status> {
    api.releases()
        .publish_release(tokio_stream::iter(requests))
        .await
}

fn chunk(bytes: Vec<u8>) -> PublishReleaseRequest {
    PublishReleaseRequest {
        part: Some(Part::Chunk(bytes)),
    }
}

/// The header among the messages of a publish call.
fn header(requests: &mut [PublishReleaseRequest]) -> Option<&mut PublishHeader> {
    match requests.first_mut()?.part.as_mut()? {
        Part::Header(header) => Some(header),
        Part::Chunk(_) => None,
    }
}

fn signed(requests: &mut [PublishReleaseRequest]) -> Option<&mut SignedManifest> {
    header(requests)?.manifest.as_mut()
}

#[tokio::test]
async fn what_is_no_executable_for_its_platform_is_refused() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let program = std::fs::read(place.layout.release("2.0.0", Conduct::Good)?)?;
    let patched = |at: usize, value: u8| {
        let mut bytes = program.clone();
        bytes[at] = value;
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("a script", b"#!/bin/sh\nexit 0\n".to_vec(), "64-bit ELF"),
        ("an empty file", Vec::new(), "64-bit ELF header"),
        ("the first bytes only", b"\x7fELF".to_vec(), "64-bit ELF"),
        ("noise", vec![0xa5; 100_000], "64-bit ELF header"),
        (
            "for an ARM",
            patched(E_MACHINE, 0xb7),
            "is an executable for linux/arm64, not for linux/amd64",
        ),
        (
            "for something old",
            patched(E_MACHINE, 0x02),
            "an unknown machine (ELF number 2), not for linux/amd64",
        ),
        (
            "an object file",
            patched(E_TYPE, 1),
            "no executable (a library or an object file)",
        ),
    ];
    let before = place.listing().await?;
    let artifacts = place.artifacts()?;
    for (what, bytes, words) in cases {
        let manifest = manifest("2.0.0", &bytes)?;
        let requests = publish_requests(&manifest, &place.key, bytes)?;
        let answer = publish(&place.api, requests).await;
        refused(what, answer, BadArgument, &[words])?;
    }
    // Bytes that are there already are no more for another machine than they were before.
    let there = std::fs::read(place.layout.release(NEXT, Conduct::Good)?)?;
    let other = ReleaseManifest {
        platform: "linux/arm64".to_owned(),
        ..manifest("2.0.0", &there)?
    };
    let answer = publish(&place.api, publish_requests(&other, &place.key, there)?).await;
    let words = &["is an executable for linux/amd64, not for linux/arm64"];
    refused(
        "known bytes for another machine",
        answer,
        BadArgument,
        words,
    )?;
    assert_eq!(place.artifacts()?, artifacts);
    place.is_as_it_was(&before).await
}

#[tokio::test]
async fn what_is_not_signed_or_not_what_was_signed_is_refused() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let program = std::fs::read(place.layout.release("2.0.0", Conduct::Good)?)?;
    let good = manifest("2.0.0", &program)?;
    let stranger = SigningKey::from_pem(new_release_key_pem()?.as_bytes())?;
    let requests = || publish_requests(&good, &place.key, program.clone());
    let mut cases: Vec<(&str, Vec<PublishReleaseRequest>, ErrorCode, &[&str])> = Vec::new();
    let mut case = |what, requests, words| cases.push((what, requests, BadArgument, words));

    let others = publish_requests(&good, &stranger, program.clone())?;
    let words: &[&str] = &["header.manifest: ", "not among the trusted keys"];
    case("signed by a stranger", others.clone(), words);
    let mut forged = others;
    if let Some(signed) = signed(&mut forged) {
        signed.key_id = place.key.public_key().id().to_string();
    }
    let words: &[&str] = &["the signature of the release manifest does not fit"];
    case("signed by a stranger in our name", forged, words);
    let mut unsigned = requests()?;
    if let Some(signed) = signed(&mut unsigned) {
        signed.signature.clear();
    }
    case("not signed", unsigned, words);
    let mut changed = requests()?;
    if let Some(signed) = signed(&mut changed) {
        let text = String::from_utf8(signed.manifest.to_vec())?;
        signed.manifest = text.replace("2.0.0", "2.0.1").into_bytes();
    }
    case("changed after it was signed", changed, words);
    let mut nobody = requests()?;
    if let Some(signed) = signed(&mut nobody) {
        signed.key_id = "whose?".to_owned();
    }
    case(
        "a key id that is none",
        nobody,
        &["16 lower-case hex digits"],
    );
    let mut noise = requests()?;
    if let Some(signed) = signed(&mut noise) {
        signed.manifest = vec![0xff; 2_000];
    }
    case("no manifest but noise", noise, &["at most 1024 bytes long"]);
    let mut none = requests()?;
    if let Some(header) = header(&mut none) {
        header.manifest = None;
    }
    case("no manifest", none, &["header.manifest: is missing"]);
    let mut nameless = requests()?;
    if let Some(header) = header(&mut nameless) {
        header.request_id = "1".to_owned();
    }
    case(
        "no request id",
        nameless,
        &["request_id: ", "is not a UUID"],
    );

    case("no message", Vec::new(), &["first message", "its header"]);
    let only_bytes = requests()?.split_off(1);
    case("no header", only_bytes, &["first message", "its header"]);
    let mut twice = requests()?;
    twice.insert(1, requests()?.swap_remove(0));
    case("two headers", twice, &["every message after the header"]);
    let mut hollow = requests()?;
    hollow.push(PublishReleaseRequest { part: None });
    case("an empty message", hollow, &["has to be a chunk"]);
    let mut short = requests()?;
    short.pop();
    case(
        "bytes missing",
        short,
        &["bytes that the manifest says came"],
    );
    let mut long = requests()?;
    long.push(chunk(vec![0]));
    case("a byte too many", long, &["more bytes came than the"]);
    let mut other = program.clone();
    other[E_TYPE + 100] ^= 1;
    let other = publish_requests(&good, &place.key, other)?;
    let words: &[&str] = &["the bytes that came have the digest", "the manifest says"];
    case("other bytes", other, words);
    let mut heavy = requests()?;
    heavy.insert(1, chunk(vec![0; (1 << 20) + 1]));
    let words: &[&str] = &["a chunk is larger than 1048576 bytes"];
    case("a chunk that is too large", heavy, words);
    let endless = ReleaseManifest {
        size_bytes: u64::MAX,
        ..good.clone()
    };
    let endless = publish_requests(&endless, &place.key, program.clone())?;
    let words: &[&str] = &["at most 4294967296 are allowed"];
    case("more bytes than any program has", endless, words);

    let before = place.listing().await?;
    let artifacts = place.artifacts()?;
    for (what, requests, code, words) in cases {
        let answer = publish(&place.api, requests).await;
        refused(what, answer, code, words)?;
    }
    // Refused before it is read: by the limit that gRPC holds for us.
    let mut heaviest = requests()?;
    heaviest.insert(1, chunk(vec![0; 5 << 20]));
    let status = publish(&place.api, heaviest).await.err();
    let status = status.map(|status| (status.code(), status.message().to_owned()));
    assert!(
        matches!(&status, Some((Code::OutOfRange, words)) if words.contains("limit is: 4194304 bytes")),
        "{status:?}"
    );
    assert_eq!(place.artifacts()?, artifacts);
    place.is_as_it_was(&before).await
}

#[tokio::test]
async fn a_published_version_never_changes() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let before = place.listing().await?;
    let artifacts = place.artifacts()?;
    let there = std::fs::read(place.layout.release(NEXT, Conduct::Good)?)?;
    let other = [there.as_slice(), b"!"].concat();
    let requests = publish_requests(&manifest(NEXT, &other)?, &place.key, other)?;
    let answer = publish(&place.api, requests).await;
    let words = &[
        "trivial 1.1.0 for linux/amd64 is published with other bytes",
        "a published version never changes",
    ];
    refused("other bytes", answer, AlreadyExists, words)?;
    assert_eq!(place.artifacts()?, artifacts);

    // Another size for bytes that are there is a lie, whoever signed it.
    let lie = ReleaseManifest {
        size_bytes: 1,
        ..manifest("2.0.0", &there)?
    };
    let requests = publish_requests(&lie, &place.key, there.clone())?;
    let answer = publish(&place.api, requests).await;
    refused("another size", answer, BadArgument, &["the manifest says"])?;
    place.is_as_it_was(&before).await?;

    // The same bytes again change nothing, and mend what was cut short.
    let artifact = artifacts.first().context("no artifact")?;
    std::fs::write(artifact, &there[..1000])?;
    for _ in 0..2 {
        let requests = publish_requests(&manifest(NEXT, &there)?, &place.key, there.clone())?;
        publish(&place.api, requests).await?;
        assert!(std::fs::read(artifact)? == there, "{artifact}");
    }
    assert_eq!(place.artifacts()?, artifacts);
    assert_eq!(place.listing().await?.releases, before.releases);
    Ok(())
}
