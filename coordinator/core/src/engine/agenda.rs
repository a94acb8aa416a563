//! When to look at what again though nothing happened.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::{names::InstanceId, timestamp::Timestamp};

use crate::plan::{PlanId, TaskId};

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// A task.
    Task(TaskId),
    /// The slot of an instance.
    Slot(InstanceId),
    /// A plan as a whole.
    Plan(PlanId),
    /// Whether those that are quarantined can be caught up.
    CatchUp,
}

/// At most one time for each item.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda {
    by_time: BTreeSet<(Timestamp, Item)>,
    by_item: BTreeMap<Item, Timestamp>,
}

impl Agenda {
    /// The item is to be looked at then, or at no particular time.
    pub(super) fn set(&mut self, item: Item, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.by_item.insert(item.clone(), at),
            None => self.by_item.remove(&item),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, item.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, item));
        }
    }

    /// What is due, which is looked at now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Item> {
        let (at, item) = self.by_time.first()?.clone();
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_item.remove(&item);
        Some(item)
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}
