//! The way from one release to another, and what becomes of the data on it.

use crate::{Fallback, Now, Release, StepName};
use evenkeel_words::planted::{self, Bug};

/// How an instance comes from one release to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Stop, swap, start on the data that is there.
    InPlace,
    /// Drain, stop, set the data aside, swap, start empty.
    Rebuild,
}

/// What becomes of the data while nothing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataMove {
    /// It is set aside under the order's generation, and an empty place is left. Where that was done
    /// already, nothing more is.
    SetAside,
    /// What was set aside under the order's generation is put back, and what was written meanwhile
    /// goes aside. Where nothing was set aside, nothing is done.
    PutBack,
}

/// What the storage system is told about an instance that has been started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejoin {
    /// That it is there without its data, and has to get it from the others.
    Join,
    /// That it stays, with its data, and is to serve again what was moved away.
    CancelDrain,
}

/// The way from one release to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journey {
    /// The release to run at the end of it.
    pub target: Release,
    /// What it is for.
    pub purpose: Purpose,
    /// What becomes of the data between the stop and the swap; none: it stays as it is.
    pub data: Option<DataMove>,
    /// The furthest step that was begun.
    pub furthest: StepName,
    /// When it has to have ended, on the boot clock in milliseconds.
    pub deadline_ms: Now,
}

/// What a journey is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To carry out the order.
    Forward {
        /// Where to turn back to.
        fallback: Option<Fallback>,
    },
    /// To undo what was done of the order.
    Back {
        /// Why it is being undone.
        reason: String,
    },
}

impl Purpose {
    /// Why it leads back; empty if it does not.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Back { reason } => reason,
            Self::Forward { .. } => String::new(),
        }
    }
}

impl Journey {
    /// The same journey, which has begun this step.
    pub(crate) fn at(self, step: StepName) -> Self {
        Self {
            furthest: self.furthest.max(step),
            ..self
        }
    }

    /// Whether it leads back.
    #[must_use]
    pub fn is_back(&self) -> bool {
        matches!(self.purpose, Purpose::Back { .. })
    }

    /// Whether it is a way back that moves data, and must not be given up half way: what `current` names
    /// is not to be started on data that was left to another release.
    #[must_use]
    pub(crate) fn must_go_on(&self) -> bool {
        self.is_back() && self.data.is_some()
    }

    /// Whether the data is not where it belongs, or may not be: nothing else may be begun then.
    #[must_use]
    pub fn holds_data(&self) -> bool {
        match self.data {
            Some(DataMove::SetAside) => self.furthest >= StepName::Emptying,
            Some(DataMove::PutBack) => true,
            None => false,
        }
    }

    /// Where a way forward that will not do leads back to, and what becomes of the data then. None if
    /// there is no such place, or this is the way back.
    ///
    /// A rebuild is undone with the data of before. As long as its release was not made current it
    /// needs no fallback for that: what was there before still is.
    pub(crate) fn way_back(
        &self,
        current: Option<&Release>,
    ) -> Option<(Release, Option<DataMove>)> {
        let Purpose::Forward { fallback } = &self.purpose else {
            return None;
        };
        if planted::is(Bug::NoWayBack) {
            return None;
        }
        let named = fallback.as_ref().map(|fallback| fallback.release.clone());
        match self.data {
            Some(DataMove::SetAside) => {
                let is_before = self.furthest < StepName::Swapping
                    || (self.furthest == StepName::Swapping && current != Some(&self.target));
                let before = current.filter(|_| is_before).cloned();
                let holds_data = self.holds_data() && !planted::is(Bug::DataNotPutBack);
                let data = holds_data.then_some(DataMove::PutBack);
                named.or(before).map(|release| (release, data))
            }
            Some(DataMove::PutBack) | None => {
                let from_empty = fallback
                    .as_ref()
                    .is_some_and(|fallback| fallback.method == Method::Rebuild);
                // A release that never ran has left nothing behind.
                let data = (from_empty && self.furthest >= StepName::Starting)
                    .then_some(DataMove::SetAside);
                named.map(|release| (release, data))
            }
        }
    }
}
