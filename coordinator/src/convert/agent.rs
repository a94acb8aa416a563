//! What agents say and hear.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use evenkeel_common::{
    clock::{Timestamp, millis},
    limits::{INSTANCES_PER_NODE_MAX, METRIC_NAME_BYTES_MAX, METRICS_MAX},
    names::InstanceName,
};
use evenkeel_coordinator_core::{
    desired::DesiredInstance, engine::timers::BEGIN_WITHIN, instance::Report, measures::Measure,
    reports::Hello,
};
use evenkeel_proto::v1;

use super::{
    Invalid, check_labels,
    compatibility::{fallback_method_to, order_method_to},
    duration_to,
    fleet::report_within_limits,
    optional_time, parse,
    release::{reference_to, signed_manifest_to},
    time_to, version,
};

/// The longest name of a platform, in bytes.
const PLATFORM_BYTES_MAX: usize = 64;

/// The first word of a session.
///
/// # Errors
/// Names the field at fault.
pub fn hello_from_proto(hello: v1::Hello) -> Result<Hello, Invalid> {
    if hello.platform.is_empty() || hello.platform.len() > PLATFORM_BYTES_MAX {
        return Err(Invalid::new("hello.platform", "is missing or too long"));
    }
    check_labels("hello.labels", &hello.labels)?;
    Ok(Hello {
        agent_version: version("hello.agent_version", &hello.agent_version)?,
        platform: hello.platform,
        labels: hello.labels.into_iter().collect(),
        instances: reports_from_proto(hello.instances)?,
    })
}

/// What is true of some instances of a node.
///
/// # Errors
/// Names the field at fault.
pub fn reports_from_proto(
    reports: Vec<v1::InstanceReport>,
) -> Result<BTreeMap<InstanceName, Report>, Invalid> {
    if reports.len() > INSTANCES_PER_NODE_MAX {
        return Err(Invalid::new(
            "instances",
            format!(
                "has {} entries, a node may have {INSTANCES_PER_NODE_MAX}",
                reports.len()
            ),
        ));
    }
    let mut read = BTreeMap::new();
    for report in reports {
        let name: InstanceName = parse("instances.name", &report.name)?;
        let report = report_within_limits(report)
            .map_err(|error| error.within(&format!("instances[{name}]")))?;
        if read.insert(name.clone(), report).is_some() {
            return Err(Invalid::new(
                "instances.name",
                format!("{name} is there twice"),
            ));
        }
    }
    Ok(read)
}

/// What was measured of some instances of a node; when it was heard is for whoever takes it in to say.
///
/// # Errors
/// Names the field at fault.
pub fn measures_from_proto(
    measures: Vec<v1::InstanceMeasures>,
) -> Result<Vec<(InstanceName, Measure)>, Invalid> {
    if measures.len() > INSTANCES_PER_NODE_MAX {
        return Err(Invalid::new(
            "measures",
            format!(
                "has {} entries, a node may have {INSTANCES_PER_NODE_MAX} instances",
                measures.len()
            ),
        ));
    }
    let read = measures.into_iter().map(|measured| {
        let name: InstanceName = parse("measures.name", &measured.name)?;
        let metrics = metrics_within_limits(measured.metrics)
            .map_err(|error| error.within(&format!("measures[{name}]")))?;
        let measure = Measure {
            at: Timestamp::default(),
            process_started_at: optional_time(
                "measures.process_started_at",
                measured.process_started_at.as_ref(),
            )?,
            up: Duration::from_millis(measured.up_ms),
            probes: measured.probes,
            failures: measured.probe_failures,
            latency_p50: Duration::from_micros(measured.latency_p50_us),
            latency_p99: Duration::from_micros(measured.latency_p99_us),
            restarts: measured.restarts,
            metrics,
        };
        Ok((name, measure))
    });
    read.collect()
}

/// How long ago something was.
#[must_use]
pub fn age_to_proto(age: Duration) -> prost_types::Duration {
    duration_to(age)
}

/// What an agent measured of an instance.
#[must_use]
pub fn measure_to_proto(name: &InstanceName, measure: &Measure) -> v1::InstanceMeasures {
    let micros = |latency: Duration| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    v1::InstanceMeasures {
        name: name.to_string(),
        up_ms: millis(measure.up),
        probes: measure.probes,
        probe_failures: measure.failures,
        latency_p50_us: micros(measure.latency_p50),
        latency_p99_us: micros(measure.latency_p99),
        restarts: measure.restarts,
        metrics: measure.metrics.clone().into_iter().collect(),
        process_started_at: measure.process_started_at.map(time_to),
    }
}

fn metrics_within_limits(metrics: HashMap<String, f64>) -> Result<BTreeMap<String, f64>, Invalid> {
    if metrics.len() > METRICS_MAX {
        return Err(Invalid::new(
            "metrics",
            format!(
                "has {} entries, at most {METRICS_MAX} are allowed",
                metrics.len()
            ),
        ));
    }
    if let Some(name) = metrics
        .keys()
        .find(|name| name.len() > METRIC_NAME_BYTES_MAX)
    {
        return Err(Invalid::new(
            "metrics",
            format!("{name:?} is longer than the {METRIC_NAME_BYTES_MAX} bytes allowed"),
        ));
    }
    if let Some((name, _)) = metrics.iter().find(|(_, value)| !value.is_finite()) {
        return Err(Invalid::new(
            "metrics",
            format!("{name} is not a finite number"),
        ));
    }
    Ok(metrics.into_iter().collect())
}

/// What ought to be, for one instance.
#[must_use]
pub fn desired_to_proto(desired: &DesiredInstance) -> v1::DesiredInstance {
    let milliseconds = |duration| u32::try_from(millis(duration)).unwrap_or(u32::MAX);
    v1::DesiredInstance {
        name: desired.name.to_string(),
        prefetch: desired.prefetch.iter().map(signed_manifest_to).collect(),
        order: desired.order.as_ref().map(|order| v1::Order {
            generation: order.generation,
            release: Some(reference_to(&order.release)),
            method: order_method_to(order.method).into(),
            fallback: order
                .fallback
                .as_ref()
                .map(|(release, _)| reference_to(release)),
            fallback_method: fallback_method_to(order.fallback.as_ref()).into(),
            begin_within_ms: milliseconds(BEGIN_WITHIN),
            ready_within_ms: milliseconds(order.ready_within),
            way_back: order.way_back,
        }),
        finalize: desired.finalize.as_ref().map(|finality| v1::Finalize {
            id: finality.id.clone(),
            generation: finality.generation,
            release: Some(reference_to(&finality.release)),
            begin_within_ms: milliseconds(BEGIN_WITHIN),
        }),
        hold: desired.quarantine.reason.clone().unwrap_or_default(),
        hold_word: desired.quarantine.word,
    }
}
