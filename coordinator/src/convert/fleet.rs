//! Nodes and instances.

use evenkeel_common::{
    clock::{Timestamp, millis},
    limits::{REASON_BYTES_MAX, cut},
};
use evenkeel_coordinator_core::{
    engine::{breaker, quarantine},
    freeze::Freeze,
    instance::{
        Fence, Finalized, GoneInstance, Health, Instance, Order, Process, Progress, Quarantine,
        Report, Slot, StageState, StagedRelease, Status, Step,
    },
    node::{Liveness, Node},
    plan::PlanId,
    state::State,
};
use evenkeel_proto::{store::v1 as store, v1};
use prost::Message as _;
use std::time::Duration;

use super::{
    Invalid, check_labels,
    compatibility::{fallback_method_to, order_method_from, order_method_to},
    enumerated, labels_to, optional_time, parse,
    release::{reference_from, reference_to},
    required, time_from, time_to, version,
};

/// The largest report of one instance, in bytes.
const REPORT_BYTES_MAX: usize = 64 << 10;

/// The longest digest of a configuration, in bytes: SHA-256 in hexadecimal digits, and room for another kind.
const CONFIGURATION_BYTES_MAX: usize = 128;

/// The most releases that an agent may say it has staged for one instance.
const STAGED_MAX: usize = 16;

/// A node, for the API and the store.
#[must_use]
pub fn node_to_proto(node: &Node) -> v1::Node {
    v1::Node {
        name: node.name.to_string(),
        labels: labels_to(&node.labels),
        platform: node.platform.clone(),
        agent_version: node.agent_version.to_string(),
        liveness: match node.liveness {
            Liveness::Unknown => v1::Liveness::Unknown,
            Liveness::Up => v1::Liveness::Up,
            Liveness::Suspect => v1::Liveness::Suspect,
            Liveness::AgentLost => v1::Liveness::AgentLost,
        }
        .into(),
        fenced: node.fenced.clone().unwrap_or_default(),
        silent_since: node.silent_since.map(time_to),
        changed_at: Some(time_to(node.changed_at)),
        revision: node.revision,
    }
}

pub(super) fn node_from(node: v1::Node) -> Result<Node, Invalid> {
    Ok(Node {
        name: parse("name", &node.name)?,
        labels: node.labels.into_iter().collect(),
        platform: node.platform,
        agent_version: version("agent_version", &node.agent_version)?,
        liveness: match enumerated("liveness", node.liveness)? {
            v1::Liveness::Unspecified | v1::Liveness::Unknown => Liveness::Unknown,
            v1::Liveness::Up => Liveness::Up,
            v1::Liveness::Suspect => Liveness::Suspect,
            v1::Liveness::AgentLost => Liveness::AgentLost,
        },
        fenced: Some(node.fenced).filter(|reason| !reason.is_empty()),
        silent_since: optional_time("silent_since", node.silent_since.as_ref())?,
        changed_at: time_from("changed_at", &node.changed_at.unwrap_or_default())?,
        revision: node.revision,
    })
}

/// The fleet as a whole, as it is at `now`.
#[must_use]
pub fn fleet_to_proto(state: &State, now: Timestamp) -> v1::Fleet {
    let (nodes, nodes_up) = state.nodes_heard();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let down: usize = state
        .components()
        .filter_map(|component| state.members(component))
        .map(|members| members.down().len())
        .sum();
    let instances = count(state.instances().count());
    v1::Fleet {
        nodes,
        nodes_up,
        instances,
        instances_available: instances.saturating_sub(count(down)),
        freeze: state.freeze().map(|freeze| freeze_to_proto(freeze)),
        breaker: breaker::open(state, now).unwrap_or_default(),
        breaker_until: breaker::closes_at(state, now).map(time_to),
        plans_under_way: state
            .plans_under_way()
            .map(|plan| plan.id.to_string())
            .collect(),
    }
}

/// A freeze, for the API and the store.
#[must_use]
pub fn freeze_to_proto(freeze: &Freeze) -> v1::Freeze {
    let lifted = freeze.lifted.as_ref();
    v1::Freeze {
        reason: freeze.reason.clone(),
        frozen_by: freeze.by.clone(),
        frozen_at: Some(time_to(freeze.at)),
        lifted_by: lifted.map_or_else(String::new, |(by, _)| by.clone()),
        lifted_at: lifted.map(|(_, at)| time_to(*at)),
        revision: freeze.revision,
    }
}

