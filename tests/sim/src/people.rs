//! People and automation: what they ask for at random, and how they put things in order when the faults have stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use evenkeel_coordinator_core::{
    calls::Call,
    change::RequestKey,
    compatibility::VersionInUse,
    engine::finality,
    plan::{Plan, PlanId, PlanKind, PlanState, Target, Task, TaskState},
    planner::Selection,
    refusal::Refusal,
    release::{Artifact, SignedManifest},
    state::{REQUEST_KEPT, State},
};
use evenkeel_words::{digest::Digest, timestamp::Timestamp};

use crate::{
    agent::PLATFORM,
    coordinator::Said,
    coverage::Sight,
    fleet::{self, CLIENT},
    queue::Ms,
    world::{Event, World, note},
};

/// How long people wait for an answer before they ask again.
const PATIENCE_MS: Ms = 15_000;

/// How often people try again what failed before they give a plan up.
const RESUMES_MAX: u32 = 3;

/// What people remember.
#[derive(Debug, Default)]
pub(crate) struct People {
    requests: u64,
    /// What was asked and not answered.
    waiting: Vec<(RequestKey, Call, Ms)>,
    /// What was answered, and when by the coordinator's clock: the same call again gets the same answer.
    answered: Vec<(RequestKey, Call, String, Timestamp)>,
    resumed: BTreeMap<PlanId, u32>,
    /// Plans that were drafted and are to be started.
    drafts: Vec<PlanId>,
    /// They put things in order.
    pub(crate) are_mending: bool,
    every_ms: Ms,
}

impl World {
    /// What has to be said before anything can be planned.
    pub(crate) fn people_prepare(&mut self) {
        self.people.every_ms = *self.dice.pick(&[10_000, 60_000, 200_000]);
        let matrix = self.fleet.matrix.clone();
        let mut calls = vec![apply(matrix, 1)];
        for component in &self.fleet.components {
            for version in &self.fleet.versions {
                let digest = fleet::release(component, version).digest;
                calls.push(Call::PublishRelease {
                    component: component.clone(),
                    version: version.clone(),
                    platform: PLATFORM.to_owned(),
                    artifact: Artifact {
                        digest,
                        size_bytes: 1,
                        manifest: SignedManifest {
                            manifest: digest.to_string().into_bytes(),
                            key_id: String::new(),
                            signature: Vec::new(),
                        },
                    },
                });
            }
        }
        for call in calls {
            self.ask(call);
        }
        let in_use = self.in_use(true);
        self.ask(in_use);
        let after = self.dice.between(15_000, 60_000);
        self.later(after, Event::People);
    }

    fn in_use(&mut self, none: bool) -> Call {
        let mut versions = BTreeSet::new();
        if !none {
            versions.insert(self.dice.pick(&self.fleet.versions).clone());
        }
        let number = u8::try_from(self.people.requests % 251).unwrap_or(0);
        Call::ReportVersions {
            component: CLIENT.parse().expect("a component's name"),
            source: "gateway".parse().expect("a source's name"),
            content: Digest::from_bytes([number; 32]),
            versions: versions
                .into_iter()
                .map(|version| VersionInUse { version, count: 1 })
                .collect(),
        }
    }

    /// Asks for something, under a request id of its own.
    pub(crate) fn ask(&mut self, call: Call) {
        self.people.requests += 1;
        let key = RequestKey {
            subject: "alice".to_owned(),
            request_id: self.people.requests.to_string(),
        };
        let now = self.now;
        self.people.waiting.push((key.clone(), call.clone(), now));
        self.send(key, call);
    }

    fn send(&mut self, key: RequestKey, call: Call) {
        let after = self.dice.between(1, 200);
        let said = Said::Call(key, Box::new(call));
        self.later(after, Event::Asked(Box::new(said)));
    }

    /// The coordinator has answered.
    pub(crate) fn people_hear(
        &mut self,
        key: RequestKey,
        call: Call,
        result: Result<String, Refusal>,
    ) {
        self.people
            .waiting
            .retain(|(waiting, _, _)| *waiting != key);
        let now = self.coordinator_now().unwrap_or_default();
        let before = self.people.answered.iter().find(|(is, ..)| *is == key);
        if let Some((_, _, before, at)) = before {
            let same = result.as_ref() == Ok(before);
            // What is remembered is remembered for a while, by a clock that may start years ahead; and a backup knows
            // nothing of what was answered since.
            let is_remembered = now.since(*at) < REQUEST_KEPT;
            if !same && is_remembered && !self.truth.is_forked {
                self.wrong(format!(
                    "the call {} was answered {before} and is now answered {result:?}",
                    key.request_id
                ));
            }
            return self.see(Sight::Repeated);
        }
        match result {
            Ok(resource) => {
                note!(self, "{}: {resource}", words(&call));
                match &call {
                    Call::CreatePlan { targets, .. } if targets.is_empty() => {
                        self.wrong(format!("{resource} was made of nothing"));
                    }
                    Call::CreatePlan { .. } | Call::CreateRestart { .. } => {
                        if let Ok(plan) = resource.parse() {
                            self.people.drafts.push(plan);
                        }
                    }
                    Call::ResumePlan(_) => self.see(Sight::Resumed),
                    _ => {}
                }
                self.people.answered.push((key, call, resource, now));
            }
            Err(refusal) => {
                self.see(Sight::Refused);
                note!(self, "{}: refused: {}", words(&call), refusal.message);
            }
        }
    }

