//! Which coordinator to talk to, and as whom.

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::config::load;
use evenkeel_common::tls::{Address, TlsFiles};
use serde::Deserialize;

use crate::exit::Exit;
use crate::failure::Failure;

/// The file's name, wherever it is looked for.
const FILE_NAME: &str = "evenkeel.toml";

/// What the environment's overrides begin with: `EVENKEEL_CLI__COORDINATOR=host:port`.
const ENV_PREFIX: &str = "EVENKEEL_CLI";

/// What the configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The coordinator's address, `host:port`.
    pub(crate) coordinator: Address,
    /// Who we are, and whom we trust.
    pub(crate) tls: TlsFiles,
}

/// Reads the configuration: `path` if one is named, else the first there is of `./evenkeel.toml` and
/// `evenkeel/evenkeel.toml` in the user's configuration folder.
pub(crate) fn read(path: Option<&Utf8Path>) -> Result<Settings, Failure> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => find(&candidates(|name| std::env::var(name).ok()))?,
    };
    let settings: Settings = load(&path, ENV_PREFIX)?;
    Ok(Settings {
        tls: settings.tls.resolved(&path),
        ..settings
    })
}

fn find(candidates: &[Utf8PathBuf]) -> Result<Utf8PathBuf, Failure> {
    let found = candidates.iter().find(|path| path.exists());
    found.cloned().ok_or_else(|| {
        let looked_at: Vec<_> = candidates.iter().map(|path| path.as_str()).collect();
        Failure::new(
            Exit::Usage,
            format!("there is no configuration at {}", looked_at.join(" or ")),
        )
        .hint("name the file with --config or EVENKEEL_CONFIG; `evenkeel init` makes a new cluster with one")
    })
}

fn candidates(env: impl Fn(&str) -> Option<String>) -> Vec<Utf8PathBuf> {
    let set = |name| env(name).filter(|value| !value.is_empty());
    let folder = set("XDG_CONFIG_HOME")
        .map(Utf8PathBuf::from)
        .or_else(|| set("HOME").map(|home| Utf8PathBuf::from(home).join(".config")));
    let local = Utf8PathBuf::from(FILE_NAME);
    let users = folder.map(|folder| folder.join("evenkeel").join(FILE_NAME));
    std::iter::once(local).chain(users).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_at(env: &[(&str, &str)]) -> Vec<Utf8PathBuf> {
        candidates(|name| {
            let value = env.iter().find(|(key, _)| *key == name);
            value.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_folder_that_one_stands_in_comes_before_the_users_own() {
        assert_eq!(
            looked_at(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]),
            ["evenkeel.toml", "/x/evenkeel/evenkeel.toml"]
        );
        assert_eq!(
            looked_at(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]),
            ["evenkeel.toml", "/h/.config/evenkeel/evenkeel.toml"]
        );
        assert_eq!(looked_at(&[]), ["evenkeel.toml"]);
    }

    #[test]
    fn paths_in_the_file_are_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join(FILE_NAME);
        std::fs::write(
            &path,
            "coordinator = \"c:1\"\n[tls]\nca = \"ca.pem\"\ncertificate = \"/abs.pem\"\nkey = \"me.key\"\n",
        )
        .unwrap();
        let settings = read(Some(&path)).unwrap();
        assert_eq!(settings.coordinator.to_string(), "c:1");
        assert_eq!(settings.tls.ca, path.with_file_name("ca.pem"));
        assert_eq!(settings.tls.certificate, "/abs.pem");
    }

    #[test]
    fn a_missing_file_says_where_it_was_looked_for_and_what_to_do() {
        let failure = find(&["/nowhere/a".into(), "/nowhere/b".into()]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.sentence.contains("/nowhere/a or /nowhere/b"));
        assert!(failure.hint.unwrap().contains("evenkeel init"));
    }
}
