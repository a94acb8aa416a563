//! What the coordinator says, in the shape that `--output json` promises: the API's field names, enumerations as
//! words, times as RFC 3339, and every field always there. The only place that knows the API's generated types
//! field by field.

mod fleet;
mod matrix;
mod plan;
mod policy;
mod preview;
mod release;
mod vitals;

pub(crate) use fleet::{Fleet, Freeze, Instance, Measures, Node, ReleaseRef};
pub(crate) use matrix::{CompatibilityMatrix, ReportedVersions, VersionInUse, wire};
pub(crate) use plan::{ComponentFinalize, Plan, PlanTarget, Stage, Task, Wait};
pub(crate) use policy::{PlanComparison, PlanPolicy};
pub(crate) use preview::{PlanRefusal, Preview, Reachable, RuledOut};
pub(crate) use release::Release;
pub(crate) use vitals::{DataFolder, Vitals};

/// The word for a value of an enumeration: `LIVENESS_AGENT_LOST` is `agent-lost`. A value that this program does not
/// know yet keeps its number.
macro_rules! word {
    ($enumeration:ty, $prefix:literal, $value:expr) => {
        match <$enumeration>::try_from($value) {
            Ok(known) => $crate::view::in_words(known.as_str_name(), $prefix),
            Err(unknown) => format!("unknown-{}", unknown.0),
        }
    };
}
use word;

fn in_words(name: &str, prefix: &str) -> String {
    let name = name.strip_prefix(prefix).unwrap_or(name);
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use evenkeel_proto::v1;

    #[test]
    fn an_enumeration_is_a_word_and_an_unknown_value_its_number() {
        assert_eq!(word!(v1::Liveness, "LIVENESS_", 4), "agent-lost");
        assert_eq!(word!(v1::TaskState, "TASK_STATE_", 2), "prefetched");
        assert_eq!(word!(v1::Liveness, "LIVENESS_", 77), "unknown-77");
    }
}
