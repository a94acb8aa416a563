//! What is known and decided, as a value: cloned in no time, compared, replayed.

use std::{num::NonZeroU64, ops::RangeInclusive, sync::Arc, time::Duration};

use evenkeel_words::{
    names::{ComponentName, InstanceId, InstanceName, NodeName},
    timestamp::Timestamp,
};
use imbl::{OrdMap, OrdSet};
use semver::Version;

use crate::{
    change::{Change, Request, RequestKey, Resource},
    instance::Instance,
    node::{Liveness, Node},
    plan::{Plan, PlanId, Task},
    refusal::{Refusal, RefusalKind},
    release::Release,
};

/// How long an answered call is remembered.
pub const REQUEST_KEPT: Duration = Duration::from_secs(24 * 3600);

/// How many answered calls are remembered at most; the oldest go first.
pub const REQUESTS_MAX: usize = 10_000;

/// The name of a thing of the state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The coordinator itself.
    Coordinator,
    /// A node.
    Node(NodeName),
    /// An instance.
    Instance(InstanceId),
    /// A release.
    Release(ComponentName, Version),
    /// A plan.
    Plan(PlanId),
    /// A task.
    Task(PlanId, InstanceId),
    /// An answered call.
    Request(RequestKey),
}

/// What is known and decided at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    revision: u64,
    at: Timestamp,
    epoch: u64,
    nodes: OrdMap<NodeName, Arc<Node>>,
    instances: OrdMap<InstanceId, Arc<Instance>>,
    releases: OrdMap<(ComponentName, Version), Arc<Release>>,
    plans: OrdMap<PlanId, Arc<Plan>>,
    tasks: OrdMap<(PlanId, InstanceId), Arc<Task>>,
    requests: OrdMap<RequestKey, Arc<Request>>,
    // Derived from the above.
    components: OrdMap<ComponentName, OrdSet<InstanceId>>,
    plans_under_way: OrdSet<PlanId>,
    claims: OrdMap<InstanceId, PlanId>,
    slots: OrdSet<InstanceId>,
    requests_by_age: OrdSet<(Timestamp, RequestKey)>,
    newest: OrdSet<(u64, Key)>,
}

impl State {
    /// A state out of its things, as they were kept at `revision`.
    #[must_use]
    pub fn restore(
        resources: impl IntoIterator<Item = Resource>,
        revision: u64,
        at: Timestamp,
    ) -> Self {
        let mut state = Self {
            revision,
            at,
            ..Self::default()
        };
        for resource in resources {
            state.put(resource);
        }
        state
    }

    /// Takes in one change, which makes the next revision, and says which things are different: those
    /// that the change names and those that go by themselves.
    pub fn apply(&mut self, change: &Change, at: Timestamp) -> Vec<Key> {
        self.revision += 1;
        self.at = self.at.max(at);
        let mut keys = Vec::with_capacity(change.resources.len());
        for resource in &change.resources {
            keys.push(self.put(self.stamped(resource.clone())));
            if let Resource::Coordinator { .. } = resource {
                keys.extend(self.forget_liveness());
            }
        }
        keys.extend(self.forget_old_requests());
        keys
    }

    fn stamped(&self, mut resource: Resource) -> Resource {
        let (at, rev) = (self.at, self.revision);
        match &mut resource {
            Resource::Node(x) => (x.changed_at, x.revision) = (at, rev),
            Resource::Instance(x) => (x.changed_at, x.revision) = (at, rev),
            Resource::Release(x) => (x.changed_at, x.revision) = (at, rev),
            Resource::Plan(x) => (x.changed_at, x.revision) = (at, rev),
            Resource::Task(x) => (x.changed_at, x.revision) = (at, rev),
            Resource::Coordinator { .. } | Resource::InstanceGone(_) | Resource::Request(_) => {}
        }
        resource
    }

