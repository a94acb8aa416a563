//! Between the words of the API and those of the agent. Messages stop here.

use std::time::Duration;

use evenkeel_agent_core::{
    Fallback, Finality, Finalized, Hold, Method, Order, OrderResult, Progress, Release, Status,
    StepName,
};
use evenkeel_common::{
    clock::Timestamp,
    limits::{REASON_BYTES_MAX, cut},
    manifest::{ReleaseManifest, SignedManifest, VERSION_CHARS_MAX},
    names::InstanceName,
};
use evenkeel_proto::v1;

use crate::{
    instance::{DatedOrder, Desired},
    measures::Measured,
    probes::Health,
    releases::{Stage, Staged},
    report::{InstanceFacts, ProcessFacts},
    vitals::{DataFolder, Host, Vitals},
};

/// The longest list of releases to have at hand that is listened to.
const PREFETCH_MAX: usize = 16;

/// What a coordinator said of an instance.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) name: InstanceName,
    pub(super) desired: Desired,
    pub(super) manifests: Vec<SignedManifest>,
}

/// What a desired instance means.
///
/// # Errors
/// Says what is wrong with it; it is not listened to then.
pub(super) fn hear(
    epoch: u64,
    answers_clock_ms: u64,
    instance: v1::DesiredInstance,
) -> Result<Heard, String> {
    let name = instance
        .name
        .parse::<InstanceName>()
        .map_err(|error| error.to_string())?;
    if instance.prefetch.len() > PREFETCH_MAX {
        return Err(format!(
            "{name} is to have more than {PREFETCH_MAX} releases at hand"
        ));
    }
    let manifests: Vec<SignedManifest> = instance
        .prefetch
        .into_iter()
        .map(|signed| {
            let key_id = signed
                .key_id
                .parse()
                .map_err(|error| format!("{name}: {error}"))?;
            Ok(SignedManifest {
                manifest: signed.manifest,
                key_id,
                signature: signed.signature,
            })
        })
        .collect::<Result<_, String>>()?;
    let prefetch = manifests
        .iter()
        .filter_map(|signed| ReleaseManifest::decode(&signed.manifest).ok())
        .map(|manifest| Release {
            version: manifest.version,
            digest: manifest.sha256,
        })
        .collect();
    let order = instance
        .order
        .map(|order| hear_order(order, answers_clock_ms))
        .transpose()
        .map_err(|reason| format!("the order for {name} cannot be understood: {reason}"))?;
    let finalize = instance
        .finalize
        .map(|finalize| hear_finality(finalize, answers_clock_ms))
        .transpose()
        .map_err(|reason| format!("what is final of {name} cannot be understood: {reason}"))?;
    Ok(Heard {
        name,
        desired: Desired {
            epoch,
            order,
            prefetch,
            finalize,
            hold: Hold {
                word: instance.hold_word,
                reason: Some(cut(instance.hold, REASON_BYTES_MAX)).filter(|hold| !hold.is_empty()),
            },
        },
        manifests,
    })
}

fn hear_order(order: v1::Order, answers_clock_ms: u64) -> Result<DatedOrder, String> {
    if order.generation == 0 || order.ready_within_ms == 0 {
        return Err("it has no generation or no time".to_owned());
    }
    let (method, fallback_method) = (order.method(), order.fallback_method());
    let fallback = order
        .fallback
        .map(|fallback| {
            Ok::<_, String>(Fallback {
                release: hear_release(fallback)?,
                method: hear_method(fallback_method)?,
            })
        })
        .transpose()?;
    Ok(DatedOrder {
        order: Order {
            generation: order.generation,
            release: hear_release(order.release.ok_or("it names no release")?)?,
            method: hear_method(method)?,
            fallback,
            ready_within_ms: order.ready_within_ms.into(),
            way_back: order.way_back,
        },
        answers_clock_ms,
        begin_within_ms: order.begin_within_ms.into(),
    })
}

fn hear_finality(finalize: v1::Finalize, answers_clock_ms: u64) -> Result<Finality, String> {
    Ok(Finality {
        id: cut(finalize.id, REASON_BYTES_MAX),
        generation: finalize.generation,
        release: hear_release(finalize.release.ok_or("it names no release")?)?,
        answers_clock_ms,
        begin_within_ms: finalize.begin_within_ms.into(),
    })
}

/// How to come to a release that is named.
fn hear_method(method: v1::OrderMethod) -> Result<Method, String> {
    match method {
        v1::OrderMethod::InPlace => Ok(Method::InPlace),
        v1::OrderMethod::Rebuild => Ok(Method::Rebuild),
        v1::OrderMethod::Unspecified => Err(
            "it does not say how to come to a release, or in a way that is not known".to_owned(),
        ),
    }
}

