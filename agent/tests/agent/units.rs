//! Storage processes as units of a real systemd.

use std::fs;

use evenkeel_agent::failpoints;
use evenkeel_proto::v1::{InstanceReport, InstanceStatus, OrderResult};
use rustix::process::Signal;

use crate::support::{
    Agent, BUS, Coordinator, Data, Place, Program, Scene, Systemd, UNIT,
    agent::{ProcessId, command},
    desired, order, outcome, rebuild, wait_for,
};

const EXTRA: &str = "supervisor = \"systemd\"\nunit = \"store-s1.service\"";

/// An instance at 1.0.0 whose unit is as it is shipped, and another release of it.
fn scene(mode: &str, extra: &str) -> (Scene, Systemd) {
    let place = Place::new();
    let systemd = Systemd::start(&place);
    systemd.write_unit(&place, |unit| unit);
    (
        Scene::at(place, mode, &format!("{EXTRA}\n{extra}")),
        systemd,
    )
}

/// The same without a coordinator.
fn alone(extra: &str) -> (Place, Systemd) {
    let place = Place::new();
    let systemd = Systemd::start(&place);
    systemd.write_unit(&place, |unit| unit);
    place.configure("127.0.0.1:1".parse().unwrap(), &format!("{EXTRA}\n{extra}"));
    (place, systemd)
}

fn said(agent: &Agent<'_>, what: &str) {
    wait_for(what, || agent.log().contains(what).then_some(()));
}

fn another(agent: &Agent<'_>, than: ProcessId) -> ProcessId {
    wait_for("another process", || {
        agent.storage().filter(|now| *now != than)
    })
}

#[test]
fn an_order_is_carried_out_through_the_unit() {
    let (scene, systemd) = scene("good", "");
    let agent = scene.agent();
    let before = agent.storage().unwrap();
    assert_eq!(systemd.property("MainPID"), before.pid.to_string());
    scene.upgrade(1, OrderResult::Done);
    assert!(!before.is_alive());
    assert_eq!(scene.place.current(), "1.1.0");
    let after = agent.wait_until_it_serves("1.1.0");
    assert_eq!(systemd.property("MainPID"), after.pid.to_string());
    assert_eq!(systemd.property("ActiveState"), "active");
}

