//! Whether a unit is one that the agent can answer for: what it runs is the current release, and only the agent starts
//! and stops it.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::facts::{Command, Definition};

/// What a unit has to be.
#[derive(Debug, Clone)]
pub(super) struct Expected<'a> {
    /// Its name.
    pub(super) unit: &'a str,
    /// The instance's folder, as the kernel names it.
    pub(super) folder: &'a Utf8Path,
    /// The program in the folder of a release.
    pub(super) binary: &'a str,
    /// How long the agent gives it to stop.
    pub(super) stop_timeout: Duration,
    /// A file that keeps it from being started, where its data may be moved.
    pub(super) kept_down: Option<&'a Utf8Path>,
    /// The unit that the agent itself runs in, if it does.
    pub(super) own_unit: Option<&'a str>,
}

/// What is wrong with a unit, each in a sentence that says what to change; empty if nothing is. Looks where paths lead.
pub(super) fn problems(unit: &Definition, expected: &Expected<'_>) -> Vec<String> {
    if unit.load_state != "loaded" {
        return vec![format!(
            "it is not loaded but {}; see `systemctl status {}`",
            unit.load_state, expected.unit
        )];
    }
    let mut problems = Vec::new();
    let mut unless = |is_good: bool, problem: String| {
        if !is_good {
            problems.push(problem);
        }
    };
    unless(
        unit.id == expected.unit,
        format!("this is an alias; its name is {}", unit.id),
    );
    unless(
        matches!(
            unit.kind.as_str(),
            "simple" | "exec" | "notify" | "notify-reload"
        ),
        format!(
            "Type={} does not say which process is the storage process; use simple, exec or notify",
            unit.kind
        ),
    );
    let program = expected.folder.join("current").join(expected.binary);
    unless(
        matches!(&unit.commands[..], [command] if runs(command, expected)),
        format!(
            "ExecStart= has to be one command whose program is {program}, so that it runs the current release"
        ),
    );
    unless(
        unit.restart == "no",
        format!(
            "Restart={} would start it again behind the agent's back; use Restart=no, the agent starts it again by its own policy",
            unit.restart
        ),
    );
    unless(
        matches!(unit.kill_mode.as_str(), "control-group" | "mixed"),
        format!(
            "KillMode={} leaves processes behind; use control-group or mixed",
            unit.kill_mode
        ),
    );
    unless(
        unit.stop_timeout
            .is_none_or(|timeout| timeout >= expected.stop_timeout),
        format!(
            "TimeoutStopSec= is {:?}, less than the {:?} that the agent gives it to stop (stop_timeout)",
            unit.stop_timeout.unwrap_or_default(),
            expected.stop_timeout
        ),
    );
    unless(
        unit.run_at_most.is_none(),
        "RuntimeMaxSec= would stop it by the clock".to_owned(),
    );
    unless(
        !unit.remains_after_exit,
        "RemainAfterExit=yes hides that its process has ended".to_owned(),
    );
    unless(
        !unit.refuses_manual_start && !unit.refuses_manual_stop,
        "RefuseManualStart= or RefuseManualStop= keeps the agent from running it".to_owned(),
    );
    unless(
        !unit.enabled.starts_with("enabled") && unit.pulled_in_by.is_empty(),
        format!(
            "systemd starts it by itself{}; the agent is the one who starts it: `systemctl disable {}`",
            listed(" with", &unit.pulled_in_by),
            expected.unit
        ),
    );
    unless(
        expected
            .own_unit
            .is_none_or(|own| !unit.goes_with.iter().any(|other| other == own)),
        format!(
            "it is stopped with the agent's own unit {} (PartOf=, BindsTo= or Requires=)",
            expected.own_unit.unwrap_or_default()
        ),
    );
    if let Some(path) = expected.kept_down {
        unless(
            unit.unless_exists
                .iter()
                .any(|there| is_same(Utf8Path::new(there), path)),
            format!(
                "it may be rebuilt, so it needs ConditionPathExists=!{path}: nothing may start while its data is moved"
            ),
        );
    }
    problems
}

fn runs(command: &Command, expected: &Expected<'_>) -> bool {
    let link = expected.folder.join("current");
    let program = Utf8Path::new(&command.program);
    let through = program
        .parent()
        .is_some_and(|parent| is_same(parent, &link));
    through && program.file_name() == Some(expected.binary) && !command.ignores_failure
}

/// Whether two paths name the same entry of the same folder, whatever leads to the folder.
fn is_same(one: &Utf8Path, other: &Utf8Path) -> bool {
    let real = |path: &Utf8Path| -> Option<(Utf8PathBuf, String)> {
        let folder = path.parent()?.canonicalize_utf8().ok()?;
        Some((folder, path.file_name()?.to_owned()))
    };
    one == other || real(one).is_some_and(|one| Some(one) == real(other))
}