    fn put(&mut self, resource: Resource) -> Key {
        match resource {
            Resource::Coordinator { epoch } => {
                self.epoch = epoch;
                Key::Coordinator
            }
            Resource::Node(node) => {
                let key = Key::Node(node.name.clone());
                let (name, revision) = (node.name.clone(), node.revision);
                let old = self.nodes.insert(name, Arc::new(node));
                self.renew(&key, old.map(|old| old.revision), revision);
                key
            }
            Resource::Instance(instance) => {
                let key = Key::Instance(instance.id.clone());
                let (id, revision) = (instance.id.clone(), instance.revision);
                let component = instance.report.component.clone();
                match instance.slot {
                    Some(_) => self.slots.insert(id.clone()),
                    None => self.slots.remove(&id),
                };
                let old = self.instances.insert(id.clone(), Arc::new(instance));
                if let Some(old) = old.as_ref().filter(|old| old.report.component != component) {
                    self.leave_component(&old.report.component, &id);
                }
                self.components.entry(component).or_default().insert(id);
                self.renew(&key, old.map(|old| old.revision), revision);
                key
            }
            Resource::InstanceGone(id) => {
                let key = Key::Instance(id.clone());
                self.slots.remove(&id);
                if let Some(old) = self.instances.remove(&id) {
                    self.leave_component(&old.report.component, &id);
                    self.newest.remove(&(old.revision, key.clone()));
                }
                key
            }
            Resource::Release(release) => {
                let name = (release.component.clone(), release.version.clone());
                let key = Key::Release(name.0.clone(), name.1.clone());
                let revision = release.revision;
                let old = self.releases.insert(name, Arc::new(release));
                self.renew(&key, old.map(|old| old.revision), revision);
                key
            }
            Resource::Plan(plan) => {
                let (id, revision) = (plan.id, plan.revision);
                let under_way = plan.state.under_way();
                let old = self.plans.insert(id, Arc::new(plan));
                self.claim(id, under_way);
                self.renew(&Key::Plan(id), old.map(|old| old.revision), revision);
                Key::Plan(id)
            }
            Resource::Task(task) => {
                let name = (task.plan, task.instance.clone());
                let key = Key::Task(name.0, name.1.clone());
                let revision = task.revision;
                if self.plans_under_way.contains(&name.0) {
                    self.claims.insert(name.1.clone(), name.0);
                }
                let old = self.tasks.insert(name, Arc::new(task));
                self.renew(&key, old.map(|old| old.revision), revision);
                key
            }
            Resource::Request(request) => {
                let key = request.key.clone();
                self.requests_by_age.insert((request.at, key.clone()));
                if let Some(old) = self.requests.insert(key.clone(), Arc::new(request.clone()))
                    && old.at != request.at
                {
                    self.requests_by_age.remove(&(old.at, key.clone()));
                }
                Key::Request(key)
            }
        }
    }

    fn renew(&mut self, key: &Key, old_revision: Option<u64>, revision: u64) {
        if let Some(old_revision) = old_revision {
            self.newest.remove(&(old_revision, key.clone()));
        }
        self.newest.insert((revision, key.clone()));
    }

    fn leave_component(&mut self, component: &ComponentName, id: &InstanceId) {
        if let Some(members) = self.components.get_mut(component) {
            members.remove(id);
            if members.is_empty() {
                self.components.remove(component);
            }
        }
    }

    fn claim(&mut self, plan: PlanId, under_way: bool) {
        let was = self.plans_under_way.contains(&plan);
        if was == under_way {
            return;
        }
        let instances: Vec<_> = self.tasks_of(plan).map(|t| t.instance.clone()).collect();
        if under_way {
            self.plans_under_way.insert(plan);
            for instance in instances {
                self.claims.insert(instance, plan);
            }
        } else {
            self.plans_under_way.remove(&plan);
            for instance in instances {
                if self.claimed_by(&instance) == Some(plan) {
                    self.claims.remove(&instance);
                }
            }
        }
    }

    /// A coordinator that has just started has not heard of any agent yet.
    fn forget_liveness(&mut self) -> Vec<Key> {
        let nodes: Vec<_> = self.nodes.values().cloned().collect();
        let heard = nodes.iter().filter(|n| n.liveness != Liveness::Unknown);
        heard
            .map(|node| {
                let unknown = Resource::Node(Node {
                    liveness: Liveness::Unknown,
                    ..Node::clone(node)
                });
                self.put(self.stamped(unknown))
            })
            .collect()
    }

