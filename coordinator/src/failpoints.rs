//! The places where a test may have the coordinator die, each as if the power went there.
//!
//! They exist only in builds with the feature `failpoints`; see [`evenkeel_common::failpoint`] for how one is asked for.

/// Before the records of a turn are written.
pub const APPEND_BEFORE: &str = "coordinator.append.before";
/// With half of them written, as far as that is whole sectors.
pub const APPEND_TORN: &str = "coordinator.append.torn";
/// Once they are durable, and before anybody is told.
pub const APPEND_AFTER: &str = "coordinator.append.after";
/// Once a turn is over, and its answers are on their way.
pub const TURN_AFTER: &str = "coordinator.turn.after";

/// All of them.
pub const ALL: [&str; 4] = [APPEND_BEFORE, APPEND_TORN, APPEND_AFTER, TURN_AFTER];
