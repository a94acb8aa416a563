//! From what is written to what is meant: every setting checked, alone and against the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
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
    file::{
        Driver, File, Instance, Probe, ProbeKind, Reconnect, Restart, Span, SupervisorKind, Vitals,
    },
    rebuild, supervisor,
};
use crate::{
    driver::{VERBS, Verb},
    probes::{ExecProbe, GrpcProbe, HttpProbe, ProbeSettings, ProbeTls, Question},
    program::User,
};

/// How long a probe's answer may take where that is not written; a driver has a time of its own.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most probes of one instance.
const PROBES_MAX: usize = 16;

/// The most words of a command, and the most variables of an environment.
const WORDS_MAX: usize = 1024;

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

/// What is known of an instance before its probes are looked at.
struct Around<'a> {
    /// The configuration file.
    path: &'a Utf8Path,
    /// The link that leads to its release.
    current: Utf8PathBuf,
    /// How long its driver has to say how it is; none where nobody can be asked for that.
    health_timeout: Option<Duration>,
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

/// What a `[[instance.probe]]` asks: which keys it may have depends on its type.
fn question(at: &str, around: &Around<'_>, written: &Probe) -> Result<Question, ConfigError> {
    let kind = written.kind;
    let wrong = |key: &str, reason: String| ConfigError::setting(format!("{at}.{key}"), reason);
    use ProbeKind::{Driver, Exec, Grpc, Http, Tcp};
    let keys: [(&str, bool, &[ProbeKind]); 10] = [
        ("address", written.address.is_some(), &[Tcp]),
        ("url", written.url.is_some(), &[Http, Grpc]),
        ("expect_status", written.expect_status.is_some(), &[Http]),
        ("contains", written.contains.is_some(), &[Http]),
        ("ca", written.ca.is_some(), &[Http, Grpc]),
        ("certificate", written.certificate.is_some(), &[Http, Grpc]),
        ("key", written.key.is_some(), &[Http, Grpc]),
        ("service", written.service.is_some(), &[Grpc]),
        ("command", written.command.is_some(), &[Exec]),
        (
            "uid or gid",
            written.uid.is_some() || written.gid.is_some(),
            &[Exec],
        ),
    ];
    if let Some((key, ..)) = keys
        .iter()
        .find(|(_, is_set, kinds)| *is_set && !kinds.contains(&kind))
    {
        let reason = format!("a probe of type {:?} has no such key", kind.as_str());
        return Err(wrong(key, reason));
    }
    let url = written.url.as_deref().unwrap_or_default();
    match kind {
        Tcp => {
            let address = written.address.as_deref().unwrap_or_default();
            Ok(Question::Tcp(address.parse::<SocketAddr>().map_err(
                |_| {
                    wrong(
                        "address",
                        format!(
                            "{address:?} is not an IP address and a port, like \"127.0.0.1:2379\""
                        ),
                    )
                },
            )?))
        }
        Http => {
            let status = written.expect_status.unwrap_or(200);
            if !(100..=599).contains(&status) {
                return Err(wrong(
                    "expect_status",
                    format!("{status} is no HTTP status"),
                ));
            }
            let tls = probe_tls(at, around, written)?;
            HttpProbe::new(url, status, written.contains.clone(), tls)
                .map(Question::Http)
                .map_err(|reason| wrong("url", reason))
        }
        Grpc => {
            let service = written.service.clone().unwrap_or_default();
            let tls = probe_tls(at, around, written)?;
            GrpcProbe::new(url, service, tls)
                .map(Question::Grpc)
                .map_err(|reason| wrong("url", reason))
        }
        Exec => Ok(Question::Exec(exec_probe(at, around, written)?)),
        Driver if around.health_timeout.is_some() => Ok(Question::Driver),
        Driver => Err(wrong(
            "type",
            "the instance has no driver, or one that is not asked for `health`".to_owned(),
        )),
    }
}

/// The TLS of a probe, where it names an authority.
fn probe_tls(
    at: &str,
    around: &Around<'_>,
    written: &Probe,
) -> Result<Option<ProbeTls>, ConfigError> {
    let file = |path: &Utf8PathBuf| resolve(around.path, path);
    let own = match (&written.certificate, &written.key) {
        (Some(certificate), Some(key)) => Some((file(certificate), file(key))),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let reason = "`certificate` and `key` go together";
            return Err(ConfigError::setting(format!("{at}.certificate"), reason));
        }
    };
    match &written.ca {
        Some(ca) => Ok(Some(ProbeTls { ca: file(ca), own })),
        None if own.is_some() => {
            let reason = "is missing, and a certificate is shown to nobody without it";
            Err(ConfigError::setting(format!("{at}.ca"), reason))
        }
        None => Ok(None),
    }
}

fn exec_probe(at: &str, around: &Around<'_>, written: &Probe) -> Result<ExecProbe, ConfigError> {
    let wrong = |key: &str, reason: &str| ConfigError::setting(format!("{at}.{key}"), reason);
    let mut command = written.command.clone().unwrap_or_default();
    if command.len() > WORDS_MAX || command.iter().any(|word| word.contains('\0')) {
        let reason = format!("at most {WORDS_MAX} words without a NUL character are allowed");
        return Err(wrong("command", &reason));
    }
    for word in &mut command {
        *word = word.replace(RELEASE_PLACEHOLDER, around.current.as_str());
    }
    let Some(program) = command.first_mut().filter(|program| !program.is_empty()) else {
        return Err(wrong("command", "has to name a program"));
    };
    *program = resolve(around.path, Utf8Path::new(&*program)).into_string();
    let user = match (written.uid, written.gid) {
        (Some(uid), Some(gid)) => Some(User { uid, gid }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(wrong("uid", "`uid` and `gid` go together"));
        }
    };
    Ok(ExecProbe::new(command, user))
}

