//! From what is written to what is meant: every setting checked, alone and against the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::RestartPolicy;
use evenkeel_common::{
    archive::RESERVED_NAMES,
    clock::millis,
    config::{ConfigError, resolve},
    limits::{INSTANCES_PER_NODE_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX},
    manifest::EXECUTABLE_BYTES_MAX,
    tree_path::TreePath,
};
use rustix::process::Signal;

use super::{
    DriverSettings, InitialRelease, InstanceSettings, RELEASE_PLACEHOLDER, ReconnectSettings,
    Settings, SupervisorSettings, VitalsSettings,
    file::{Driver, File, Instance, Reconnect, Restart, SupervisorKind, Vitals},
    probe::{Around, probe},
    rebuild, supervisor,
};
use crate::driver::{VERBS, Verb};

/// The most probes of one instance.
const PROBES_MAX: usize = 16;

/// The most words of a command, and the most variables of an environment.
pub(super) const WORDS_MAX: usize = 1024;

/// The most files of one instance's configuration: they are read again and again.
const CONFIGURATION_FILES_MAX: usize = 64;

/// The longest of all durations here; a longer one is a slip of the pen.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

pub(super) fn check(path: &Utf8Path, file: File) -> Result<Settings, ConfigError> {
    if file.instances.len() > INSTANCES_PER_NODE_MAX {
        let reason = format!("at most {INSTANCES_PER_NODE_MAX} are allowed");
        return Err(ConfigError::setting("instance", reason));
    }
    labels("labels", &file.labels)?;
    let data_dir = resolve(path, &file.data_dir);
    let mut names = BTreeSet::new();
    let mut binaries = BTreeMap::new();
    let mut units = BTreeMap::new();
    let mut instances = Vec::with_capacity(file.instances.len());
    for written in file.instances {
        let name = written.name.clone();
        if !names.insert(name.clone()) {
            return Err(ConfigError::setting(
                format!("instance.{name}"),
                "there is another instance of this name",
            ));
        }
        let checked = instance(path, &data_dir, written)?;
        let first = binaries
            .entry(checked.component.clone())
            .or_insert_with(|| checked.binary.clone());
        if *first != checked.binary {
            let reason = format!(
                "{:?} here and {first:?} in another instance of component {}; releases are shared, so it has to be one name",
                checked.binary, checked.component
            );
            return Err(ConfigError::setting(
                format!("instance.{name}.binary"),
                reason,
            ));
        }
        if let SupervisorSettings::Systemd { unit } = &checked.supervisor
            && let Some(other) = units.insert(unit.clone(), checked.name.clone())
        {
            let reason = format!("{unit} is the unit of instance {other} already");
            return Err(ConfigError::setting(
                format!("instance.{name}.unit"),
                reason,
            ));
        }
        instances.push(checked);
    }
    instances.sort_by(|a, b| a.name.cmp(&b.name));
    let settings = Settings {
        node: file.node,
        coordinator: file.coordinator,
        data_dir,
        trusted_release_keys: file.trusted_release_keys,
        labels: file.labels,
        tls: file.tls.resolved(path),
        reconnect: reconnect(&file.reconnect)?,
        vitals: vitals(&file.vitals)?,
        instances,
    };
    rebuild::stand_alone(path, &settings)?;
    Ok(settings)
}

fn vitals(written: &Vitals) -> Result<VitalsSettings, ConfigError> {
    for (key, interval) in [
        ("interval", written.interval),
        ("check_interval", written.check_interval),
    ] {
        duration(
            &format!("vitals.{key}"),
            interval,
            Duration::from_millis(10),
        )?;
    }
    Ok(VitalsSettings {
        interval: written.interval,
        check: written.check,
        check_interval: written.check_interval,
    })
}

fn reconnect(written: &Reconnect) -> Result<ReconnectSettings, ConfigError> {
    let at = |key: &str| format!("reconnect.{key}");
    duration(&at("first_within"), written.first_within, Duration::ZERO)?;
    duration(
        &at("backoff_min"),
        written.backoff_min,
        Duration::from_millis(1),
    )?;
    duration(&at("backoff_max"), written.backoff_max, written.backoff_min)?;
    Ok(ReconnectSettings {
        first_within: written.first_within,
        backoff_min: written.backoff_min,
        backoff_max: written.backoff_max,
    })
}

