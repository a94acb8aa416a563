//! Downloads: only signed bytes, whole and unchanged, become a release.

use std::fs;

use evenkeel_common::manifest::ArchiveFormat;
use evenkeel_proto::v1::{InstanceReport, OrderResult, StageState};

use crate::support::{Agent, Coordinator, Flaw, Place, Program, desired, order, outcome};

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

#[test]
fn a_packed_release_is_unpacked_and_serves() {
    for format in ArchiveFormat::ALL {
        let packed = |place: &Place| place.packed("1.1.0", "good", format);
        let (place, _coordinator, _) = staged(packed, Flaw::None, is_ready);
        let current = place.of_instance("current");
        assert!(current.join("share/digest").is_file());
        let store = place.root.join("state/releases/store");
        let names: Vec<_> = fs::read_dir(store)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "nothing is left of the download: {names:?}");
    }
}

#[test]
fn an_instance_goes_from_a_program_to_a_tree_and_on_and_back_and_is_found_again() {
    let place = Place::new();
    let coordinator = Coordinator::start(&place, 1);
    place.configure(coordinator.address, "");
    let plain = place.program("1.0.0", "good");
    let tree = place.packed("1.1.0", "good", ArchiveFormat::TarZst);
    let broken = place.packed("1.2.0", "broken", ArchiveFormat::TarGz);
    let programs = [&tree, &broken];
    let mut agent = Agent::start(&place);
    coordinator.wait_until_healthy("1.0.0");
    coordinator.stage(&programs);
    coordinator.desire(desired(&programs, Some(order(1, &tree, Some(&plain)))));
    coordinator.wait_for("the tree to run", |report| {
        outcome(report, 1) == Some(OrderResult::Done)
    });
    let before = agent.wait_until_it_serves("1.1.0");
    agent.restart();
    assert_eq!(agent.wait_until_it_serves("1.1.0"), before);
    let report = coordinator.wait_for("the process to be found again", |report| {
        report.process.is_some()
    });
    let running = report.process.unwrap().release.unwrap();
    assert_eq!(running, tree.reference());
    // One that does not start is gone back from, to a tree.
    coordinator.desire(desired(&programs, Some(order(2, &broken, Some(&tree)))));
    coordinator.wait_for("the way back", |report| {
        outcome(report, 2) == Some(OrderResult::Reverted)
    });
    agent.wait_until_it_serves("1.1.0");
    coordinator.desire(desired(&programs, Some(order(3, &plain, None))));
    coordinator.wait_for("the program to run", |report| {
        outcome(report, 3) == Some(OrderResult::Done)
    });
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn a_signed_archive_that_breaks_a_rule_never_becomes_a_release() {
    let packed = |place: &Place, change: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
        let program = place.program("1.1.0", "good");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(program.bytes.len() as u64);
        tar.append_data(&mut header, "store", program.bytes.as_slice())
            .unwrap();
        change(&mut tar);
        place.pack(&program, ArchiveFormat::TarGz, tar.into_inner().unwrap())
    };
    let link = |tar: &mut tar::Builder<Vec<u8>>| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        tar.append_link(&mut header, "data", "/var/lib").unwrap();
    };
    refused(
        |place| packed(place, &link),
        Flaw::None,
        "which is absolute",
    );
    let setuid = |tar: &mut tar::Builder<Vec<u8>>| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o4755);
        header.set_size(0);
        tar.append_data(&mut header, "su", &b""[..]).unwrap();
    };
    refused(|place| packed(place, &setuid), Flaw::None, "setuid");
}
