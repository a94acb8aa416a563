//! What agents measure of their instances: seen, not decided. It is in no ledger, a coordinator that starts knows none
//! of it, and an agent says it anew with every heartbeat.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use evenkeel_words::{names::InstanceId, timestamp::Timestamp};
use imbl::OrdMap;

/// What was measured of one instance lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// When it was heard.
    pub at: Timestamp,
    /// When its process was started, by its host's clock; none if its agent does not say.
    pub process_started_at: Option<Timestamp>,
    /// For how long its process has been there.
    pub up: Duration,
    /// How many times a probe of that process was answered well within the last five minutes.
    pub probes: u32,
    /// How many times a probe of it failed within the last five minutes.
    pub failures: u32,
    /// How long half of those answers took at most.
    pub latency_p50: Duration,
    /// How long all but a hundredth of them took at most.
    pub latency_p99: Duration,
    /// How often the process ended by itself, since the newest order ended or the agent started.
    pub restarts: u32,
    /// What its driver measures, by name.
    pub metrics: BTreeMap<String, f64>,
}

/// The newest measure of each instance.
#[derive(Debug, Clone, Default)]
pub struct Measures(OrdMap<InstanceId, Arc<Measure>>);

/// What is merely seen does not make two states different: it is not kept, and not brought back.
impl PartialEq for Measures {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Measures {}

impl Measures {
    /// The newest measure of an instance, if any was heard since the coordinator started.
    #[must_use]
    pub fn of(&self, id: &InstanceId) -> Option<&Arc<Measure>> {
        self.0.get(id)
    }

    pub(crate) fn put(&mut self, id: InstanceId, measure: Measure) {
        self.0.insert(id, Arc::new(measure));
    }

    pub(crate) fn forget(&mut self, id: &InstanceId) {
        self.0.remove(id);
    }
}
