//! What a `[[instance.probe]]` asks, how often, and what its answers count for.

use std::{net::SocketAddr, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::config::{ConfigError, resolve};

use super::{
    RELEASE_PLACEHOLDER,
    check::{WORDS_MAX, duration},
    file::{Probe, ProbeKind, Span},
};
use crate::{
    probes::{ExecProbe, GrpcProbe, HttpProbe, ProbeSettings, ProbeTls, Question},
    program::User,
};

/// How long a probe's answer may take where that is not written; a driver has a time of its own.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What is known of an instance before its probes are looked at.
pub(super) struct Around<'a> {
    /// The configuration file.
    pub(super) path: &'a Utf8Path,
    /// The link that leads to its release.
    pub(super) current: Utf8PathBuf,
    /// How long its driver has to say how it is; none where nobody can be asked for that.
    pub(super) health_timeout: Option<Duration>,
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

/// A `[[instance.probe]]`, checked.
pub(super) fn probe(
    at: &str,
    around: &Around<'_>,
    written: &Probe,
) -> Result<ProbeSettings, ConfigError> {
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

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{GOOD, load},
        *,
    };

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
}
