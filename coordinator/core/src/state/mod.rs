//! What is known and decided, as a value: cloned in no time, compared, replayed.
//!
//! Here is how changes get in; `read` is how everything is found.

mod members;
mod outages;
mod read;
mod tally;

use evenkeel_words::planted::{self, Bug};
use std::{sync::Arc, time::Duration};

use evenkeel_words::{
    names::{ComponentName, InstanceId, NodeName, SourceName},
    timestamp::Timestamp,
};
use imbl::{OrdMap, OrdSet};
use semver::Version;

use crate::{
    change::{Change, Request, RequestKey, Resource},
    compatibility::{AppliedMatrix, ReportedVersions},
    freeze::Freeze,
    instance::{GoneInstance, Instance},
    measures::{Measure, Measures},
    node::{Liveness, Node},
    plan::{Plan, PlanId, Task, TaskId, TaskState},
    release::Release,
};

pub use members::Members;
pub use outages::Outages;
pub use tally::{Barrier, StageTally, Tally};

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
    Task(TaskId),
    /// The compatibility matrix.
    Matrix,
    /// What one source said of an external component.
    ReportedVersions(ComponentName, SourceName),
    /// The newest freeze of the fleet.
    Freeze,
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
    gone: OrdMap<InstanceId, Arc<GoneInstance>>,
    releases: OrdMap<(ComponentName, Version), Arc<Release>>,
    plans: OrdMap<PlanId, Arc<Plan>>,
    tasks: OrdMap<TaskId, Arc<Task>>,
    matrix: Arc<AppliedMatrix>,
    reported: OrdMap<(ComponentName, SourceName), Arc<ReportedVersions>>,
    freeze: Option<Arc<Freeze>>,
    requests: OrdMap<RequestKey, Arc<Request>>,
    // Derived from the above.
    components: OrdMap<ComponentName, Members>,
    in_use: OrdMap<ComponentName, OrdMap<Version, OrdSet<SourceName>>>,
    plans_under_way: OrdSet<PlanId>,
    claims: OrdMap<InstanceId, PlanId>,
    tallies: OrdMap<PlanId, Tally>,
    barriers: OrdMap<PlanId, Barrier>,
    slots: OrdSet<InstanceId>,
    may_be_held: OrdSet<InstanceId>,
    quarantined: OrdSet<InstanceId>,
    fenced: OrdSet<NodeName>,
    up: OrdSet<NodeName>,
    silent: OrdSet<(Timestamp, NodeName)>,
    requests_by_age: OrdSet<(Timestamp, RequestKey)>,
    newest: OrdSet<(u64, Key)>,
    // Seen, and kept nowhere.
    measures: Measures,
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

    /// Takes in what was measured of an instance. That is no change: nothing that was decided is different.
    pub fn see(&mut self, id: &InstanceId, measure: Measure) {
        if self.instances.contains_key(id) {
            self.measures.put(id.clone(), measure);
        }
    }

    fn stamped(&self, mut resource: Resource) -> Resource {
        let (at, rev) = (self.at, self.revision);
        match &mut resource {
            Resource::Node(x) => {
                (x.changed_at, x.revision) = (at, rev);
                x.silent_since = match x.liveness {
                    Liveness::Suspect | Liveness::AgentLost => x.silent_since.or(Some(at)),
                    Liveness::Unknown | Liveness::Up => None,
                };
            }
            Resource::Instance(x) => (x.changed_at, x.revision) = (at, rev),
            Resource::Release(x) => (x.changed_at, x.revision) = (at, rev),
            Resource::Plan(x) => (x.changed_at, x.revision) = (at, rev),
            Resource::Task(x) => (x.changed_at, x.revision) = (at, rev),
            Resource::InstanceGone(x) => x.revision = rev,
            Resource::Matrix(x) => x.revision = rev,
            Resource::ReportedVersions(x) => x.revision = rev,
            Resource::Freeze(x) => x.revision = rev,
            Resource::Coordinator { .. } | Resource::Request(_) => {}
        }
        resource
    }

    fn put(&mut self, resource: Resource) -> Key {
        match resource {
            Resource::Coordinator { epoch } => {
                self.epoch = epoch;
                self.measures = Measures::default();
                Key::Coordinator
            }
            Resource::Node(node) => {
                let key = Key::Node(node.name.clone());
                let (name, revision) = (node.name.clone(), node.revision);
                match node.fenced {
                    Some(_) => self.fenced.insert(name.clone()),
                    None => self.fenced.remove(&name),
                };
                let (liveness, silent_since) = (node.liveness, node.silent_since);
                let old = self.nodes.insert(name.clone(), Arc::new(node));
                let was = old.as_ref().and_then(|old| old.silent_since);
                self.hear(&name, liveness == Liveness::Up, was, silent_since);
                if old.as_ref().map(|old| old.liveness) != Some(liveness) {
                    self.judge_instances_on(&name, liveness);
                }
                self.renew(&key, old.map(|old| old.revision), revision);
                key
            }
            Resource::Instance(instance) => {
                let key = Key::Instance(instance.id.clone());
                let (id, revision) = (instance.id.clone(), instance.revision);
                match instance.slot {
                    Some(_) => self.slots.insert(id.clone()),
                    None => self.slots.remove(&id),
                };
                match instance.may_be_held() {
                    true => self.may_be_held.insert(id.clone()),
                    false => self.may_be_held.remove(&id),
                };
                match instance.is_quarantined() {
                    true => self.quarantined.insert(id.clone()),
                    false => self.quarantined.remove(&id),
                };
                let liveness = self.nodes.get(&id.node).map(|node| node.liveness);
                let instance = Arc::new(instance);
                let old = self.instances.insert(id.clone(), Arc::clone(&instance));
                if let Some(old) = &old {
                    self.leave_component(old);
                }
                let component = instance.report.component.clone();
                let members = self.components.entry(component).or_default();
                members.add(&instance, liveness);
                self.place(&id);
                let gone = self.gone.remove(&id).map(|gone| gone.revision);
                self.renew(&key, old.map(|old| old.revision).or(gone), revision);
                key
            }
            Resource::InstanceGone(gone) => {
                let key = Key::Instance(gone.id.clone());
                let (id, revision) = (gone.id.clone(), gone.revision);
                self.slots.remove(&id);
                self.may_be_held.remove(&id);
                self.quarantined.remove(&id);
                self.measures.forget(&id);
                let old = self.instances.remove(&id);
                if let Some(old) = &old {
                    self.leave_component(old);
                }
                self.place(&id);
                let old = old.map(|old| old.revision);
                let gone_before = self.gone.insert(id, Arc::new(gone));
                let old = old.or(gone_before.map(|gone| gone.revision));
                self.renew(&key, old, revision);
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
                let id = task.id();
                let key = Key::Task(id.clone());
                let revision = task.revision;
                let task = Arc::new(task);
                let old = self.tasks.insert(id.clone(), Arc::clone(&task));
                self.claim_for(&task);
                let tally = self.tallies.entry(id.plan).or_default();
                tally.replace(old.as_deref(), &task);
                self.place_task(&task);
                self.renew(&key, old.map(|old| old.revision), revision);
                key
            }
            Resource::Matrix(matrix) => {
                let revision = matrix.revision;
                let old = std::mem::replace(&mut self.matrix, Arc::new(matrix));
                let old = (old.version > 0).then_some(old.revision);
                self.renew(&Key::Matrix, old, revision);
                Key::Matrix
            }
            Resource::ReportedVersions(report) => {
                let name = (report.component.clone(), report.source.clone());
                let key = Key::ReportedVersions(name.0.clone(), name.1.clone());
                let revision = report.revision;
                let report = Arc::new(report);
                let old = self.reported.insert(name, Arc::clone(&report));
                if let Some(old) = &old {
                    self.count_in_use(old, false);
                }
                self.count_in_use(&report, true);
                self.renew(&key, old.map(|old| old.revision), revision);
                key
            }
            Resource::Freeze(freeze) => {
                let revision = freeze.revision;
                let old = self.freeze.replace(Arc::new(freeze));
                self.renew(&Key::Freeze, old.map(|old| old.revision), revision);
                Key::Freeze
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

    /// Keeps count of the nodes that are heard, and since when the others are not.
    fn hear(
        &mut self,
        name: &NodeName,
        up: bool,
        was_silent_since: Option<Timestamp>,
        silent_since: Option<Timestamp>,
    ) {
        match up {
            true => self.up.insert(name.clone()),
            false => self.up.remove(name),
        };
        if let Some(was) = was_silent_since {
            self.silent.remove(&(was, name.clone()));
        }
        if let Some(since) = silent_since {
            self.silent.insert((since, name.clone()));
        }
    }

    fn renew(&mut self, key: &Key, old_revision: Option<u64>, revision: u64) {
        if let Some(old_revision) = old_revision {
            self.newest.remove(&(old_revision, key.clone()));
        }
        self.newest.insert((revision, key.clone()));
    }

    /// Keeps the sources of each version of an external component.
    fn count_in_use(&mut self, report: &ReportedVersions, said: bool) {
        let versions = self.in_use.entry(report.component.clone()).or_default();
        for in_use in &report.versions {
            let sources = versions.entry(in_use.version.clone()).or_default();
            match said {
                true => sources.insert(report.source.clone()),
                false => sources.remove(&report.source),
            };
            if sources.is_empty() {
                versions.remove(&in_use.version);
            }
        }
    }

    fn leave_component(&mut self, old: &Instance) {
        let component = &old.report.component;
        if let Some(members) = self.components.get_mut(component) {
            members.remove(old);
            if members.all().is_empty() {
                self.components.remove(component);
            }
        }
    }

    /// Whether the instances of a node count as available depends on its agent's being heard.
    fn judge_instances_on(&mut self, node: &NodeName, liveness: Liveness) {
        let instances: Vec<_> = self.instances_on(node).cloned().collect();
        for instance in instances {
            if let Some(members) = self.components.get_mut(&instance.report.component) {
                members.judge(&instance, Some(liveness));
            }
        }
    }

    fn claim(&mut self, plan: PlanId, under_way: bool) {
        let was = self.plans_under_way.contains(&plan);
        if was == under_way {
            return;
        }
        let tasks = self.tasks_of(plan);
        let claiming = tasks.filter(|task| !under_way || claims(task));
        let instances: Vec<_> = claiming.map(|task| task.instance.clone()).collect();
        if under_way {
            self.plans_under_way.insert(plan);
            for instance in instances {
                self.claims.insert(instance, plan);
            }
            self.raise_barrier(plan);
        } else {
            self.plans_under_way.remove(&plan);
            self.barriers.remove(&plan);
            for instance in instances {
                if self.claimed_by(&instance) == Some(plan) {
                    self.claims.remove(&instance);
                }
            }
        }
    }

    /// A plan under way has an instance to itself, but for one that it leaves out wholly.
    fn claim_for(&mut self, task: &Task) {
        if !self.plans_under_way.contains(&task.plan) {
            return;
        }
        if claims(task) {
            self.claims.insert(task.instance.clone(), task.plan);
        } else if self.claimed_by(&task.instance) == Some(task.plan)
            && !self.has_claiming_task(task.plan, &task.instance)
        {
            self.claims.remove(&task.instance);
        }
    }

    fn has_claiming_task(&self, plan: PlanId, instance: &InstanceId) -> bool {
        let stages = self.tallies.get(&plan).into_iter();
        let mut stages = stages.flat_map(|tally| tally.stages());
        stages.any(|(stage, _)| {
            let task = self.task(&TaskId {
                plan,
                stage,
                instance: instance.clone(),
            });
            task.is_some_and(|task| claims(task))
        })
    }

    /// Looks at all tasks of the stage that has come under way.
    fn raise_barrier(&mut self, plan: PlanId) {
        let Some(stage) = self.stage_under_way(plan) else {
            self.barriers.remove(&plan);
            return;
        };
        let mut barrier = Barrier::new(stage);
        for task in self.tasks_of_stage(plan, stage) {
            let instance = self.instances.get(&task.instance);
            barrier.place(task, instance.map(AsRef::as_ref));
        }
        self.barriers.insert(plan, barrier);
    }

    /// What an instance holds may have changed.
    fn place(&mut self, id: &InstanceId) {
        let task = self
            .claimed_by(id)
            .and_then(|plan| self.task_under_way(plan, id))
            .cloned();
        if let Some(task) = task {
            self.place_task(&task);
        }
    }

    fn place_task(&mut self, task: &Task) {
        let plan = task.plan;
        if !self.plans_under_way.contains(&plan) {
            return;
        }
        let under_way = self.stage_under_way(plan);
        let barrier = self.barriers.get_mut(&plan);
        match barrier.filter(|barrier| Some(barrier.stage()) == under_way) {
            Some(barrier) if barrier.stage() == task.stage => {
                let instance = self.instances.get(&task.instance);
                barrier.place(task, instance.map(AsRef::as_ref));
            }
            Some(_) => {}
            None => self.raise_barrier(plan),
        }
    }

    /// A coordinator that has just started has not heard of any agent yet.
    fn forget_liveness(&mut self) -> Vec<Key> {
        if planted::is(Bug::LivenessKept) {
            return Vec::new();
        }
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
}

/// Whether a task keeps other plans away from its instance while its plan is under way.
fn claims(task: &Task) -> bool {
    !matches!(task.state, TaskState::Skipped(_))
}