fn instance(
    path: &Utf8Path,
    data_dir: &Utf8Path,
    written: Instance,
) -> Result<InstanceSettings, ConfigError> {
    let name = written.name.clone();
    let at = |key: &str| format!("instance.{name}.{key}");
    let is_exec = written.supervisor == SupervisorKind::Exec;
    let supervisor = supervisor::supervisor(&|key| at(key), &written)?;
    let binary = written
        .binary
        .unwrap_or_else(|| written.component.to_string());
    let is_path = binary.parse::<TreePath>().is_ok_and(|path| {
        let mut names = path.names();
        names.all(|name| !name.starts_with('.')) && !RESERVED_NAMES.contains(&path.as_str())
    });
    if !is_path || binary.len() > EXECUTABLE_BYTES_MAX {
        let reason = format!("{binary:?} is no path within a release (or a hidden one)");
        return Err(ConfigError::setting(at("binary"), reason));
    }
    let program = format!("{RELEASE_PLACEHOLDER}/{binary}");
    if is_exec && written.command.first() != Some(&program) {
        let reason =
            format!("has to begin with {program:?}, the program that a release consists of");
        return Err(ConfigError::setting(at("command"), reason));
    }
    if written.command.len() > WORDS_MAX || written.env.len() > WORDS_MAX {
        let reason = format!("at most {WORDS_MAX} words or variables are allowed");
        return Err(ConfigError::setting(at("command"), reason));
    }
    if written
        .command
        .iter()
        .chain(written.env.values())
        .any(|word| word.contains('\0'))
    {
        return Err(ConfigError::setting(
            at("command"),
            "has a NUL character in it",
        ));
    }
    if let Some(key) = written
        .env
        .keys()
        .find(|key| key.is_empty() || key.contains(['=', '\0']))
    {
        return Err(ConfigError::setting(
            at("env"),
            format!("{key:?} cannot be a variable's name"),
        ));
    }
    labels(&at("labels"), &written.labels)?;
    duration(
        &at("stop_timeout"),
        written.stop_timeout,
        Duration::from_millis(1),
    )?;
    if written.configuration_files.len() > CONFIGURATION_FILES_MAX {
        let reason = format!("at most {CONFIGURATION_FILES_MAX} are allowed");
        return Err(ConfigError::setting(at("configuration_files"), reason));
    }
    duration(
        &at("start_alone_after"),
        written.start_alone_after,
        Duration::ZERO,
    )?;
    if written.probes.is_empty() || written.probes.len() > PROBES_MAX {
        let reason = format!(
            "has to have 1 to {PROBES_MAX}; without one, nobody can tell whether a release works"
        );
        return Err(ConfigError::setting(at("probe"), reason));
    }
    let data_dirs: Vec<Utf8PathBuf> = written
        .data_dirs
        .iter()
        .map(|dir| resolve(path, dir))
        .collect();
    let rebuild = written
        .rebuild
        .map(|written| rebuild::rebuild(&at("rebuild"), path, written, &data_dirs))
        .transpose()?;
    let driver = written
        .driver
        .map(|written| driver(&at("driver"), path, written))
        .transpose()?;
    let around = Around {
        path,
        current: data_dir
            .join("instances")
            .join(name.as_str())
            .join("current"),
        health_timeout: driver
            .as_ref()
            .filter(|driver| driver.knows(Verb::Health))
            .map(|driver| driver.timeout),
    };
    let probes = written
        .probes
        .iter()
        .enumerate()
        .map(|(index, written)| probe(&format!("{}[{index}]", at("probe")), &around, written))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(InstanceSettings {
        supervisor,
        limits: written
            .limits
            .map(|written| supervisor::limits(&at("limits"), path, written))
            .transpose()?
            .unwrap_or_default(),
        stop_signal: match &written.stop_signal {
            Some(name) => signal(&at("stop_signal"), name)?,
            None => Signal::TERM,
        },
        restart: restart(&at("restart"), &written.restart)?,
        start_alone_after: written.start_alone_after,
        working_dir: written.working_dir.map(|dir| resolve(path, &dir)),
        configuration_files: written
            .configuration_files
            .iter()
            .map(|file| resolve(path, file))
            .collect(),
        data_dirs,
        rebuild,
        driver,
        initial: written.initial.map(|initial| InitialRelease {
            version: initial.version,
            path: resolve(path, &initial.path),
        }),
        component: written.component,
        command: written.command,
        binary,
        env: written.env,
        stop_timeout: written.stop_timeout,
        labels: written.labels,
        probes,
        name,
    })
}

