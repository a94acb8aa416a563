//! How the things of a state are found: by name, in pages, and by what changed.

use std::{
    num::NonZeroU64,
    ops::{Bound, RangeInclusive},
    sync::Arc,
};

use evenkeel_words::{
    names::{ComponentName, InstanceId, InstanceName, NodeName, SourceName},
    timestamp::Timestamp,
};
use imbl::{OrdMap, OrdSet};
use semver::Version;

use super::{Barrier, Key, Members, State, Tally};
use crate::{
    change::{Request, RequestKey, Resource},
    compatibility::{AppliedMatrix, ReportedVersions},
    freeze::Freeze,
    instance::{GoneInstance, Instance},
    measures::Measure,
    node::Node,
    plan::{Plan, PlanId, Task, TaskId},
    refusal::{Refusal, RefusalKind},
    release::Release,
};

impl State {
    /// The thing of that name, as it is kept; nothing if it is not there (any more).
    #[must_use]
    pub fn resource(&self, key: &Key) -> Option<Resource> {
        match key {
            Key::Coordinator => Some(Resource::Coordinator { epoch: self.epoch }),
            Key::Node(name) => self.nodes.get(name).map(|x| Resource::Node(Node::clone(x))),
            Key::Instance(id) => match self.instances.get(id) {
                Some(instance) => Some(Resource::Instance(Instance::clone(instance))),
                None => self
                    .gone
                    .get(id)
                    .map(|gone| Resource::InstanceGone(GoneInstance::clone(gone))),
            },
            Key::Release(component, version) => self
                .releases
                .get(&(component.clone(), version.clone()))
                .map(|x| Resource::Release(Release::clone(x))),
            Key::Plan(id) => self.plans.get(id).map(|x| Resource::Plan(Plan::clone(x))),
            Key::Task(id) => self.task(id).map(|x| Resource::Task(Task::clone(x))),
            Key::Matrix => {
                let applied = Some(&self.matrix).filter(|matrix| matrix.version > 0);
                applied.map(|x| Resource::Matrix(AppliedMatrix::clone(x)))
            }
            Key::ReportedVersions(component, source) => self
                .reported
                .get(&(component.clone(), source.clone()))
                .map(|x| Resource::ReportedVersions(ReportedVersions::clone(x))),
            Key::Freeze => self
                .freeze()
                .map(|freeze| Resource::Freeze(Freeze::clone(freeze))),
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

    /// What is kept of an instance that its agent no longer has.
    #[must_use]
    pub fn gone(&self, id: &InstanceId) -> Option<&Arc<GoneInstance>> {
        self.gone.get(id)
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

    /// The versions of a component that others may meet, and how many instances have each; see
    /// [`Instance::versions`].
    pub fn versions_of(&self, component: &ComponentName) -> impl Iterator<Item = (&Version, u32)> {
        let counts = self.components.get(component).map(Members::versions);
        let counts = counts.into_iter().flatten();
        counts.map(|(version, count)| (version, *count))
    }

    /// The instances that hold a slot of the budget, by name.
    pub fn slot_holders(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.slots.iter().filter_map(|id| self.instances.get(id))
    }

    /// The instances that may have to be held or let go, by name; see [`Instance::may_be_held`].
    pub fn may_be_held(&self) -> impl Iterator<Item = &Arc<Instance>> {
        let ids = self.may_be_held.iter();
        ids.filter_map(|id| self.instances.get(id))
    }

    /// The instances that stay down and are known to, by name; see [`Instance::is_quarantined`].
    pub fn quarantined(&self) -> impl Iterator<Item = &Arc<Instance>> {
        let ids = self.quarantined.iter();
        ids.filter_map(|id| self.instances.get(id))
    }

    /// The nodes whose agents refuse our orders, by name.
    pub fn fenced_nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.fenced.iter().filter_map(|name| self.nodes.get(name))
    }

    /// How many nodes there are, and how many of them are heard.
    #[must_use]
    pub fn nodes_heard(&self) -> (u32, u32) {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (count(self.nodes.len()), count(self.up.len()))
    }

    /// Since when each silent node is, the longest first.
    pub fn silent_since(&self) -> impl DoubleEndedIterator<Item = Timestamp> {
        self.silent.iter().map(|(since, _)| *since)
    }

    /// The newest freeze of the fleet, lifted or not.
    #[must_use]
    pub fn freeze(&self) -> Option<&Arc<Freeze>> {
        self.freeze.as_ref()
    }

    /// The freeze that is in place, if one is.
    #[must_use]
    pub fn frozen(&self) -> Option<&Arc<Freeze>> {
        self.freeze().filter(|freeze| freeze.lifted.is_none())
    }

    /// The instances of one component, by name.
    pub fn instances_of<'a>(
        &'a self,
        component: &ComponentName,
    ) -> impl Iterator<Item = &'a Arc<Instance>> {
        let members = self.components.get(component).map(Members::all);
        let members = members.into_iter().flatten();
        members.filter_map(|id| self.instances.get(id))
    }

    /// What is known of the instances of a component as a whole; nothing if it has none.
    #[must_use]
    pub fn members(&self, component: &ComponentName) -> Option<&Members> {
        self.components.get(component)
    }

