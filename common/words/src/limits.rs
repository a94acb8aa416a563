//! Limits that both sides hold to. Each says why it is what it is.

use std::time::Duration;

/// The largest artifact, in bytes. The largest storage daemons are a few hundred MiB.
pub const ARTIFACT_BYTES_MAX: u64 = 4 << 30;

/// The most bytes of an artifact in one message of a download. Large enough for the overhead of a message
/// not to matter, small enough for a slow reader not to hold much.
pub const FETCH_CHUNK_BYTES: usize = 256 << 10;

/// The most bytes of an artifact in one message of a publish call.
pub const PUBLISH_CHUNK_BYTES_MAX: usize = 1 << 20;

/// The largest message either side reads: a publish chunk, or a hello with [`INSTANCES_PER_NODE_MAX`] reports.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The largest message with a compatibility matrix in it: 50,000 rules of some 150 bytes, as long as one record of the
/// ledger may be.
pub const MATRIX_MESSAGE_BYTES_MAX: usize = 12 << 20;

/// The most instances of one node.
pub const INSTANCES_PER_NODE_MAX: usize = 256;

/// The most labels of a node or an instance.
pub const LABELS_MAX: usize = 64;

/// The longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 255;

/// The longest reason that anyone gives, in bytes; longer ones are cut.
pub const REASON_BYTES_MAX: usize = 2_000;

/// The longest duration that a policy may ask for.
pub const POLICY_DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Cuts `text` to at most `bytes_max` bytes, between characters.
#[must_use]
pub fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|&i| text.is_char_boundary(i));
        text.truncate(end.unwrap_or(0));
    }
    text
}

/// The most figures that a driver may give of one instance.
pub const METRICS_MAX: usize = 32;

/// The longest name of such a figure, in bytes.
pub const METRIC_NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(super::cut("aä".to_owned(), 2), "a");
        assert_eq!(super::cut("aä".to_owned(), 3), "aä");
    }
}