    fn forget_old_requests(&mut self) -> Vec<Key> {
        let mut gone = Vec::new();
        while let Some((at, key)) = self.requests_by_age.get_min().cloned() {
            let old = self.at.since(at) > REQUEST_KEPT;
            if !old && self.requests.len() <= REQUESTS_MAX {
                break;
            }
            self.requests.remove(&key);
            self.requests_by_age.remove(&(at, key.clone()));
            gone.push(Key::Request(key));
        }
        gone
    }

    /// The thing of that name, as it is kept; nothing if it is not there (any more).
    #[must_use]
    pub fn resource(&self, key: &Key) -> Option<Resource> {
        match key {
            Key::Coordinator => Some(Resource::Coordinator { epoch: self.epoch }),
            Key::Node(name) => self.nodes.get(name).map(|x| Resource::Node(Node::clone(x))),
            Key::Instance(id) => self
                .instances
                .get(id)
                .map(|x| Resource::Instance(Instance::clone(x))),
            Key::Release(component, version) => self
                .releases
                .get(&(component.clone(), version.clone()))
                .map(|x| Resource::Release(Release::clone(x))),
            Key::Plan(id) => self.plans.get(id).map(|x| Resource::Plan(Plan::clone(x))),
            Key::Task(plan, instance) => self
                .tasks
                .get(&(*plan, instance.clone()))
                .map(|x| Resource::Task(Task::clone(x))),
            Key::Request(key) => self
                .requests
                .get(key)
                .map(|x| Resource::Request(Request::clone(x))),
        }
    }