pub(super) fn freeze_from(freeze: v1::Freeze) -> Result<Freeze, Invalid> {
    let lifted_at = optional_time("lifted_at", freeze.lifted_at.as_ref())?;
    Ok(Freeze {
        reason: freeze.reason,
        by: freeze.frozen_by,
        at: time_from("frozen_at", &required("frozen_at", freeze.frozen_at)?)?,
        lifted: lifted_at.map(|at| (freeze.lifted_by, at)),
        revision: freeze.revision,
    })
}

/// An instance as everyone may see it.
#[must_use]
pub(super) fn instance_to_proto(instance: &Instance) -> v1::Instance {
    let report = &instance.report;
    v1::Instance {
        name: instance.id.to_string(),
        component: report.component.to_string(),
        labels: labels_to(&instance.labels),
        status: status_to(report.status).into(),
        health: health_to(report.health).into(),
        reason: report.reason.clone(),
        current: report.current.as_ref().map(reference_to),
        process: report.process.as_ref().map(process_to),
        staged: report.staged.iter().map(staged_to).collect(),
        accepted_epoch: report.accepted.epoch,
        accepted_generation: report.accepted.generation,
        progress: report.progress.as_ref().map(progress_to),
        generation: instance.generation(),
        held_by_plan: instance
            .slot
            .as_ref()
            .map(|slot| slot.plan.to_string())
            .unwrap_or_default(),
        changed_at: Some(time_to(instance.changed_at)),
        revision: instance.revision,
        may_rebuild: report.may_rebuild,
        rebuild_obstacle: report.rebuild_obstacle.clone(),
        configuration: report.configuration.clone(),
        can_finalize: report.can_finalize,
        asks_before_stop: report.asks_before_stop,
        finalized: report.finalized.as_ref().map(finalized_to),
        quarantine: instance.quarantine.reason.clone().unwrap_or_default(),
        quarantine_changed_at: (instance.quarantine.word > 0)
            .then(|| time_to(instance.quarantine.since)),
        hold_word: instance.quarantine.word,
        hold_word_heeded: report.hold_word,
        held: report.held,
    }
}

/// An instance as everyone may see it, and what will become of it if it is quarantined.
#[must_use]
pub fn instance_shown(state: &State, instance: &Instance) -> v1::Instance {
    let told = quarantine::told(state, instance, state.at());
    v1::Instance {
        quarantine: told.unwrap_or_default(),
        ..instance_to_proto(instance)
    }
}

pub(super) fn instance_to_store(instance: &Instance) -> store::StoredInstance {
    store::StoredInstance {
        instance: Some(instance_to_proto(instance)),
        order: instance.order.as_ref().map(order_to),
        slot: instance.slot.as_ref().map(|slot| store::Slot {
            plan: slot.plan.to_string(),
            generation: slot.generation,
            taken_at_ms: slot.taken_at.0,
        }),
        own_labels: labels_to(&instance.report.labels),
    }
}

pub(super) fn instance_from_store(stored: store::StoredInstance) -> Result<Instance, Invalid> {
    let instance = required("instance", stored.instance)?;
    let order = stored.order.map(order_from).transpose()?;
    let slot = stored.slot.map(slot_from).transpose()?;
    let since = instance.quarantine_changed_at.unwrap_or_default();
    Ok(Instance {
        quarantine: Quarantine {
            word: instance.hold_word,
            reason: Some(instance.quarantine).filter(|reason| !reason.is_empty()),
            since: time_from("quarantine_changed_at", &since)?,
        },
        id: parse("name", &instance.name)?,
        labels: instance.labels.into_iter().collect(),
        order,
        slot,
        changed_at: time_from("changed_at", &instance.changed_at.unwrap_or_default())?,
        revision: instance.revision,
        report: report_from(v1::InstanceReport {
            name: String::new(),
            component: instance.component,
            labels: stored.own_labels,
            status: instance.status,
            health: instance.health,
            reason: instance.reason,
            current: instance.current,
            process: instance.process,
            staged: instance.staged,
            accepted_epoch: instance.accepted_epoch,
            accepted_generation: instance.accepted_generation,
            progress: instance.progress,
            may_rebuild: instance.may_rebuild,
            rebuild_obstacle: instance.rebuild_obstacle,
            configuration: instance.configuration,
            can_finalize: instance.can_finalize,
            asks_before_stop: instance.asks_before_stop,
            finalized: instance.finalized,
            held: instance.held,
            hold_word: instance.hold_word_heeded,
        })?,
    })
}

