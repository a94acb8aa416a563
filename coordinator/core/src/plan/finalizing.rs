//! How far a component is with being final.

use evenkeel_words::{
    names::{ComponentName, InstanceId},
    timestamp::Timestamp,
};

use super::PlanId;

/// How far a component is with being final: its driver's `finalize` is run by the agent of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentFinalize {
    /// The component.
    pub component: ComponentName,
    /// The instance whose agent was told last.
    pub instance: Option<InstanceId>,
    /// How many were told so far.
    pub attempts: u32,
    /// When the last one was told.
    pub told_at: Option<Timestamp>,
    /// It is done.
    pub done: bool,
    /// Why the attempt before did not do it; empty if there was none.
    pub reason: String,
}

impl ComponentFinalize {
    /// What the newest attempt is called, and the report of it.
    #[must_use]
    pub fn id(&self, plan: PlanId) -> String {
        format!("{plan}/{}/{}", self.component, self.attempts)
    }
}