    /// The instances that hold copies of the same data as this one, itself among them, by name.
    pub fn group_of(&self, instance: &Instance) -> impl Iterator<Item = &Arc<Instance>> {
        let members = self.components.get(&instance.report.component);
        let group = members.and_then(|members| members.groups().get(instance.group()));
        let ids = group.into_iter().flatten();
        ids.filter_map(|id| self.instances.get(id))
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
    pub fn task(&self, id: &TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(id)
    }

    /// The tasks of one plan, by stage and instance.
    pub fn tasks_of(&self, plan: PlanId) -> impl Iterator<Item = &Arc<Task>> {
        let first = TaskId::first_of(plan, 0);
        self.tasks_from(first.map_or(Bound::Unbounded, Bound::Included))
            .take_while(move |task| task.plan == plan)
    }

    /// The tasks of one stage of a plan, by instance.
    pub fn tasks_of_stage(&self, plan: PlanId, stage: u32) -> impl Iterator<Item = &Arc<Task>> {
        let first = TaskId::first_of(plan, stage);
        self.tasks_from(first.map_or(Bound::Unbounded, Bound::Included))
            .take_while(move |task| (task.plan, task.stage) == (plan, stage))
    }

    /// The tasks of one plan after the one of this name, by stage and instance.
    pub fn tasks_after(
        &self,
        plan: PlanId,
        after: Option<&TaskId>,
    ) -> impl Iterator<Item = &Arc<Task>> {
        let first = match after.filter(|after| after.plan == plan) {
            Some(after) => Bound::Excluded(after.clone()),
            None => TaskId::first_of(plan, 0).map_or(Bound::Unbounded, Bound::Included),
        };
        self.tasks_from(first)
            .take_while(move |task| task.plan == plan)
    }

    fn tasks_from(&self, first: Bound<TaskId>) -> impl Iterator<Item = &Arc<Task>> {
        let tasks = self.tasks.range((first, Bound::Unbounded));
        tasks.map(|(_, task)| task)
    }

    /// The stage of a plan that is going on, or is the next to: the first that is not wholly over.
    #[must_use]
    pub fn stage_under_way(&self, plan: PlanId) -> Option<u32> {
        self.tally(plan)?.stage_under_way()
    }

    /// What is known of the tasks of a plan as a whole; nothing if it has none.
    #[must_use]
    pub fn tally(&self, plan: PlanId) -> Option<&Tally> {
        self.tallies.get(&plan)
    }

    /// The prefetch barrier of the stage under way, of a plan under way.
    #[must_use]
    pub fn barrier(&self, plan: PlanId) -> Option<&Barrier> {
        self.barriers.get(&plan)
    }

    /// The task of an instance in the stage of a plan that is going on, or is the next to.
    #[must_use]
    pub fn task_under_way(&self, plan: PlanId, instance: &InstanceId) -> Option<&Arc<Task>> {
        self.task(&TaskId {
            plan,
            stage: self.stage_under_way(plan)?,
            instance: instance.clone(),
        })
    }

    /// The compatibility matrix that is in place.
    #[must_use]
    pub fn matrix(&self) -> &Arc<AppliedMatrix> {
        &self.matrix
    }

    /// What was measured of an instance lately.
    #[must_use]
    pub fn measure_of(&self, id: &InstanceId) -> Option<&Arc<Measure>> {
        self.measures.of(id)
    }

    /// What was said of external components, by component and source.
    pub fn reported_versions(&self) -> impl Iterator<Item = &Arc<ReportedVersions>> {
        self.reported.values()
    }

    /// What was said after the report of this name, by component and source.
    pub fn reported_versions_after<'a>(
        &'a self,
        after: Option<&'a (ComponentName, SourceName)>,
    ) -> impl Iterator<Item = &'a Arc<ReportedVersions>> {
        after_key(&self.reported, after)
    }

    /// What one source said of a component.
    #[must_use]
    pub fn reported_by(
        &self,
        component: &ComponentName,
        source: &SourceName,
    ) -> Option<&Arc<ReportedVersions>> {
        self.reported.get(&(component.clone(), source.clone()))
    }

    /// The versions of an external component that are in use, and who said so; nothing if nobody said anything of it.
    #[must_use]
    pub fn in_use(
        &self,
        component: &ComponentName,
    ) -> Option<impl Iterator<Item = (&Version, &OrdSet<SourceName>)>> {
        self.in_use.get(component).map(|versions| versions.iter())
    }

    /// What was said of one component, by source.
    pub fn reported_versions_of<'a>(
        &'a self,
        component: &'a ComponentName,
    ) -> impl Iterator<Item = &'a Arc<ReportedVersions>> {
        // "0" is the least name there is.
        let first = SourceName::try_from("0".to_owned()).ok();
        first
            .into_iter()
            .flat_map(move |source| self.reported.range((component.clone(), source)..))
            .map(|(_, report)| report)
            .take_while(move |report| report.component == *component)
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
    let first = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
    map.range((first, Bound::Unbounded)).map(|(_, value)| value)
}
