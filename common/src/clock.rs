//! Reading the clock, for the shells; the cores are handed the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use evenkeel_words::timestamp::{Timestamp, millis};

/// The time now, by this host's clock. A clock before 1970 counts as 1970.
#[must_use]
pub fn now() -> Timestamp {
    from_system(SystemTime::now())
}

/// A point of the system's clock.
#[must_use]
pub fn from_system(time: SystemTime) -> Timestamp {
    Timestamp(millis(
        time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO),
    ))
}
