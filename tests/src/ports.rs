//! Free ports on loopback.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::ensure;

/// The ports to choose from: below those that the system hands out to whoever asks for any, so that a port stays free
/// while its owner is stopped to be upgraded.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// How far apart processes begin that were started one after the other: tests, which run at the same time.
const APART: u32 = 61;

/// As many ports as asked for, that nobody listened on a moment ago.
///
/// # Errors
/// When there are none left.
pub fn free(count: usize) -> anyhow::Result<Vec<u16>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(APART);
    let mut ports = Vec::with_capacity(count);
    for _ in 0..COUNT {
        if ports.len() == count {
            break;
        }
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + next % COUNT)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    ensure!(ports.len() == count, "cannot find {count} free ports");
    Ok(ports)
}

/// As many addresses as asked for, each with a free port.
///
/// # Errors
/// When the system has no more ports.
pub fn loopback(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let ports = free(count)?.into_iter();
    Ok(ports
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .collect())
}
