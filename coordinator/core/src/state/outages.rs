//! Which instances of a component are out, told by group and by failure domain without looking at the others.

use std::sync::Arc;

use evenkeel_words::names::InstanceId;
use imbl::{OrdMap, OrdSet};

use crate::{instance::Instance, node::Labels};

/// Instances of one component that have something in common: being down, or being held by us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outages {
    all: OrdSet<InstanceId>,
    groups: OrdMap<Arc<str>, OrdSet<InstanceId>>,
    /// By label and its value.
    labels: OrdMap<(String, String), OrdSet<InstanceId>>,
}

impl Outages {
    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &InstanceId> {
        self.all.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether the instance is one of them.
    #[must_use]
    pub fn contains(&self, id: &InstanceId) -> bool {
        self.all.contains(id)
    }

    /// Those of one group, if there are any.
    #[must_use]
    pub fn of_group(&self, group: &str) -> Option<&OrdSet<InstanceId>> {
        self.groups.get(group)
    }

    /// The values of a label that some of them have, each with those.
    pub fn by_label<'a>(
        &'a self,
        label: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a OrdSet<InstanceId>)> {
        let first = (label.to_owned(), String::new());
        self.labels
            .range(first..)
            .take_while(move |((name, _), _)| name == label)
            .map(|((_, value), ids)| (value.as_str(), ids))
    }

    pub(super) fn add(&mut self, instance: &Instance) {
        let id = &instance.id;
        self.all.insert(id.clone());
        let group = Arc::from(instance.group());
        self.groups.entry(group).or_default().insert(id.clone());
        for key in owned(&instance.labels) {
            self.labels.entry(key).or_default().insert(id.clone());
        }
    }

    /// Takes an instance out, with the labels that it had when it was added.
    pub(super) fn remove(&mut self, instance: &Instance) {
        if self.all.remove(&instance.id).is_none() {
            return;
        }
        remove_from(&mut self.groups, &Arc::from(instance.group()), &instance.id);
        for key in owned(&instance.labels) {
            remove_from(&mut self.labels, &key, &instance.id);
        }
    }
}

fn owned(labels: &Labels) -> impl Iterator<Item = (String, String)> {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
}

/// Takes an instance out of the set of that name, and the set with it if it was the last.
pub(super) fn remove_from<K: Ord + Clone>(
    sets: &mut OrdMap<K, OrdSet<InstanceId>>,
    key: &K,
    id: &InstanceId,
) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(id);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}
