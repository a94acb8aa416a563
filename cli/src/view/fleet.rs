//! Nodes and instances.

use std::collections::BTreeMap;

use evenkeel_proto::v1;
use serde::Serialize;

use super::word;
use crate::time::rfc3339;

/// A storage host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) platform: String,
    pub(crate) agent_version: String,
    pub(crate) liveness: String,
    pub(crate) fenced: String,
    pub(crate) silent_since: Option<String>,
    pub(crate) changed_at: Option<String>,
    pub(crate) revision: u64,
}

impl From<v1::Node> for Node {
    fn from(node: v1::Node) -> Self {
        Self {
            liveness: word!(v1::Liveness, "LIVENESS_", node.liveness),
            name: node.name,
            labels: node.labels.into_iter().collect(),
            platform: node.platform,
            agent_version: node.agent_version,
            fenced: node.fenced,
            silent_since: rfc3339(node.silent_since),
            changed_at: rfc3339(node.changed_at),
            revision: node.revision,
        }
    }
}

/// A person's word that nothing new starts anywhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Freeze {
    pub(crate) reason: String,
    pub(crate) frozen_by: String,
    pub(crate) frozen_at: Option<String>,
    pub(crate) lifted_by: String,
    pub(crate) lifted_at: Option<String>,
    pub(crate) revision: u64,
}

impl From<v1::Freeze> for Freeze {
    fn from(freeze: v1::Freeze) -> Self {
        Self {
            reason: freeze.reason,
            frozen_by: freeze.frozen_by,
            frozen_at: rfc3339(freeze.frozen_at),
            lifted_by: freeze.lifted_by,
            lifted_at: rfc3339(freeze.lifted_at),
            revision: freeze.revision,
        }
    }
}

/// The fleet as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Fleet {
    pub(crate) nodes: u32,
    pub(crate) nodes_up: u32,
    pub(crate) instances: u32,
    pub(crate) instances_available: u32,
    /// Whether it is in force, which the newest one need not be.
    pub(crate) frozen: bool,
    pub(crate) freeze: Option<Freeze>,
    pub(crate) breaker: String,
    pub(crate) breaker_until: Option<String>,
    pub(crate) plans_under_way: Vec<String>,
}

impl From<v1::Fleet> for Fleet {
    fn from(fleet: v1::Fleet) -> Self {
        Self {
            nodes: fleet.nodes,
            nodes_up: fleet.nodes_up,
            instances: fleet.instances,
            instances_available: fleet.instances_available,
            frozen: fleet
                .freeze
                .as_ref()
                .is_some_and(|freeze| freeze.lifted_at.is_none()),
            freeze: fleet.freeze.map(Into::into),
            breaker: fleet.breaker,
            breaker_until: rfc3339(fleet.breaker_until),
            plans_under_way: fleet.plans_under_way,
        }
    }
}

/// A version and its bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ReleaseRef {
    pub(crate) version: String,
    pub(crate) digest: String,
}

impl From<v1::ReleaseRef> for ReleaseRef {
    fn from(release: v1::ReleaseRef) -> Self {
        Self {
            version: release.version,
            digest: release.digest,
        }
    }
}

/// A running process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) started_at: Option<String>,
    pub(crate) release: Option<ReleaseRef>,
    pub(crate) configuration: String,
}

impl From<v1::Process> for Process {
    fn from(process: v1::Process) -> Self {
        Self {
            pid: process.pid,
            started_at: rfc3339(process.started_at),
            release: process.release.map(Into::into),
            configuration: process.configuration,
        }
    }
}

/// What came of telling a storage system that its version is final.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Finalized {
    pub(crate) id: String,
    pub(crate) ok: bool,
    pub(crate) reason: String,
}

impl From<v1::Finalized> for Finalized {
    fn from(finalized: v1::Finalized) -> Self {
        Self {
            id: finalized.id,
            ok: finalized.ok,
            reason: finalized.reason,
        }
    }
}

/// A release beside the current one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StagedRelease {
    pub(crate) release: Option<ReleaseRef>,
    pub(crate) state: String,
    pub(crate) reason: String,
}

impl From<v1::StagedRelease> for StagedRelease {
    fn from(staged: v1::StagedRelease) -> Self {
        Self {
            state: word!(v1::StageState, "STAGE_STATE_", staged.state),
            release: staged.release.map(Into::into),
            reason: staged.reason,
        }
    }
}

