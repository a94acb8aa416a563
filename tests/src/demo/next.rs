//! The three commands to try next.

use std::fmt::Write as _;

use camino::Utf8Path;

use super::{place, shell};
use crate::places;

/// What to try while the fleet runs on. `draft` is a plan whose release is bad on purpose.
///
/// # Errors
/// When the program is not built.
pub(super) fn while_it_runs(folder: &Utf8Path, draft: &str) -> anyhow::Result<String> {
    let evenkeel = evenkeel_for(folder)?;
    let three = [
        ("what runs where", format!("{evenkeel} instance list")),
        (
            "start the next plan, to a release that is broken on purpose",
            format!("{evenkeel} plan start {draft}"),
        ),
        (
            "see the first instance put back, and the plan pause and say why",
            format!("{evenkeel} plan watch {draft}"),
        ),
    ];
    Ok(commands(&three) + &stop(folder))
}

/// What to try while the fleet runs on after `plan` did not go as it should.
///
/// # Errors
/// When the program is not built.
pub(super) fn while_it_is_broken(folder: &Utf8Path, plan: &str) -> anyhow::Result<String> {
    let evenkeel = evenkeel_for(folder)?;
    let three = [
        (
            "how far the plan came",
            format!("{evenkeel} plan show {plan}"),
        ),
        ("what it waits for", format!("{evenkeel} plan why {plan}")),
        ("what runs where", format!("{evenkeel} instance list")),
    ];
    Ok(commands(&three) + &stop(folder))
}

/// What to try when nothing runs any more.
///
/// # Errors
/// When the program is not built.
pub(super) fn afterwards(folder: &Utf8Path) -> anyhow::Result<String> {
    let evenkeel = shell::path(&places::program("evenkeel")?);
    Ok(commands(&[
        (
            "the same, and everything runs on for a look round",
            "cargo demo -- --keep".to_owned(),
        ),
        (
            "what the coordinator decided, and when",
            format!("less {}", shell::path(&folder.join("coordinator.log"))),
        ),
        (
            "a cluster of your own: certificates and configuration",
            format!("{evenkeel} init --help"),
        ),
    ]))
}

fn evenkeel_for(folder: &Utf8Path) -> anyhow::Result<String> {
    let program = places::program("evenkeel")?;
    let config = folder.join("evenkeel.toml");
    Ok(format!(
        "{} --config {}",
        shell::path(&program),
        shell::path(&config)
    ))
}

fn stop(folder: &Utf8Path) -> String {
    format!(
        "\nIt runs on until you stop it:\n  {}\n",
        place::stop_command(folder)
    )
}

fn commands(commands: &[(&str, String); 3]) -> String {
    let mut text = String::from("Try next:\n");
    for (what, command) in commands {
        let _ = writeln!(text, "  # {what}\n  {command}");
    }
    text
}