pub(super) fn gone_to_store(gone: &GoneInstance) -> store::GoneInstance {
    store::GoneInstance {
        name: gone.id.to_string(),
        order: gone.order.as_ref().map(order_to),
        revision: gone.revision,
    }
}

pub(super) fn gone_from_store(gone: store::GoneInstance) -> Result<GoneInstance, Invalid> {
    Ok(GoneInstance {
        id: parse("instance_gone.name", &gone.name)?,
        order: gone.order.map(order_from).transpose()?,
        revision: gone.revision,
    })
}

fn order_to(order: &Order) -> store::StoredOrder {
    store::StoredOrder {
        generation: order.generation,
        release: Some(reference_to(&order.release)),
        method: order_method_to(order.method).into(),
        fallback: order
            .fallback
            .as_ref()
            .map(|(release, _)| reference_to(release)),
        fallback_method: fallback_method_to(order.fallback.as_ref()).into(),
        ready_within_ms: millis(order.ready_within),
        way_back: order.way_back,
    }
}

fn order_from(order: store::StoredOrder) -> Result<Order, Invalid> {
    Ok(Order {
        generation: order.generation,
        release: reference_from(&required("order.release", order.release)?)?,
        method: order_method_from("order.method", order.method)?,
        fallback: order
            .fallback
            .as_ref()
            .map(|fallback| {
                let method = order_method_from("order.fallback_method", order.fallback_method)?;
                Ok::<_, Invalid>((reference_from(fallback)?, method))
            })
            .transpose()?,
        ready_within: Duration::from_millis(order.ready_within_ms),
        way_back: order.way_back,
    })
}

fn slot_from(slot: store::Slot) -> Result<Slot, Invalid> {
    Ok(Slot {
        plan: parse::<PlanId>("slot.plan", &slot.plan)?,
        generation: slot.generation,
        taken_at: Timestamp(slot.taken_at_ms),
    })
}

/// What an agent reports of an instance, within the limits of what an agent may say; its name is for the
/// caller to read.
pub(super) fn report_within_limits(report: v1::InstanceReport) -> Result<Report, Invalid> {
    let bytes = report.encoded_len();
    if bytes > REPORT_BYTES_MAX {
        return Err(Invalid::new(
            "report",
            format!("has {bytes} bytes, at most {REPORT_BYTES_MAX} are allowed"),
        ));
    }
    check_labels("labels", &report.labels)?;
    if report.staged.len() > STAGED_MAX {
        return Err(Invalid::new(
            "staged",
            format!(
                "has {} releases, at most {STAGED_MAX} are allowed",
                report.staged.len()
            ),
        ));
    }
    report_from(report)
}

/// What an agent has reported of an instance. What was kept once is read for ever, so there are no limits here.
fn report_from(report: v1::InstanceReport) -> Result<Report, Invalid> {
    Ok(Report {
        component: parse("component", &report.component)?,
        labels: report.labels.into_iter().collect(),
        status: match enumerated("status", report.status)? {
            v1::InstanceStatus::Unspecified => return Err(Invalid::new("status", "is missing")),
            v1::InstanceStatus::Running => Status::Running,
            v1::InstanceStatus::Upgrading => Status::Upgrading,
            v1::InstanceStatus::Stopped => Status::Stopped,
            v1::InstanceStatus::Error => Status::Error,
        },
        health: match enumerated("health", report.health)? {
            v1::InstanceHealth::Unspecified => return Err(Invalid::new("health", "is missing")),
            v1::InstanceHealth::Healthy => Health::Healthy,
            v1::InstanceHealth::Warning => Health::Warning,
            v1::InstanceHealth::Error => Health::Error,
        },
        reason: cut(report.reason, REASON_BYTES_MAX),
        current: report.current.as_ref().map(reference_from).transpose()?,
        process: report.process.map(process_from).transpose()?,
        staged: report
            .staged
            .into_iter()
            .map(staged_from)
            .collect::<Result<_, _>>()?,
        accepted: Fence {
            epoch: report.accepted_epoch,
            generation: report.accepted_generation,
        },
        progress: report.progress.map(progress_from).transpose()?,
        may_rebuild: report.may_rebuild,
        rebuild_obstacle: cut(report.rebuild_obstacle, REASON_BYTES_MAX),
        configuration: cut(report.configuration, CONFIGURATION_BYTES_MAX),
        can_finalize: report.can_finalize,
        asks_before_stop: report.asks_before_stop,
        finalized: report.finalized.map(finalized_from),
        held: report.held,
        hold_word: report.hold_word,
    })
}

