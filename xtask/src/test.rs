//! `cargo xtask test`: fetches and builds what the tests need, then runs them.

use std::process::ExitCode;

use anyhow::Result;

use crate::cache::Cache;
use crate::programs::{self, Flavour};
use crate::workspace::{self, Workspace};
use crate::{environment, fetch, process, system, tools};

/// Runs doc tests, unless `arguments` pick some of the others, and then all tests; the test runner's exit status.
pub(crate) fn run(workspace: &Workspace, cache: &Cache, arguments: &[String]) -> Result<ExitCode> {
    fetch::systems(cache)?;
    system::ensure(environment::in_ci())?;
    eprintln!("building the programs and the tests");
    let places = programs::build(workspace, Flavour::Test)?;
    // The same selection of packages and features as the build, so that nothing is compiled twice.
    let features = programs::test_features(workspace);

    if arguments.is_empty() {
        let mut doc_tests = workspace.cargo("test");
        process::run(
            doc_tests
                .args(["--doc", "--workspace", "--quiet"])
                .args(workspace::locked())
                .args(&features),
        )?;
    }
    let mut nextest = tools::NEXTEST.command(workspace, cache)?;
    nextest
        .args(["nextest", "run", "--workspace"])
        .args(workspace::locked())
        .args(&features)
        .args(arguments);
    nextest.env("EVENKEEL_SYSTEMS_DIR", cache.systems());
    places.tell(&mut nextest);
    if environment::in_ci() && std::env::var_os("NEXTEST_PROFILE").is_none() {
        nextest.env("NEXTEST_PROFILE", "ci");
    }
    process::pass_through(&mut nextest)
}