fn driver(at: &str, path: &Utf8Path, written: Driver) -> Result<DriverSettings, ConfigError> {
    let mut command = written.command;
    let Some(program) = command.first_mut().filter(|program| !program.is_empty()) else {
        return Err(ConfigError::setting(
            format!("{at}.command"),
            "has to name a program",
        ));
    };
    *program = resolve(path, Utf8Path::new(&*program)).into_string();
    if command.len() > WORDS_MAX || command.iter().any(|word| word.contains('\0')) {
        let reason = format!("at most {WORDS_MAX} words without a NUL character are allowed");
        return Err(ConfigError::setting(format!("{at}.command"), reason));
    }
    for (key, length) in [
        ("timeout", written.timeout),
        ("interval", written.interval),
        ("ok_to_stop_interval", written.ok_to_stop_interval),
    ] {
        duration(&format!("{at}.{key}"), length, Duration::from_millis(1))?;
    }
    let verbs = written.verbs.map(|verbs| {
        let verbs = verbs.iter().map(|name| {
            let mut known = VERBS.into_iter();
            known.find(|verb| verb.as_str() == name).ok_or_else(|| {
                let reason = format!("{name:?} is nothing that a driver is asked");
                ConfigError::setting(format!("{at}.verbs"), reason)
            })
        });
        verbs.collect::<Result<Vec<_>, _>>()
    });
    Ok(DriverSettings {
        ok_to_stop_interval: written.ok_to_stop_interval,
        verbs: verbs.transpose()?,
        command,
        timeout: written.timeout,
        interval: written.interval,
        settings: written.settings,
    })
}

fn restart(at: &str, written: &Restart) -> Result<RestartPolicy, ConfigError> {
    if written.attempts > 1000 {
        return Err(ConfigError::setting(
            format!("{at}.attempts"),
            "at most 1000 are allowed",
        ));
    }
    duration(
        &format!("{at}.window"),
        written.window,
        Duration::from_millis(1),
    )?;
    duration(
        &format!("{at}.backoff_min"),
        written.backoff_min,
        Duration::from_millis(1),
    )?;
    duration(
        &format!("{at}.backoff_max"),
        written.backoff_max,
        written.backoff_min,
    )?;
    Ok(RestartPolicy {
        attempts: written.attempts,
        window_ms: millis(written.window),
        backoff_min_ms: millis(written.backoff_min),
        backoff_max_ms: millis(written.backoff_max),
    })
}

fn labels(at: &str, labels: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    if labels.len() > LABELS_MAX {
        return Err(ConfigError::setting(
            at,
            format!("at most {LABELS_MAX} are allowed"),
        ));
    }
    for (key, value) in labels {
        evenkeel_common::names::check("label", key)
            .map_err(|error| ConfigError::setting(at, error))?;
        if value.len() > LABEL_VALUE_BYTES_MAX {
            let reason = format!("the value of {key} is longer than {LABEL_VALUE_BYTES_MAX} bytes");
            return Err(ConfigError::setting(at, reason));
        }
    }
    Ok(())
}

pub(super) fn duration(at: &str, duration: Duration, least: Duration) -> Result<(), ConfigError> {
    if duration < least || duration > DURATION_MAX {
        let reason = format!("{duration:?} is not between {least:?} and {DURATION_MAX:?}");
        return Err(ConfigError::setting(at, reason));
    }
    Ok(())
}