fn finalized_to(finalized: &Finalized) -> v1::Finalized {
    v1::Finalized {
        id: finalized.id.clone(),
        ok: finalized.outcome.is_ok(),
        reason: finalized.outcome.clone().err().unwrap_or_default(),
    }
}

fn finalized_from(finalized: v1::Finalized) -> Finalized {
    Finalized {
        id: cut(finalized.id, REASON_BYTES_MAX),
        outcome: match finalized.ok {
            true => Ok(()),
            false => Err(cut(finalized.reason, REASON_BYTES_MAX)),
        },
    }
}

fn status_to(status: Status) -> v1::InstanceStatus {
    match status {
        Status::Running => v1::InstanceStatus::Running,
        Status::Upgrading => v1::InstanceStatus::Upgrading,
        Status::Stopped => v1::InstanceStatus::Stopped,
        Status::Error => v1::InstanceStatus::Error,
    }
}

fn health_to(health: Health) -> v1::InstanceHealth {
    match health {
        Health::Healthy => v1::InstanceHealth::Healthy,
        Health::Warning => v1::InstanceHealth::Warning,
        Health::Error => v1::InstanceHealth::Error,
    }
}

fn process_to(process: &Process) -> v1::Process {
    v1::Process {
        pid: process.pid,
        started_at: Some(time_to(process.started_at)),
        release: Some(reference_to(&process.release)),
        configuration: process.configuration.clone(),
    }
}

fn process_from(process: v1::Process) -> Result<Process, Invalid> {
    let release = required("process.release", process.release)?;
    Ok(Process {
        pid: process.pid,
        started_at: time_from(
            "process.started_at",
            &process.started_at.unwrap_or_default(),
        )?,
        release: reference_from(&release).map_err(|error| error.within("process.release"))?,
        configuration: cut(process.configuration, CONFIGURATION_BYTES_MAX),
    })
}

fn staged_to(staged: &StagedRelease) -> v1::StagedRelease {
    let (state, reason) = match &staged.state {
        StageState::Fetching => (v1::StageState::Fetching, String::new()),
        StageState::Waiting => (v1::StageState::Waiting, String::new()),
        StageState::Ready => (v1::StageState::Ready, String::new()),
        StageState::Failed(reason) => (v1::StageState::Failed, reason.clone()),
    };
    v1::StagedRelease {
        release: Some(reference_to(&staged.release)),
        state: state.into(),
        reason,
    }
}

fn staged_from(staged: v1::StagedRelease) -> Result<StagedRelease, Invalid> {
    let release = required("staged.release", staged.release)?;
    Ok(StagedRelease {
        release: reference_from(&release).map_err(|error| error.within("staged.release"))?,
        state: match enumerated("staged.state", staged.state)? {
            v1::StageState::Unspecified => {
                return Err(Invalid::new("staged.state", "is missing"));
            }
            v1::StageState::Fetching => StageState::Fetching,
            v1::StageState::Waiting => StageState::Waiting,
            v1::StageState::Ready => StageState::Ready,
            v1::StageState::Failed => StageState::Failed(cut(staged.reason, REASON_BYTES_MAX)),
        },
    })
}

