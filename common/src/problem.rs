//! What can be wrong with a call, in one table: the code, how gRPC carries it, what to do about it, and
//! with which status the command line exits.

use evenkeel_words::limits::{REASON_BYTES_MAX, cut};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of our codes in gRPC's `ErrorInfo`.
const DOMAIN: &str = "evenkeel";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $reason:literal, $grpc:ident, $exit:literal, $remedy:literal;)*) => {
        /// What kind of thing is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it stands in gRPC's `ErrorInfo.reason`.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)* }
            }

            /// gRPC's own, coarser code.
            #[must_use]
            pub fn grpc(self) -> Code {
                match self { $(Self::$name => Code::$grpc,)* }
            }

            /// The status with which the command line exits.
            #[must_use]
            pub fn exit_status(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }

            /// What to do about it.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

codes! {
    /// An argument is not of the form it has to have.
    BadArgument = "BAD_ARGUMENT", InvalidArgument, 3, "correct the argument and call again";
    /// The thing named does not exist.
    NotFound = "NOT_FOUND", NotFound, 4, "list what there is and check the name";
    /// Another thing of that name exists.
    AlreadyExists = "ALREADY_EXISTS", AlreadyExists, 5, "take another version or name; what is published never changes";
    /// The state does not allow it.
    NotAllowedNow = "NOT_ALLOWED_NOW", FailedPrecondition, 5, "look at the present state; what is asked for does not fit it";
    /// Nothing is in the way of a plan, and there is nothing for it to do.
    TargetUnfit = "TARGET_UNFIT", FailedPrecondition, 5, "ask for something else; nothing is in the way of this";
    /// A target is older than what runs, and that was not asked for.
    Downgrade = "DOWNGRADE", FailedPrecondition, 5, "allow the downgrade of the component by name, if going back is meant";
    /// The fleet is not the one that a plan was computed for.
    FleetChanged = "FLEET_CHANGED", FailedPrecondition, 5, "create the plan anew and read it before starting it";
    /// Another plan is at work on the same instances.
    PlanConflict = "PLAN_CONFLICT", FailedPrecondition, 5, "wait for the other plan, or abort it";
    /// A request id was used before for another call.
    RequestIdReused = "REQUEST_ID_REUSED", AlreadyExists, 3, "make a new request id for each new call";
    /// No certificate that says who calls.
    Unauthenticated = "UNAUTHENTICATED", Unauthenticated, 6, "use a client certificate of this cluster that is valid now";
    /// The certificate does not allow this call.
    PermissionDenied = "PERMISSION_DENIED", PermissionDenied, 6, "use a certificate with the role that the call needs";
    /// Too much at once.
    TooMuch = "TOO_MUCH", ResourceExhausted, 7, "wait a little and call again with less";
    /// A revision that is not there yet.
    RevisionAhead = "REVISION_AHEAD", OutOfRange, 3, "the coordinator is behind that revision; list again and watch from there";
    /// The coordinator cannot do it now.
    Unavailable = "UNAVAILABLE", Unavailable, 7, "check that the coordinator runs and can be reached, then call again";
    /// A fault of the coordinator.
    Internal = "INTERNAL", Internal, 8, "look at the coordinator's log";
}

impl ErrorCode {
    /// The code that a gRPC status carries, if it is one of ours.
    #[must_use]
    pub fn of(status: &Status) -> Option<Self> {
        let details = status.get_details_error_info()?;
        if details.domain != DOMAIN {
            return None;
        }
        Self::from_reason(&details.reason)
    }

    /// The code of this name; none if it is none of ours.
    #[must_use]
    pub fn from_reason(reason: &str) -> Option<Self> {
        let mut codes = Self::ALL.iter().copied();
        codes.find(|code| code.reason() == reason)
    }
}

/// Something wrong with a call: the code, and one sentence that says what was wrong and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What kind of thing is wrong.
    pub code: ErrorCode,
    /// What was wrong, and what is allowed.
    pub message: String,
}

impl Problem {
    /// A problem of the given kind.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let details = ErrorDetails::with_error_info(problem.code.reason(), DOMAIN, []);
        let message = cut(problem.message, REASON_BYTES_MAX);
        Self::with_error_details(problem.code.grpc(), message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_over_the_wire() {
        for code in ErrorCode::ALL {
            let status = Status::from(Problem::new(*code, "x"));
            assert_eq!(ErrorCode::of(&status), Some(*code));
            assert_eq!(ErrorCode::from_reason(code.reason()), Some(*code));
            assert_ne!(code.exit_status(), 0);
        }
    }
}