fn signal(at: &str, name: &str) -> Result<Signal, ConfigError> {
    match name {
        "SIGTERM" => Ok(Signal::TERM),
        "SIGINT" => Ok(Signal::INT),
        "SIGQUIT" => Ok(Signal::QUIT),
        "SIGHUP" => Ok(Signal::HUP),
        "SIGUSR1" => Ok(Signal::USR1),
        "SIGUSR2" => Ok(Signal::USR2),
        "SIGKILL" => Ok(Signal::KILL),
        other => Err(ConfigError::setting(
            at,
            format!(
                "{other:?} is none of SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGKILL"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{GOOD, load},
        *,
    };

    #[test]
    fn a_short_file_gets_the_defaults() {
        let settings = load(GOOD).unwrap();
        let etcd = &settings.instances[0];
        assert_eq!(etcd.binary, "etcd");
        assert_eq!(etcd.stop_signal, Signal::TERM);
        assert_eq!(etcd.restart, RestartPolicy::default());
        assert!(settings.data_dir.as_str().ends_with("/state"));
    }

    #[track_caller]
    fn refused(from: &str, to: &str, reason: &str) {
        assert!(GOOD.contains(from), "{from} is not in the file");
        let error = load(&GOOD.replace(from, to)).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place_and_the_reason() {
        refused(
            "data_dir",
            "data_dri",
            "/agent.toml:4:1: unknown field `data_dri`",
        );
        refused("name = \"etcd\"", "name = \"Etcd\"", "/agent.toml:11:8: ");
        refused(
            "{release}/etcd\"",
            "/usr/bin/etcd\"",
            "instance.etcd.command: has to begin with \"{release}/etcd\"",
        );
        refused(
            "type = \"http\"",
            "type = \"tcp\"",
            "instance.etcd.probe[0].url: a probe of type \"tcp\" has no such key",
        );
        refused("http://127", "https://127", "instance.etcd.probe[0].url: ");
        refused(
            "[[instance.probe]]",
            "stop_signal = \"TERM\"\n[[instance.probe]]",
            "instance.etcd.stop_signal: \"TERM\"",
        );
        refused(
            "[[instance.probe]]",
            "stop_timeout = \"0s\"\n[[instance.probe]]",
            "instance.etcd.stop_timeout: 0ns",
        );
        refused(
            "[[instance.probe]]",
            "stop_timeout = \"soon\"\n[[instance.probe]]",
            "/agent.toml:14:16: \"soon\" is not a duration",
        );
        refused(
            "[[instance.probe]]",
            "binary = \"../etcd\"\n[[instance.probe]]",
            "instance.etcd.binary: ",
        );
    }

    #[test]
    fn a_driver_is_a_program_by_its_path_with_what_it_is_to_know() {
        let with = |driver: &str| {
            let (probe, driver) = ("[[instance.probe]]", format!("driver = {{ {driver} }}"));
            load(&GOOD.replace(probe, &format!("{driver}\n{probe}")))
        };
        let known = "command = [\"bin/driver\", \"-v\"], settings = { nodes = [\"a\", 7] }";
        let settings = with(known).unwrap();
        let driver = settings.instances[0].driver.as_ref().unwrap();
        assert!(driver.command[0].starts_with('/') && driver.command[0].ends_with("/bin/driver"));
        assert_eq!(driver.timeout, Duration::from_secs(30));
        assert_eq!(driver.settings["nodes"], serde_json::json!(["a", 7]));
        for (driver, reason) in [
            ("command = []", "instance.etcd.driver.command: has to name"),
            (
                "command = [\"\"]",
                "instance.etcd.driver.command: has to name",
            ),
            (
                "command = [\"a\"], timeout = \"0s\"",
                "instance.etcd.driver.timeout: 0ns",
            ),
            ("command = [\"a\"], shell = true", "unknown field `shell`"),
            (
                "command = [\"a\"], verbs = [\"join\", \"jump\"]",
                "instance.etcd.driver.verbs: \"jump\" is nothing",
            ),
        ] {
            let error = with(driver).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn two_instances_of_one_name_and_one_without_a_probe_are_refused() {
        let (_, instance) = GOOD.split_at(GOOD.find("[[instance]]").unwrap());
        let twice = load(&format!("{GOOD}{instance}")).unwrap_err();
        assert!(
            twice.contains("instance.etcd: there is another instance of this name"),
            "{twice}"
        );
        let (without, _) = GOOD.split_at(GOOD.find("[[instance.probe]]").unwrap());
        let without = load(without).unwrap_err();
        assert!(
            without.contains("instance.etcd.probe: has to have 1 to 16"),
            "{without}"
        );
    }
}