fn listed(word: &str, names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("{word} {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(folder: &Utf8Path) -> Definition {
        Definition {
            id: "a.service".to_owned(),
            load_state: "loaded".to_owned(),
            kind: "exec".to_owned(),
            commands: vec![Command {
                program: folder.join("current/store").into_string(),
                ignores_failure: false,
            }],
            restart: "no".to_owned(),
            kill_mode: "mixed".to_owned(),
            stop_timeout: Some(Duration::from_secs(30)),
            enabled: "static".to_owned(),
            ..Definition::default()
        }
    }

    /// What is said of a unit that differs from a good one in this.
    fn said(change: impl FnOnce(&mut Definition)) -> String {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        let expected = Expected {
            unit: "a.service",
            folder,
            binary: "store",
            stop_timeout: Duration::from_secs(30),
            kept_down: None,
            own_unit: Some("evenkeel-agent.service"),
        };
        let mut unit = good(folder);
        change(&mut unit);
        problems(&unit, &expected).join("; ")
    }

    #[test]
    fn a_unit_as_the_template_has_it_is_good() {
        assert_eq!(said(|_| {}), "");
        assert_eq!(said(|unit| unit.stop_timeout = None), "");
    }

    #[test]
    fn what_would_fight_the_agent_or_leave_something_behind_is_refused_with_what_to_change() {
        let check = |change: fn(&mut Definition), expected: &str| {
            let said = said(change);
            assert!(
                said.contains(expected),
                "{said:?} says nothing of {expected:?}"
            );
            assert!(!said.contains("; see"), "one thing is said of one: {said}");
        };
        check(
            |unit| unit.id = "b.service".to_owned(),
            "its name is b.service",
        );
        check(|unit| unit.kind = "forking".to_owned(), "Type=forking");
        check(|unit| unit.commands.clear(), "ExecStart=");
        check(
            |unit| unit.commands[0].program = "/usr/bin/store".to_owned(),
            "ExecStart=",
        );
        check(|unit| unit.commands[0].program.push_str("-2"), "ExecStart=");
        check(|unit| unit.commands[0].ignores_failure = true, "ExecStart=");
        check(
            |unit| unit.commands.push(unit.commands[0].clone()),
            "ExecStart=",
        );
        check(
            |unit| unit.restart = "on-failure".to_owned(),
            "Restart=on-failure",
        );
        check(
            |unit| unit.kill_mode = "process".to_owned(),
            "KillMode=process",
        );
        check(
            |unit| unit.stop_timeout = Some(Duration::from_secs(29)),
            "TimeoutStopSec=",
        );
        check(
            |unit| unit.run_at_most = Some(Duration::from_secs(1)),
            "RuntimeMaxSec=",
        );
        check(|unit| unit.remains_after_exit = true, "RemainAfterExit=");
        check(|unit| unit.refuses_manual_stop = true, "RefuseManualStop=");
        check(
            |unit| unit.enabled = "enabled-runtime".to_owned(),
            "systemctl disable a.service",
        );
        check(
            |unit| unit.pulled_in_by.push("multi-user.target".to_owned()),
            "by itself with multi-user.target",
        );
        check(
            |unit| unit.goes_with.push("evenkeel-agent.service".to_owned()),
            "stopped with the agent's own unit",
        );
    }

    #[test]
    fn a_unit_that_is_not_there_is_said_to_be_nothing_else() {
        let said = said(|unit| unit.load_state = "not-found".to_owned());
        assert!(said.starts_with("it is not loaded but not-found"), "{said}");
    }

    #[test]
    fn a_path_to_the_link_may_lead_through_other_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path())
            .unwrap()
            .canonicalize_utf8()
            .unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("alias")).unwrap();
        assert!(is_same(
            &root.join("alias/current"),
            &root.join("real/current")
        ));
        assert!(!is_same(
            &root.join("alias/other"),
            &root.join("real/current")
        ));
    }

    #[test]
    fn where_data_may_be_moved_a_start_has_to_be_kept_away() {
        let folder = Utf8Path::new("/srv/a");
        let path = folder.join("kept-down");
        let expected = Expected {
            unit: "a.service",
            folder,
            binary: "store",
            stop_timeout: Duration::from_secs(30),
            kept_down: Some(&path),
            own_unit: None,
        };
        let mut unit = good(folder);
        let said = problems(&unit, &expected).join("; ");
        assert!(
            said.contains("ConditionPathExists=!/srv/a/kept-down"),
            "{said}"
        );
        unit.unless_exists.push(path.to_string());
        assert_eq!(problems(&unit, &expected), Vec::<String>::new());
    }
}
