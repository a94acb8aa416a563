//! Places where a test may have the process die as if the power went.
//!
//! Without the cargo feature `failpoints` there is nothing here but an empty function.

/// Dies here by SIGKILL if the environment's `EVENKEEL_FAILPOINT` names this place. It lists
/// `name` (the first time) or `name@n` (the n-th time), separated by commas.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    use std::{
        collections::BTreeMap,
        sync::{Mutex, OnceLock, PoisonError},
    };

    static WANTED: OnceLock<Mutex<BTreeMap<String, u32>>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let list = std::env::var("EVENKEEL_FAILPOINT").unwrap_or_default();
        let entries = list.split(',').filter(|entry| !entry.is_empty());
        Mutex::new(
            entries
                .map(|entry| match entry.split_once('@') {
                    Some((name, times)) => (name.to_owned(), times.parse().unwrap_or(1)),
                    None => (entry.to_owned(), 1),
                })
                .collect(),
        )
    });
    let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(left) = wanted.get_mut(name) {
        *left = left.saturating_sub(1);
        if *left == 0 {
            // A kill of oneself is delivered before the call returns.
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
        }
    }
}

/// Nothing: this build has no failpoints.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) {}