    /// People do something, and will again.
    pub(crate) fn people_act(&mut self) {
        if !self.is_wild {
            return;
        }
        let wait = self.people.every_ms;
        let after = self.dice.between(wait / 4, wait);
        self.later(after, Event::People);
        self.ask_again();
        if let Some(plan) = self.people.drafts.pop() {
            return self.ask(Call::StartPlan(plan));
        }
        if self.coordinator.running.is_none() {
            return;
        }
        let plans: Vec<_> = self
            .coordinator
            .read()
            .plans_under_way()
            .map(|plan| (plan.id, plan.state.clone()))
            .collect();
        if plans.len() > 1 {
            self.see(Sight::TwoPlans);
        }
        let paused = plans
            .iter()
            .find(|(_, state)| matches!(state, PlanState::Paused(_)))
            .map(|(plan, _)| *plan);
        let newest = plans.last().map(|(plan, _)| *plan);
        let choice = self.dice.below(100);
        let call = match (choice, newest, paused) {
            (0..=34, _, Some(paused)) => Call::ResumePlan(paused),
            (35..=39, Some(plan), _) => Call::PausePlan(plan, "lunch".to_owned()),
            (40..=44, Some(plan), _) => Call::AbortPlan(plan, "enough".to_owned()),
            (45..=59, Some(plan), _) => Call::FinalizePlan { plan, stage: None },
            (60..=62, _, _) => {
                let matrix =
                    fleet::matrix(&mut self.dice, &self.fleet.components, &self.fleet.versions);
                let content = u8::try_from(self.people.requests % 250).unwrap_or(0);
                apply(matrix, content)
            }
            (63..=66, _, _) => {
                let none = self.dice.chance(2, 3);
                self.in_use(none)
            }
            (90..=91, _, _) => Call::CreatePlan {
                content: self.content(),
                targets: Vec::new(),
                policy: fleet::policy(&mut self.dice),
            },
            (92..=95, _, _) => self.restart(),
            (67..=70, _, _) => return self.say_again_what_was_answered(),
            (71..=74, Some(plan), _) => Call::RollBackPlan(plan, "better not".to_owned()),
            (75..=78, Some(plan), _) => Call::RetargetPlan {
                plan,
                targets: self.targets(),
                content: self.content(),
                policy: fleet::policy(&mut self.dice),
                reason: "another way".to_owned(),
            },
            (85..=86, _, _) => Call::FreezeFleet("a holiday".to_owned()),
            (87..=89, _, _) => Call::UnfreezeFleet,
            (79..=84, Some(plan), _) => match self.some_task(plan) {
                Some(call) => call,
                None => return,
            },
            _ => self.create(),
        };
        self.ask(call);
    }

    /// Something about one task of a plan: most of all about one that has failed.
    fn some_task(&mut self, plan: PlanId) -> Option<Call> {
        let state = self.coordinator.read();
        let failed =
            |task: &&Task| matches!(task.state, TaskState::Reverted(_) | TaskState::Parked(_));
        let tasks: Vec<&Task> = state.tasks_of(plan).map(AsRef::as_ref).collect();
        let broken: Vec<_> = tasks.iter().copied().filter(failed).collect();
        let of = if broken.is_empty() { tasks } else { broken };
        if of.is_empty() {
            return None;
        }
        let instances: Vec<_> = of.iter().map(|task| task.instance.clone()).collect();
        let instance = self.dice.pick(&instances).clone();
        Some(match self.dice.chance(1, 2) {
            true => Call::RetryTask(plan, instance),
            false => Call::SkipTask(plan, instance, "it can wait".to_owned()),
        })
    }

    fn create(&mut self) -> Call {
        Call::CreatePlan {
            targets: self.targets(),
            content: self.content(),
            policy: fleet::policy(&mut self.dice),
        }
    }

    /// A plan that brings nothing to another version.
    fn restart(&mut self) -> Call {
        let kind = *self.dice.pick(&[PlanKind::Restart, PlanKind::Reconfigure]);
        let component = self.dice.pick(&self.fleet.components).clone();
        let some = self.dice.index(self.instances.len());
        let selection = match self.dice.chance(1, 3) {
            true => Selection {
                components: Vec::new(),
                instances: vec![self.instances[some].id.clone()],
            },
            false => Selection {
                components: vec![component],
                instances: Vec::new(),
            },
        };
        Call::CreateRestart {
            kind,
            selection,
            content: self.content(),
            policy: fleet::policy(&mut self.dice),
        }
    }

