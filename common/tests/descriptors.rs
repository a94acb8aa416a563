//! Running out of file descriptors: in a process of its own, since the limit is one.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "where tests help each other, a panic is a failed test too"
)]

#[path = "tls/cluster.rs"]
mod cluster;

use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use cluster::Cluster;
use evenkeel_common::tls::{Incoming, IncomingLimits, ServerTls, connect_lazy, listen};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::test]
async fn connections_are_accepted_again_when_there_are_file_descriptors_again() {
    let cluster = Cluster::new("prod");
    let tls = ServerTls::load(cluster.coordinator(), Vec::new()).unwrap();
    let client = cluster.agent();
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = Incoming::start(
        listener,
        Arc::new(tls),
        IncomingLimits::default(),
        CancellationToken::new(),
    );
    let counts = incoming.counts();

    // Taken now: there will be none left for the client either.
    let socket = TcpSocket::new_v4().unwrap();
    let low = Rlimit {
        current: Some(100),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, low).unwrap();
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
        assert!(held.len() < 200, "the limit does not hold");
    }
    let _stream = socket.connect(address).await.unwrap();
    timeout(Duration::from_secs(20), async {
        while counts.accept_failures() < 3 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    drop(held);

    let mut health = HealthClient::new(connect_lazy(&address.to_string(), &client).unwrap());
    tokio::spawn(async move { health.check(HealthCheckRequest::default()).await });
    let connection = timeout(Duration::from_secs(20), incoming.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(format!("{connection:?}").contains("n1"), "{connection:?}");
}
