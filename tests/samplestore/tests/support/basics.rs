//! What the tests share: addresses, plain HTTP, waiting.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Addresses that were free a moment ago, all different.
pub(crate) fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let held: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    held.iter()
        .map(|socket| socket.local_addr().unwrap())
        .collect()
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
