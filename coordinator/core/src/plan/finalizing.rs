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
    /// What the newest attempt is called, and the report of it. When it was told is part of that: where an old copy of
    /// the state was put in the place of a newer one, the plan's number and the count may come a second time.
    #[must_use]
    pub fn id(&self, plan: PlanId) -> String {
        let told_at = self.told_at.unwrap_or_default().0;
        format!("{plan}/{}/{}/{told_at}", self.component, self.attempts)
    }
}