fn hear_release(release: v1::ReleaseRef) -> Result<Release, String> {
    if release.version.len() > VERSION_CHARS_MAX {
        return Err(format!(
            "a version is longer than {VERSION_CHARS_MAX} characters"
        ));
    }
    Ok(Release {
        version: release
            .version
            .parse()
            .map_err(|error| format!("{:?} is no version: {error}", release.version))?,
        digest: release
            .digest
            .parse()
            .map_err(|error| format!("{:?}: {error}", release.digest))?,
    })
}

/// What is true of an instance, to say.
pub(super) fn say(name: &InstanceName, facts: InstanceFacts) -> v1::InstanceReport {
    v1::InstanceReport {
        name: name.to_string(),
        component: facts.component.to_string(),
        labels: facts.labels.into_iter().collect(),
        status: say_status(facts.status).into(),
        health: say_health(facts.health).into(),
        reason: facts.reason,
        current: facts.current.as_ref().map(say_release),
        process: facts.process.as_ref().map(say_process),
        staged: facts.staged.into_iter().map(say_staged).collect(),
        accepted_epoch: facts.accepted_epoch,
        accepted_generation: facts.accepted_generation,
        progress: facts.progress.map(say_progress),
        may_rebuild: facts.leave.is_given,
        rebuild_obstacle: cut(facts.leave.obstacle, REASON_BYTES_MAX),
        configuration: facts.configuration.to_string(),
        can_finalize: facts.can_finalize,
        asks_before_stop: facts.asks_before_stop,
        finalized: facts.finalized.map(say_finalized),
        held: facts.held,
        hold_word: facts.hold_word,
    }
}

/// What was measured of an instance, to say.
pub(super) fn say_measured(name: &InstanceName, measured: Measured) -> v1::InstanceMeasures {
    let micros = |latency: Duration| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
    v1::InstanceMeasures {
        name: name.to_string(),
        up_ms: u64::try_from(measured.up.as_millis()).unwrap_or(u64::MAX),
        probes: count(measured.probes),
        probe_failures: count(measured.failures),
        latency_p50_us: micros(measured.latency_p50),
        latency_p99_us: micros(measured.latency_p99),
        restarts: measured.restarts,
        metrics: measured.metrics.into_iter().collect(),
        process_started_at: measured.process_started_at.map(say_time),
    }
}

/// How the host is, to say.
pub(super) fn say_vitals(vitals: Vitals) -> v1::NodeVitals {
    v1::NodeVitals {
        host: vitals.host.map(say_host),
        folders: vitals.folders.into_iter().map(say_folder).collect(),
    }
}

fn say_host(host: Host) -> v1::HostVitals {
    v1::HostVitals {
        processors: host.processors,
        busy_permille: host.busy_permille,
        io_wait_permille: host.io_wait_permille,
        load_centi: host.load_centi,
        memory_bytes: host.memory_bytes,
        memory_available_bytes: host.memory_available_bytes,
        received_bytes_per_s: host.received_bytes_per_s,
        sent_bytes_per_s: host.sent_bytes_per_s,
        network_errors: host.network_errors,
    }
}

fn say_folder(folder: DataFolder) -> v1::DataFolderVitals {
    let DataFolder {
        instance,
        index,
        seen,
        trouble,
    } = folder;
    v1::DataFolderVitals {
        instance: instance.to_string(),
        index,
        device: seen.device,
        bytes: seen.bytes,
        available_bytes: seen.available_bytes,
        inodes: seen.inodes,
        available_inodes: seen.available_inodes,
        read_only: seen.read_only,
        io_errors: seen.io_errors,
        file_system_errors: seen.file_system_errors,
        check_us: seen.check_us,
        trouble,
    }
}

fn say_finalized(finalized: Finalized) -> v1::Finalized {
    let reason = finalized.outcome.err();
    v1::Finalized {
        id: finalized.id,
        ok: reason.is_none(),
        reason: reason.map_or_else(String::new, |reason| cut(reason, REASON_BYTES_MAX)),
    }
}

fn say_status(status: Status) -> v1::InstanceStatus {
    match status {
        Status::Running => v1::InstanceStatus::Running,
        Status::Upgrading => v1::InstanceStatus::Upgrading,
        Status::Stopped => v1::InstanceStatus::Stopped,
        Status::Error => v1::InstanceStatus::Error,
    }
}

fn say_health(health: Health) -> v1::InstanceHealth {
    match health {
        Health::Healthy => v1::InstanceHealth::Healthy,
        Health::Warning => v1::InstanceHealth::Warning,
        Health::Error => v1::InstanceHealth::Error,
    }
}

fn say_release(release: &Release) -> v1::ReleaseRef {
    v1::ReleaseRef {
        version: release.version.to_string(),
        digest: release.digest.to_string(),
    }
}

fn say_time(Timestamp(ms): Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1000 * 1_000_000).unwrap_or(0),
    }
}

