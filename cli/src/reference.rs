//! Keeps `docs/CLI.md` what the program itself says.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

use crate::args::Cli;
use crate::exit;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CLI.md");

const BEGINNING: &str = "\
# The command line

Made from the program's own help; `EVENKEEL_UPDATE_DOCS=1 cargo test -p evenkeel reference` makes it again.

With `--output json` the fields have the names that the API gives them (`proto/evenkeel/v1`) and are always there;
enumerations are words (`agent-lost`), times RFC 3339 in UTC, durations seconds (`120s`), what is not set is `null`. A
list is an object with the list and its `revision`; a watch gives one object a line; a dry run is an object with `plan`
and `refusal`, one of them `null`, and ends where it is refused as the command without `--dry-run` would. Remarks, errors
and hints go to standard error and are for people; programs go by the exit status. Characters that cannot be seen are
shown as `\\u{…}`, and written as `\\uXXXX` in JSON.

A setting of `evenkeel.toml` can be replaced by the environment: `EVENKEEL_CLI__COORDINATOR`, `EVENKEEL_CLI__TLS__CA`,
`EVENKEEL_CLI__TLS__CERTIFICATE`, `EVENKEEL_CLI__TLS__KEY`. `NO_COLOR` is respected.
";

/// What every command takes; it is said once.
const GLOBAL: &str = "Global options:";

#[test]
fn the_reference_is_what_the_program_says() {
    let mut cli = Cli::command()
        .after_long_help(exit::table())
        .term_width(100);
    cli.build();
    let mut text = BEGINNING.to_owned();
    describe(&mut cli, true, &mut text);
    if std::env::var_os("EVENKEEL_UPDATE_DOCS").is_some() {
        std::fs::write(PATH, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(PATH).unwrap() == text,
        "docs/CLI.md is not what the program says; its third line says how to make it again"
    );
}

/// Adds the help of a command and of those below it.
fn describe(command: &mut Command, is_root: bool, text: &mut String) {
    let help = command.render_long_help().to_string();
    let mut lines = Vec::new();
    let mut said_already = false;
    for line in help.lines() {
        if !line.is_empty() && !line.starts_with(' ') {
            said_already = line == GLOBAL && !is_root;
        }
        if !said_already {
            lines.push(line.trim_end());
        }
    }
    let name = command.get_bin_name().unwrap_or("evenkeel");
    let help = lines.join("\n");
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end());
    for inner in command.get_subcommands_mut() {
        if inner.get_name() != "help" {
            describe(inner, false, text);
        }
    }
}
