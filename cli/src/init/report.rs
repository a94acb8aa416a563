//! What `evenkeel init` says at the end.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

/// What became of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Created,
    Kept,
}

/// What was made and what was there already.
#[derive(Debug, Serialize)]
pub(crate) struct InitReport {
    dir: Utf8PathBuf,
    files: Vec<Entry>,
}

/// A file or folder.
#[derive(Debug, Serialize)]
struct Entry {
    path: Utf8PathBuf,
    outcome: Outcome,
    what: String,
}

impl InitReport {
    pub(super) fn new(dir: &Utf8Path) -> Self {
        Self {
            dir: dir.to_owned(),
            files: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, path: &Utf8Path, outcome: Outcome, what: impl Into<String>) {
        self.files.push(Entry {
            path: path.to_owned(),
            outcome,
            what: what.into(),
        });
    }

    /// What was made, or what was kept.
    #[cfg(test)]
    pub(super) fn paths(&self, wanted: Outcome) -> Vec<&Utf8Path> {
        self.files
            .iter()
            .filter(|file| file.outcome == wanted)
            .map(|file| file.path.strip_prefix(&self.dir).unwrap_or(&file.path))
            .collect()
    }
}

impl fmt::Display for InitReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.files.iter().map(|file| file.path.as_str().len());
        let width = width.max().unwrap_or(0);
        for Entry {
            path,
            outcome,
            what,
        } in &self.files
        {
            let outcome = match outcome {
                Outcome::Created => "created",
                Outcome::Kept => "kept",
            };
            writeln!(formatter, "{outcome:7}  {:width$}  {what}", path.as_str())?;
        }
        writeln!(
            formatter,
            "\nNext: start the coordinator with {dir}/coordinator/coordinator.toml, copy each folder of {dir}/agents to its node\n\
             and start the agent there with its agent.toml. Keep {dir}/ca/key.pem and {dir}/releases.key where few can reach them.\n\
             Before the first plan, apply a compatibility matrix (`evenkeel compat apply`): without a rule no version may follow another.",
            dir = self.dir
        )
    }
}
