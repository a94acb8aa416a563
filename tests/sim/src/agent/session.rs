//! What a coordinator says to the agent, and what the agent says of its instances.

use std::collections::BTreeMap;

use evenkeel_agent_core::{
    self as core, Event as Happened, Incoming, OrderResult, Release, State, StepName,
};
use evenkeel_compat::Method;
use evenkeel_coordinator_core::{
    desired::DesiredInstance,
    instance::{
        Fence, Finalized, Health, Order, Process as SeenProcess, Progress, Report, StageState,
        StagedRelease, Status, Step,
    },
    release::ReleaseRef,
    reports::Hello,
};
use evenkeel_words::{names::InstanceName, timestamp::Timestamp};
use semver::Version;

use super::Instance;
use crate::{
    fleet,
    world::{InstanceIndex, NodeIndex, World},
};

/// What every host here is.
pub(crate) const PLATFORM: &str = "linux/amd64";

/// How long an order may be begun, from the message that it answers.
const BEGIN_WITHIN_MS: u64 =
    evenkeel_coordinator_core::engine::timers::BEGIN_WITHIN.as_millis() as u64;

fn release_ref(release: &Release) -> ReleaseRef {
    ReleaseRef {
        version: release.version.clone(),
        digest: release.digest,
    }
}

fn release_of(release: &ReleaseRef) -> Release {
    Release {
        version: release.version.clone(),
        digest: release.digest,
    }
}

fn method(method: Method) -> core::Method {
    match method {
        Method::InPlace => core::Method::InPlace,
        Method::Rebuild => core::Method::Rebuild,
    }
}

/// An order as the agent understands it.
pub(crate) fn heard(order: &Order) -> core::Order {
    core::Order {
        generation: order.generation,
        release: release_of(&order.release),
        method: method(order.method),
        fallback: order
            .fallback
            .as_ref()
            .map(|(release, how)| core::Fallback {
                release: release_of(release),
                method: method(*how),
            }),
        way_back: order.way_back,
        ready_within_ms: u64::try_from(order.ready_within.as_millis()).unwrap_or(u64::MAX),
    }
}

impl World {
    /// A coordinator has said what ought to be.
    pub(crate) fn desired(
        &mut self,
        index: InstanceIndex,
        epoch: u64,
        answers_clock_ms: u64,
        desired: DesiredInstance,
    ) {
        for manifest in &desired.prefetch {
            self.fetch(index, &manifest.manifest);
        }
        let incoming = desired.order.map(|order| {
            let order = heard(&order);
            self.incoming(index, order, answers_clock_ms)
        });
        self.handle(
            index,
            Happened::Desired {
                epoch,
                incoming,
                hold: core::Hold {
                    word: desired.quarantine.word,
                    reason: desired.quarantine.reason,
                },
                finalize: desired.finalize.map(|finality| {
                    Box::new(core::Finality {
                        id: finality.id,
                        generation: finality.generation,
                        release: release_of(&finality.release),
                        answers_clock_ms,
                        begin_within_ms: BEGIN_WITHIN_MS,
                    })
                }),
            },
        );
    }

    fn incoming(
        &self,
        index: InstanceIndex,
        order: core::Order,
        answers_clock_ms: u64,
    ) -> Incoming {
        let instance = &self.instances[index];
        let named = [
            Some(&order.release),
            order.fallback.as_ref().map(|it| &it.release),
        ];
        let missing = named
            .into_iter()
            .flatten()
            .find(|release| !self.is_complete(index, release));
        let accepted = instance.journal.fence.generation();
        let obstacle = (order.may_empty() && order.generation > accepted)
            .then(|| instance.obstacle(Some(order.generation)))
            .flatten();
        Incoming {
            missing: missing.cloned(),
            obstacle,
            answers_clock_ms,
            begin_within_ms: BEGIN_WITHIN_MS,
            order,
        }
    }

    /// Writes down what is true now, for the coordinator.
    pub(super) fn publish(&mut self, index: InstanceIndex) {
        let instance = &self.instances[index];
        let Some(memory) = &instance.agent else {
            return;
        };
        let facts = report(instance, &memory.state, &memory.wanted, &self.fleet);
        let node = instance.node;
        if let Some(memory) = &mut self.instances[index].agent
            && memory.facts != facts
        {
            memory.facts = facts;
            memory.is_unheard = true;
            self.report_soon(node);
        }
    }

