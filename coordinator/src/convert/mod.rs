//! The one place where the API's and the records' messages become domain types, and back.
//!
//! Whatever comes in is checked here: a name that is none, a digest of the wrong length, an enum value that
//! does not exist are refused with the field's name. Inside, nothing has to be checked again.

mod agent;
mod comparison;
mod compatibility;
mod fleet;
mod plan;
mod policy;
mod record;
mod release;

use std::{fmt::Display, str::FromStr, time::Duration};

use evenkeel_common::{
    clock::{Timestamp, millis},
    problem::{ErrorCode, Problem},
};
use evenkeel_coordinator_core::{
    node::Labels,
    refusal::{Refusal, RefusalKind},
};

pub use agent::{
    age_to_proto, desired_to_proto, hello_from_proto, measure_to_proto, measures_from_proto,
    reports_from_proto,
};
pub use compatibility::{
    matrix_from_proto, matrix_to_proto, reported_to_proto, versions_in_use_from_proto,
};
pub use fleet::{fleet_to_proto, freeze_to_proto, instance_shown, node_to_proto};
pub use plan::{
    no_path_to_proto, plan_kind_from, plan_shown, plan_to_proto, ruled_out_to_proto,
    selection_from_proto, stage_to_proto, targets_from_proto, task_to_proto, wait_to_proto,
};
pub use policy::policy_from_proto;
pub use record::{
    StoredRecord, change_to_record, key_to_bytes, record_from_bytes, resource_from_bytes,
    resource_to_bytes,
};
pub use release::{release_to_proto, signed_manifest_from_proto, signed_manifest_to_core};

/// The longest version; as long as a manifest's may be.
const VERSION_BYTES_MAX: usize = 128;

/// A message that is not of the form it has to have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// The field at fault.
    pub field: String,
    /// What is wrong with it, and what is allowed.
    pub reason: String,
}

impl Invalid {
    /// A fault of a field.
    pub fn new(field: impl Into<String>, reason: impl Display) -> Self {
        Self {
            field: field.into(),
            reason: reason.to_string(),
        }
    }

    /// The same fault, seen from the message around.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::new(ErrorCode::BadArgument, invalid.to_string())
    }
}

/// A refusal of the core, in the words of the API's table of errors.
#[must_use]
pub fn problem_of(refusal: Refusal) -> Problem {
    Problem::new(error_code(refusal.kind), refusal.message)
}

/// Reads a text as a `T`.
///
/// # Errors
/// What `T` says, with the field's name.
pub fn parse<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Invalid> {
    text.parse().map_err(|error| Invalid::new(field, error))
}

/// Reads a version.
///
/// # Errors
/// Shows how versions are written.
pub fn version(field: &str, text: &str) -> Result<semver::Version, Invalid> {
    if text.len() > VERSION_BYTES_MAX {
        return Err(Invalid::new(
            field,
            format!("is longer than {VERSION_BYTES_MAX} bytes"),
        ));
    }
    text.parse().map_err(|error| {
        Invalid::new(
            field,
            format!("{text:?} is not a version like 1.2.3 (semver): {error}"),
        )
    })
}

fn error_code(kind: RefusalKind) -> ErrorCode {
    match kind {
        RefusalKind::BadArgument => ErrorCode::BadArgument,
        RefusalKind::NotFound => ErrorCode::NotFound,
        RefusalKind::AlreadyExists => ErrorCode::AlreadyExists,
        RefusalKind::NotAllowedNow => ErrorCode::NotAllowedNow,
        RefusalKind::TargetUnfit => ErrorCode::TargetUnfit,
        RefusalKind::Downgrade => ErrorCode::Downgrade,
        RefusalKind::FleetChanged => ErrorCode::FleetChanged,
        RefusalKind::PlanConflict => ErrorCode::PlanConflict,
        RefusalKind::RequestIdReused => ErrorCode::RequestIdReused,
        RefusalKind::TooMuch => ErrorCode::TooMuch,
    }
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid::new(field, "is missing"))
}

fn enumerated<T: TryFrom<i32>>(field: &str, value: i32) -> Result<T, Invalid> {
    T::try_from(value).map_err(|_| Invalid::new(field, format!("has no value {value}")))
}

fn check_labels(
    field: &str,
    labels: &std::collections::HashMap<String, String>,
) -> Result<(), Invalid> {
    use evenkeel_common::{
        limits::{LABEL_VALUE_BYTES_MAX, LABELS_MAX},
        names,
    };
    if labels.len() > LABELS_MAX {
        return Err(Invalid::new(
            field,
            format!(
                "has {} labels, at most {LABELS_MAX} are allowed",
                labels.len()
            ),
        ));
    }
    for (name, value) in labels {
        names::check("label", name).map_err(|error| Invalid::new(field, error))?;
        if value.len() > LABEL_VALUE_BYTES_MAX {
            return Err(Invalid::new(
                field,
                format!("the label {name} is longer than {LABEL_VALUE_BYTES_MAX} bytes"),
            ));
        }
    }
    Ok(())
}

fn labels_to(labels: &Labels) -> std::collections::HashMap<String, String> {
    labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn time_to(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(at.0 / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(at.0 % 1000).unwrap_or_default() * 1_000_000,
    }
}

fn time_from(field: &str, at: &prost_types::Timestamp) -> Result<Timestamp, Invalid> {
    let invalid = || Invalid::new(field, "is not a time after 1970");
    let seconds = u64::try_from(at.seconds).map_err(|_| invalid())?;
    let nanos = u64::try_from(at.nanos).map_err(|_| invalid())?;
    let whole = seconds.checked_mul(1000).ok_or_else(invalid)?;
    whole
        .checked_add(nanos / 1_000_000)
        .map(Timestamp)
        .ok_or_else(invalid)
}

fn optional_time(
    field: &str,
    at: Option<&prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Invalid> {
    at.map(|at| time_from(field, at)).transpose()
}

fn duration_to(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

fn duration_from(field: &str, duration: &prost_types::Duration) -> Result<Duration, Invalid> {
    let read = Duration::try_from(*duration)
        .map_err(|_| Invalid::new(field, "is negative or no duration"))?;
    // The state counts in milliseconds; what it keeps is what it compares.
    Ok(Duration::from_millis(millis(read)))
}
