//! The statuses with which the program ends. Scripts rely on them: a number never changes its meaning.

use std::fmt::Write as _;
use std::process::ExitCode;

use evenkeel_common::problem::ErrorCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something on this side failed: a file, the terminal, an answer that makes no sense.
    Other,
    /// The command line or the configuration is at fault.
    Usage,
    /// The coordinator refused an argument.
    Argument,
    /// What was named does not exist.
    NotFound,
    /// The present state does not allow it.
    State,
    /// The coordinator does not take the caller for somebody who may do this, or is not whom it should be.
    Identity,
    /// The coordinator cannot be reached, or has no room or time for the call.
    Unreachable,
    /// A fault of the coordinator.
    Coordinator,
    /// The plan that was watched is paused.
    PlanPaused,
    /// The plan that was watched was aborted.
    PlanAborted,
    /// The plan that was watched waits for a person to finalize it.
    PlanReady,
    /// The plan that was watched was rolled back.
    PlanRolledBack,
    /// The plan that was watched was given up while it rolled back.
    PlanFailed,
    /// Another plan has taken the place of the one that was watched.
    PlanSuperseded,
    /// Whoever read the output went away.
    BrokenPipe,
}

impl Exit {
    /// Every way to end but success.
    const ALL: [Self; 15] = [
        Self::Other,
        Self::Usage,
        Self::Argument,
        Self::NotFound,
        Self::State,
        Self::Identity,
        Self::Unreachable,
        Self::Coordinator,
        Self::PlanPaused,
        Self::PlanAborted,
        Self::PlanReady,
        Self::PlanRolledBack,
        Self::PlanFailed,
        Self::PlanSuperseded,
        Self::BrokenPipe,
    ];

    /// The number that the shell sees.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Usage => 2,
            Self::Argument => 3,
            Self::NotFound => 4,
            Self::State => 5,
            Self::Identity => 6,
            Self::Unreachable => 7,
            Self::Coordinator => 8,
            Self::PlanPaused => 10,
            Self::PlanAborted => 11,
            Self::PlanReady => 12,
            Self::PlanRolledBack => 13,
            Self::PlanFailed => 14,
            Self::PlanSuperseded => 15,
            // What a shell shows for a program that SIGPIPE ended.
            Self::BrokenPipe => 141,
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Other => "something failed on this side (a file, an answer that makes no sense)",
            Self::Usage => "the command line or the configuration is at fault",
            Self::Argument => "the coordinator refused an argument",
            Self::NotFound => "what was named does not exist",
            Self::State => "the present state does not allow it",
            Self::Identity => "a certificate or role does not allow it",
            Self::Unreachable => "the coordinator cannot be reached, or is too slow or too busy",
            Self::Coordinator => "a fault of the coordinator",
            Self::PlanPaused => "plan watch: the plan is paused",
            Self::PlanAborted => "plan watch: the plan was aborted",
            Self::PlanReady => "plan watch: the plan waits for `plan finalize`",
            Self::PlanRolledBack => "plan watch: the plan was rolled back",
            Self::PlanFailed => "plan watch: the plan was given up while it rolled back",
            Self::PlanSuperseded => "plan watch: another plan has taken its place",
            Self::BrokenPipe => "the reader of the output went away",
        }
    }

    /// How a refusal of the coordinator ends the program.
    pub(crate) fn of(code: ErrorCode) -> Self {
        let status = code.exit_status();
        Self::ALL
            .into_iter()
            .find(|exit| exit.status() == status)
            .unwrap_or(Self::Other)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// The table for the help text.
pub(crate) fn table() -> String {
    let mut text = String::from("Exit statuses:\n    0  done; plan watch: the plan is finalized");
    for exit in Exit::ALL {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {:>3}  {}", exit.status(), exit.meaning());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_ends_with_the_status_that_its_code_has() {
        for code in ErrorCode::ALL {
            assert_eq!(Exit::of(*code).status(), code.exit_status(), "{code:?}");
        }
    }

    #[test]
    fn no_two_ends_share_a_status() {
        for (index, one) in Exit::ALL.iter().enumerate() {
            for other in &Exit::ALL[index + 1..] {
                assert_ne!(one.status(), other.status());
            }
        }
    }
}