    /// All that is true on a host; the coordinator has heard all of it then.
    pub(crate) fn hello(&mut self, node: NodeIndex) -> Hello {
        let instances = self.instances_of(node);
        let facts = instances.into_iter().filter_map(|index| {
            let instance = &mut self.instances[index];
            let memory = instance.agent.as_mut()?;
            memory.is_unheard = false;
            Some((instance.id.name.clone(), memory.facts.clone()))
        });
        Hello {
            instances: facts.collect(),
            agent_version: Version::new(0, 1, 0),
            platform: PLATFORM.to_owned(),
            labels: self.hosts[node].labels.clone(),
        }
    }

    /// What changed since it was heard last; it is heard then.
    pub(crate) fn unheard(&mut self, node: NodeIndex) -> BTreeMap<InstanceName, Report> {
        let instances = self.instances_of(node);
        let facts = instances.into_iter().filter_map(|index| {
            let instance = &mut self.instances[index];
            let memory = instance.agent.as_mut()?;
            let is_unheard = std::mem::replace(&mut memory.is_unheard, false);
            is_unheard.then(|| (instance.id.name.clone(), memory.facts.clone()))
        });
        facts.collect()
    }
}

pub(super) fn report(
    instance: &Instance,
    state: &State,
    wanted: &BTreeMap<usize, StageState>,
    fleet: &fleet::Fleet,
) -> Report {
    let component = &fleet.components[instance.component];
    let (health, trouble) = match &instance.process {
        None => (Health::Error, "there is no process"),
        Some(process) => process.health(),
    };
    let mut reason = state.reason();
    if reason.is_empty() {
        trouble.clone_into(&mut reason);
    }
    let obstacle = match state.phase.journey() {
        // What an order under way has set aside is in nobody else's way.
        Some(_) => instance.obstacle(Some(state.fence.generation())),
        None => instance.obstacle(None),
    };
    Report {
        component: component.clone(),
        labels: instance.labels.clone(),
        status: match state.status() {
            core::Status::Running => Status::Running,
            core::Status::Upgrading => Status::Upgrading,
            core::Status::Stopped => Status::Stopped,
            core::Status::Error => Status::Error,
        },
        health,
        reason,
        current: state.current.as_ref().map(release_ref),
        process: instance.process.as_ref().map(|process| SeenProcess {
            pid: process.pid,
            started_at: Timestamp(0),
            release: release_ref(&process.running),
            configuration: process.configuration.to_string(),
        }),
        staged: wanted
            .iter()
            .map(|(version, state)| StagedRelease {
                release: release_ref(&fleet::release(component, &fleet.versions[*version])),
                state: state.clone(),
            })
            .collect(),
        accepted: Fence {
            epoch: state.fence.epoch,
            generation: state.fence.generation(),
        },
        progress: state.progress().map(progress),
        may_rebuild: obstacle.is_none(),
        rebuild_obstacle: obstacle.unwrap_or_default(),
        configuration: instance.configuration.to_string(),
        finalized: state.finalized.clone().map(|finalized| Finalized {
            id: finalized.id,
            outcome: finalized.outcome,
        }),
        can_finalize: instance.can_finalize,
        held: state.is_held() && instance.process.is_none(),
        hold_word: state.hold.word,
        asks_before_stop: instance.settings.driver,
    }
}

fn progress(progress: core::Progress) -> Progress {
    let step = match (progress.step, progress.result) {
        (StepName::Draining, _) => Step::Draining,
        (StepName::Asking, _) => Step::Asking,
        (StepName::Quiescing, _) => Step::Quiescing,
        (StepName::Recovering, _) => Step::Recovering,
        (StepName::Ended, Some(OrderResult::Declined)) => Step::Declined(progress.reason),
        (StepName::Stopping, _) => Step::Stopping,
        (StepName::Emptying, _) => Step::Emptying,
        (StepName::Swapping, _) => Step::Swapping,
        (StepName::Starting, _) => Step::Starting,
        (StepName::Verifying, _) => Step::Verifying,
        (StepName::Ended, Some(OrderResult::Done)) => Step::Done,
        (StepName::Ended, Some(OrderResult::Reverted)) => Step::Reverted(progress.reason),
        (StepName::Ended, Some(OrderResult::Failed) | None) => Step::Failed(progress.reason),
    };
    Progress {
        generation: progress.generation,
        step,
        stop_to_ready_us: progress.stop_to_ready_us,
    }
}
