//! The rules, asked of what there really is: of the hosts, not of what the coordinator believes of them. And the
//! core's own invariants, asked after its changes.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_agent_core::{
    DataMove, Method, OrderResult, Outcome, Record, Release, Standing, Ticket,
};
use evenkeel_compat::Matrix;
use evenkeel_coordinator_core::{
    change::{Change, Resource},
    desired::DesiredInstance,
    engine,
    instance::{Instance as Known, Order},
    invariants,
    plan::{PlanKind, PlanState, Policy, Task, TaskState},
    state::State,
};
use evenkeel_words::{names::InstanceId, timestamp::Timestamp};

use crate::{
    agent::heard,
    coverage::Sight,
    queue::Ms,
    world::{InstanceIndex, NodeIndex, World, note},
};

/// How old an order may be at the most when it is begun, in milliseconds.
const MOST_AGE_MS: Ms = engine::timers::BEGIN_WITHIN.as_millis() as Ms;

/// What is known of one order that is durable.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    order: Order,
    policy: Option<Policy>,
    /// It leads to a new release, not back to the one before.
    is_forward: bool,
    /// How versions got on when it was given.
    matrix: Matrix,
    /// Counts orders in the order in which they were given.
    number: u64,
}

/// What really happened, for comparing.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// Orders that are durable in some ledger, by instance and generation.
    given: BTreeMap<(InstanceIndex, u64), Vec<Given>>,
    orders: u64,
    /// There has been another ledger than the newest: not everything done on hosts is known to it.
    pub(crate) is_forked: bool,
    pub(crate) agents: u64,
    pub(crate) sessions: u64,
    pub(crate) questions: u64,
    pub(crate) pids: u32,
    /// When the word was sent that an agent is hearing.
    pub(crate) word_sent_at: Ms,
    /// When each order was said last, by instance and generation.
    said_at: BTreeMap<(InstanceIndex, u64), Ms>,
    changes: u64,
    rests: u64,
}

impl World {
    /// How often the invariants that look at a whole state are asked: their cost is the state's size.
    fn every(&self) -> u64 {
        match (self.is_thorough, self.instances.len()) {
            (true, ..60) => 1,
            (false, ..60) => 24,
            (true, _) => 100,
            (false, _) => 2_000,
        }
    }

    /// The coordinator's state has changed.
    pub(crate) fn look_at_change(&mut self, before: &State, after: &State, change: &Change) {
        self.truth.changes += 1;
        self.tell_change(before, change);
        let whole = self.truth.changes.is_multiple_of(self.every());
        let gives_orders = change.resources.iter().any(|resource| match resource {
            Resource::Instance(new) => before
                .instance(&new.id)
                .is_some_and(|old| old.generation() != new.generation() || old.slot != new.slot),
            Resource::Plan(new) => new.state == PlanState::Finalizing,
            _ => false,
        });
        if whole || gives_orders || before.epoch() != after.epoch() {
            for wrong in invariants::violations_between(before, after) {
                self.wrong(wrong);
            }
        }
        if whole {
            for wrong in invariants::violations(after) {
                self.wrong(wrong);
            }
        }
        self.course_is_kept(before, after, change);
        self.slots_are_free(before, change);
        if gives_orders {
            self.orders_are_sound(before, after, change);
            self.orders_fit_the_truth(before, after, change);
        }
    }

    /// A coordinator says to a node what ought to be.
    pub(crate) fn is_said(&mut self, node: NodeIndex, instances: &[DesiredInstance]) {
        for desired in instances {
            let index = self.hosts[node].instances.get(&desired.name);
            if let (Some(index), Some(order)) = (index, &desired.order) {
                self.truth
                    .said_at
                    .insert((*index, order.generation), self.now);
            }
        }
    }

