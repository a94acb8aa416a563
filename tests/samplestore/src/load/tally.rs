//! Counting what the workload sees.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::latencies::Latencies;

/// How many complaints are kept in words; all are counted.
const COMPLAINTS_MAX: usize = 8;

/// What a workload has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Acknowledged writes.
    pub writes: u64,
    /// Answered reads.
    pub reads: u64,
    /// Requests that no node served within the client's deadline.
    pub failed: u64,
    /// Keys whose last acknowledged write was not there when everything was read back.
    pub lost: u64,
    /// Answers that nothing written can explain, and answers older than what was acknowledged before.
    pub wrong: u64,
    /// The longest time in which no request succeeded, counted from the start.
    pub longest_gap: Duration,
    /// The latency that half of the successful requests did not exceed, retries included.
    pub latency_p50: Duration,
    /// The latency that 99 % of the successful requests did not exceed, retries included.
    pub latency_p99: Duration,
    /// The first few of what failed, was lost or was wrong, in words.
    pub complaints: Vec<String>,
}

impl Report {
    /// Whether there was work and nothing went wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.writes > 0 && self.reads > 0 && self.failed == 0 && self.lost == 0 && self.wrong == 0
    }
}

#[derive(Debug)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    report: Report,
    latencies: Latencies,
    last_success: Instant,
}

impl Default for Tally {
    fn default() -> Self {
        let (report, latencies) = (Report::default(), Latencies::default());
        Self(Mutex::new(Counts {
            report,
            latencies,
            last_success: Instant::now(),
        }))
    }
}

impl Tally {
    pub(super) fn written(&self, latency: Duration) {
        let mut counts = self.counts();
        counts.succeeded(latency);
        counts.report.writes += 1;
    }

    pub(super) fn read(&self, latency: Duration) {
        let mut counts = self.counts();
        counts.succeeded(latency);
        counts.report.reads += 1;
    }

    pub(super) fn failed(&self, why: &str) {
        let mut counts = self.counts();
        counts.report.failed += 1;
        counts.complain(format!("failed: {why}"));
    }

    pub(super) fn lost(&self, key: &str) {
        let mut counts = self.counts();
        counts.report.lost += 1;
        counts.complain(format!("lost: {key}"));
    }

    pub(super) fn wrong(&self, key: &str) {
        let mut counts = self.counts();
        counts.report.wrong += 1;
        counts.complain(format!("wrong: {key}"));
    }

    pub(super) fn report(&self) -> Report {
        let counts = self.counts();
        let mut report = counts.report.clone();
        report.longest_gap = report.longest_gap.max(counts.last_success.elapsed());
        report.latency_p50 = counts.latencies.percentile(50);
        report.latency_p99 = counts.latencies.percentile(99);
        report
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn succeeded(&mut self, latency: Duration) {
        self.latencies.add(latency);
        self.report.longest_gap = self.report.longest_gap.max(self.last_success.elapsed());
        self.last_success = Instant::now();
    }

    fn complain(&mut self, complaint: String) {
        if self.report.complaints.len() < COMPLAINTS_MAX {
            self.report.complaints.push(complaint);
        }
    }
}