    /// Tells one call from another.
    fn content(&self) -> Digest {
        let number = u8::try_from(self.people.requests % 251).unwrap_or(0);
        Digest::from_bytes([number; 32])
    }

    fn targets(&mut self) -> Vec<Target> {
        let mut targets = Vec::new();
        for component in self.fleet.components.clone() {
            if targets.is_empty() || self.dice.chance(1, 2) {
                targets.push(Target {
                    component,
                    version: self.dice.pick(&self.fleet.versions).clone(),
                    allow_downgrade: self.dice.chance(1, 2),
                });
            }
        }
        if self.dice.chance(1, 3) {
            targets.reverse();
            targets.truncate(1);
        }
        targets
    }

    /// What was not answered is asked again, under the same request id.
    fn ask_again(&mut self) {
        let now = self.now;
        let overdue: Vec<_> = self
            .people
            .waiting
            .iter()
            .filter(|(_, _, asked_at)| now - asked_at > PATIENCE_MS)
            .map(|(key, call, _)| (key.clone(), call.clone()))
            .collect();
        for (key, call) in overdue {
            for waiting in &mut self.people.waiting {
                if waiting.0 == key {
                    waiting.2 = now;
                }
            }
            self.send(key, call);
        }
    }

    /// A call that was answered comes once more.
    fn say_again_what_was_answered(&mut self) {
        let last = self.people.answered.len().saturating_sub(12);
        let recent = &self.people.answered[last..];
        if recent.is_empty() {
            return;
        }
        let index = self.dice.index(recent.len());
        let (key, call, ..) = recent[index].clone();
        self.send(key, call);
    }

    /// The plans that go on by themselves: neither a person nor a mended host is waited for.
    pub(crate) fn going_on(&self) -> Vec<PlanId> {
        let state = self.coordinator.read();
        let plans = state.plans_under_way();
        // No orders are given while an agent has accepted more than this state knows of.
        let takes_orders = state.fenced_nodes().next().is_none();
        let going_on = plans.filter(|plan| match &plan.state {
            PlanState::Running => finality::asked_for(state, plan).is_none(),
            PlanState::Paused(_) => {
                let mut tasks = state.tasks_of(plan.id);
                takes_orders && tasks.any(|task| is_moving(state, task))
            }
            PlanState::Aborting(_) | PlanState::Finalizing => true,
            PlanState::RollingBack(_) => {
                // It does not pause; what has not moved for so long waits for a person.
                let quiet = self
                    .coordinator_now()
                    .map(|now| now.since(plan.progressed_at));
                let patience = plan.policy.progress_deadline + Duration::from_secs(60);
                takes_orders && quiet.is_none_or(|quiet| quiet < patience)
            }
            PlanState::Draft
            | PlanState::ReadyToFinalize
            | PlanState::Finalized
            | PlanState::Aborted(_)
            | PlanState::RolledBack(_)
            | PlanState::Superseded(_)
            | PlanState::Failed(_) => false,
        });
        going_on.map(|plan| plan.id).collect()
    }

    /// People put every plan to its end: they confirm, try again a few times, and give up what does not work.
    pub(crate) fn people_mend(&mut self) {
        self.people.are_mending = true;
        self.ask_again();
        if !self.people.waiting.is_empty() {
            return;
        }
        let state = self.coordinator.read().clone();
        if state.frozen().is_some() {
            self.ask(Call::UnfreezeFleet);
        }
        let plans: Vec<_> = state
            .plans_under_way()
            .map(|plan| Plan::clone(plan))
            .collect();
        for plan in plans {
            let id = plan.id;
            let call = match &plan.state {
                PlanState::Paused(_) => {
                    let flight = state.tasks_of(id).any(|task| task.state.in_flight());
                    let resumed = self.people.resumed.entry(id).or_default();
                    *resumed += 1;
                    match (*resumed > RESUMES_MAX, flight) {
                        (true, _) => Call::AbortPlan(id, "it does not work".to_owned()),
                        (false, _) => Call::ResumePlan(id),
                    }
                }
                PlanState::Running if finality::asked_for(&state, &plan).is_some() => {
                    Call::FinalizePlan {
                        plan: id,
                        stage: None,
                    }
                }
                PlanState::ReadyToFinalize => {
                    let resumed = self.people.resumed.entry(id).or_default();
                    *resumed += 1;
                    match *resumed > RESUMES_MAX {
                        true => Call::AbortPlan(id, "others are behind".to_owned()),
                        false => Call::FinalizePlan {
                            plan: id,
                            stage: None,
                        },
                    }
                }
                PlanState::RollingBack(_) => {
                    let resumed = self.people.resumed.entry(id).or_default();
                    *resumed += 1;
                    let failed = state.tasks_of(id).find(|task| {
                        matches!(task.state, TaskState::Reverted(_) | TaskState::Parked(_))
                    });
                    match (failed, *resumed > RESUMES_MAX) {
                        (Some(task), false) => Call::RetryTask(id, task.instance.clone()),
                        (_, _) => Call::AbortPlan(id, "it does not go back".to_owned()),
                    }
                }
                PlanState::Draft
                | PlanState::Running
                | PlanState::Aborting(_)
                | PlanState::Finalizing
                | PlanState::Finalized
                | PlanState::Aborted(_)
                | PlanState::RolledBack(_)
                | PlanState::Superseded(_)
                | PlanState::Failed(_) => continue,
            };
            self.ask(call);
        }
    }