    /// A slot whose order was never begun is given back once it cannot be begun any more, whenever it was said last.
    fn slots_are_free(&mut self, before: &State, change: &Change) {
        if self.truth.is_forked {
            return;
        }
        for resource in &change.resources {
            let Resource::Instance(new) = resource else {
                continue;
            };
            let old = before.instance(&new.id);
            let Some(slot) = old.and_then(|old| old.slot.as_ref()) else {
                continue;
            };
            let is_never_begun =
                new.slot.is_none() && new.report.accepted.generation < slot.generation;
            let index = self.index_of(&new.id).filter(|_| is_never_begun);
            let said_at = index.and_then(|index| self.truth.said_at.get(&(index, slot.generation)));
            if said_at.is_some_and(|at| self.now - at <= MOST_AGE_MS) {
                let (id, generation) = (&new.id, slot.generation);
                self.wrong(format!(
                    "{id} gives its slot back, and order {generation} may still begin"
                ));
            }
        }
    }

    /// A plan ends with nothing of it on its way, and a task is done where its instance is well.
    fn course_is_kept(&mut self, before: &State, after: &State, change: &Change) {
        for resource in &change.resources {
            match resource {
                Resource::Plan(plan) => {
                    let was = before.plan(plan.id);
                    let ends = was.is_some_and(|was| was.state.under_way());
                    let mut tasks = after.tasks_of(plan.id);
                    if ends && !plan.state.under_way() && tasks.any(|task| task.state.in_flight()) {
                        self.wrong(format!("{} ended with tasks on their way", plan.id));
                    }
                }
                Resource::Task(task) => {
                    let was = before.task(&task.id());
                    let is_new = was.is_none_or(|was| was.state != TaskState::Done);
                    let known = after.instance(&task.instance);
                    let is_well = known
                        .is_some_and(|known| known.is_healthy() && known.serves(&task.to.digest));
                    if is_new && task.state == TaskState::Done && !is_well {
                        self.wrong(format!("{} is done and not well", task.instance));
                    }
                }
                _ => {}
            }
        }
    }

    /// Each new order to go on is given by a state that is no old copy, says what to go back to, waits for the canary,
    /// and is of a plan in which no more has failed than it tolerates.
    fn orders_are_sound(&mut self, before: &State, after: &State, change: &Change) {
        for resource in &change.resources {
            let Resource::Task(task) = resource else {
                continue;
            };
            let was = before.task(&task.id());
            let is_new = was.is_some_and(|was| was.generation < task.generation);
            let Some(plan) = after.plan(task.plan).filter(|_| is_new) else {
                continue;
            };
            let Some(stage) = plan.stage(task) else {
                continue;
            };
            let id = &task.instance;
            if before.fenced_nodes().next().is_some() {
                self.wrong(format!("{id} was ordered by an old copy"));
            }
            if task.state != TaskState::Admitted || stage.undoes.is_some() {
                continue;
            }
            let order = after.instance(id).and_then(|known| known.order.as_ref());
            let has_fallback = order.is_some_and(|order| order.fallback.is_some());
            let was_held = before
                .instance(id)
                .is_some_and(|known| known.is_quarantined());
            if stage.way_back().is_some() && !has_fallback && !was_held {
                self.wrong(format!("{id} was not told what to go back to"));
            }
            let stage = || before.tasks_of_stage(task.plan, task.stage);
            let failed = stage().filter(|task| task.state.has_failed()).count();
            let tolerated = usize::try_from(plan.policy.failures_tolerated).unwrap_or(usize::MAX);
            if failed > tolerated {
                self.wrong(format!("{id} was ordered after {failed} failures"));
            }
            let over = stage().filter(|task| task.state.is_over()).count() + failed;
            let on_the_way = stage().filter(|task| task.state.in_flight()).count();
            let canary = usize::try_from(plan.policy.canary).unwrap_or(usize::MAX);
            let is_first = over == 0 && canary > 0;
            // One that is tried again was first before.
            let is_retry = was.is_some_and(|was| was.generation > 0);
            if is_first && !is_retry && on_the_way >= canary {
                self.wrong(format!("{id} was ordered before the canary was done"));
            }
        }
    }

