//! Places where a test may have the process die as if the power went.
//!
//! Without the cargo feature `failpoints` there is nothing here but empty functions.

use std::io;

/// Dies here by SIGKILL if the environment's `EVENKEEL_FAILPOINT` names this place. It lists
/// `name` (the first time) or `name@n` (the n-th time), separated by commas.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    if is_meant(name) {
        die();
    }
}

/// The same with the first half of these bytes written: what a power cut in the middle of a write may leave.
#[cfg(feature = "failpoints")]
pub fn tear(name: &str, bytes: &[u8], write: impl FnOnce(&[u8]) -> io::Result<()>) {
    if is_meant(name) {
        // Whether it worked is nobody's concern any more.
        let _ = write(bytes.get(..bytes.len() / 2).unwrap_or_default());
        die();
    }
}

/// Whether the process is to die now that it has come to this place once more.
#[cfg(feature = "failpoints")]
fn is_meant(name: &str) -> bool {
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
    let Some(left) = wanted.get_mut(name) else {
        return false;
    };
    *left = left.saturating_sub(1);
    *left == 0
}

/// A kill of oneself is delivered before the call returns.
#[cfg(feature = "failpoints")]
fn die() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// Nothing: this build has no failpoints.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) {}

/// Nothing: this build has no failpoints.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn tear(_name: &str, _bytes: &[u8], _write: impl FnOnce(&[u8]) -> io::Result<()>) {}