fn progress_to(progress: &Progress) -> v1::OrderProgress {
    use v1::{OrderResult, OrderStep};
    let (step, result, reason) = match &progress.step {
        Step::Draining => (OrderStep::Draining, OrderResult::Unspecified, ""),
        Step::Asking => (OrderStep::Asking, OrderResult::Unspecified, ""),
        Step::Quiescing => (OrderStep::Quiescing, OrderResult::Unspecified, ""),
        Step::Stopping => (OrderStep::Stopping, OrderResult::Unspecified, ""),
        Step::Emptying => (OrderStep::Emptying, OrderResult::Unspecified, ""),
        Step::Swapping => (OrderStep::Swapping, OrderResult::Unspecified, ""),
        Step::Starting => (OrderStep::Starting, OrderResult::Unspecified, ""),
        Step::Verifying => (OrderStep::Verifying, OrderResult::Unspecified, ""),
        Step::Recovering => (OrderStep::Recovering, OrderResult::Unspecified, ""),
        Step::Done => (OrderStep::Ended, OrderResult::Done, ""),
        Step::Reverted(reason) => (OrderStep::Ended, OrderResult::Reverted, reason.as_str()),
        Step::Failed(reason) => (OrderStep::Ended, OrderResult::Failed, reason.as_str()),
        Step::Declined(reason) => (OrderStep::Ended, OrderResult::Declined, reason.as_str()),
    };
    v1::OrderProgress {
        generation: progress.generation,
        step: step.into(),
        result: result.into(),
        reason: reason.to_owned(),
        stop_to_ready_us: progress.stop_to_ready_us,
    }
}

fn progress_from(progress: v1::OrderProgress) -> Result<Progress, Invalid> {
    use v1::{OrderResult, OrderStep};
    let reason = cut(progress.reason, REASON_BYTES_MAX);
    let result = enumerated("progress.result", progress.result)?;
    let step = match (enumerated("progress.step", progress.step)?, result) {
        (OrderStep::Draining, _) => Step::Draining,
        (OrderStep::Asking, _) => Step::Asking,
        (OrderStep::Quiescing, _) => Step::Quiescing,
        (OrderStep::Stopping, _) => Step::Stopping,
        (OrderStep::Emptying, _) => Step::Emptying,
        (OrderStep::Swapping, _) => Step::Swapping,
        (OrderStep::Starting, _) => Step::Starting,
        (OrderStep::Verifying, _) => Step::Verifying,
        (OrderStep::Recovering, _) => Step::Recovering,
        (OrderStep::Ended, OrderResult::Done) => Step::Done,
        (OrderStep::Ended, OrderResult::Reverted) => Step::Reverted(reason),
        (OrderStep::Ended, OrderResult::Failed) => Step::Failed(reason),
        (OrderStep::Ended, OrderResult::Declined) => Step::Declined(reason),
        (OrderStep::Ended, OrderResult::Unspecified) => {
            return Err(Invalid::new("progress.result", "is missing"));
        }
        (OrderStep::Unspecified, _) => return Err(Invalid::new("progress.step", "is missing")),
    };
    Ok(Progress {
        generation: progress.generation,
        step,
        stop_to_ready_us: progress.stop_to_ready_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_again_however_many_labels_node_and_instance_make_together() {
        let label = |index: usize| (format!("l{index}"), "x".to_owned());
        let report = v1::InstanceReport {
            name: "store".to_owned(),
            component: "store".to_owned(),
            status: v1::InstanceStatus::Running.into(),
            health: v1::InstanceHealth::Healthy.into(),
            labels: (0..64).map(label).collect(),
            held: true,
            hold_word: 6,
            ..Default::default()
        };
        let instance = Instance {
            id: "n1/store".parse().unwrap(),
            labels: (0..128).map(label).collect(),
            report: report_within_limits(report.clone()).unwrap(),
            order: None,
            slot: None,
            quarantine: Quarantine {
                word: 7,
                reason: Some("store 1.0.0 may not run beside gate 2.0.0".to_owned()),
                since: Timestamp(3),
            },
            changed_at: Timestamp(1),
            revision: 1,
        };
        let again = instance_from_store(instance_to_store(&instance)).unwrap();
        assert_eq!(again, instance);

        let too_many = v1::InstanceReport {
            labels: (0..65).map(label).collect(),
            ..report.clone()
        };
        assert!(report_within_limits(too_many).is_err());
        let too_large = v1::InstanceReport {
            reason: "x".repeat(REPORT_BYTES_MAX),
            ..report
        };
        assert!(report_within_limits(too_large).is_err());
    }
}
