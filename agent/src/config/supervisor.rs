//! Who runs an instance's process, and what that may use.

use camino::Utf8Path;
use evenkeel_common::config::{ConfigError, resolve};

use super::{
    CoreLimit, Limits, SupervisorSettings,
    file::{self, Amount, Instance, SupervisorKind},
};

/// The longest name of a unit, in bytes (systemd.unit(5)).
const UNIT_BYTES_MAX: usize = 255;

/// The range of niceness (nice(2)).
const NICE: std::ops::RangeInclusive<i32> = -20..=19;

/// Who runs the process; what a unit says is not said a second time here.
pub(super) fn supervisor(
    at: &impl Fn(&str) -> String,
    written: &Instance,
) -> Result<SupervisorSettings, ConfigError> {
    let wrong = |key: &str, reason: String| Err(ConfigError::setting(at(key), reason));
    match written.supervisor {
        SupervisorKind::Exec => match &written.unit {
            None => Ok(SupervisorSettings::Exec),
            Some(_) => wrong(
                "unit",
                "only an instance with supervisor = \"systemd\" has one".to_owned(),
            ),
        },
        SupervisorKind::Systemd => {
            let Some(unit) = &written.unit else {
                return wrong(
                    "unit",
                    "has to name the unit that runs it, like \"store-a.service\"".to_owned(),
                );
            };
            if !is_service(unit) {
                let reason =
                    format!("{unit:?} is not the name of a service, like \"store-a.service\"");
                return wrong("unit", reason);
            }
            let said_twice = [
                ("command", !written.command.is_empty(), "ExecStart="),
                ("env", !written.env.is_empty(), "Environment="),
                (
                    "working_dir",
                    written.working_dir.is_some(),
                    "WorkingDirectory=",
                ),
                ("stop_signal", written.stop_signal.is_some(), "KillSignal="),
                (
                    "limits",
                    written.limits.is_some(),
                    "LimitNOFILE=, LimitCORE=, Nice= and Slice=",
                ),
            ];
            match said_twice.into_iter().find(|(_, is_there, _)| *is_there) {
                Some((key, _, setting)) => wrong(
                    key,
                    format!("the unit says that, with {setting}; it is not said here"),
                ),
                None => Ok(SupervisorSettings::Systemd { unit: unit.clone() }),
            }
        }
    }
}

/// Whether this is the name of a service (systemd.unit(5)); what a path or a pattern is made of is in none.
fn is_service(unit: &str) -> bool {
    let Some(name) = unit.strip_suffix(".service") else {
        return false;
    };
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.' | b'\\' | b'@')
    };
    let is_template = name.ends_with('@');
    !name.is_empty() && !is_template && unit.len() <= UNIT_BYTES_MAX && name.bytes().all(is_plain)
}

