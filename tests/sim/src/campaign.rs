//! Many lives, on as many threads as there are processors.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use evenkeel_words::planted::Bug;

use crate::{
    coverage::Coverage,
    life::{Account, live},
};

/// What many lives came to.
#[derive(Debug, Default)]
pub struct Campaign {
    /// How many were lived.
    pub lives: u64,
    /// How much happened in all of them.
    pub steps: u64,
    /// What they came to.
    pub coverage: Coverage,
    /// Those in which something was wrong, by seed.
    pub failures: Vec<Failure>,
}

/// A life in which something was wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What was wrong.
    pub wrong: String,
}

/// A life; a panic in it is something wrong.
fn guarded(seed: u64) -> Account {
    let lived = catch_unwind(AssertUnwindSafe(|| live(seed, false)));
    lived.unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Account {
            hash: 0,
            coverage: Coverage::default(),
            wrong: Some(format!("panicked: {}", said.unwrap_or_default())),
            steps: 0,
            lines: Vec::new(),
        }
    })
}

/// Makes a mistake on this thread from now on, where this build has any.
#[cfg(feature = "planted-bugs")]
fn plant(bug: Option<Bug>) {
    evenkeel_words::planted::plant(bug);
}

#[cfg(not(feature = "planted-bugs"))]
fn plant(_: Option<Bug>) {}

/// Lives `lives` lives from this seed on, with this mistake made in them; stops after so many failures.
#[must_use]
pub fn run(from: u64, lives: u64, failures_max: usize, bug: Option<Bug>) -> Campaign {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(from);
    let end = from.saturating_add(lives);
    let campaign = Mutex::new(Campaign::default());
    let lock = || campaign.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                plant(bug);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || lock().failures.len() >= failures_max {
                        return;
                    }
                    let account = guarded(seed);
                    let mut campaign = lock();
                    campaign.lives += 1;
                    campaign.steps += account.steps;
                    campaign.coverage.add(&account.coverage);
                    if let Some(wrong) = account.wrong {
                        campaign.failures.push(Failure { seed, wrong });
                    }
                }
            });
        }
    });
    let mut campaign = campaign
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    campaign.failures.sort_by_key(|failure| failure.seed);
    campaign
}