    /// What an agent says of an order's end is true.
    pub(crate) fn end_is_true(&mut self, index: InstanceIndex, outcome: &Outcome) {
        let instance = &self.instances[index];
        let Some(order) = &instance.journal.fence.order else {
            return;
        };
        let process = instance.process.as_ref();
        let was_unproven = instance.is_unproven;
        let wrong = match outcome.result {
            OrderResult::Done => {
                let serves = process.is_some_and(|process| process.is_ready);
                let runs = process.is_some_and(|process| {
                    let says = !instance.settings.driver || process.says == order.release.version;
                    process.running == order.release && says
                });
                match (serves, runs) {
                    (false, _) => Some("it does not serve"),
                    (true, false) => Some("it runs something else"),
                    (true, true) => None,
                }
            }
            OrderResult::Failed => {
                let gave_up = outcome.reason.contains("there is no release to go back to");
                (gave_up && order.fallback.is_some()).then_some("it never went back")
            }
            OrderResult::Declined => {
                was_unproven.then_some("what an order before left has not passed its gates")
            }
            OrderResult::Reverted => None,
        };
        let is_unproven = match outcome.result {
            OrderResult::Done | OrderResult::Reverted => false,
            OrderResult::Failed => true,
            OrderResult::Declined => was_unproven,
        };
        if let Some(wrong) = wrong {
            let (id, result) = (&instance.id, outcome.result);
            self.wrong(format!(
                "{id}: the order is said to be {result:?}, and {wrong}"
            ));
        }
        self.instances[index].is_unproven = is_unproven;
    }

    /// No order takes longer than its time, and the way back as long again, where there is an agent to see to it.
    pub(crate) fn orders_end_in_time(&mut self) {
        let late = self.instances.iter().find(|instance| {
            let clock = self.hosts[instance.node].clock(self.now);
            let memory = instance.agent.as_ref();
            memory.is_some_and(|memory| {
                let journey = memory.state.phase.journey();
                let is_late = |deadline: Ms| clock > deadline + 60_000;
                memory.state.hitch.is_none() && journey.is_some_and(|it| is_late(it.deadline_ms))
            })
        });
        if let Some(late) = late {
            self.wrong(format!("{}: its order is long overdue", late.id));
        }
    }

    /// The engine has nothing more to say.
    pub(crate) fn at_rest(&mut self, now: Timestamp) {
        self.truth.rests += 1;
        let every = match self.is_thorough {
            true => 1,
            false => 16,
        };
        if self.instances.len() > 60 && !self.truth.rests.is_multiple_of(200) {
            return;
        }
        if !self.truth.rests.is_multiple_of(every) {
            return;
        }
        let Some(running) = &self.coordinator.running else {
            return;
        };
        for wrong in invariants::violations_at_rest(&running.state, now) {
            self.wrong(wrong);
        }
    }

    fn tell_change(&mut self, before: &State, change: &Change) {
        if change.actor == "engine" {
            note!(self, "engine: {}", change.cause);
        }
        for resource in &change.resources {
            match resource {
                Resource::Plan(plan) => {
                    let was = before.plan(plan.id).map(|plan| &plan.state);
                    if was != Some(&plan.state) {
                        let (name, reason) = (plan.state.name(), plan.state.reason());
                        note!(self, "{} is {name}: {reason}", plan.id);
                        self.see_plan(&plan.state);
                        match (plan.kind, &plan.state) {
                            (PlanKind::Restart, PlanState::Finalized) => self.see(Sight::Restarted),
                            (PlanKind::Reconfigure, PlanState::Finalized) => {
                                self.see(Sight::Reconfigured);
                            }
                            _ => {}
                        }
                    }
                }
                Resource::Task(task) => {
                    let was = before.task(&task.id()).map(|task| task.state.clone());
                    if was.as_ref() != Some(&task.state) && task.state != TaskState::Pending {
                        let (name, reason) = (task.state.name(), task.state.reason());
                        note!(self, "{} {}: {name} {reason}", task.plan, task.instance);
                    }
                    self.see_task(was.as_ref(), task);
                }
                Resource::Node(node) => {
                    let was = before.node(&node.name);
                    if was.is_none_or(|was| was.liveness != node.liveness) {
                        note!(self, "{} is {:?}", node.name, node.liveness);
                    }
                    if node.fenced.is_some() && was.is_none_or(|was| was.fenced.is_none()) {
                        self.see(Sight::FencedNode);
                    }
                }
                Resource::Instance(new) => {
                    let old = before.instance(&new.id);
                    let old_slot = old.and_then(|old| old.slot.as_ref());
                    if let (Some(slot), None) = (old_slot, &new.slot) {
                        note!(self, "{} gives its slot back", new.id);
                        let plan = before.plan(slot.plan);
                        if plan.is_some_and(|plan| !plan.state.under_way()) {
                            self.see(Sight::SlotAfterEnd);
                            if new.report.accepted.generation < slot.generation {
                                self.see(Sight::NeverBegun);
                            }
                        }
                    }
                }
                Resource::Coordinator { .. }
                | Resource::InstanceGone(_)
                | Resource::Release(_)
                | Resource::Matrix(_)
                | Resource::Freeze(_)
                | Resource::ReportedVersions(_)
                | Resource::Request(_) => {}
            }
        }
    }

