//! Configuration: one TOML file, single settings overridden by the environment.
//!
//! What a setting means and whether it makes sense is for the program that has it; here it is read.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// What the file system says.
        #[source]
        source: std::io::Error,
    },
    /// Far larger than any configuration.
    #[error("the configuration {path} has {bytes} bytes, at most {FILE_BYTES_MAX} are allowed")]
    TooLarge {
        /// The file.
        path: Utf8PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file's text is at fault.
    #[error("{path}:{line}:{column}: {reason}")]
    Text {
        /// The file.
        path: Utf8PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A variable of the environment is at fault, or the settings do not make sense together.
    #[error("{setting}: {reason}")]
    Setting {
        /// The variable or the setting.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ConfigError {
    /// A setting that was read, but does not make sense.
    #[must_use]
    pub fn setting(setting: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::Setting {
            setting: setting.to_string(),
            reason: reason.to_string(),
        }
    }
}

/// Reads the file at `path` as a `T`, then lays the environment's variables over it. With the prefix
/// `EVENKEEL_AGENT`, `EVENKEEL_AGENT__TLS__CA=x` sets `ca` in the table `tls`; a value that is TOML by
/// itself counts as that, any other as text.
///
/// # Errors
/// Names the file, line and column, or the variable, and what is wrong there.
pub fn load<T: DeserializeOwned>(path: &Utf8Path, env_prefix: &str) -> Result<T, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(read)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    parse(
        path,
        &text,
        env_prefix,
        std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )
}

fn parse<T: DeserializeOwned>(
    path: &Utf8Path,
    text: &str,
    env_prefix: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    let prefix = format!("{env_prefix}__");
    let mut overrides: Vec<(String, String)> =
        env.filter(|(name, _)| name.starts_with(&prefix)).collect();
    overrides.sort();
    let at = |error: toml::de::Error| {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        ConfigError::Text {
            path: path.to_owned(),
            line,
            column,
            reason: error.message().trim().to_owned(),
        }
    };
    if overrides.is_empty() {
        return toml::from_str(text).map_err(at);
    }
    let mut table: Table = toml::from_str(text).map_err(at)?;
    for (name, value) in &overrides {
        let keys = name.trim_start_matches(&prefix).to_ascii_lowercase();
        set(&mut table, &keys, value).map_err(|reason| ConfigError::setting(name, reason))?;
    }
    let names: Vec<_> = overrides.iter().map(|(name, _)| name.as_str()).collect();
    T::deserialize(Value::Table(table)).map_err(|error| match toml::from_str::<Table>(text) {
        // Without the overrides the file may be at fault by itself, and then has a line to show.
        Ok(_) => match toml::from_str::<T>(text) {
            Err(of_file) if of_file.message() == error.message() => at(of_file),
            _ => ConfigError::setting(names.join(", "), error.message().trim()),
        },
        Err(of_file) => at(of_file),
    })
}

fn set(table: &mut Table, keys: &str, text: &str) -> Result<(), String> {
    match keys.split_once("__") {
        Some((key, rest)) => {
            let inner = table
                .entry(key)
                .or_insert_with(|| Value::Table(Table::new()));
            let inner = inner
                .as_table_mut()
                .ok_or_else(|| format!("`{key}` is not a table"))?;
            set(inner, rest, text)
        }
        None => {
            let value = toml::from_str::<Table>(&format!("value = {text}"))
                .ok()
                .filter(|parsed| parsed.len() == 1)
                .and_then(|mut parsed| parsed.remove("value"))
                .unwrap_or_else(|| Value::String(text.to_owned()));
            table.insert(keys.to_owned(), value);
            Ok(())
        }
    }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before
        .get(line_start..)
        .map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

/// A path from the configuration file at `file`: relative ones are relative to the file's folder.
#[must_use]
pub fn resolve(file: &Utf8Path, path: &Utf8Path) -> Utf8PathBuf {
    match file.parent() {
        Some(folder) => folder.join(path),
        None => path.to_owned(),
    }
}

/// Durations as text in configuration files: `500ms`, `30s`, `5min`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, de::Error as _};

    /// Reads a duration.
    ///
    /// # Errors
    /// Says how durations are written when the text is not one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|_| {
            D::Error::custom(format!(
                "{text:?} is not a duration; write it like \"500ms\", \"30s\" or \"5min\""
            ))
        })
    }

    /// Reads a duration that may be left out; for use with `#[serde(default)]`.
    pub mod option {
        use super::{Deserializer, Duration};

        /// Reads a duration.
        ///
        /// # Errors
        /// Says how durations are written when the text is not one.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        name: String,
        #[serde(default, with = "duration::option")]
        wait: Option<Duration>,
        #[serde(default)]
        tls: Tls,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Tls {
        ca: Option<String>,
    }

    fn check(text: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
        let env = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        parse(Utf8Path::new("x.toml"), text, "EVENKEEL_X", env).map_err(|e| e.to_string())
    }

    #[test]
    fn the_environment_lies_over_the_file() {
        let settings = check(
            "name = \"a\"\n[tls]\nca = \"one\"\n",
            &[
                ("EVENKEEL_X__TLS__CA", "two"),
                ("EVENKEEL_X__WAIT", "2s"),
                ("OTHER", "x"),
            ],
        )
        .unwrap();
        assert_eq!(settings.tls.ca.as_deref(), Some("two"));
        assert_eq!(settings.wait, Some(Duration::from_secs(2)));
    }

    #[test]
    fn an_error_names_the_line_or_the_variable() {
        let unknown = check("name = \"a\"\nnmae = 1\n", &[]).unwrap_err();
        assert!(
            unknown.starts_with("x.toml:2:1: unknown field `nmae`"),
            "{unknown}"
        );
        let wait = check("name = \"a\"\nwait = \"soon\"\n", &[]).unwrap_err();
        assert!(
            wait.starts_with("x.toml:2:8: \"soon\" is not a duration"),
            "{wait}"
        );
        let variable = check("name = \"a\"\n", &[("EVENKEEL_X__WAIT", "soon")]).unwrap_err();
        assert!(variable.starts_with("EVENKEEL_X__WAIT: "), "{variable}");
        let both = check("name = 3\n", &[("EVENKEEL_X__WAIT", "2s")]).unwrap_err();
        assert!(both.starts_with("x.toml:1:8: "), "{both}");
    }
}
