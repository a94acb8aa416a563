//! Downloads: only signed bytes, whole and unchanged, become a release.

use std::fs;

use evenkeel_proto::v1::{InstanceReport, StageState};

use crate::support::{Agent, Coordinator, Flaw, Place, Program, desired, order};

/// An agent that is told to have this program at hand, and what it reports of that.
fn staged(
    program: impl Fn(&Place) -> Program,
    flaw: Flaw,
    is_it: impl Fn(&InstanceReport) -> bool,
) -> (Place, Coordinator, InstanceReport) {
    let place = Place::new();
    let coordinator = Coordinator::start(&place, 1);
    place.configure(coordinator.address, "");
    let program = program(&place);
    coordinator.offer(&program, flaw);
    let agent = Agent::start(&place);
    coordinator.wait_until_healthy("1.0.0");
    coordinator.desire(desired(&[&program], None));
    let report = coordinator.wait_for("it to be staged", is_it);
    // It cannot be ordered either, unless it is there.
    let ready = report.staged[0].state() == StageState::Ready;
    coordinator.desire(desired(&[&program], Some(order(1, &program, None))));
    let version = if ready {
        program.version.to_string()
    } else {
        "1.0.0".to_owned()
    };
    coordinator.wait_for("an answer", |report| {
        report.accepted_generation == 1 || report.reason.contains("not at hand")
    });
    agent.wait_until_it_serves(&version);
    assert_eq!(place.current(), version);
    drop(agent);
    (place, coordinator, report)
}

/// This never becomes a release, for this reason.
#[track_caller]
fn refused(program: impl Fn(&Place) -> Program, flaw: Flaw, reason: &str) {
    let failed = |report: &InstanceReport| {
        report
            .staged
            .first()
            .is_some_and(|staged| staged.state() == StageState::Failed)
    };
    let (place, _, report) = staged(program, flaw, failed);
    let said = &report.staged[0].reason;
    assert!(said.contains(reason), "{said}");
    let releases = fs::read_dir(place.root.join("state/releases/store")).unwrap();
    let whole = releases
        .filter(|r| {
            !r.as_ref()
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .starts_with('.')
        })
        .count();
    assert_eq!(whole, 1);
}

fn good(place: &Place) -> Program {
    place.program("1.1.0", "good")
}

fn is_ready(report: &InstanceReport) -> bool {
    report
        .staged
        .first()
        .is_some_and(|staged| staged.state() == StageState::Ready)
}

#[test]
fn a_signed_artifact_is_downloaded_and_at_hand() {
    let (_, coordinator, _) = staged(good, Flaw::None, is_ready);
    assert_eq!(coordinator.offsets(), [0]);
}

#[test]
fn an_interrupted_download_goes_on_where_it_was() {
    let (place, coordinator, _) = staged(good, Flaw::Interrupted, is_ready);
    let arrived = u64::try_from(good(&place).bytes.len() / 2).unwrap();
    let offsets = coordinator.offsets();
    assert_eq!(offsets[..2], [0, arrived]);
    // On a machine that stalls, a connection may break once more.
    assert!(
        offsets[1..].iter().all(|offset| *offset >= arrived),
        "{offsets:?}"
    );
}

#[test]
fn a_corrupted_download_never_becomes_a_release() {
    refused(good, Flaw::Corrupted, "the download has the SHA-256");
}

#[test]
fn a_truncated_download_never_becomes_a_release() {
    refused(good, Flaw::Truncated, "the download ended after");
}

#[test]
fn a_download_that_does_not_end_never_becomes_a_release() {
    refused(good, Flaw::Overlong, "goes on after its");
}

#[test]
fn an_artifact_that_an_unknown_key_signed_never_becomes_a_release() {
    refused(
        |place| place.foreign_program("1.1.0"),
        Flaw::None,
        "which is not among the trusted keys",
    );
}

#[test]
fn an_artifact_whose_manifest_was_changed_never_becomes_a_release() {
    let changed = |place: &Place| {
        let mut program = place.program("1.1.0", "good");
        let text = String::from_utf8(program.signed.manifest).unwrap();
        program.signed.manifest = text.replace("1.1.0", "1.1.1").into_bytes();
        program
    };
    refused(
        changed,
        Flaw::None,
        "the signature of the release manifest does not fit",
    );
}

#[test]
fn an_artifact_of_another_component_never_becomes_a_release() {
    let other = |place: &Place| place.program_of("other", "1.1.0");
    refused(other, Flaw::None, "it is a release of other, not of store");
}

#[test]
fn an_artifact_that_nobody_has_is_a_failure_with_a_reason() {
    let unknown = |place: &Place| {
        let mut program = place.program("1.1.0", "good");
        // Offered under another digest than the manifest asks for.
        program.digest = "ab".repeat(32).parse().unwrap();
        program
    };
    refused(unknown, Flaw::None, "no such artifact");
}
