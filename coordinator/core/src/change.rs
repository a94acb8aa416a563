//! Changes: what a turn of the writer puts into the ledger.
//!
//! A change carries the new values, not the reasons for them, so that replaying it decides nothing anew
//! and a later program reads an older ledger.

use evenkeel_words::timestamp::Timestamp;

use crate::{
    compatibility::{AppliedMatrix, ReportedVersions},
    freeze::Freeze,
    instance::{GoneInstance, Instance},
    node::Node,
    plan::{Plan, Task},
    release::Release,
};

/// One thing of the state, as it is from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The coordinator itself. A new epoch knows nothing of any agent's being there.
    Coordinator {
        /// Rises with each start.
        epoch: u64,
    },
    /// A node.
    Node(Node),
    /// An instance.
    Instance(Instance),
    /// An instance that its agent no longer has.
    InstanceGone(GoneInstance),
    /// A release.
    Release(Release),
    /// A plan.
    Plan(Plan),
    /// A task.
    Task(Task),
    /// The compatibility matrix.
    Matrix(AppliedMatrix),
    /// What one source said of an external component.
    ReportedVersions(ReportedVersions),
    /// The newest freeze of the fleet.
    Freeze(Freeze),
    /// A call that was answered.
    Request(Request),
}

/// The name of a call: who made it, and under which id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// The caller's certificate subject.
    pub subject: String,
    /// The caller's UUID.
    pub request_id: String,
}

/// A call that was answered; the same one again gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name of the call.
    pub key: RequestKey,
    /// The method and its arguments, in short.
    pub fingerprint: String,
    /// The name of the resource that the answer shows.
    pub resource: String,
    /// When it was answered.
    pub at: Timestamp,
}

/// What is different after a turn, why, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// A certificate's subject, `engine` or `coordinator`.
    pub actor: String,
    /// What it was, in a few words for people.
    pub cause: String,
    /// What is different.
    pub resources: Vec<Resource>,
}
