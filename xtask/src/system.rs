//! What tests need of the system itself: systemd and a bus, which cannot be taken out of an archive like other programs.
//!
//! What is there is used, whichever version it is. What is not there is installed where that is nobody's own machine, in
//! CI; elsewhere it is said what to install, and the tests that need it fail.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// A package of Debian 12, and the program that shows that it is installed.
struct Package {
    name: &'static str,
    version: &'static str,
    program: &'static str,
}

const PACKAGES: [Package; 2] = [
    Package {
        name: "systemd",
        version: "252.38-1~deb12u1",
        program: "/usr/lib/systemd/systemd",
    },
    Package {
        name: "dbus",
        version: "1.14.10-1~deb12u1",
        program: "/usr/bin/dbus-daemon",
    },
];

/// Makes sure of systemd and the bus for the tests.
pub(crate) fn ensure(in_ci: bool) -> Result<()> {
    let missing = PACKAGES.iter().filter(|p| !Path::new(p.program).exists());
    let missing: Vec<String> = missing
        .map(|package| format!("{}={}", package.name, package.version))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive");
    if !in_ci {
        let install = process::shown(&install);
        eprintln!("\nNOTICE: tests of units will fail without systemd and a bus: `{install}`\n");
        return Ok(());
    }
    let mut update = Command::new("apt-get");
    process::capture(update.args(["update", "--quiet"]))?;
    process::capture(&mut install)
        .map(drop)
        .context("the tests of units need systemd and a bus")
}
