//! What there is to know of a component's instances without looking at each: kept along with every change, so that a
//! decision costs what it is about and not what the fleet is.

use std::sync::Arc;

use evenkeel_words::names::InstanceId;
use imbl::{OrdMap, OrdSet};
use semver::Version;

use super::outages::{Outages, remove_from};
use crate::{instance::Instance, node::Liveness};

/// The instances of one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    all: OrdSet<InstanceId>,
    groups: OrdMap<Arc<str>, OrdSet<InstanceId>>,
    down: Outages,
    held: Outages,
    versions: OrdMap<Version, u32>,
    coming: OrdMap<Version, u32>,
    at_work: OrdMap<Version, u32>,
    having: OrdMap<Version, u32>,
}

impl Members {
    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> &OrdSet<InstanceId> {
        &self.all
    }

    /// The groups that have members, by name, each with them.
    #[must_use]
    pub fn groups(&self) -> &OrdMap<Arc<str>, OrdSet<InstanceId>> {
        &self.groups
    }

    /// Those that are not available, whoever took them down.
    #[must_use]
    pub fn down(&self) -> &Outages {
        &self.down
    }

    /// Those that we hold down.
    #[must_use]
    pub fn held(&self) -> &Outages {
        &self.held
    }

    /// The versions that others may meet, and how many instances have each; see [`Instance::versions`].
    #[must_use]
    pub fn versions(&self) -> &OrdMap<Version, u32> {
        &self.versions
    }

    /// The versions that instances have or come to, and how many of them; see [`Instance::comes_to`].
    #[must_use]
    pub fn coming(&self) -> &OrdMap<Version, u32> {
        &self.coming
    }

    /// The versions of those that run or are being brought somewhere, and how many of those have each; see
    /// [`Instance::is_at_work`].
    #[must_use]
    pub fn at_work(&self) -> &OrdMap<Version, u32> {
        &self.at_work
    }

    /// The versions that instances have, quarantined or not, and how many of them.
    #[must_use]
    pub fn having(&self) -> &OrdMap<Version, u32> {
        &self.having
    }

    pub(super) fn add(&mut self, instance: &Instance, liveness: Option<Liveness>) {
        let id = &instance.id;
        self.all.insert(id.clone());
        let group = Arc::from(instance.group());
        self.groups.entry(group).or_default().insert(id.clone());
        if instance.slot.is_some() {
            self.held.add(instance);
        }
        if !instance.is_available(liveness) {
            self.down.add(instance);
        }
        self.count_versions(instance, 1);
    }

    fn count_versions(&mut self, instance: &Instance, by: i32) {
        for version in instance.versions().collect::<OrdSet<_>>() {
            count(&mut self.versions, version, by);
            if instance.is_at_work() {
                count(&mut self.at_work, version, by);
            }
        }
        if let Some(version) = instance.comes_to() {
            count(&mut self.coming, version, by);
        }
        if let Some(current) = &instance.report.current {
            count(&mut self.having, &current.version, by);
        }
    }

    /// Takes an instance out, as it was when it was added.
    pub(super) fn remove(&mut self, instance: &Instance) {
        let id = &instance.id;
        self.all.remove(id);
        remove_from(&mut self.groups, &Arc::from(instance.group()), id);
        self.held.remove(instance);
        self.down.remove(instance);
        self.count_versions(instance, -1);
    }

    /// The same instance, whose agent is heard, or is not any more.
    pub(super) fn judge(&mut self, instance: &Instance, liveness: Option<Liveness>) {
        self.down.remove(instance);
        if !instance.is_available(liveness) {
            self.down.add(instance);
        }
    }
}

fn count(counts: &mut OrdMap<Version, u32>, version: &Version, by: i32) {
    let count = counts.entry(version.clone()).or_default();
    *count = count.saturating_add_signed(by);
    if *count == 0 {
        counts.remove(version);
    }
}
