//! Storage processes under an agent that hears nothing from any coordinator.

use std::{fs, os::unix::fs::FileExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Agent, Coordinator, Place, wait_for};

fn place(extra: &str) -> Place {
    let place = Place::new();
    // Nobody listens there.
    place.configure("127.0.0.1:1".parse().unwrap(), extra);
    place
}

#[test]
fn an_instance_is_adopted_with_its_initial_release_and_started() {
    let place = place("");
    let agent = Agent::start(&place);
    agent.wait_until_it_serves("1.0.0");
    assert_eq!(place.current(), "1.0.0");
}

#[test]
fn the_death_of_the_agent_is_not_the_death_of_the_process() {
    let place = place("");
    let mut agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    for _ in 0..3 {
        agent.restart();
        wait_for("the process to be found again", || {
            agent
                .log()
                .contains(&format!(
                    "found its process instance=s1 pid={}",
                    storage.pid
                ))
                .then_some(())
        });
        assert!(storage.is_alive());
        assert_eq!(agent.wait_until_it_serves("1.0.0"), storage);
    }
}

#[test]
fn an_agent_that_is_told_to_stop_leaves_the_process_alone() {
    let place = place("");
    let mut agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    agent.signal(Signal::TERM);
    assert!(agent.wait().success());
    assert!(storage.is_alive());
}

#[test]
fn a_process_that_dies_is_started_again_also_one_that_was_adopted() {
    let place = place("");
    let mut agent = Agent::start(&place);
    let first = agent.wait_until_it_serves("1.0.0");
    first.signal(Signal::KILL);
    let second = wait_for("another process", || {
        agent.storage().filter(|now| *now != first)
    });
    agent.restart();
    assert_eq!(agent.wait_until_it_serves("1.0.0"), second);
    second.signal(Signal::KILL);
    wait_for("a third process", || {
        agent.storage().filter(|now| *now != second)
    });
}

#[test]
fn a_process_that_dies_while_no_agent_looks_is_started_by_the_next_one() {
    let place = place("");
    let mut agent = Agent::start(&place);
    let first = agent.wait_until_it_serves("1.0.0");
    agent.kill();
    first.signal(Signal::KILL);
    agent.restart();
    assert_ne!(agent.wait_until_it_serves("1.0.0"), first);
}

#[test]
fn a_process_that_keeps_dying_is_given_up_after_the_cap() {
    let place = place("");
    let agent = Agent::start(&place);
    for _ in 0..=3 {
        let storage = agent.wait_until_it_serves("1.0.0");
        storage.signal(Signal::KILL);
        wait_for("its end", || (!storage.is_alive()).then_some(()));
    }
    let ends = || agent.log().matches("the process ended").count();
    wait_for("the fourth end to be noticed", || {
        (ends() == 4).then_some(())
    });
    assert_eq!(agent.storage(), None);
    assert_eq!(agent.log().matches("the process runs").count(), 4);
}

#[test]
fn a_second_agent_on_the_same_folder_is_refused() {
    let place = place("");
    let agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    let mut second = Agent::start(&place);
    assert!(!second.wait().success());
    assert!(second.log().contains("another agent runs on"));
    assert!(storage.is_alive());
}

#[test]
fn a_missing_data_folder_keeps_the_process_from_starting() {
    let place = place("data_dirs = [\"not-mounted\"]");
    let agent = Agent::start(&place);
    wait_for("the reason", || {
        agent
            .log()
            .contains("not-mounted is not there")
            .then_some(())
    });
    assert_eq!(agent.storage(), None);
}

#[test]
fn a_damaged_journal_stops_the_automation_and_not_the_process() {
    let place = place("");
    let mut agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    agent.kill();
    fs::write(place.of_instance("journal"), [7; 4096]).unwrap();
    agent.restart();
    wait_for("the reason", || {
        agent.log().contains("is damaged at byte 0").then_some(())
    });
    storage.signal(Signal::KILL);
    wait_for("the end of it", || (!storage.is_alive()).then_some(()));
    assert_eq!(agent.log().matches("the process runs").count(), 1);
}

#[test]
fn a_record_of_a_process_that_has_the_number_of_another_is_not_believed() {
    let place = place("");
    let mut agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    agent.kill();
    storage.signal(Signal::KILL);
    wait_for("the end of it", || (!storage.is_alive()).then_some(()));
    // As if the number had passed to this very test.
    let record = place.of_instance("process.json");
    let text = fs::read_to_string(&record).unwrap();
    let text = text.replace(
        &format!("\"pid\":{}", storage.pid),
        &format!("\"pid\":{}", std::process::id()),
    );
    fs::write(&record, text).unwrap();
    agent.restart();
    assert_ne!(agent.wait_until_it_serves("1.0.0"), storage);
}

