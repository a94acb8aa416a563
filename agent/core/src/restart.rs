//! What to do when a process that should run does not: try again with back-off, up to a cap.

use crate::Now;

/// How often and how soon a process is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// How many restarts there may be within the window. 0: none at all.
    pub attempts: u32,
    /// The window in milliseconds.
    pub window_ms: u64,
    /// The wait before the first restart of a window, in milliseconds; doubled each time.
    pub backoff_min_ms: u64,
    /// The longest wait, in milliseconds.
    pub backoff_max_ms: u64,
}

impl Default for RestartPolicy {
    /// 3 in 30 minutes, from half a second on.
    fn default() -> Self {
        Self {
            attempts: 3,
            window_ms: 30 * 60 * 1000,
            backoff_min_ms: 500,
            backoff_max_ms: 30_000,
        }
    }
}

/// What of an instance's configuration decides what is done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How often a process that ends is started again.
    pub restart: RestartPolicy,
    /// Somebody knows the storage system and can be asked. Without it every gate is open.
    pub driver: bool,
    /// How long a new agent that finds no process waits for the coordinator's word before it starts one, in
    /// milliseconds. 0: not at all.
    pub start_alone_after_ms: u64,
}

/// How the process stands that an instance should run when no order is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// Not known yet: the agent has just started.
    Unknown,
    /// There is no release to run.
    Nothing,
    /// It is down, and the coordinator's word is waited for before it is started.
    Awaiting {
        /// Until when, on the boot clock in milliseconds.
        until_ms: u64,
    },
    /// It is down, and the coordinator wants it to stay so.
    Held {
        /// Why.
        reason: String,
    },
    /// Being started.
    Starting,
    /// It runs.
    Up,
    /// It ended, and will be started again.
    Waiting {
        /// When, on the boot clock in milliseconds.
        until_ms: u64,
        /// How it ended.
        reason: String,
    },
    /// It ended too often.
    GivenUp {
        /// How often, and how it ended last.
        reason: String,
    },
}

/// A process that should run, and how often it had to be started again. Not kept over an agent
/// restart: a new agent begins a new count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// How it stands.
    pub run: Run,
    /// When it was found ended, within the window; at most `attempts` of them.
    ended_at_ms: Vec<u64>,
}

impl Service {
    /// A service that stands like this and never had to be started again.
    #[must_use]
    pub fn new(run: Run) -> Self {
        Self {
            run,
            ended_at_ms: Vec::new(),
        }
    }

    /// The same service, standing like this.
    #[must_use]
    pub fn with(&self, run: Run) -> Self {
        Self {
            run,
            ended_at_ms: self.ended_at_ms.clone(),
        }
    }

    /// The process ended, or would not start.
    #[must_use]
    pub fn ended(&self, reason: &str, policy: &RestartPolicy, now: Now) -> Self {
        let mut ended_at_ms: Vec<u64> = self
            .ended_at_ms
            .iter()
            .copied()
            .filter(|at_ms| now.saturating_sub(*at_ms) < policy.window_ms)
            .collect();
        let restarts = u32::try_from(ended_at_ms.len()).unwrap_or(u32::MAX);
        if restarts >= policy.attempts {
            let reason = format!(
                "not started again after {restarts} restarts within {} s; last: {reason}",
                policy.window_ms / 1000
            );
            return Self {
                run: Run::GivenUp { reason },
                ended_at_ms,
            };
        }
        ended_at_ms.push(now);
        let factor = 1_u64.checked_shl(restarts).unwrap_or(u64::MAX);
        let wait_ms = policy
            .backoff_min_ms
            .saturating_mul(factor)
            .min(policy.backoff_max_ms);
        let run = Run::Waiting {
            until_ms: now.saturating_add(wait_ms),
            reason: reason.to_owned(),
        };
        Self { run, ended_at_ms }
    }
}