fn say_process(process: &ProcessFacts) -> v1::Process {
    v1::Process {
        pid: process.pid,
        started_at: Some(say_time(process.started_at)),
        release: Some(say_release(&process.release)),
        configuration: process
            .configuration
            .map_or_else(String::new, |digest| digest.to_string()),
    }
}

fn say_staged(staged: Staged) -> v1::StagedRelease {
    let state = match staged.stage {
        Stage::Fetching => v1::StageState::Fetching,
        Stage::Waiting => v1::StageState::Waiting,
        Stage::Ready => v1::StageState::Ready,
        Stage::Failed => v1::StageState::Failed,
    };
    v1::StagedRelease {
        release: Some(say_release(&staged.release)),
        state: state.into(),
        reason: staged.reason,
    }
}

fn say_progress(progress: Progress) -> v1::OrderProgress {
    let step = match progress.step {
        StepName::Draining => v1::OrderStep::Draining,
        StepName::Asking => v1::OrderStep::Asking,
        StepName::Quiescing => v1::OrderStep::Quiescing,
        StepName::Stopping => v1::OrderStep::Stopping,
        StepName::Emptying => v1::OrderStep::Emptying,
        StepName::Swapping => v1::OrderStep::Swapping,
        StepName::Starting => v1::OrderStep::Starting,
        StepName::Verifying => v1::OrderStep::Verifying,
        StepName::Recovering => v1::OrderStep::Recovering,
        StepName::Ended => v1::OrderStep::Ended,
    };
    let result = match progress.result {
        None => v1::OrderResult::Unspecified,
        Some(OrderResult::Done) => v1::OrderResult::Done,
        Some(OrderResult::Reverted) => v1::OrderResult::Reverted,
        Some(OrderResult::Failed) => v1::OrderResult::Failed,
        Some(OrderResult::Declined) => v1::OrderResult::Declined,
    };
    v1::OrderProgress {
        generation: progress.generation,
        step: step.into(),
        result: result.into(),
        reason: progress.reason,
        stop_to_ready_us: progress.stop_to_ready_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> v1::Order {
        let release = |version: &str| v1::ReleaseRef {
            version: version.to_owned(),
            digest: "ab".repeat(32),
        };
        v1::Order {
            generation: 1,
            release: Some(release("1.1.0")),
            fallback: Some(release("1.0.0")),
            begin_within_ms: 30_000,
            ready_within_ms: 1_000,
            method: v1::OrderMethod::InPlace.into(),
            fallback_method: v1::OrderMethod::InPlace.into(),
            way_back: false,
        }
    }

    fn check(change: impl FnOnce(&mut v1::Order)) -> Result<Heard, String> {
        let mut order = order();
        change(&mut order);
        hear(
            1,
            2,
            v1::DesiredInstance {
                name: "a".to_owned(),
                prefetch: Vec::new(),
                order: Some(order),
                finalize: None,
                hold: String::new(),
                hold_word: 0,
            },
        )
    }

    #[test]
    fn an_order_is_understood() {
        let order = check(|_| {}).unwrap().desired.order.unwrap();
        assert_eq!(order.order.release.version, semver::Version::new(1, 1, 0));
        assert_eq!(order.answers_clock_ms, 2);
        assert_eq!(order.order.method, Method::InPlace);
        let rebuild = check(|order| {
            order.method = v1::OrderMethod::Rebuild.into();
            order.fallback = None;
            order.fallback_method = 0;
        });
        let order = rebuild.unwrap().desired.order.unwrap().order;
        assert_eq!((order.method, order.fallback), (Method::Rebuild, None));
    }

    #[test]
    fn an_order_without_sense_is_not_listened_to() {
        assert!(check(|order| order.generation = 0).is_err());
        assert!(check(|order| order.release = None).is_err());
        assert!(check(|order| order.ready_within_ms = 0).is_err());
        assert!(check(|order| order.method = 0).is_err());
        assert!(check(|order| order.method = 7).is_err());
        assert!(check(|order| order.fallback_method = 0).is_err());
        assert!(check(|order| order.fallback_method = 7).is_err());
        let with_release = |order: &mut v1::Order, version: &str, digest: &str| {
            order.release = Some(v1::ReleaseRef {
                version: version.to_owned(),
                digest: digest.to_owned(),
            });
        };
        assert!(check(|order| with_release(order, "1.1", &"ab".repeat(32))).is_err());
        assert!(check(|order| with_release(order, "../1.1.0", &"ab".repeat(32))).is_err());
        assert!(check(|order| with_release(order, "1.1.0", "../../etc")).is_err());
        assert!(
            hear(
                1,
                2,
                v1::DesiredInstance {
                    name: "../a".to_owned(),
                    ..Default::default()
                }
            )
            .is_err()
        );
    }
}