    fn see_plan(&mut self, state: &PlanState) {
        match state {
            PlanState::Finalized => self.see(Sight::Finalized),
            PlanState::Aborted(_) => self.see(Sight::Aborted),
            PlanState::ReadyToFinalize => self.see(Sight::ReadyToFinalize),
            PlanState::Paused(reason) => {
                let sight = if reason.contains("asked for it") {
                    Sight::PausedByPerson
                } else if reason.contains("is not allowed") {
                    Sight::PausedByMatrix
                } else if reason.contains("no task moved") || reason.contains("has not said") {
                    Sight::PausedByDeadline
                } else {
                    Sight::PausedByFailure
                };
                self.see(sight);
            }
            PlanState::Finalizing => self.see(Sight::Finalizing),
            PlanState::RolledBack(_) => self.see(Sight::RolledBack),
            PlanState::Superseded(_) => self.see(Sight::Superseded),
            PlanState::Failed(_) => self.see(Sight::FailedPlan),
            PlanState::Draft
            | PlanState::Running
            | PlanState::Aborting(_)
            | PlanState::RollingBack(_) => {}
        }
    }

    fn see_task(&mut self, was: Option<&TaskState>, task: &Task) {
        if was == Some(&task.state) {
            return;
        }
        match &task.state {
            TaskState::Reverted(_) => self.see(Sight::Reverted),
            TaskState::Parked(_) => self.see(Sight::Parked),
            TaskState::Skipped(_) => self.see(Sight::Skipped),
            TaskState::Reverting(_) => {
                self.see(Sight::SickInSoak);
                if task.admitted_at.is_none() {
                    self.see(Sight::PutBackWaits);
                }
            }
            TaskState::Pending => {
                if let Some(TaskState::Reverted(_) | TaskState::Parked(_)) = was {
                    self.see(Sight::Retried);
                }
            }
            _ => {}
        }
    }

    /// Orders have come to be durable: from now on hosts may act on them.
    pub(crate) fn orders_are_durable(&mut self, changes: &[(Change, Timestamp)]) {
        for (change, _) in changes {
            for resource in &change.resources {
                let Resource::Instance(Known {
                    id,
                    order: Some(order),
                    slot,
                    ..
                }) = resource
                else {
                    continue;
                };
                let Some(index) = self.index_of(id) else {
                    continue;
                };
                let known = self
                    .truth
                    .given
                    .get(&(index, order.generation))
                    .is_some_and(|given| given.iter().any(|given| given.order == *order));
                if known {
                    continue;
                }
                self.truth.orders += 1;
                let state = &self.coordinator.durable;
                let plan = slot.as_ref().and_then(|slot| state.plan(slot.plan));
                let given = Given {
                    order: order.clone(),
                    policy: plan.map(|plan| plan.policy.clone()),
                    is_forward: is_forward(state, change, id),
                    matrix: state.matrix().matrix.clone(),
                    number: self.truth.orders,
                };
                note!(
                    self,
                    "order {} for {id}: {} {:?}",
                    order.generation,
                    order.release.version,
                    order.method
                );
                let of = self.truth.given.entry((index, order.generation));
                of.or_default().push(given);
            }
        }
    }