#[test]
fn a_release_that_ends_at_once_is_put_back_with_what_it_wrote_last() {
    let (scene, _systemd) = scene("broken", "");
    let agent = scene.agent();
    let report = scene.upgrade(1, OrderResult::Reverted);
    let reason = report.progress.unwrap().reason;
    assert!(reason.contains("exit status: 3"), "{reason}");
    assert!(reason.contains("this release is broken"), "{reason}");
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn the_agents_death_leaves_the_unit_as_it_is() {
    let (place, systemd) = alone("");
    let mut agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    let invocation = systemd.property("InvocationID");
    let found = format!("found its process instance=s1 pid={}", storage.pid);
    for times in 1..=3 {
        agent.restart();
        wait_for("the process to be found again", || {
            (agent.log().matches(&found).count() == times).then_some(())
        });
        assert_eq!(agent.wait_until_it_serves("1.0.0"), storage);
    }
    agent.signal(Signal::TERM);
    assert!(agent.wait().success());
    assert!(storage.is_alive());
    assert_eq!(systemd.property("InvocationID"), invocation);
    assert_eq!(systemd.property("NRestarts"), "0");
}

#[test]
fn a_unit_that_crashes_is_started_again_by_the_agent_up_to_the_cap_and_then_taken_up_from_a_person()
{
    let (scene, systemd) = scene("good", "");
    let agent = scene.agent();
    for _ in 0..=3 {
        let storage = agent.wait_until_it_serves("1.0.0");
        storage.signal(Signal::KILL);
        wait_for("its end", || (!storage.is_alive()).then_some(()));
    }
    let report = scene.coordinator.wait_for("given up", |report| {
        report.status() == InstanceStatus::Error && report.reason.contains("not started again")
    });
    assert!(report.reason.contains("signal: 9"), "{}", report.reason);
    assert!(
        report.reason.contains("its last line: release 1.0.0"),
        "{}",
        report.reason
    );
    assert_eq!(agent.log().matches("the process runs").count(), 4);
    // Systemd did not start it behind the agent's back, and a person may.
    assert_eq!(systemd.property("NRestarts"), "0");
    systemd.systemctl(&["reset-failed", UNIT]);
    systemd.systemctl(&["start", UNIT]);
    scene.coordinator.wait_until_healthy("1.0.0");
    said(&agent, "somebody else has started the process");
}

#[test]
fn a_unit_that_does_not_stop_in_time_is_killed_with_all_that_it_has() {
    let (mut scene, _systemd) = scene("good", "stop_timeout = \"500ms\"");
    scene.old = scene.place.program("1.0.0", "stubborn");
    fs::write(scene.place.root.join("store-1.0.0"), &scene.old.bytes).unwrap();
    let agent = scene.agent();
    let before = agent.storage().unwrap();
    let children = wait_for("its child", || {
        Some(before.children()).filter(|children| !children.is_empty())
    });
    scene.upgrade(1, OrderResult::Done);
    said(&agent, "did not stop in its time and is killed");
    assert!(!before.is_alive());
    assert!(children.iter().all(|child| !child.is_alive()));
    agent.wait_until_it_serves("1.1.0");
}

#[test]
fn what_a_process_leaves_behind_in_its_unit_does_not_outlive_it() {
    let (place, _systemd) = alone("stop_timeout = \"300ms\"");
    let stubborn = place.program("1.0.0", "stubborn");
    fs::write(place.root.join("store-1.0.0"), &stubborn.bytes).unwrap();
    let agent = Agent::start(&place);
    let first = agent.wait_until_it_serves("1.0.0");
    let children = wait_for("its child", || {
        Some(first.children()).filter(|children| !children.is_empty())
    });
    first.signal(Signal::KILL);
    another(&agent, first);
    assert!(children.iter().all(|child| !child.is_alive()));
}

#[test]
fn a_unit_that_a_person_stops_or_restarts_is_one_that_ended_by_itself() {
    let (place, systemd) = alone("");
    let agent = Agent::start(&place);
    let first = agent.wait_until_it_serves("1.0.0");
    systemd.systemctl(&["stop", UNIT]);
    let second = another(&agent, first);
    assert_eq!(agent.wait_until_it_serves("1.0.0"), second);
    systemd.systemctl(&["restart", UNIT]);
    let third = another(&agent, second);
    assert_eq!(agent.wait_until_it_serves("1.0.0"), third);
    assert_eq!(systemd.property("MainPID"), third.pid.to_string());
    assert_eq!(agent.log().matches("the process ended").count(), 2);
}

#[test]
fn a_unit_that_would_go_its_own_way_is_refused_and_left_alone() {
    let (place, systemd) = alone("");
    let mut agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    let release = place.of_instance("current").canonicalize_utf8().unwrap();
    let through_link = format!("ExecStart={}", place.of_instance("current/store"));
    for (from, to, reason) in [
        ("Restart=no", "Restart=always", "Restart=always"),
        ("KillMode=mixed", "KillMode=process", "KillMode=process"),
        (
            "TimeoutStopSec=90s",
            "TimeoutStopSec=29s",
            "TimeoutStopSec=",
        ),
        ("Type=exec", "Type=oneshot", "Type=oneshot"),
        (
            &through_link,
            &format!("ExecStart={release}/store"),
            "ExecStart=",
        ),
    ] {
        agent.kill();
        systemd.write_unit(&place, |unit| {
            assert!(unit.contains(from), "{unit}");
            unit.replace(from, to)
        });
        let before = agent.log().len();
        agent.restart();
        wait_for(reason, || {
            let log = agent.log();
            let new = &log[before..];
            (new.contains("this instance is not touched") && new.contains(reason)).then_some(())
        });
        assert!(storage.is_alive());
    }
    agent.kill();
    systemd.write_unit(&place, |unit| unit);
    agent.restart();
    assert_eq!(agent.wait_until_it_serves("1.0.0"), storage);
}

#[test]
fn a_unit_that_is_changed_for_the_worse_while_the_agent_runs_is_not_stopped() {
    let (scene, systemd) = scene("good", "");
    let agent = scene.agent();
    let storage = agent.storage().unwrap();
    systemd.write_unit(&scene.place, |unit| {
        unit.replace("Restart=no", "Restart=always")
    });
    let report = scene.carry_out(order(1, &scene.new, Some(&scene.old)), OrderResult::Failed);
    let reason = report.progress.unwrap().reason;
    assert!(reason.contains("Restart=always"), "{reason}");
    assert!(storage.is_alive());
}

#[test]
fn an_instance_that_may_be_rebuilt_needs_a_unit_that_can_be_kept_down() {
    let (place, systemd) = alone("");
    let data = place.root.join("data");
    fs::create_dir(&data).unwrap();
    let leave = format!("{EXTRA}\ndata_dirs = [\"{data}\"]\nrebuild = {{ empty = [\"{data}\"] }}");
    place.configure("127.0.0.1:1".parse().unwrap(), &leave);
    systemd.write_unit(&place, |unit| unit.replace("ConditionPathExists=", "# "));
    let mut agent = Agent::start(&place);
    said(
        &agent,
        "it may be rebuilt, so it needs ConditionPathExists=!",
    );
    systemd.write_unit(&place, |unit| unit);
    agent.restart();
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn a_bus_that_is_gone_makes_an_instance_unknown_and_not_down() {
    let (scene, systemd) = scene("good", "");
    let mut agent = scene.agent();
    let storage = agent.storage().unwrap();
    systemd.kill_bus();
    let report = scene.coordinator.wait_for("the reason", |report| {
        report.reason.contains("systemd cannot be reached")
    });
    assert_eq!(report.status(), InstanceStatus::Running);
    assert!(runs(&report, storage));
    // A new agent knows its process by the kernel's word.
    agent.restart();
    scene.coordinator.wait_for("the process", |report| {
        runs(report, storage) && report.reason.contains("systemd cannot be reached")
    });
    // What is ordered meanwhile waits.
    let order = order(1, &scene.new, Some(&scene.old));
    scene.coordinator.stage(&[&scene.new]);
    scene
        .coordinator
        .desire(desired(&[&scene.new], Some(order)));
    scene
        .coordinator
        .wait_for("the order to be waited with", |report| {
            report.reason.contains("what runs is not known")
        });
    assert!(storage.is_alive());
    systemd.start_bus();
    scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 1) == Some(OrderResult::Done)
        });
    agent.wait_until_it_serves("1.1.0");
}

