//! Which data folders may be emptied: never one that holds, or lies in, anything else that counts.

use std::time::Duration;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf, absolute_utf8};
use evenkeel_common::config::{ConfigError, resolve};

use super::{RebuildSettings, Settings, file::Rebuild};

/// The longest that data may be kept; longer than this it is forgotten.
const KEEP_FOR_MAX: Duration = Duration::from_secs(90 * 24 * 3600);

/// Checks an instance's own leave to be rebuilt.
pub(super) fn rebuild(
    at: &str,
    path: &Utf8Path,
    written: Rebuild,
    data_dirs: &[Utf8PathBuf],
) -> Result<RebuildSettings, ConfigError> {
    let wrong = |reason: String| Err(ConfigError::setting(format!("{at}.empty"), reason));
    if written.empty.is_empty() {
        return wrong("has to name the folders in data_dirs that are emptied".to_owned());
    }
    for folder in &written.empty {
        let is_plain = folder
            .components()
            .all(|part| matches!(part, Utf8Component::RootDir | Utf8Component::Normal(_)));
        if !folder.is_absolute() || !is_plain || folder.file_name().is_none() {
            return wrong(format!(
                "{folder} has to be absolute, without `..`, and below the root"
            ));
        }
        if !data_dirs.contains(&resolve(path, folder)) {
            return wrong(format!("{folder} is not among the instance's data_dirs"));
        }
    }
    if written.keep_for < Duration::from_millis(1) || written.keep_for > KEEP_FOR_MAX {
        let reason = format!(
            "{:?} is not between 1 ms and {} days",
            written.keep_for,
            KEEP_FOR_MAX.as_secs() / 86_400
        );
        return Err(ConfigError::setting(format!("{at}.keep_for"), reason));
    }
    Ok(RebuildSettings {
        folders: written.empty,
        keep_for: written.keep_for,
    })
}

/// Sees to it that a folder which may be emptied holds nothing else, and is in nothing else that may be.
pub(super) fn stand_alone(config: &Utf8Path, settings: &Settings) -> Result<(), ConfigError> {
    let mut others = vec![
        ("the agent's data_dir".to_owned(), real(&settings.data_dir)),
        ("this configuration".to_owned(), real(config)),
        ("tls.ca".to_owned(), real(&settings.tls.ca)),
        (
            "tls.certificate".to_owned(),
            real(&settings.tls.certificate),
        ),
        ("tls.key".to_owned(), real(&settings.tls.key)),
    ];
    for instance in &settings.instances {
        let name = &instance.name;
        let dirs = instance.data_dirs.iter();
        others.extend(dirs.map(|dir| (format!("a data folder of instance {name}"), real(dir))));
        if let Some(driver) = instance.driver.as_ref().and_then(|d| d.command.first()) {
            let driver = real(Utf8Path::new(driver));
            others.push((format!("the driver of instance {name}"), driver));
        }
        if let Some(initial) = &instance.initial {
            let initial = real(&initial.path);
            others.push((format!("the first release of instance {name}"), initial));
        }
    }
    for instance in &settings.instances {
        for folder in instance.rebuild.iter().flat_map(|r| &r.folders) {
            let folder = real(folder);
            // It is among the others itself, once.
            let is_twice = others.iter().filter(|(_, other)| *other == folder).count() > 1;
            let overlapping = others.iter().find(|(_, other)| {
                (is_twice || *other != folder)
                    && (other.starts_with(&folder) || folder.starts_with(other))
            });
            if let Some((what, other)) = overlapping {
                return Err(ConfigError::setting(
                    format!("instance.{}.rebuild.empty", instance.name),
                    format!("{folder} must not be emptied: it overlaps with {what}, {other}"),
                ));
            }
        }
    }
    Ok(())
}

/// Where a path really leads, if it leads anywhere yet.
fn real(path: &Utf8Path) -> Utf8PathBuf {
    let there = path.canonicalize_utf8();
    there.unwrap_or_else(|_| absolute_utf8(path).unwrap_or_else(|_| path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    fn load(rebuild: &str) -> Result<Settings, String> {
        let text = format!(
            r#"
node = "n1"
coordinator = "127.0.0.1:7600"
data_dir = "/var/lib/evenkeel"
trusted_release_keys = []
tls = {{ ca = "/etc/evenkeel/ca.pem", certificate = "/etc/evenkeel/agent.pem", key = "/etc/evenkeel/agent.key" }}
[[instance]]
name = "a"
component = "etcd"
command = ["{{release}}/etcd"]
data_dirs = ["/srv/a/data", "/srv/a/wal", "/var/lib", "/etc/evenkeel", "/srv/b", "/"]
{rebuild}
[[instance.probe]]
type = "tcp"
address = "127.0.0.1:2379"
[[instance]]
name = "b"
component = "etcd"
command = ["{{release}}/etcd"]
data_dirs = ["/srv/b/data"]
driver = {{ command = ["/opt/driver"] }}
[[instance.probe]]
type = "tcp"
address = "127.0.0.1:2380"
"#
        );
        // The root is a data folder only where a test wants it to be.
        let text = match rebuild.contains("\"/\"") {
            true => text,
            false => text.replace(", \"/\"", ""),
        };
        testing::load(&text)
    }

    #[test]
    fn an_instance_may_be_rebuilt_only_where_the_file_says_so() {
        let settings = load("rebuild = { empty = [\"/srv/a/data\", \"/srv/a/wal\"] }").unwrap();
        let rebuild = settings.instances[0].rebuild.as_ref().unwrap();
        assert_eq!(rebuild.folders, ["/srv/a/data", "/srv/a/wal"]);
        assert_eq!(rebuild.keep_for, Duration::from_secs(24 * 3600));
        assert!(settings.instances[1].rebuild.is_none());
    }

    #[test]
    fn what_must_not_be_emptied_is_refused_with_the_reason() {
        let refused = |rebuild: &str, reason: &str| {
            let error = load(&format!("rebuild = {{ {rebuild} }}")).unwrap_err();
            assert!(error.contains(reason), "{error}");
        };
        refused("empty = []", "instance.a.rebuild.empty: has to name");
        refused("keep_for = \"1h\"", "missing field `empty`");
        refused(
            "empty = [\"/srv/a\"]",
            "is not among the instance's data_dirs",
        );
        refused("empty = [\"data\"]", "data has to be absolute");
        refused(
            "empty = [\"/srv/a/../a/data\"]",
            "has to be absolute, without `..`",
        );
        refused("empty = [\"/\"]", "/ has to be absolute");
        refused(
            "empty = [\"/var/lib\"]",
            "it overlaps with the agent's data_dir, /var/lib/evenkeel",
        );
        refused("empty = [\"/etc/evenkeel\"]", "it overlaps with tls.ca");
        refused(
            "empty = [\"/srv/b\"]",
            "it overlaps with a data folder of instance b, /srv/b/data",
        );
        refused(
            "empty = [\"/srv/a/data\"], keep_for = \"100days\"",
            "is not between 1 ms and 90 days",
        );
        refused(
            "empty = [\"/srv/a/data\"], keep = \"1h\"",
            "unknown field `keep`",
        );
    }
}