    fn index_of(&self, id: &InstanceId) -> Option<InstanceIndex> {
        let node = self.nodes.get(&id.node)?;
        self.hosts[*node].instances.get(&id.name).copied()
    }

    /// Each order that takes something down leaves enough of its group up, as the hosts really are.
    fn orders_fit_the_truth(&mut self, before: &State, after: &State, change: &Change) {
        if self.truth.is_forked {
            return;
        }
        for resource in &change.resources {
            let Resource::Instance(new) = resource else {
                continue;
            };
            let is_order = before
                .instance(&new.id)
                .is_some_and(|old| new.generation() > old.generation());
            let (true, Some(slot)) = (is_order, &new.slot) else {
                continue;
            };
            let (Some(plan), Some(index)) = (after.plan(slot.plan), self.index_of(&new.id)) else {
                continue;
            };
            // What is put back or caught up may be down already, or said to be: that takes nothing down.
            let is_down = self.instances[index].down_since.is_some()
                || before
                    .instance(&new.id)
                    .is_none_or(|known| !known.is_healthy());
            let mends = plan.kind == PlanKind::CatchUp || !is_forward(after, change, &new.id);
            if mends && is_down {
                continue;
            }
            let policy = plan.policy.clone();
            let down = self.long_down(index);
            let others = down.iter().filter(|other| self.are_copies(index, **other));
            let others = others.count() + 1;
            let allowed = allowed(&policy, self.group_size(index));
            if others > allowed {
                self.wrong(format!(
                    "{} was ordered down as number {others} of its group that really is, and {allowed} may be",
                    new.id,
                ));
            }
            if let Some(label) = &policy.failure_domain {
                let domain = |world: &Self, index: InstanceIndex| {
                    let instance = &world.instances[index];
                    world.hosts[instance.node].labels.get(label).cloned()
                };
                let mut domains: BTreeSet<_> =
                    down.iter().map(|other| domain(self, *other)).collect();
                domains.insert(domain(self, index));
                let most = usize::try_from(policy.failure_domains_at_once).unwrap_or(usize::MAX);
                if domains.len() > most {
                    self.wrong(format!(
                        "{} was ordered down while others of {domains:?} really are",
                        new.id
                    ));
                }
            }
        }
    }

    /// The other instances of the component that have been down for so long that the coordinator must know.
    fn long_down(&self, index: InstanceIndex) -> Vec<InstanceIndex> {
        let component = self.instances[index].component;
        (0..self.instances.len())
            .filter(|other| *other != index)
            .filter(|other| {
                let other = &self.instances[*other];
                let long = |since: Ms| self.now - since > Self::knows_within_ms();
                // What is held down counts nowhere until it is caught up.
                let counts = !other.is_held();
                counts && other.component == component && other.down_since.is_some_and(long)
            })
            .collect()
    }

    fn group_size(&self, index: InstanceIndex) -> usize {
        let all = 0..self.instances.len();
        all.filter(|other| self.are_copies(index, *other)).count()
    }

    fn are_copies(&self, one: InstanceIndex, other: InstanceIndex) -> bool {
        let (one, other) = (&self.instances[one], &self.instances[other]);
        one.component == other.component && one.labels.get("group") == other.labels.get("group")
    }