#[test]
fn a_process_that_ends_while_the_bus_is_gone_is_started_again_once_it_is_back() {
    let (scene, systemd) = scene("good", "");
    let agent = scene.agent();
    let first = agent.storage().unwrap();
    systemd.kill_bus();
    said(&agent, "systemd cannot be reached");
    first.signal(Signal::KILL);
    wait_for("its end", || (!first.is_alive()).then_some(()));
    assert!(!agent.log().contains("the process ended"));
    systemd.start_bus();
    another(&agent, first);
    agent.wait_until_it_serves("1.0.0");
    assert_eq!(agent.log().matches("the process ended").count(), 1);
}

#[test]
fn an_agent_that_starts_without_a_bus_waits_for_it() {
    let (scene, systemd) = scene("good", "");
    systemd.kill_bus();
    let agent = Agent::start(&scene.place);
    scene.coordinator.wait_for("the reason", |report| {
        report.reason.contains("what runs is not known")
    });
    systemd.start_bus();
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn a_bus_that_is_silent_is_no_reason_to_think_anything() {
    let (scene, systemd) = scene("good", "");
    let agent = scene.agent();
    let storage = agent.storage().unwrap();
    systemd.systemctl(&["kill", "--signal=STOP", BUS]);
    let mut order = order(1, &scene.new, Some(&scene.old));
    order.ready_within_ms = 60_000;
    let order = desired(&[&scene.new], Some(order));
    scene.coordinator.desire(order);
    scene.coordinator.wait_for("that it is silent", |report| {
        report.reason.contains("what runs is not known") && report.reason.contains("within 5 s")
    });
    assert!(storage.is_alive());
    systemd.systemctl(&["kill", "--signal=CONT", BUS]);
    scene
        .coordinator
        .wait_for("the end of the order", |report| {
            outcome(report, 1) == Some(OrderResult::Done)
        });
    agent.wait_until_it_serves("1.1.0");
}

#[test]
fn a_systemd_that_executes_itself_anew_goes_on_being_heard() {
    let (place, systemd) = alone("");
    let agent = Agent::start(&place);
    let first = agent.wait_until_it_serves("1.0.0");
    systemd.systemctl(&["daemon-reexec"]);
    assert!(first.is_alive());
    systemd.systemctl(&["restart", UNIT]);
    let second = another(&agent, first);
    second.signal(Signal::KILL);
    another(&agent, second);
    agent.wait_until_it_serves("1.0.0");
}

#[test]
fn a_unit_that_is_not_there_is_said_to_be_so() {
    let (place, systemd) = alone("");
    let other = EXTRA.replace(UNIT, "nowhere.service");
    place.configure("127.0.0.1:1".parse().unwrap(), &other);
    let agent = Agent::start(&place);
    said(&agent, "it is not loaded but not-found");
    assert_eq!(systemd.property("ActiveState"), "inactive");
}

#[test]
fn a_configuration_is_checked_with_the_units_that_it_names() {
    let (place, systemd) = alone("");
    let check = || {
        let mut command = command(&place.root.join("agent.toml"));
        command.arg("--check-config");
        command.env("DBUS_SYSTEM_BUS_ADDRESS", place.bus());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let (status, told) = check();
    assert_eq!(status, Some(0), "{told}");
    systemd.write_unit(&place, |unit| unit.replace("Restart=no", "Restart=always"));
    let (status, told) = check();
    assert_eq!(status, Some(2));
    assert!(
        told.contains("instance.s1.unit: store-s1.service: Restart=always"),
        "{told}"
    );
    systemd.kill_bus();
    let (status, told) = check();
    assert_eq!(status, Some(2));
    assert!(told.contains("systemd does not answer"), "{told}");
}

#[test]
fn a_rebuild_goes_through_the_unit_which_nobody_can_start_meanwhile() {
    let place = Place::new();
    let systemd = Systemd::start(&place);
    let data = Data::new(&place);
    systemd.write_unit(&place, |unit| {
        format!("{unit}Environment=STORE_DATA={}\n", data.folder())
    });
    let extra = format!("{EXTRA}\n{}", data.extra_of_unit());
    let scene = Scene::at(place, "foreign", &extra);
    let mut agent = scene.agent();
    scene.carry_out(rebuild(1, &scene.new, Some(&scene.old)), OrderResult::Done);
    let storage = agent.wait_until_it_serves("1.1.0");
    assert_eq!(data.names("").unwrap(), ["written-by-1.1.0"]);
    assert_eq!(data.whereabouts(), ".before-1");
    let kept_down = scene.place.of_instance("kept-down");
    assert!(!kept_down.exists());
    // As if an agent had died in the middle.
    agent.kill();
    systemd.systemctl(&["stop", UNIT]);
    fs::write(&kept_down, "").unwrap();
    systemd.try_systemctl(&["start", UNIT]);
    assert_eq!(systemd.property("ActiveState"), "inactive");
    agent.restart();
    assert_ne!(agent.wait_until_it_serves("1.1.0"), storage);
    assert!(!kept_down.exists());
}

#[test]
fn a_process_of_another_supervisor_is_not_doubled() {
    let (place, systemd) = alone("");
    place.configure("127.0.0.1:1".parse().unwrap(), "");
    let mut agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    place.configure("127.0.0.1:1".parse().unwrap(), EXTRA);
    agent.restart();
    said(&agent, "was started by the agent itself (exec)");
    assert!(storage.is_alive());
    assert_eq!(systemd.property("ActiveState"), "inactive");
}

fn runs(report: &InstanceReport, storage: ProcessId) -> bool {
    let pid = report.process.as_ref().map(|process| process.pid);
    pid == u32::try_from(storage.pid).ok()
}

/// Upgrades a unit with an agent that dies at this place on the way.
#[track_caller]
fn upgrade_with_a_death_at(failpoint: &str) {
    let place = Place::new();
    let systemd = Systemd::start(&place);
    systemd.write_unit(&place, |unit| unit);
    let coordinator = Coordinator::start(&place, 1);
    place.configure(coordinator.address, EXTRA);
    let (old, new): (Program, Program) = (
        place.program("1.0.0", "good"),
        place.program("1.1.0", "good"),
    );
    coordinator.offer(&new, crate::support::Flaw::None);
    let mut agent = Agent::start(&place);
    let first = agent.wait_until_it_serves("1.0.0");
    agent.restart_with(failpoint);
    let (mut deaths, mut hellos) = (0, 0);
    wait_for("the order to end", || {
        if agent.has_ended() {
            deaths += 1;
            place.current();
            let before = agent.storage();
            agent.restart();
            assert!(before.is_none_or(ProcessId::is_alive));
        }
        if coordinator.hellos() > hellos {
            hellos = coordinator.hellos();
            coordinator.try_to_desire(desired(&[&new], None));
        }
        let report = coordinator.report()?;
        let is_ready = |staged: &evenkeel_proto::v1::StagedRelease| {
            staged.state() == evenkeel_proto::v1::StageState::Ready
        };
        if report.staged.iter().any(is_ready) && report.accepted_generation == 0 {
            let order = order(1, &new, Some(&old));
            coordinator.try_to_desire(desired(&[&new], Some(order)));
        }
        (outcome(&report, 1) == Some(OrderResult::Done)).then_some(())
    });
    assert_eq!(deaths, 1, "the agent never got to {failpoint}");
    let last = agent.wait_until_it_serves("1.1.0");
    assert!(!first.is_alive());
    assert_eq!(systemd.property("MainPID"), last.pid.to_string());
}

macro_rules! deaths {
    ($($test:ident: $place:expr;)*) => {$(
        #[test]
        fn $test() {
            upgrade_with_a_death_at($place);
        }
    )*};
}

deaths! {
    a_death_before_a_unit_is_stopped: failpoints::STOP[0];
    a_death_after_a_unit_is_stopped: failpoints::STOP[1];
    a_death_between_stop_and_swap: failpoints::SWAP[0];
    a_death_before_a_unit_is_started: failpoints::START[0];
    a_death_in_the_middle_of_a_units_start: failpoints::START[1];
    a_death_after_a_units_start: failpoints::START[2];
}