/// What the process may use.
pub(super) fn limits(
    at: &str,
    path: &Utf8Path,
    written: file::Limits,
) -> Result<Limits, ConfigError> {
    let wrong =
        |key: &str, reason: String| Err(ConfigError::setting(format!("{at}.{key}"), reason));
    if written.nofile == Some(0) {
        return wrong("nofile", "0 files are too few for any process".to_owned());
    }
    if let Some(nice) = written.nice.filter(|nice| !NICE.contains(nice)) {
        return wrong(
            "nice",
            format!("{nice} is not from {} to {}", NICE.start(), NICE.end()),
        );
    }
    let core = match written.core {
        None => None,
        Some(Amount::Bytes(bytes)) => Some(CoreLimit::Bytes(bytes)),
        Some(Amount::Word(word)) if word == "unlimited" => Some(CoreLimit::Unlimited),
        Some(Amount::Word(word)) => {
            let reason = format!("{word:?} is neither a number of bytes nor \"unlimited\"");
            return wrong("core", reason);
        }
    };
    Ok(Limits {
        nofile: written.nofile,
        core,
        nice: written.nice,
        cgroup: written.cgroup.map(|folder| resolve(path, &folder)),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};
    use crate::config::Settings;

    fn load(instance: &str) -> Result<Settings, String> {
        let text = format!(
            r#"
node = "n1"
coordinator = "127.0.0.1:7600"
data_dir = "/var/lib/evenkeel"
trusted_release_keys = []
tls = {{ ca = "ca.pem", certificate = "agent.pem", key = "agent.key" }}
{instance}
"#
        );
        testing::load(&text)
    }

    fn instance(name: &str, keys: &str) -> String {
        format!(
            r#"
[[instance]]
name = "{name}"
component = "etcd"
{keys}
[[instance.probe]]
type = "tcp"
address = "127.0.0.1:2379"
"#
        )
    }

    #[test]
    fn who_runs_an_instance_is_said_for_each() {
        let of_unit = "supervisor = \"systemd\"\nunit = \"etcd-b.service\"";
        let of_agent = "command = [\"{release}/etcd\"]\nlimits = { nofile = 4096, core = \"unlimited\", nice = -5, cgroup = \"/sys/fs/cgroup/etcd\" }";
        let settings = load(&(instance("a", of_agent) + &instance("b", of_unit))).unwrap();
        let [a, b] = &settings.instances[..] else {
            panic!("{settings:?}")
        };
        assert_eq!(a.supervisor, SupervisorSettings::Exec);
        assert_eq!(a.limits.nofile, Some(4096));
        assert_eq!(a.limits.core, Some(CoreLimit::Unlimited));
        assert_eq!(a.limits.nice, Some(-5));
        assert_eq!(
            a.limits.cgroup.as_deref(),
            Some(Utf8Path::new("/sys/fs/cgroup/etcd"))
        );
        assert_eq!(
            b.supervisor,
            SupervisorSettings::Systemd {
                unit: "etcd-b.service".to_owned()
            }
        );
    }

    #[test]
    fn what_belongs_to_the_other_supervisor_is_refused() {
        let refused = |keys: &str, reason: &str| {
            let error = load(&instance("a", keys)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        };
        let unit = |more: &str| format!("supervisor = \"systemd\"\nunit = \"a.service\"\n{more}");
        refused("supervisor = \"systemd\"", "instance.a.unit: has to name");
        refused("supervisor = \"upstart\"", "unknown variant");
        refused(
            "unit = \"a.service\"\ncommand = [\"{release}/etcd\"]",
            "instance.a.unit: only an instance with",
        );
        refused("", "instance.a.command: has to begin with");
        for (name, _) in [
            ("a", ""),
            ("a.socket", ""),
            ("../a.service", ""),
            ("a@.service", ""),
            (".service", ""),
            ("a b.service", ""),
        ] {
            let keys = format!("supervisor = \"systemd\"\nunit = \"{name}\"");
            refused(&keys, "is not the name of a service");
        }
        refused(
            &unit("command = [\"{release}/etcd\"]"),
            "instance.a.command: the unit says that",
        );
        refused(
            &unit("env = { A = \"1\" }"),
            "instance.a.env: the unit says that",
        );
        refused(
            &unit("working_dir = \"/\""),
            "instance.a.working_dir: the unit says that",
        );
        refused(&unit("stop_signal = \"SIGINT\""), "KillSignal=");
        refused(&unit("limits = { nice = 1 }"), "LimitNOFILE=");
    }

    #[test]
    fn two_instances_cannot_be_one_unit() {
        let unit = "supervisor = \"systemd\"\nunit = \"etcd.service\"";
        let error = load(&(instance("a", unit) + &instance("b", unit))).unwrap_err();
        assert!(
            error.contains("instance.b.unit: etcd.service is the unit of instance a already"),
            "{error}"
        );
    }

    #[test]
    fn limits_that_cannot_be_are_refused() {
        let refused = |limits: &str, reason: &str| {
            let keys = format!("command = [\"{{release}}/etcd\"]\nlimits = {{ {limits} }}");
            let error = load(&instance("a", &keys)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        };
        refused("nofile = 0", "instance.a.limits.nofile: 0 files");
        refused(
            "nice = 20",
            "instance.a.limits.nice: 20 is not from -20 to 19",
        );
        refused("core = \"huge\"", "neither a number of bytes nor");
        refused("memory = 1", "unknown field");
    }
}