    /// A record about to be durable in a journal: the fence rises, and what is accepted was really ordered.
    pub(crate) fn record_is_lawful(&mut self, index: InstanceIndex, record: &Record) {
        let instance = &self.instances[index];
        let (was, is) = (&instance.journal.fence, &record.fence);
        if is.epoch < was.epoch || is.generation() < was.generation() {
            self.wrong(format!("{}: the fence fell", instance.id));
            return;
        }
        if is.generation() == was.generation() {
            if is.order != was.order {
                self.wrong(format!("{}: an order changed", instance.id));
            }
            return;
        }
        let Some(order) = &is.order else {
            return;
        };
        let age = self.now - self.truth.word_sent_at;
        if age > MOST_AGE_MS {
            self.wrong(format!(
                "{}: order {} was begun {age} ms after it was sent",
                instance.id, order.generation
            ));
            return;
        }
        let given = self.truth.given.get(&(index, order.generation));
        let is_given =
            given.is_some_and(|given| given.iter().any(|given| heard(&given.order) == *order));
        if !is_given {
            self.wrong(format!(
                "{}: order {} is in no ledger",
                instance.id, order.generation
            ));
        }
        if self.instances[index].folders[0].begun_by != self.instances[index].folders[1].begun_by {
            self.wrong(format!(
                "{}: an order was begun on half moved data",
                self.instances[index].id
            ));
        }
        if order.method == Method::InPlace {
            for folder in &mut self.instances[index].folders {
                if !folder.allowed.is_empty() {
                    folder.allowed.insert(order.release.version.clone());
                }
            }
        }
        self.slot_is_held(index, order.generation);
    }

    /// An order that is begun has its slot.
    fn slot_is_held(&mut self, index: InstanceIndex, generation: u64) {
        if self.truth.is_forked {
            return;
        }
        let id = &self.instances[index].id;
        let known = self.coordinator.durable.instance(id);
        let slot = known.and_then(|known| known.slot.as_ref());
        if slot.is_none_or(|slot| slot.generation != generation) {
            self.wrong(format!("{id}: order {generation} was begun without a slot"));
        }
    }

    /// Something is done to a host: on the word that is durable, and under way.
    pub(crate) fn effect_is_lawful(&mut self, index: InstanceIndex, ticket: Ticket, what: &str) {
        let journal = &self.instances[index].journal;
        let stands = ticket.generation == journal.fence.generation()
            && ticket.epoch <= journal.fence.epoch
            && (what == "kills" || !matches!(journal.standing, Standing::Settled { .. }));
        if !stands {
            self.wrong(format!(
                "{}: something {what} it on the word of order {}, which does not stand",
                self.instances[index].id, ticket.generation
            ));
        }
        if what == "kills" && matches!(journal_step(&self.instances[index].journal), "draining") {
            self.wrong(format!(
                "{}: killed while it is to be drained",
                self.instances[index].id
            ));
        }
    }

    /// A storage system is told that a version is final: the one that its plan has brought it to, and that serves.
    pub(crate) fn finality_stands(&mut self, index: InstanceIndex, id: &str) {
        let instance = &self.instances[index];
        let process = instance.process.as_ref();
        let other = process.is_some_and(|it| it.release.digest != instance.current.digest);
        if other || instance.is_on_its_way() {
            let id = &self.instances[index].id;
            return self.wrong(format!("{id}: made final while it does not serve"));
        }
        if self.truth.is_forked {
            return;
        }
        let component = &self.fleet.components[instance.component];
        let plan = id.split('/').next().and_then(|plan| plan.parse().ok());
        let plan = plan.and_then(|plan| self.coordinator.durable.plan(plan));
        let there = plan.is_some_and(|plan| plan.brings_to(component, &instance.current.version));
        if !there {
            let version = &instance.current.version;
            self.wrong(format!(
                "{}: {version} made final by {id}, which is about another",
                instance.id
            ));
        }
    }

    /// A process is about to be taken down.
    pub(crate) fn taken_down(&mut self, index: InstanceIndex, generation: u64) {
        let serves = self.instances[index]
            .process
            .as_ref()
            .is_some_and(|process| process.serves());
        if !serves {
            return;
        }
        self.instances[index].held_by = Some(generation);
        self.may_be_stopped(index);
        if self.truth.is_forked {
            return;
        }
        let held: Vec<_> = (0..self.instances.len())
            .filter(|other| self.are_copies(index, *other))
            .filter_map(|other| Some((other, self.instances[other].held_by?)))
            .collect();
        let size = self.group_size(index);
        let allowed = held
            .iter()
            .filter_map(|key| self.truth.given.get(key)?.last()?.policy.as_ref())
            .map(|policy| allowed(policy, size))
            .max();
        if allowed.is_some_and(|allowed| held.len() > allowed) {
            self.wrong(format!(
                "{} is taken down as number {} that we hold of its group, and {} may be",
                self.instances[index].id,
                held.len(),
                allowed.unwrap_or(0)
            ));
        }
    }

