//! The configuration, as the program takes it.

use std::fs;

use evenkeel_agent::config::Settings;

use crate::support::{Place, agent::command};

#[test]
fn a_good_configuration_is_checked_and_nothing_is_done() {
    let place = Place::new();
    let config = place.configure(place.address, "");
    let output = command(&config).arg("--check-config").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!place.root.join("state").exists());
}

#[test]
fn a_bad_configuration_ends_the_agent_with_its_line_and_the_reason() {
    let place = Place::new();
    let config = place.configure(place.address, "stop_timeout = \"soon\"");
    for check_only in [true, false] {
        let mut command = command(&config);
        if check_only {
            command.arg("--check-config");
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("agent.toml:16:16: \"soon\" is not a duration"),
            "{said}"
        );
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let place = Place::new();
    let config = place.configure(place.address, "");
    let output = command(&config)
        .arg("--check-config")
        .env("EVENKEEL_AGENT__NODE", "No Name")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("EVENKEEL_AGENT__NODE"), "{said}");
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let place = Place::new();
    let output = command(&place.root.join("none.toml")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("none.toml")
    );
    assert!(fs::read_dir(&place.root).unwrap().count() > 0);
}

#[test]
fn the_example_that_is_shipped_is_a_configuration() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/agent.toml");
    let settings = Settings::load(example.into()).unwrap();
    assert_eq!(settings.instances.len(), 2);
}
