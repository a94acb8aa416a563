//! A stage of a plan: one component from one version to the next.

use std::fmt;

use evenkeel_compat::{Method, Undo, Way};
use evenkeel_words::{names::ComponentName, timestamp::Timestamp};
use semver::Version;

/// One component from one version to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The component.
    pub component: ComponentName,
    /// What its instances run.
    pub from: Version,
    /// What they are going to run.
    pub to: Version,
    /// How the instances come from one to the other, and back.
    pub way: Way,
    /// The component's new format takes hold by itself when its last instance runs the new version.
    pub finalizes_itself: bool,
    /// How many instances it touches.
    pub instances: u32,
    /// The other versions on the way of the instances that it touches, in order; none if this is the whole way.
    pub through: Vec<Version>,
    /// A component that ought to be at its target before is not: no way keeps that order.
    pub out_of_order: bool,
    /// What the rule says beside it.
    pub note: String,
    /// The versions that can still be gone back to after it, before the plan is finalized, newest first.
    pub reachable_back: Vec<Version>,
    /// Who said that there need be no way back, once someone has.
    pub confirmed_by: Option<String>,
    /// When that was said.
    pub confirmed_at: Option<Timestamp>,
    /// The stage of the same plan that this one undoes, from 0; none for one that goes forward.
    pub undoes: Option<u32>,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_restart() {
            true => write!(f, "{} {}", self.component, self.to),
            false => write!(f, "{} {} -> {}", self.component, self.from, self.to),
        }
    }
}

impl Stage {
    /// Whether it brings nothing to another version.
    #[must_use]
    pub fn is_restart(&self) -> bool {
        self.from == self.to
    }

    /// How an instance comes back from the version that this leads to, before the plan is finalized; nothing if it
    /// cannot. What a person has confirmed counts as final, and what undoes another stage is not undone itself.
    #[must_use]
    pub fn way_back(&self) -> Option<Method> {
        if self.undoes.is_some() || self.is_restart() {
            return None;
        }
        let undo = match self.confirmed_by.is_some() && self.is_final_when_finalized() {
            true => self.way.undo_when_final,
            false => self.way.undo,
        };
        match undo {
            Undo::InPlace => Some(Method::InPlace),
            Undo::Rebuild => Some(Method::Rebuild),
            Undo::NotAtAll => None,
        }
    }

    /// Whether an instance may have to be started without its data, on the way there or back.
    #[must_use]
    pub fn may_rebuild(&self) -> bool {
        // What undoes another stage falls back in place, if at all, and has no way back: the method is all there is.
        self.way.method == Method::Rebuild || self.way_back() == Some(Method::Rebuild)
    }

    /// Whether finalizing takes a way back away.
    #[must_use]
    pub fn is_final_when_finalized(&self) -> bool {
        self.way.undo != self.way.undo_when_final
    }
}
