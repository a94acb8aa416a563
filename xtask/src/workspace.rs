//! What Cargo knows of this tree, and Cargo itself, set up to be run from here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};
use camino::Utf8PathBuf;
use serde_json::Value;

use crate::{environment, process};

/// The workspace this program belongs to.
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: Utf8PathBuf,
    /// The folder Cargo builds into.
    pub(crate) target: Utf8PathBuf,
    /// The features of each member, by package name.
    features: BTreeMap<String, BTreeSet<String>>,
}

impl Workspace {
    /// Asks Cargo about the workspace around the current folder.
    pub(crate) fn load() -> Result<Self> {
        let output =
            process::capture(bare_cargo().args(["metadata", "--no-deps", "--format-version=1"]))?;
        let metadata = serde_json::from_slice(&output.stdout)
            .context("cannot read what `cargo metadata` says")?;
        Self::of(&metadata).context("`cargo metadata` leaves something out")
    }

    fn of(metadata: &Value) -> Option<Self> {
        let folder = |name: &str| metadata.get(name)?.as_str().map(Utf8PathBuf::from);
        let package = |package: &Value| {
            let features = package
                .get("features")?
                .as_object()?
                .keys()
                .cloned()
                .collect();
            Some((package.get("name")?.as_str()?.to_owned(), features))
        };
        Some(Self {
            root: folder("workspace_root")?,
            target: folder("target_directory")?,
            features: metadata
                .get("packages")?
                .as_array()?
                .iter()
                .map(package)
                .collect::<Option<_>>()?,
        })
    }

    /// `cargo <subcommand>` at the root of the workspace.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = bare_cargo();
        command.current_dir(&self.root).arg(subcommand);
        command
    }

    /// The packages that have this feature, as `--features` wants it.
    pub(crate) fn with_feature(&self, feature: &str) -> Vec<String> {
        let have = self
            .features
            .iter()
            .filter(|(_, features)| features.contains(feature));
        have.map(|(package, _)| format!("{package}/{feature}"))
            .collect()
    }
}

/// What keeps the lockfile as it is where nobody would see it change.
pub(crate) fn locked() -> Option<&'static str> {
    environment::in_ci().then_some("--locked")
}

fn bare_cargo() -> Command {
    outside_this_package(Command::new(
        std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")),
    ))
}

/// Takes from a command what the Cargo that runs this program said about this package: build scripts watch those
/// variables, and would run again each time that the same crate is built from here and by hand.
pub(crate) fn outside_this_package(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_found_in_every_package_that_has_them() {
        let metadata = serde_json::json!({
            "workspace_root": "/tree",
            "target_directory": "/built",
            "packages": [
                { "name": "one", "features": { "failpoints": [] } },
                { "name": "two", "features": {} },
                { "name": "three", "features": { "failpoints": [], "default": [] } },
            ],
        });
        let workspace = Workspace::of(&metadata).unwrap();
        assert_eq!(
            workspace.with_feature("failpoints"),
            ["one/failpoints", "three/failpoints"]
        );
        assert_eq!(
            (workspace.root.as_str(), workspace.target.as_str()),
            ("/tree", "/built")
        );
    }

    #[test]
    fn metadata_without_a_target_folder_is_refused() {
        assert!(
            Workspace::of(&serde_json::json!({ "workspace_root": "/tree", "packages": [] }))
                .is_none()
        );
    }
}
