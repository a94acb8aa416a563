//! Handshakes over loopback between the coordinator's end and the client's, with good certificates and every bad kind.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "where tests help each other, a panic is a failed test too"
)]

mod cluster;
mod coordinator;
mod limits;
mod odd;
mod refusals;

use std::time::{Duration, SystemTime};

use cluster::{Cluster, HOUR, around_now};
use coordinator::{Coordinator, check, eventually};
use evenkeel_common::identity::{CertificateFacts, Usage};
use evenkeel_common::tls::{connect, connect_lazy, explain};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::test]
async fn a_coordinator_knows_an_agent_by_its_certificate() {
    let cluster = Cluster::new("prod");
    let mut coordinator = Coordinator::start(cluster.coordinator());
    let files = cluster.agent();
    coordinator.check(&files).await.unwrap();
    let peer = coordinator.peers.recv().await.unwrap();
    let facts: CertificateFacts = files.own_facts().unwrap();
    assert_eq!(peer.identity.to_string(), "spiffe://prod/agent/n1");
    assert!(peer.remote_addr.ip().is_loopback());
    assert_eq!(peer.not_after, facts.not_after);
    assert_eq!(peer.serial, facts.serial);
    assert!(facts.not_after > SystemTime::now());
    assert_eq!(coordinator.counts.accepted(), 1);
}

#[tokio::test]
async fn a_coordinator_is_found_under_any_of_a_names_addresses() {
    let cluster = Cluster::new("prod");
    let coordinator = Coordinator::start(cluster.coordinator());
    // Where `localhost` is ::1 first, nothing listens there.
    let address = format!("localhost:{}", coordinator.address.port());
    check(&address, &cluster.agent()).await.unwrap();
}

#[tokio::test]
async fn a_lazy_channel_connects_at_its_first_call_and_says_why_it_cannot() {
    let cluster = Cluster::new("prod");
    let coordinator = Coordinator::start(cluster.coordinator());
    let address = coordinator.address.to_string();
    let channel = connect_lazy(&address, &cluster.agent()).unwrap();
    assert_eq!(coordinator.counts.accepted(), 0);
    let mut client = HealthClient::new(channel);
    client.check(HealthCheckRequest::default()).await.unwrap();

    let stranger = Cluster::new("prod");
    let channel = connect_lazy(&address, &stranger.agent()).unwrap();
    let status = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .unwrap_err();
    let sentence = explain(&status);
    assert!(
        sentence.contains("is not signed by the CA in"),
        "{sentence}"
    );
}

#[tokio::test]
async fn each_connection_is_made_with_the_certificate_that_is_there_then() {
    let cluster = Cluster::new("prod");
    let mut coordinator = Coordinator::start(cluster.coordinator());
    let address = coordinator.address;
    let files = cluster.agent();
    let channel = connect(&address.to_string(), &files).await.unwrap();
    let mut client = HealthClient::new(channel);
    client.check(HealthCheckRequest::default()).await.unwrap();
    let before = coordinator.peers.recv().await.unwrap();

    let renewed = cluster.agent();
    assert_eq!(renewed, files);
    let mut second = HealthClient::new(connect(&address.to_string(), &files).await.unwrap());
    second.check(HealthCheckRequest::default()).await.unwrap();
    let after = coordinator.peers.recv().await.unwrap();
    assert_eq!(before.identity, after.identity);
    assert_ne!(before.serial, after.serial);
}

#[tokio::test]
async fn a_reload_changes_who_is_let_in_and_leaves_the_connections_that_stand() {
    let old = Cluster::new("prod");
    let new = Cluster::new("prod");
    let server = old.coordinator();
    let coordinator = Coordinator::start(server.clone());
    let channel = connect(&coordinator.address.to_string(), &old.agent())
        .await
        .unwrap();
    let mut standing = HealthClient::new(channel);
    standing.check(HealthCheckRequest::default()).await.unwrap();
    coordinator.check(&new.agent()).await.unwrap_err();

    std::fs::copy(new.path("ca.pem"), &server.ca).unwrap();
    let issued = new
        .authority
        .issue(&new.request("coordinator/c1", Usage::Server))
        .unwrap();
    old.write("coordinator/c1", &issued);
    coordinator.tls.reload().unwrap();

    coordinator.check(&new.agent()).await.unwrap();
    standing.check(HealthCheckRequest::default()).await.unwrap();
    let mut stale = old.agent();
    stale.ca = new.path("ca.pem");
    coordinator.check(&stale).await.unwrap_err();
}

#[tokio::test]
async fn a_reload_that_fails_leaves_what_was_in_force() {
    let cluster = Cluster::new("prod");
    let server = cluster.coordinator();
    let coordinator = Coordinator::start(server.clone());
    std::fs::write(&server.certificate, "no certificate").unwrap();
    let error = coordinator.tls.reload().unwrap_err().to_string();
    assert!(error.contains(server.certificate.as_str()), "{error}");
    coordinator.check(&cluster.agent()).await.unwrap();
}

#[tokio::test]
async fn a_revoked_client_is_refused_and_another_is_not() {
    let cluster = Cluster::new("prod");
    let (good, bad) = (cluster.agent(), cluster.end("agent/n2", Usage::Client));
    let serial = bad.own_facts().unwrap().serial;
    let list = cluster.revoke(&[&serial], around_now(HOUR, HOUR));
    let coordinator =
        Coordinator::start_with(cluster.coordinator(), vec![list], Default::default());
    coordinator.check(&good).await.unwrap();
    let sentence = coordinator.check(&bad).await.unwrap_err();
    assert!(sentence.ends_with("it was revoked"), "{sentence}");
}

#[tokio::test]
async fn a_revocation_list_that_is_overdue_lets_nobody_in() {
    let cluster = Cluster::new("prod");
    let past = around_now(2 * HOUR, Duration::ZERO);
    let past = evenkeel_common::pki::Validity {
        not_after: past.not_after - HOUR,
        ..past
    };
    let list = cluster.revoke(&[], past);
    let coordinator =
        Coordinator::start_with(cluster.coordinator(), vec![list], Default::default());
    let sentence = coordinator.check(&cluster.agent()).await.unwrap_err();
    assert!(
        sentence.contains("revocation list is out of date"),
        "{sentence}"
    );
}

#[tokio::test]
async fn stopping_closes_the_port_and_ends_the_stream() {
    let cluster = Cluster::new("prod");
    let coordinator = Coordinator::start(cluster.coordinator());
    let files = cluster.agent();
    coordinator.check(&files).await.unwrap();
    coordinator.shutdown.cancel();
    let address = coordinator.address;
    eventually("the port is closed", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    let sentence = coordinator.check(&files).await.unwrap_err();
    assert!(sentence.contains("nothing listens at"), "{sentence}");
}
