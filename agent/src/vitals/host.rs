//! The machine: processor, memory, load, waiting for disks, network.

use std::time::Duration;

use procfs::{CpuTime, Current as _, CurrentSI as _, KernelStats, LoadAverage, Meminfo};
use tokio::time::Instant;

/// How a host is. Shares are of the time since the look before, and 0 at the first.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Host {
    /// How many processors there are.
    pub processors: u32,
    /// How much of their time they worked, in thousandths.
    pub busy_permille: u32,
    /// How much of their time they waited for disks, in thousandths.
    pub io_wait_permille: u32,
    /// Processes that ran or wanted to, on average over the last minute, in hundredths.
    pub load_centi: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Memory that processes could have, in bytes.
    pub memory_available_bytes: u64,
    /// What came over the network, without what the host said to itself, in bytes a second.
    pub received_bytes_per_s: u64,
    /// What went over the network likewise.
    pub sent_bytes_per_s: u64,
    /// Packets that were lost or damaged since the boot, on their way in or out.
    pub network_errors: u64,
}

/// Counters that only ever rise, and when they were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    at: Instant,
    busy: u64,
    io_wait: u64,
    all: u64,
    received: u64,
    sent: u64,
}

/// Looks at the machine; what was counted before is what shares are of. None where the kernel does not show it.
pub(super) fn look(before: Option<Counted>) -> (Option<Host>, Option<Counted>) {
    match try_look(before) {
        Some((host, counted)) => (Some(host), Some(counted)),
        None => (None, None),
    }
}

fn try_look(before: Option<Counted>) -> Option<(Host, Counted)> {
    let stat = KernelStats::current().ok()?;
    let memory = Meminfo::current().ok()?;
    let load = LoadAverage::current().ok()?;
    let mut host = Host {
        processors: u32::try_from(stat.cpu_time.len()).unwrap_or(u32::MAX),
        // A load of millions is none that anybody tells from another; the cast stops at the bounds.
        load_centi: (load.one * 100.0) as u32,
        memory_bytes: memory.mem_total,
        memory_available_bytes: memory.mem_available.unwrap_or(memory.mem_free),
        ..Host::default()
    };
    let mut now = counted(&stat.total);
    // A host without a network has no such file.
    for (name, device) in procfs::net::dev_status().unwrap_or_default() {
        let errors = device.recv_errs.saturating_add(device.sent_errs);
        let lost = device.recv_drop.saturating_add(device.sent_drop);
        host.network_errors = host
            .network_errors
            .saturating_add(errors)
            .saturating_add(lost);
        if name != "lo" {
            now.received = now.received.saturating_add(device.recv_bytes);
            now.sent = now.sent.saturating_add(device.sent_bytes);
        }
    }
    if let Some(before) = before {
        let ticks = now.all.saturating_sub(before.all);
        let share = |now: u64, before: u64| {
            let part = now.saturating_sub(before).saturating_mul(1000);
            let share = part.checked_div(ticks).unwrap_or(0).min(1000);
            u32::try_from(share).unwrap_or(1000)
        };
        host.busy_permille = share(now.busy, before.busy);
        host.io_wait_permille = share(now.io_wait, before.io_wait);
        let since = now.at.saturating_duration_since(before.at);
        host.received_bytes_per_s = rate(now.received, before.received, since);
        host.sent_bytes_per_s = rate(now.sent, before.sent, since);
    }
    Some((host, now))
}

fn counted(time: &CpuTime) -> Counted {
    let io_wait = time.iowait.unwrap_or(0);
    // What guests had is in what users had already.
    let busy = [
        time.user,
        time.nice,
        time.system,
        time.irq.unwrap_or(0),
        time.softirq.unwrap_or(0),
        time.steal.unwrap_or(0),
    ];
    let busy = busy.into_iter().fold(0, u64::saturating_add);
    Counted {
        at: Instant::now(),
        busy,
        io_wait,
        all: busy.saturating_add(io_wait).saturating_add(time.idle),
        received: 0,
        sent: 0,
    }
}

/// How much more it is a second.
fn rate(now: u64, before: u64, since: Duration) -> u64 {
    let more = u128::from(now.saturating_sub(before)).saturating_mul(1000);
    let rate = more.checked_div(since.as_millis()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_seen_and_its_shares_are_of_the_time_between_two_looks() {
        let (first, counted) = look(None);
        let (first, mut counted) = (first.unwrap(), counted.unwrap());
        assert!(first.processors > 0);
        assert!(first.memory_bytes > first.memory_available_bytes);
        assert!(first.memory_available_bytes > 0);
        assert_eq!((first.busy_permille, first.io_wait_permille), (0, 0));
        // As if all that it ever did had been done since.
        (counted.busy, counted.io_wait, counted.all) = (0, 0, 0);
        let (second, _) = look(Some(counted));
        let second = second.unwrap();
        assert!((1..=1000).contains(&second.busy_permille), "{second:?}");
        assert!(second.busy_permille + second.io_wait_permille <= 1000);
    }

    #[test]
    fn a_rate_is_by_the_second_and_never_less_than_none() {
        assert_eq!(rate(3000, 1000, Duration::from_millis(500)), 4000);
        assert_eq!(rate(1000, 3000, Duration::from_secs(1)), 0);
        assert_eq!(rate(1000, 0, Duration::ZERO), 0);
        assert_eq!(rate(u64::MAX, 0, Duration::from_millis(1)), u64::MAX);
    }
}
