//! Tools that Cargo builds: the one on PATH, or a pinned version built into the cache.

use std::process::Command;

use anyhow::{Context, Result};
use camino::Utf8PathBuf;

use crate::cache::{self, Cache};
use crate::process;
use crate::workspace::{self, Workspace};

/// A program of a crate of the same name.
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
}

/// Runs the tests, a process each.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    name: "cargo-nextest",
    version: "0.9.143",
};

/// Checks licences, bans and sources of dependencies.
pub(crate) const DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// Makes Debian packages.
pub(crate) const DEB: CargoTool = CargoTool {
    name: "cargo-deb",
    version: "3.8.0",
};

impl CargoTool {
    /// The tool, ready to be given arguments; built first when it is neither on PATH nor in the cache.
    pub(crate) fn command(&self, workspace: &Workspace, cache: &Cache) -> Result<Command> {
        let program = if process::exists(self.name) {
            self.name.into()
        } else {
            self.installed(workspace, cache)?
        };
        let mut command = workspace::outside_this_package(Command::new(program));
        command.current_dir(&workspace.root);
        Ok(command)
    }

    fn installed(&self, workspace: &Workspace, cache: &Cache) -> Result<Utf8PathBuf> {
        let home = cache.tool(self.name, self.version);
        let program = home.join("bin").join(self.name);
        let _lock = cache::lock_file(&home.join("lock"))?;
        // Cargo puts the finished program there by a rename, so one that is there is whole.
        if !program.exists() {
            eprintln!(
                "building {} {} into the cache; this takes some minutes, once",
                self.name, self.version
            );
            let mut install = workspace.cargo("install");
            // Without optimisation: it takes half as long to build, and waits for others most of the time it runs.
            install.args(["--quiet", "--debug", "--locked", "--root", home.as_str()]);
            install
                .args(["--version", self.version, self.name])
                .env_remove("CARGO_TARGET_DIR");
            process::run(&mut install)
                .with_context(|| format!("cannot build {} {}", self.name, self.version))?;
        }
        Ok(program)
    }
}
