//! Free ports on loopback.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;

/// As many ports as asked for, that nobody listened on a moment ago.
///
/// # Errors
/// When the system has none left.
pub fn free(count: usize) -> anyhow::Result<Vec<u16>> {
    // All are held until the last is found, so that they differ.
    let listeners = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<Vec<_>, _>>()
        .context("cannot find a free port")?;
    let ports = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()));
    ports.collect()
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