    /// Where there is somebody to ask, a process that serves is not stopped without leave, but to mend it. One that has
    /// answered its probes is not mended by being turned back.
    fn may_be_stopped(&mut self, index: InstanceIndex) {
        let instance = &self.instances[index];
        let fence = &instance.journal.fence;
        let journey = instance.journal.standing.journey();
        let process = instance.process.as_ref();
        let has_answered = process.is_some_and(|process| instance.answered == Some(process.pid));
        let is_back = journey.is_some_and(|journey| journey.is_back());
        let mends =
            (is_back && !has_answered) || fence.order.as_ref().is_some_and(|order| order.way_back);
        let is_its_own = process.is_some_and(|process| process.started_by == fence.generation());
        let has_leave =
            (is_its_own && !has_answered) || instance.leave_for == Some(fence.generation());
        if instance.settings.driver && !mends && !has_leave {
            self.wrong(format!(
                "{}: stopped, and nobody asked the storage system whether it may be",
                instance.id
            ));
        }
    }

    /// Whether an instance serves may have changed.
    pub(crate) fn look_at_service(&mut self, index: InstanceIndex) {
        let now = self.now;
        let instance = &mut self.instances[index];
        let serves = instance
            .process
            .as_ref()
            .is_some_and(|process| process.serves());
        match (serves, instance.down_since) {
            (true, _) => {
                instance.down_since = None;
                instance.held_by = None;
            }
            (false, None) => instance.down_since = Some(now),
            (false, Some(_)) => {}
        }
    }

    /// A release is about to be started: it is complete and current, on data that it may have, and gets on with all
    /// that runs.
    pub(crate) fn start_is_lawful(
        &mut self,
        index: InstanceIndex,
        ticket: Ticket,
        release: &Release,
    ) {
        let id = self.instances[index].id.clone();
        if !self.is_complete(index, release) {
            self.wrong(format!("{id}: {release} is started and is not complete"));
        }
        let instance = &mut self.instances[index];
        if instance.current != *release {
            let wrong = format!("{id}: {release} is started and is not current");
            return self.wrong(wrong);
        }
        if instance.process.is_some() {
            return;
        }
        if instance.folders[0].begun_by != instance.folders[1].begun_by {
            return self.wrong(format!("{id}: started on half moved data"));
        }
        let journey = instance.journal.standing.journey().cloned();
        let begun_by = instance.folders[0].begun_by;
        let order = instance.journal.fence.order.as_ref();
        let (ordered, generation) = (order.map(|order| order.method), ticket.generation);
        if let Some(journey) = &journey {
            let wrong = match journey.data {
                Some(DataMove::SetAside) => (begun_by != generation).then_some("not empty"),
                Some(DataMove::PutBack) => (begun_by == generation).then_some("not put back"),
                None if ordered == Some(Method::Rebuild) => {
                    (begun_by == generation).then_some("not the data of before")
                }
                None => None,
            };
            if journey.data == Some(DataMove::SetAside) {
                self.coverage.see(Sight::Rebuilt);
            }
            if let Some(wrong) = wrong {
                return self.wrong(format!("{id}: the data is {wrong}"));
            }
        }
        let instance = &mut self.instances[index];
        let version = &release.version;
        let allowed = &instance.folders[0].allowed;
        if !allowed.is_empty() && !allowed.contains(version) {
            let wrong = format!("{id}: {version} is started on data of another: {allowed:?}");
            return self.wrong(wrong);
        }
        for folder in &mut instance.folders {
            folder.allowed.insert(version.clone());
        }
        if journey.is_some_and(|journey| !journey.is_back()) {
            self.gets_on_with_all(index, generation, release);
        }
    }

