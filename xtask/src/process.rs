//! Running other programs: what is said when one is missing or fails.

use std::io;
use std::process::{Command, ExitCode, ExitStatus, Output};

use anyhow::{Context, Result};

/// Runs a command with this process's own output and waits. An error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    anyhow::ensure!(status.success(), "`{}` failed: {status}", shown(command));
    Ok(())
}

/// Runs a command with this process's own output and gives its exit code on, whatever it is.
pub(crate) fn pass_through(command: &mut Command) -> Result<ExitCode> {
    let code = status(command)?
        .code()
        .and_then(|code| u8::try_from(code).ok());
    // No code: a signal ended it.
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs a command quietly. Its output is shown only in the error, when it fails.
pub(crate) fn capture(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| not_started(command))?;
    anyhow::ensure!(
        output.status.success(),
        "`{}` failed: {}\n{}",
        shown(command),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(output)
}

/// Whether a program of this name can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    match Command::new(program).arg("--version").output() {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// What to say of a command that could not be started.
pub(crate) fn not_started(command: &Command) -> String {
    format!(
        "cannot start `{}`; is it installed and on PATH?",
        command.get_program().display()
    )
}

/// The command as a person would type it; good enough to repeat it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| not_started(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named_in_the_error() {
        let error = run(&mut Command::new("evenkeel-no-such-program")).unwrap_err();
        assert!(
            error.to_string().contains("evenkeel-no-such-program"),
            "{error}"
        );
        assert!(!exists("evenkeel-no-such-program"));
    }

    #[test]
    fn a_failure_shows_the_command_and_what_it_said() {
        let error = capture(Command::new("sh").args(["-c", "echo what went wrong >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sh -c") && error.contains("exit status: 3"),
            "{error}"
        );
        assert!(error.ends_with("what went wrong"), "{error}");
    }
}
