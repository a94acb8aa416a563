//! What the tests share: addresses, plain HTTP, waiting.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The ports to choose from: below those that the system hands out to whoever asks for any, so that a port stays free
/// while its node is stopped.
const PORT_FIRST: u32 = 10_000;
const PORTS: u32 = 22_000;

/// How far apart processes begin that were started one after the other: tests, which run at the same time.
const PORTS_APART: u32 = 61;

/// Addresses that were free a moment ago, all different.
pub(crate) fn free_addresses(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(PORTS_APART);
    let ports = (0..PORTS).map(|_| {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        u16::try_from(PORT_FIRST + next % PORTS).unwrap()
    });
    let addresses = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let free: Vec<_> = addresses
        .filter(|address| TcpListener::bind(address).is_ok())
        .take(count)
        .collect();
    assert_eq!(free.len(), count, "no more free ports");
    free
}

/// Status and body of an answer; none if there was no answer.
pub(crate) async fn request(
    node: SocketAddr,
    method: &str,
    path: &str,
    body: &[u8],
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(node).await.ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {node}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    // The node may refuse before it has read everything.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
}

pub(crate) async fn get(node: SocketAddr, path: &str) -> Option<(u16, String)> {
    tokio::time::timeout(PATIENCE, request(node, "GET", path, b""))
        .await
        .unwrap()
}

/// Asks for the node's health until it is as wanted, and says how long that took.
pub(crate) async fn until_health(node: SocketAddr, wanted: impl Fn(u16, &str) -> bool) -> Duration {
    let begun = Instant::now();
    loop {
        let health = get(node, "/health").await;
        if health
            .as_ref()
            .is_some_and(|(status, reason)| wanted(*status, reason))
        {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "{node} is {health:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn until_healthy(node: SocketAddr) -> Duration {
    until_health(node, |status, _| status == 200).await
}
