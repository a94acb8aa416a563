//! The boot clock: milliseconds that only rise while the host is up, also while it sleeps.

use std::{fs, io};

use evenkeel_agent_core::{BootId, Now};
use rustix::time::{ClockId, clock_gettime};

/// The boot clock now.
#[must_use]
pub fn now_ms() -> Now {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1000)
        .saturating_add(nanoseconds / 1_000_000)
}

/// Which boot of the host this is.
///
/// # Errors
/// When the kernel does not say, or says something else than a UUID.
pub fn boot_id() -> io::Result<BootId> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let hex: String = text.trim().chars().filter(|c| *c != '-').collect();
    evenkeel_common::digest::from_hex(&hex)
        .map(BootId)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the boot id is no UUID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_does_not_fall_and_the_boot_id_stays() {
        let first = now_ms();
        assert!(first > 0);
        assert!(now_ms() >= first);
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}
