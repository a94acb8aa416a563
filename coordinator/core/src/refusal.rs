//! Why something is not done: what kind of thing is wrong, and one sentence that says what is allowed.

/// What kind of thing is wrong. The table that gives each its gRPC code is where the API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// An argument is not of the form it has to have.
    BadArgument,
    /// The thing named does not exist.
    NotFound,
    /// Another thing of that name exists.
    AlreadyExists,
    /// The state does not allow it.
    NotAllowedNow,
    /// Nothing is in the way, and there is nothing to do.
    TargetUnfit,
    /// A target is older than what runs, and that was not asked for.
    Downgrade,
    /// The fleet is not the one that a plan was computed for.
    FleetChanged,
    /// Another plan is at work on the same instances.
    PlanConflict,
    /// A request id was used before for another call.
    RequestIdReused,
    /// Too much at once.
    TooMuch,
}

/// A refusal. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of thing is wrong.
    pub kind: RefusalKind,
    /// What was wrong, and what is allowed.
    pub message: String,
}

impl Refusal {
    /// A refusal of this kind.
    #[must_use]
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}