    /// The names of all things, for keeping the whole state elsewhere.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let newest = self.newest.iter().map(|(_, key)| key.clone());
        let requests = self.requests.keys().cloned().map(Key::Request);
        std::iter::once(Key::Coordinator)
            .chain(newest)
            .chain(requests)
    }

    /// The things that changed after `revision`, oldest change first. Answered calls are not among them.
    pub fn newer_than(&self, revision: u64) -> impl Iterator<Item = (u64, &Key)> {
        let first = (revision.saturating_add(1), Key::Coordinator);
        self.newest
            .range(first..)
            .map(|(revision, key)| (*revision, key))
    }

    /// How many changes were taken in.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When the newest of them was.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The coordinator's epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Every node, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// One node.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// The nodes after the one of this name, by name.
    pub fn nodes_after<'a>(
        &'a self,
        after: Option<&'a NodeName>,
    ) -> impl Iterator<Item = &'a Arc<Node>> {
        after_key(&self.nodes, after)
    }

    /// Every instance, by name.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// One instance.
    #[must_use]
    pub fn instance(&self, id: &InstanceId) -> Option<&Arc<Instance>> {
        self.instances.get(id)
    }

    /// The instances after the one of this name, by name.
    pub fn instances_after<'a>(
        &'a self,
        after: Option<&'a InstanceId>,
    ) -> impl Iterator<Item = &'a Arc<Instance>> {
        after_key(&self.instances, after)
    }

    /// The instances of one node, by name.
    pub fn instances_on<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> impl Iterator<Item = &'a Arc<Instance>> {
        // "0" is the least name there is.
        let first = InstanceName::try_from("0".to_owned())
            .ok()
            .map(|name| InstanceId {
                node: node.clone(),
                name,
            });
        first
            .into_iter()
            .flat_map(|first| self.instances.range(first..))
            .map(|(_, instance)| instance)
            .take_while(move |instance| instance.id.node == *node)
    }

    /// The components that have instances, by name.
    pub fn components(&self) -> impl Iterator<Item = &ComponentName> {
        self.components.keys()
    }

    /// The instances that hold a slot of the budget, by name.
    pub fn slot_holders(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.slots.iter().filter_map(|id| self.instances.get(id))
    }

    /// The instances of one component, by name.
    pub fn instances_of<'a>(
        &'a self,
        component: &ComponentName,
    ) -> impl Iterator<Item = &'a Arc<Instance>> {
        self.components
            .get(component)
            .into_iter()
            .flatten()
            .filter_map(|id| self.instances.get(id))
    }

    /// One release.
    #[must_use]
    pub fn release(&self, component: &ComponentName, version: &Version) -> Option<&Arc<Release>> {
        self.releases.get(&(component.clone(), version.clone()))
    }

    /// The releases after the one of this name, by component and version.
    pub fn releases_after<'a>(
        &'a self,
        after: Option<&'a (ComponentName, Version)>,
    ) -> impl Iterator<Item = &'a Arc<Release>> {
        after_key(&self.releases, after)
    }

    /// The releases of one component, by version.
    pub fn releases_of<'a>(
        &'a self,
        component: &'a ComponentName,
    ) -> impl Iterator<Item = &'a Arc<Release>> {
        self.releases
            .values()
            .filter(move |release| release.component == *component)
    }

    /// One plan.
    #[must_use]
    pub fn plan(&self, id: PlanId) -> Option<&Arc<Plan>> {
        self.plans.get(&id)
    }

    /// One plan that has to be there.
    ///
    /// # Errors
    /// `NotFound`, with the name.
    pub fn known_plan(&self, id: PlanId) -> Result<&Arc<Plan>, Refusal> {
        self.plans
            .get(&id)
            .ok_or_else(|| Refusal::new(RefusalKind::NotFound, format!("there is no plan {id}")))
    }

    /// The plans after the one of this name, oldest first.
    pub fn plans_after(&self, after: Option<PlanId>) -> impl Iterator<Item = &Arc<Plan>> {
        let range: RangeInclusive<PlanId> =
            PlanId(after.map_or(NonZeroU64::MIN, |id| id.0.saturating_add(1)))
                ..=PlanId(NonZeroU64::MAX);
        self.plans.range(range).map(|(_, plan)| plan)
    }

    /// The name for the next plan.
    #[must_use]
    pub fn next_plan_id(&self) -> PlanId {
        let last = self.plans.get_max().map(|(id, _)| id.0);
        PlanId(last.map_or(NonZeroU64::MIN, |id| id.saturating_add(1)))
    }

    /// The plans that were started and have not ended.
    pub fn plans_under_way(&self) -> impl Iterator<Item = &Arc<Plan>> {
        self.plans_under_way
            .iter()
            .filter_map(|id| self.plans.get(id))
    }

    /// The plan under way that has a task for the instance.
    #[must_use]
    pub fn claimed_by(&self, instance: &InstanceId) -> Option<PlanId> {
        self.claims.get(instance).copied()
    }

    /// One task.
    #[must_use]
    pub fn task(&self, plan: PlanId, instance: &InstanceId) -> Option<&Arc<Task>> {
        self.tasks.get(&(plan, instance.clone()))
    }

    /// The tasks of one plan, by instance.
    pub fn tasks_of(&self, plan: PlanId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks_after(plan, None)
    }

    /// The tasks of one plan after that of the instance, by instance.
    pub fn tasks_after<'a>(
        &'a self,
        plan: PlanId,
        after: Option<&InstanceId>,
    ) -> impl Iterator<Item = &'a Arc<Task>> {
        let least = "0/0".parse::<InstanceId>().ok();
        let skip = after.cloned();
        after
            .cloned()
            .or(least)
            .into_iter()
            .flat_map(move |first| self.tasks.range((plan, first)..))
            .take_while(move |((of, _), _)| *of == plan)
            .filter(move |((_, instance), _)| Some(instance) != skip.as_ref())
            .map(|(_, task)| task)
    }

    /// The answer that was given to a call of this name, if it is remembered.
    #[must_use]
    pub fn request(&self, key: &RequestKey) -> Option<&Arc<Request>> {
        self.requests.get(key)
    }
}

fn after_key<'a, K: Ord + Clone, V>(
    map: &'a OrdMap<K, V>,
    after: Option<&'a K>,
) -> impl Iterator<Item = &'a V>
where
    V: Clone,
{
    use std::ops::Bound;
    let first = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
    map.range((first, Bound::Unbounded)).map(|(_, value)| value)
}
