//! Numbers of processes that pass to others, and processes that have ended and still have one: in a namespace of
//! process numbers, where it can be said which number comes next.

use std::{
    env, fs,
    process::{Child, Command, Stdio},
};

use evenkeel_proto::v1::OrderResult;
use rustix::process::Signal;

use crate::support::{Agent, NUMBER_OUTSIDE, Place, Scene, agent::ProcessId, wait_for};

/// Runs what waits for every orphan, so that their numbers become free.
const REAPING: &str = r#""$0" "$@" & wait "$!""#;

/// Whether this is the test itself; else it was run among numbers of its own, and was good. `reaps`: there
/// somebody waits for orphans that have ended.
fn is_among_own_numbers(test: &str, reaps: bool) -> bool {
    if env::var_os(NUMBER_OUTSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child=KILL"]);
    if reaps {
        command.args(["sh", "-c", REAPING]);
    }
    let status = command
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(NUMBER_OUTSIDE, std::process::id().to_string())
        .status()
        .unwrap();
    assert!(
        status.success(),
        "{test} among numbers of its own: {status}"
    );
    false
}

/// Another process of the same program that has this number, and leads a session of this number.
fn innocent(place: &Place, number: i32) -> Child {
    wait_for("the number to be free", || {
        (!fs::exists(format!("/proc/{number}")).unwrap()).then_some(())
    });
    let program = place
        .of_instance("current/store")
        .canonicalize_utf8()
        .unwrap();
    wait_for("the number to pass to another", || {
        // Others start processes too, so it may have to be said again.
        fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).unwrap();
        let mut command = Command::new("setsid");
        command
            .arg(&program)
            .arg("wait-for-ever")
            .stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        if i32::try_from(child.id()) == Ok(number) {
            wait_for("it to be the program", || {
                let exe = fs::read_link(format!("/proc/{number}/exe")).ok()?;
                (exe == program.as_std_path()).then_some(())
            });
            return Some(child);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    })
}

#[test]
fn a_number_that_has_passed_to_another_while_no_agent_looked_is_not_its_process() {
    let test =
        "numbers::a_number_that_has_passed_to_another_while_no_agent_looked_is_not_its_process";
    if !is_among_own_numbers(test, true) {
        return;
    }
    let scene = Scene::new("good", "stop_timeout = \"300ms\"");
    let mut agent = scene.agent();
    let storage = agent.storage().unwrap();
    agent.kill();
    storage.signal(Signal::KILL);
    let mut innocent = innocent(&scene.place, storage.pid);
    agent.restart();
    let next = agent.wait_until_it_serves("1.0.0");
    assert_ne!(next.pid, storage.pid);
    // Nor is it when a stop takes too long, and all of a session is killed.
    next.signal(Signal::STOP);
    scene.coordinator.stage(&[&scene.new]);
    scene.upgrade(1, OrderResult::Done);
    agent.wait_until_it_serves("1.1.0");
    assert!(innocent.try_wait().unwrap().is_none());
    innocent.kill().unwrap();
}

#[test]
fn a_number_that_passes_to_another_under_an_agent_that_sleeps_is_not_its_process() {
    let test =
        "numbers::a_number_that_passes_to_another_under_an_agent_that_sleeps_is_not_its_process";
    if !is_among_own_numbers(test, true) {
        return;
    }
    let place = Place::new();
    place.configure("127.0.0.1:1".parse().unwrap(), "");
    let mut agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    // One that has adopted it does not keep its number as a parent does.
    agent.restart();
    wait_for("the process to be found again", || {
        agent.log().contains("found its process").then_some(())
    });
    agent.signal(Signal::STOP);
    storage.signal(Signal::KILL);
    let mut innocent = innocent(&place, storage.pid);
    agent.signal(Signal::CONT);
    let next = wait_for("another process", || {
        agent
            .storage()
            .filter(|now| *now != storage && now.pid != storage.pid)
    });
    assert_eq!(agent.wait_until_it_serves("1.0.0"), next);
    assert!(innocent.try_wait().unwrap().is_none());
    innocent.kill().unwrap();
}

#[test]
fn a_zombie_is_not_alive() {
    if !is_among_own_numbers("numbers::a_zombie_is_not_alive", false) {
        return;
    }
    let place = Place::new();
    place.configure("127.0.0.1:1".parse().unwrap(), "");
    let mut agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    agent.kill();
    // This test is the parent of orphans here, and waits for none.
    storage.signal(Signal::KILL);
    wait_for("it to be a zombie", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", storage.pid)).unwrap();
        stat.contains(") Z ").then_some(())
    });
    agent.restart();
    assert_ne!(agent.wait_until_it_serves("1.0.0"), storage);
    assert_eq!(ProcessId::of(storage.pid), None);
}
