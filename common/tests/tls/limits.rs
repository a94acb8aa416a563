//! Connections that stall or are too many, and that they are nobody else's trouble.

use std::time::Duration;

use evenkeel_common::tls::IncomingLimits;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::coordinator::{Coordinator, eventually};

fn impatient(cluster: &Cluster, handshake_timeout: Duration, handshakes_max: usize) -> Coordinator {
    let limits = IncomingLimits {
        handshake_timeout,
        handshakes_max,
        ..IncomingLimits::default()
    };
    Coordinator::start_with(cluster.coordinator(), Vec::new(), limits)
}

#[tokio::test]
async fn a_handshake_that_stalls_is_ended_and_keeps_nobody_waiting() {
    let cluster = Cluster::new("prod");
    let coordinator = impatient(&cluster, Duration::from_millis(300), 3);
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(coordinator.address).await.unwrap());
    }
    coordinator.check(&cluster.agent()).await.unwrap();
    assert_eq!(coordinator.counts.timed_out(), 0, "they still stall");
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
    assert_eq!(coordinator.counts.timed_out(), 2);
}

#[tokio::test]
async fn when_all_handshakes_stall_others_wait_no_longer_than_the_timeout() {
    let cluster = Cluster::new("prod");
    let coordinator = impatient(&cluster, Duration::from_millis(200), 1);
    let _silent = TcpStream::connect(coordinator.address).await.unwrap();
    coordinator.check(&cluster.agent()).await.unwrap();
    assert_eq!(coordinator.counts.timed_out(), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_until_others_go() {
    let cluster = Cluster::new("prod");
    let limits = IncomingLimits {
        connections_max: 1,
        ..IncomingLimits::default()
    };
    let coordinator = Coordinator::start_with(cluster.coordinator(), Vec::new(), limits);
    let files = cluster.agent();
    let only = evenkeel_common::tls::connect(&coordinator.address.to_string(), &files)
        .await
        .unwrap();
    let sentence = coordinator.check(&files).await.unwrap_err();
    assert!(sentence.contains("too many connections"), "{sentence}");
    let refused = coordinator.counts.over_limit();
    assert!(refused >= 1);
    drop(only);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while coordinator.check(&files).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn what_speaks_no_tls_is_refused_and_counted() {
    use tokio::io::AsyncWriteExt;
    let cluster = Cluster::new("prod");
    let coordinator = Coordinator::start(cluster.coordinator());
    let mut stream = TcpStream::connect(coordinator.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let counts = &coordinator.counts;
    eventually("the connection is refused", || counts.refused() == 1).await;
    coordinator.check(&cluster.agent()).await.unwrap();
}