    /// Versions that run side by side get on, by the matrix of when the later of them was ordered.
    fn gets_on_with_all(&mut self, index: InstanceIndex, generation: u64, release: &Release) {
        if self.truth.is_forked {
            return;
        }
        let newest = |world: &Self, index: InstanceIndex, generation: u64| {
            let given = world.truth.given.get(&(index, generation))?.last()?;
            Some((given.number, given.matrix.clone(), given.is_forward))
        };
        // What is put back meets nothing that it did not meet before.
        let Some((number, matrix, true)) = newest(self, index, generation) else {
            return;
        };
        let mine = &self.fleet.components[self.instances[index].component];
        let mut wrong = None;
        for (other_index, other) in self.instances.iter().enumerate() {
            let Some(process) = other.process.as_ref().filter(|_| other_index != index) else {
                continue;
            };
            let theirs = &self.fleet.components[other.component];
            if !matrix.constrain(mine, theirs) {
                continue;
            }
            let their_order = newest(self, other_index, other.journal.fence.generation());
            // What was ordered later was held against what this one was ordered to be.
            if their_order.is_some_and(|(theirs, ..)| theirs > number) {
                continue;
            }
            let beside =
                matrix.beside((mine, &release.version), (theirs, &process.release.version));
            if beside.is_err() {
                wrong = Some(format!(
                    "{} runs {} beside {} {} of {}, which do not get on",
                    self.instances[index].id,
                    release.version,
                    theirs,
                    process.release.version,
                    other.id
                ));
            }
        }
        if let Some(wrong) = wrong {
            self.wrong(wrong);
        }
    }

    /// `current` of every instance names a complete release.
    pub(crate) fn current_is_complete(&mut self) {
        let broken = (0..self.instances.len())
            .find(|index| !self.is_complete(*index, &self.instances[*index].current));
        if let Some(index) = broken {
            self.wrong(format!(
                "{}: current is no complete release",
                self.instances[index].id
            ));
        }
    }

    /// The engine, asked from nothing, agrees that there is nothing to say.
    pub(crate) fn rests(&mut self) {
        let now = self.coordinator_now();
        let (Some(running), Some(now)) = (&self.coordinator.running, now) else {
            return;
        };
        let said = engine::advance(&running.state, now).map(|change| change.cause);
        let mut wrong = invariants::violations(&running.state);
        wrong.extend(said.map(|said| format!("the engine had more to say: {said}")));
        for wrong in wrong {
            self.wrong(wrong);
        }
    }
}

/// Whether the change gives the instance the order to go to a new release, not one to go back or to stay.
fn is_forward(state: &State, change: &Change, id: &InstanceId) -> bool {
    change.resources.iter().any(|resource| {
        let Resource::Task(task) = resource else {
            return false;
        };
        let stage = state.plan(task.plan).and_then(|plan| plan.stage(task));
        let is_undo = stage.is_some_and(|stage| stage.undoes.is_some());
        let stays = task.from == task.to;
        task.instance == *id && task.state == TaskState::Admitted && !is_undo && !stays
    })
}

/// How many of a group of that size may be down.
fn allowed(policy: &Policy, of: usize) -> usize {
    let of = u32::try_from(of).unwrap_or(u32::MAX);
    let allowed = policy.max_unavailable.of_rounded_down(of).max(1);
    usize::try_from(allowed).unwrap_or(usize::MAX)
}

fn journal_step(record: &Record) -> &'static str {
    match record.standing {
        Standing::Settled { .. } => "settled",
        Standing::Draining(..) => "draining",
        Standing::Asking(..) => "asking",
        Standing::Quiescing(..) => "quiescing",
        Standing::Declining(..) => "declining",
        Standing::Stopping(..) => "stopping",
        Standing::Emptying(..) => "emptying",
        Standing::Swapping(..) => "swapping",
        Standing::Starting(..) => "starting",
    }
}
