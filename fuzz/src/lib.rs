//! What the targets feed their inputs to.

#[path = "../../common/compat/tests/fuzzed/properties.rs"]
mod properties;

/// A text that may be the file of a compatibility matrix.
pub fn matrix_file(text: &str) {
    properties::matrix_file(text);
}

/// A text whose first line may be a version or a range, and whose others may be versions.
pub fn version(text: &str) {
    properties::version(text);
}