fn probe(at: &str, around: &Around<'_>, written: &Probe) -> Result<ProbeSettings, ConfigError> {
    let question = question(at, around, written)?;
    let unwritten = match question {
        Question::Driver => around.health_timeout.unwrap_or(PROBE_TIMEOUT),
        Question::Tcp(_) | Question::Http(_) | Question::Grpc(_) | Question::Exec(_) => {
            PROBE_TIMEOUT
        }
    };
    let timeout = written.timeout.map_or(unwritten, |Span(timeout)| timeout);
    duration(
        &format!("{at}.interval"),
        written.interval,
        Duration::from_millis(1),
    )?;
    duration(&format!("{at}.timeout"), timeout, Duration::from_millis(1))?;
    duration(
        &format!("{at}.start_period"),
        written.start_period,
        Duration::ZERO,
    )?;
    for (key, threshold) in [
        ("success_threshold", written.success_threshold),
        ("failure_threshold", written.failure_threshold),
    ] {
        if !(1..=1000).contains(&threshold) {
            return Err(ConfigError::setting(
                format!("{at}.{key}"),
                "has to be from 1 to 1000",
            ));
        }
    }
    Ok(ProbeSettings {
        question,
        interval: written.interval,
        timeout,
        success_threshold: written.success_threshold,
        failure_threshold: written.failure_threshold,
        start_period: written.start_period,
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

fn duration(at: &str, duration: Duration, least: Duration) -> Result<(), ConfigError> {
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
    use std::fs;

    use super::*;

    const GOOD: &str = r#"
node = "n1"
coordinator = "127.0.0.1:7600"
data_dir = "state"
trusted_release_keys = []
[tls]
ca = "ca.pem"
certificate = "agent.pem"
key = "agent.key"
[[instance]]
name = "etcd"
component = "etcd"
command = ["{release}/etcd", "--name", "n1"]
[[instance.probe]]
type = "http"
url = "http://127.0.0.1:2379/health"
"#;

    fn load(text: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("agent.toml");
        fs::write(&path, text).unwrap();
        Settings::load(&path)
            .map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), ""))
    }

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
    fn a_probe_has_two_seconds_and_a_drivers_what_a_driver_has_unless_its_time_is_written() {
        let (before, _) = GOOD.split_at(GOOD.find("[[instance.probe]]").unwrap());
        for (probe, seconds) in [
            ("type = \"tcp\"\naddress = \"127.0.0.1:1\"", 2),
            ("type = \"driver\"", 30),
            ("type = \"driver\"\ntimeout = \"7s\"", 7),
        ] {
            let driver = "driver = { command = [\"a\"] }";
            let text = format!("{before}{driver}\n[[instance.probe]]\n{probe}");
            let settings = load(&text).unwrap();
            let timeout = settings.instances[0].probes[0].timeout;
            assert_eq!(timeout, Duration::from_secs(seconds), "{probe}");
        }
        let none =
            "[[instance.probe]]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\ntimeout = \"0s\"";
        let error = load(&format!("{before}{none}")).unwrap_err();
        assert!(error.contains("probe[0].timeout: 0ns"), "{error}");
    }

    #[test]
    fn a_probe_has_the_keys_of_its_type_and_no_others() {
        let with = |probe: &str| {
            let (before, _) = GOOD.split_at(GOOD.find("[[instance.probe]]").unwrap());
            load(&format!("{before}[[instance.probe]]\n{probe}"))
        };
        for good in [
            "type = \"tcp\"\naddress = \"127.0.0.1:1\"",
            "type = \"http\"\nurl = \"https://a/\"\nca = \"ca.pem\"\ncontains = \"ok\"",
            "type = \"http\"\nurl = \"https://a\"\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"",
            "type = \"grpc\"\nurl = \"http://127.0.0.1:1\"\nservice = \"store.Blobs\"",
            "type = \"exec\"\ncommand = [\"{release}/ctl\", \"health\"]\nuid = 1\ngid = 2",
        ] {
            let settings = with(good).unwrap();
            assert_eq!(settings.instances[0].probes.len(), 1, "{good}");
        }
        for (bad, reason) in [
            (
                "type = \"tcp\"\nservice = \"a\"",
                "service: a probe of type \"tcp\" has no such key",
            ),
            (
                "type = \"http\"\nurl = \"https://a/\"",
                "url: \"https://a/\" needs a `ca`",
            ),
            (
                "type = \"http\"\nurl = \"http://a/\"\nca = \"ca.pem\"",
                "url: \"http://a/\" is without TLS",
            ),
            (
                "type = \"http\"\nurl = \"https://a/\"\nca = \"a\"\nkey = \"b\"",
                "certificate: `certificate` and",
            ),
            (
                "type = \"http\"\nurl = \"https://a/\"\nkey = \"b\"\ncertificate = \"b\"",
                "ca: is missing",
            ),
            (
                "type = \"grpc\"\nurl = \"http://a/b\"",
                "url: \"http://a/b\" has a path",
            ),
            ("type = \"exec\"", "command: has to name a program"),
            (
                "type = \"exec\"\ncommand = [\"a\"]\nuid = 1",
                "uid: `uid` and `gid` go together",
            ),
            ("type = \"driver\"", "type: the instance has no driver"),
        ] {
            let error = with(bad).unwrap_err();
            assert!(
                error.contains(&format!("instance.etcd.probe[0].{reason}")),
                "{error}"
            );
        }
        let settings = with("type = \"exec\"\ncommand = [\"{release}/ctl\"]").unwrap();
        let Question::Exec(exec) = &settings.instances[0].probes[0].question else {
            panic!("{settings:?}");
        };
        assert!(exec.command[0].ends_with("/state/instances/etcd/current/ctl"));
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
