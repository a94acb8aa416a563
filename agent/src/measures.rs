//! What is measured of the instances, for the coordinator to look at: how fast their probes are answered, how often
//! their processes end by themselves, and what their drivers measure. Kept in memory, and said with each heartbeat.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use evenkeel_common::{
    clock::{self, Timestamp},
    limits::{METRIC_NAME_BYTES_MAX, METRICS_MAX},
    names::InstanceName,
};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use crate::{
    driver::{Answer, Driver, Verb},
    latency::Answers,
};

/// How often a driver is asked what it measures.
const HEALTH_INTERVAL: Duration = Duration::from_secs(10);

/// What was measured of one instance lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// When its process was started, if there is one.
    pub process_started_at: Option<Timestamp>,
    /// For how long its process has been there.
    pub up: Duration,
    /// How many probes were answered well.
    pub probes: usize,
    /// How many were not.
    pub failures: usize,
    /// How long half of the good answers took at most.
    pub latency_p50: Duration,
    /// How long all but a hundredth of them took at most.
    pub latency_p99: Duration,
    /// How often its process ended by itself since its newest order ended, or since the agent started.
    pub restarts: u32,
    /// What its driver measures.
    pub metrics: BTreeMap<String, f64>,
}

#[derive(Debug, Default)]
struct Live {
    started_at: Option<Timestamp>,
    answers: Option<Arc<Answers>>,
    restarts: u32,
    metrics: BTreeMap<String, f64>,
    /// An order is being carried out.
    is_busy: bool,
}

/// What is measured of every instance.
#[derive(Debug, Default)]
pub struct Measures(Mutex<BTreeMap<InstanceName, Live>>);

impl Measures {
    fn change(&self, instance: &InstanceName, change: impl FnOnce(&mut Live)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(instance.clone()).or_default());
    }

    /// The process that runs was started then, and its probes are answered like this.
    pub fn process(
        &self,
        instance: &InstanceName,
        started_at: Option<Timestamp>,
        answers: Option<Arc<Answers>>,
    ) {
        self.change(instance, |live| {
            (live.started_at, live.answers) = (started_at, answers);
        });
    }

    /// Its process has ended by itself.
    pub fn ended(&self, instance: &InstanceName) {
        self.change(instance, |live| {
            live.restarts = live.restarts.saturating_add(1);
        });
    }

    /// An order has ended: what came before it does not count.
    pub fn begin_anew(&self, instance: &InstanceName) {
        self.change(instance, |live| live.restarts = 0);
    }

    /// Whether an order is being carried out on it.
    pub fn busy(&self, instance: &InstanceName, is_busy: bool) {
        self.change(instance, |live| live.is_busy = is_busy);
    }

    fn is_busy(&self, instance: &InstanceName) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(instance).is_some_and(|live| live.is_busy)
    }

    fn metrics(&self, instance: &InstanceName, metrics: BTreeMap<String, f64>) {
        self.change(instance, |live| live.metrics = metrics);
    }

    /// All that was measured lately.
    #[must_use]
    pub fn lately(&self) -> Vec<(InstanceName, Measured)> {
        let now = clock::now();
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let measured = all.iter().map(|(name, live)| {
            let answers = live.answers.as_ref();
            let lately = answers.map(|answers| answers.lately(Instant::now()));
            let lately = lately.unwrap_or_default();
            let measured = Measured {
                process_started_at: live.started_at,
                up: live
                    .started_at
                    .map_or(Duration::ZERO, |started_at| now.since(started_at)),
                probes: lately.good,
                failures: lately.bad,
                latency_p50: lately.p50,
                latency_p99: lately.p99,
                restarts: live.restarts,
                metrics: live.metrics.clone(),
            };
            (name.clone(), measured)
        });
        measured.collect()
    }

    /// Asks a driver now and then what it measures, until the program ends or it turns out not to know. While an order
    /// is being carried out the driver is left to that.
    pub async fn ask(self: Arc<Self>, instance: InstanceName, driver: Arc<Driver>) {
        loop {
            let answer = match self.is_busy(&instance) {
                true => None,
                false => driver.call_in_spare_time(Verb::Health, &Value::Null).await,
            };
            let metrics = match answer {
                Some(Ok(Answer::Unsupported)) => break,
                Some(Ok(Answer::Yes(said))) => figures(&said),
                // What is not known now is not what it was before.
                Some(Ok(Answer::No(_)) | Err(_)) | None => BTreeMap::new(),
            };
            self.metrics(&instance, metrics);
            sleep(HEALTH_INTERVAL).await;
        }
        // It is a part of the agent like the others, which never end.
        std::future::pending().await
    }
}

/// The figures in what a driver said.
fn figures(said: &Map<String, Value>) -> BTreeMap<String, f64> {
    let metrics = said.get("metrics").and_then(Value::as_object);
    let figures = metrics.into_iter().flatten().filter_map(|(name, value)| {
        let value = value.as_f64().filter(|value| value.is_finite())?;
        (name.len() <= METRIC_NAME_BYTES_MAX).then(|| (name.clone(), value))
    });
    figures.take(METRICS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_driver_says_so_many_finite_figures_count() {
        let mut metrics: Map<String, Value> = (0..40)
            .map(|number| (format!("figure{number}"), number.into()))
            .collect();
        metrics.insert("a".repeat(METRIC_NAME_BYTES_MAX + 1), 1.into());
        metrics.insert("a text".to_owned(), "1".into());
        let said = Map::from_iter([("metrics".to_owned(), Value::Object(metrics))]);
        let figures = figures(&said);
        assert_eq!(figures.len(), METRICS_MAX);
        assert!(figures.keys().all(|name| name.starts_with("figure")));
        assert!(super::figures(&Map::new()).is_empty());
    }
}
