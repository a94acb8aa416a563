//! The releases that this source builds, and how they differ.
//!
//! | release | writes | reads | converts data of | protocols | built with |
//! | --- | --- | --- | --- | --- | --- |
//! | 1.0.0 | format 1 | 1 | | 1 | (default) |
//! | 1.1.0 | format 1 | 1, 2 | 2.0 back to 1 | 1, 2 | `release-1-1` |
//! | 2.0.0 | format 2 | 1, 2 | 1.1 to 2 | 2 | `release-2-0` |
//!
//! So neighbours run side by side and can be swapped in place, both ways. 1.0.0 and 2.0.0 share no protocol, and 2.0.0
//! opens data of format 1 only where 1.1 was the last to open it: 1.1 marks the data as ready for format 2, and 1.0.0
//! takes the mark away. A release is data, not code, so that tests can run several of them in one process.

use crate::protocol::Protocol;
use crate::store::Format;

/// What a release can do.
#[derive(Debug)]
pub struct Release {
    /// Its semantic version.
    pub version: &'static str,
    /// The storage format it writes.
    pub writes: Format,
    /// The storage formats it reads.
    pub reads: &'static [Format],
    /// The newest format that data is ready for once this release has opened it.
    pub readies_for: Format,
    /// The protocols it speaks with its peers, the preferred one last.
    pub protocols: &'static [Protocol],
    /// What is wrong with it, for tests of failing upgrades.
    pub fault: Option<Fault>,
}

/// What a release that is bad on purpose does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It exits as soon as it is started.
    DoesNotStart,
    /// It runs and serves, and never says that it is healthy.
    NeverHealthy,
}

/// The oldest release.
pub const V1_0_0: Release = Release {
    version: "1.0.0",
    writes: Format::One,
    reads: &[Format::One],
    readies_for: Format::One,
    protocols: &[Protocol::One],
    fault: None,
};

/// The release between: it stands beside both others.
pub const V1_1_0: Release = Release {
    version: "1.1.0",
    writes: Format::One,
    reads: &[Format::One, Format::Two],
    readies_for: Format::Two,
    protocols: &[Protocol::One, Protocol::Two],
    fault: None,
};

/// 1.1 with a fault: it does not start.
pub const V1_1_1: Release = Release {
    version: "1.1.1",
    fault: Some(Fault::DoesNotStart),
    ..V1_1_0
};

/// 1.1 with a fault: it never becomes healthy.
pub const V1_1_2: Release = Release {
    version: "1.1.2",
    fault: Some(Fault::NeverHealthy),
    ..V1_1_0
};

/// The newest release.
pub const V2_0_0: Release = Release {
    version: "2.0.0",
    writes: Format::Two,
    reads: &[Format::One, Format::Two],
    readies_for: Format::Two,
    protocols: &[Protocol::Two],
    fault: None,
};

/// The release that this build is, by its features.
pub const BUILT: &Release = if cfg!(feature = "faulty-start") {
    &V1_1_1
} else if cfg!(feature = "faulty-health") {
    &V1_1_2
} else if cfg!(feature = "release-2-0") {
    &V2_0_0
} else if cfg!(feature = "release-1-1") {
    &V1_1_0
} else {
    &V1_0_0
};