#[test]
fn a_process_that_left_children_behind_is_started_again_without_them() {
    let place = place("");
    let forking = place.program("1.0.0", "forking");
    fs::write(place.root.join("store-1.0.0"), &forking.bytes).unwrap();
    let agent = Agent::start(&place);
    let first = agent.wait_until_it_serves("1.0.0");
    first.signal(Signal::KILL);
    let second = wait_for("another process", || {
        agent.storage().filter(|now| *now != first)
    });
    assert_eq!(agent.wait_until_it_serves("1.0.0"), second);
    second.signal(Signal::STOP);
}

#[test]
fn what_a_process_writes_is_kept_and_its_last_lines_shown() {
    let place = place("");
    fs::write(
        place.root.join("store-1.0.0"),
        place.program("1.0.0", "broken").bytes,
    )
    .unwrap();
    let agent = Agent::start(&place);
    wait_for("the last lines", || {
        let log = agent.log();
        let lines = "its last lines: release 1.0.0, which is broken, of process ";
        (log.contains(lines) && log.contains(" / this release is broken")).then_some(())
    });
    let output = fs::File::open(place.of_instance("output.log")).unwrap();
    let mut beginning = [0; 14];
    output.read_exact_at(&mut beginning, 0).unwrap();
    assert_eq!(&beginning, b"release 1.0.0,");
}

#[test]
fn a_process_gets_the_limits_that_its_configuration_names() {
    let group = ControlGroup::new();
    let place = place(&format!(
        "limits = {{ nofile = 123, core = 4096, nice = 7, cgroup = \"{}\" }}",
        group.0
    ));
    let agent = Agent::start(&place);
    let storage = agent.wait_until_it_serves("1.0.0");
    let about = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", storage.pid)).unwrap();
    let limits = about("limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let words: Vec<_> = line[name.len()..].split_whitespace().collect();
        (words[0].to_owned(), words[1].to_owned())
    };
    assert_eq!(
        limit("Max open files"),
        ("123".to_owned(), "123".to_owned())
    );
    assert_eq!(
        limit("Max core file size"),
        ("4096".to_owned(), "4096".to_owned())
    );
    let stat = about("stat");
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    assert_eq!(fields[16], "7", "its niceness");
    let name = group.0.file_name().unwrap();
    assert!(about("cgroup").contains(name), "{}", about("cgroup"));
}

#[test]
fn a_limit_that_cannot_be_set_keeps_the_process_from_starting() {
    let place = place("limits = { cgroup = \"no-such-group\" }");
    let agent = Agent::start(&place);
    wait_for("the reason", || {
        let log = agent.log();
        (log.contains("cannot join the control group") && log.contains("no-such-group"))
            .then_some(())
    });
    assert_eq!(agent.storage(), None);
}

#[test]
fn one_that_ends_again_and_again_is_reported_with_what_it_wrote_last() {
    let place = Place::new();
    let broken = place.program("1.0.0", "broken");
    fs::write(place.root.join("store-1.0.0"), &broken.bytes).unwrap();
    let coordinator = Coordinator::start(&place, 1);
    place.configure(coordinator.address, "");
    let _agent = Agent::start(&place);
    let report = coordinator.wait_for("given up", |report| {
        report
            .reason
            .contains("not started again after 3 restarts within 1800 s")
    });
    assert!(
        report.reason.contains("exit status: 3"),
        "{}",
        report.reason
    );
    assert!(
        report.reason.contains(" / this release is broken"),
        "{}",
        report.reason
    );
}

/// A control group that is there for as long as this is.
struct ControlGroup(Utf8PathBuf);

impl ControlGroup {
    fn new() -> Self {
        let hierarchies = [
            "/sys/fs/cgroup/unified",
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/systemd",
        ];
        let mut hierarchies = hierarchies.map(Utf8Path::new).into_iter();
        let hierarchy = hierarchies.find(|h| h.join("cgroup.procs").exists());
        let name = format!("evenkeel-limits-{}", std::process::id());
        let group = hierarchy.expect("there are control groups").join(name);
        fs::create_dir(&group).unwrap();
        Self(group)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        wait_for("the control group to be empty", || {
            let left = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
            for pid in left
                .lines()
                .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
            {
                let _ = kill_process(pid, Signal::KILL);
            }
            fs::remove_dir(&self.0).is_ok().then_some(())
        });
    }
}