/// How far an agent is with an order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct OrderProgress {
    pub(crate) generation: u64,
    pub(crate) step: String,
    pub(crate) result: String,
    pub(crate) reason: String,
    pub(crate) stop_to_ready_us: u64,
}

impl From<v1::OrderProgress> for OrderProgress {
    fn from(progress: v1::OrderProgress) -> Self {
        Self {
            step: word!(v1::OrderStep, "ORDER_STEP_", progress.step),
            result: word!(v1::OrderResult, "ORDER_RESULT_", progress.result),
            generation: progress.generation,
            reason: progress.reason,
            stop_to_ready_us: progress.stop_to_ready_us,
        }
    }
}

/// What an agent measured of an instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Measures {
    /// How long ago that was heard.
    pub(crate) age_ms: u64,
    pub(crate) up_ms: u64,
    pub(crate) probes: u32,
    pub(crate) probe_failures: u32,
    pub(crate) latency_p50_us: u64,
    pub(crate) latency_p99_us: u64,
    pub(crate) restarts: u32,
    pub(crate) metrics: BTreeMap<String, f64>,
}

impl Measures {
    /// What was measured, and heard this long ago.
    pub(crate) fn new(measures: v1::InstanceMeasures, age: Option<prost_types::Duration>) -> Self {
        let age = age.and_then(|age| std::time::Duration::try_from(age).ok());
        let age_ms = age.unwrap_or_default().as_millis();
        Self {
            age_ms: u64::try_from(age_ms).unwrap_or(u64::MAX),
            up_ms: measures.up_ms,
            probes: measures.probes,
            probe_failures: measures.probe_failures,
            latency_p50_us: measures.latency_p50_us,
            latency_p99_us: measures.latency_p99_us,
            restarts: measures.restarts,
            metrics: measures.metrics.into_iter().collect(),
        }
    }
}

/// A storage process on a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) component: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) status: String,
    pub(crate) health: String,
    pub(crate) reason: String,
    pub(crate) current: Option<ReleaseRef>,
    pub(crate) process: Option<Process>,
    pub(crate) staged: Vec<StagedRelease>,
    pub(crate) accepted_epoch: u64,
    pub(crate) accepted_generation: u64,
    pub(crate) progress: Option<OrderProgress>,
    pub(crate) generation: u64,
    pub(crate) held_by_plan: String,
    pub(crate) changed_at: Option<String>,
    pub(crate) revision: u64,
    pub(crate) may_rebuild: bool,
    pub(crate) rebuild_obstacle: String,
    pub(crate) configuration: String,
    pub(crate) can_finalize: bool,
    pub(crate) asks_before_stop: bool,
    pub(crate) finalized: Option<Finalized>,
    pub(crate) quarantine: String,
    pub(crate) quarantine_changed_at: Option<String>,
    pub(crate) held: bool,
    /// Only where one instance is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) measures: Option<Measures>,
}

impl From<v1::Instance> for Instance {
    fn from(instance: v1::Instance) -> Self {
        Self {
            status: word!(v1::InstanceStatus, "INSTANCE_STATUS_", instance.status),
            health: word!(v1::InstanceHealth, "INSTANCE_HEALTH_", instance.health),
            name: instance.name,
            component: instance.component,
            labels: instance.labels.into_iter().collect(),
            reason: instance.reason,
            current: instance.current.map(Into::into),
            process: instance.process.map(Into::into),
            staged: instance.staged.into_iter().map(Into::into).collect(),
            accepted_epoch: instance.accepted_epoch,
            accepted_generation: instance.accepted_generation,
            progress: instance.progress.map(Into::into),
            generation: instance.generation,
            held_by_plan: instance.held_by_plan,
            changed_at: rfc3339(instance.changed_at),
            revision: instance.revision,
            may_rebuild: instance.may_rebuild,
            rebuild_obstacle: instance.rebuild_obstacle,
            configuration: instance.configuration,
            can_finalize: instance.can_finalize,
            asks_before_stop: instance.asks_before_stop,
            finalized: instance.finalized.map(Into::into),
            quarantine: instance.quarantine,
            quarantine_changed_at: rfc3339(instance.quarantine_changed_at),
            held: instance.held,
            measures: None,
        }
    }
}

impl Instance {
    /// The version of its current release; empty where there is none.
    pub(crate) fn version(&self) -> &str {
        self.current
            .as_ref()
            .map_or("", |release| release.version.as_str())
    }
}
