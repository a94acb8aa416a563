//! What an agent's configuration says of how an instance is run, as one digest: a process that was started with
//! another one has to be restarted to follow it.

use std::{fs::File, io::Read as _};

use evenkeel_common::digest::{Digest, Hasher};

use crate::config::{InstanceSettings, Limits, SupervisorSettings};

/// As much of a file that belongs to it counts; a configuration is no database.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The digest of what an instance would be started with now: its command, its environment, where it is started, and
/// what is in the files that its configuration names. How it is watched, stopped and driven is no part of it. Blocks.
#[must_use]
pub fn digest_of(settings: &InstanceSettings) -> Digest {
    let mut hasher = Hasher::new();
    let mut add = |kind: &str, bytes: &[u8]| {
        hasher.update(format!("{kind} {}\n", bytes.len()).as_bytes());
        hasher.update(bytes);
    };
    for word in &settings.command {
        add("word", word.as_bytes());
    }
    for (name, value) in &settings.env {
        add("name", name.as_bytes());
        add("value", value.as_bytes());
    }
    if let Some(folder) = &settings.working_dir {
        add("folder", folder.as_str().as_bytes());
    }
    match &settings.supervisor {
        SupervisorSettings::Exec => {}
        SupervisorSettings::Systemd { unit } => add("unit", unit.as_bytes()),
    }
    let limits = &settings.limits;
    if *limits != Limits::default() {
        add("limits", format!("{limits:?}").as_bytes());
    }
    for path in &settings.configuration_files {
        add("file", path.as_str().as_bytes());
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => add("content", &bytes),
            // One that is not there is another configuration than one that is empty.
            Err(error) => add("none", error.kind().to_string().as_bytes()),
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::report::tests::settings;

    #[test]
    fn it_changes_with_what_a_process_is_started_with_and_with_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(dir.path().join("etcd.conf")).unwrap();
        let plain = settings();
        let mut other = settings();
        other.stop_timeout *= 2;
        other.labels.insert("zone".to_owned(), "a".to_owned());
        assert_eq!(digest_of(&plain), digest_of(&other));
        other.env.insert("A".to_owned(), "1".to_owned());
        let with_env = digest_of(&other);
        assert_ne!(digest_of(&plain), with_env);
        other.configuration_files.push(file.clone());
        let mut seen = vec![with_env];
        for content in [None, Some(""), Some("a"), Some("b")] {
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let now = digest_of(&other);
            assert!(!seen.contains(&now), "{content:?}");
            seen.push(now);
        }
    }
}