    /// Whether a plan is held until a person confirms.
    pub(crate) fn look_for_finality(&mut self) {
        let state = self.coordinator.read();
        let is_held = state.plans_under_way().any(|plan| {
            plan.state == PlanState::Running && finality::asked_for(state, plan).is_some()
        });
        if is_held {
            self.see(Sight::HeldAtFinality);
        }
    }

    /// Why a plan stands as it does, for people.
    pub(crate) fn stand(&self) -> String {
        let state = self.coordinator.read();
        let now = self.coordinator_now().unwrap_or_default();
        let mut lines = Vec::new();
        for plan in state.plans_under_way() {
            lines.push(format!(
                "{} is {} {}",
                plan.id,
                plan.state.name(),
                plan.state.reason()
            ));
            for task in state.tasks_of(plan.id) {
                if task.state != TaskState::Done {
                    let wait =
                        evenkeel_coordinator_core::engine::waits::wait(state, plan, task, now);
                    let wait = wait.map_or_else(String::new, |wait| wait.sentence);
                    lines.push(format!("  {} {}: {wait}", task.instance, task.state.name()));
                }
            }
        }
        lines.join("\n")
    }
}

/// Whether a task of a paused plan goes on: it soaks, or its agent is at it. An order that was not begun may be
/// withheld until somebody resumes the plan.
fn is_moving(state: &State, task: &Task) -> bool {
    let known = state.instance(&task.instance);
    let is_begun = known.is_some_and(|known| {
        task.generation > 0 && known.report.accepted.generation >= task.generation
    });
    task.state == TaskState::Rejoined || (task.state.ordered() && is_begun)
}

/// A matrix in which all versions get on.
pub(crate) fn anything_goes() -> Call {
    apply(fleet::anything_goes(), 255)
}

fn apply(matrix: evenkeel_compat::Matrix, content: u8) -> Call {
    Call::ApplyMatrix {
        matrix,
        content: Digest::from_bytes([content; 32]),
        expected_version: None,
    }
}

fn brought(targets: &[Target]) -> String {
    let targets: Vec<_> = targets
        .iter()
        .map(|target| format!("{}={}", target.component, target.version))
        .collect();
    targets.join(", ")
}

/// A call in a few words.
fn words(call: &Call) -> String {
    match call {
        Call::PublishRelease {
            component, version, ..
        } => format!("publish {component} {version}"),
        Call::ApplyMatrix { .. } => "apply a matrix".to_owned(),
        Call::ReportVersions { versions, .. } => {
            let versions: Vec<_> = versions.iter().map(|it| it.version.to_string()).collect();
            format!("report that {CLIENT} has {versions:?}")
        }
        Call::CreatePlan {
            targets, policy, ..
        } => {
            format!("create a plan to {} with {policy:?}", brought(targets))
        }
        Call::CreateRestart {
            kind, selection, ..
        } => format!("create a plan to {kind:?} {selection:?}"),
        Call::StartPlan(plan) => format!("start {plan}"),
        Call::PausePlan(plan, _) => format!("pause {plan}"),
        Call::ResumePlan(plan) => format!("resume {plan}"),
        Call::AbortPlan(plan, _) => format!("abort {plan}"),
        Call::FinalizePlan { plan, .. } => format!("confirm {plan}"),
        Call::FreezeFleet(_) => "freeze the fleet".to_owned(),
        Call::UnfreezeFleet => "unfreeze the fleet".to_owned(),
        Call::RollBackPlan(plan, _) => format!("roll {plan} back"),
        Call::RetargetPlan { plan, targets, .. } => {
            format!("retarget {plan} to {}", brought(targets))
        }
        Call::RetryTask(plan, instance) => format!("retry {instance} of {plan}"),
        Call::SkipTask(plan, instance, _) => format!("skip {instance} of {plan}"),
    }
}
