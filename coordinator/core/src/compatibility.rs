//! What is known of versions: the matrix that was applied, and what others say is in use.

use evenkeel_compat::Matrix;
use evenkeel_words::{
    names::{ComponentName, SourceName},
    timestamp::Timestamp,
};
use semver::Version;

/// The most versions that one source may report of a component.
pub const REPORTED_VERSIONS_MAX: usize = 100;

/// The most sources that may report of external components.
pub const SOURCES_MAX: usize = 1_000;

/// The most versions of one external component that all sources together may report: each is asked for before each order.
pub const IN_USE_VERSIONS_MAX: usize = 1_000;

/// A matrix that was applied. The one of version 0 has no rules and was applied by nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppliedMatrix {
    /// Rises by one with each.
    pub version: u64,
    /// What it says.
    pub matrix: Matrix,
    /// Who applied it.
    pub applied_by: String,
    /// When.
    pub applied_at: Timestamp,
    /// The revision at which it was.
    pub revision: u64,
}

/// A version of an external component that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInUse {
    /// The version.
    pub version: Version,
    /// How many use it, as far as the source counts them.
    pub count: u64,
}

/// What one source said of an external component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedVersions {
    /// The component.
    pub component: ComponentName,
    /// Who sees them in use.
    pub source: SourceName,
    /// The versions, by precedence; none where none is in use there any more.
    pub versions: Vec<VersionInUse>,
    /// Who made the call.
    pub reported_by: String,
    /// When.
    pub reported_at: Timestamp,
    /// The revision at which it was said.
    pub revision: u64,
}
