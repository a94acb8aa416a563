//! Real processes under a client that writes and reads all the while.

#![allow(
    clippy::unwrap_used,
    reason = "tests may be blunt, and so may what they share"
)]

mod support {
    mod basics;
    pub(crate) mod processes;
    pub(crate) use basics::*;
}

use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel_samplestore::limits::{BLOB_BYTES_MAX, DRAIN_TIMEOUT};
use evenkeel_samplestore::release::BUILT;
use evenkeel_samplestore::{Workload, WorkloadOptions};
use futures_util::{StreamExt, stream};
use rustix::process::Signal;

use support::processes::Processes;
use support::{PATIENCE, get, request, until_health, until_healthy};

fn busy() -> WorkloadOptions {
    WorkloadOptions {
        requests_per_second: 400,
        ..WorkloadOptions::default()
    }
}

/// Lets the workload do something first.
async fn until_written(workload: &Workload, writes: u64) {
    let begun = Instant::now();
    while workload.progress().writes < writes {
        assert!(begun.elapsed() < PATIENCE, "{:?}", workload.progress());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_rolling_restart_fails_no_request_and_loses_no_blob() {
    let mut cluster = Processes::started(5).await;
    let workload = Workload::start(&cluster.client(), &busy());
    for node in 0..5 {
        let before = workload.progress().writes;
        until_written(&workload, before + 20).await;
        let begun = Instant::now();
        assert_eq!(cluster.terminate(node).await.code(), Some(0));
        assert!(begun.elapsed() < DRAIN_TIMEOUT + Duration::from_secs(1));
        cluster.start(node);
        until_healthy(cluster.nodes[node]).await;
    }
    let report = workload.finish().await;
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.longest_gap < Duration::from_secs(1), "{report:#?}");
}

#[tokio::test]
async fn killing_one_node_loses_nothing_and_fails_no_request() {
    let mut cluster = Processes::started(5).await;
    let workload = Workload::start(&cluster.client(), &busy());
    for node in [4, 0] {
        let before = workload.progress().writes;
        until_written(&workload, before + 50).await;
        cluster.kill(node).await;
        until_written(&workload, before + 100).await;
        cluster.start(node);
        until_healthy(cluster.nodes[node]).await;
    }
    let report = workload.finish().await;
    assert!(report.is_clean(), "{report:#?}");
}

#[tokio::test]
async fn a_frozen_node_fails_no_request_and_loses_nothing() {
    let cluster = Processes::started(5).await;
    let workload = Workload::start(&cluster.client(), &busy());
    until_written(&workload, 50).await;
    cluster.signal(2, Signal::STOP);
    until_written(&workload, 150).await;
    cluster.signal(2, Signal::CONT);
    let before = workload.progress().writes;
    until_written(&workload, before + 50).await;
    let report = workload.finish().await;
    assert!(report.is_clean(), "{report:#?}");
}

#[tokio::test]
async fn acknowledged_writes_survive_the_death_of_all_nodes_at_once() {
    let mut cluster = Processes::started(3).await;
    let client = cluster.client();
    for number in 0..100 {
        client
            .put(&format!("k{number}"), Bytes::from(format!("blob {number}")))
            .await
            .unwrap();
    }
    for node in 0..3 {
        cluster.kill(node).await;
    }
    for node in 0..3 {
        cluster.start(node);
    }
    cluster.until_all_healthy().await;
    for number in 0..100 {
        let blob = client.get(&format!("k{number}")).await.unwrap();
        assert_eq!(blob, Some(Bytes::from(format!("blob {number}"))));
    }
}

#[tokio::test]
async fn a_node_that_was_away_catches_up_before_it_is_healthy() {
    const BLOBS: usize = 1000;
    let mut cluster = Processes::started(3).await;
    let client = &cluster.client();
    cluster.terminate(0).await;
    let put = async |number| {
        client
            .put(&format!("k{number}"), Bytes::from_static(b"blob"))
            .await
            .unwrap()
    };
    stream::iter(0..BLOBS).for_each_concurrent(16, put).await;
    cluster.start(0);
    until_healthy(cluster.nodes[0]).await;
    // Now it has to stand in for one of those that were there.
    cluster.terminate(1).await;
    let get = async |number| {
        assert!(
            client.get(&format!("k{number}")).await.unwrap().is_some(),
            "k{number}"
        )
    };
    stream::iter(0..BLOBS).for_each_concurrent(16, get).await;
}

#[tokio::test]
async fn a_lost_copy_is_rebuilt_before_it_counts() {
    let mut cluster = Processes::started(3).await;
    let client = cluster.client();
    // With one node away the two others are the only ones to hold these.
    cluster.terminate(2).await;
    for number in 0..50 {
        client
            .put(&format!("k{number}"), Bytes::from_static(b"blob"))
            .await
            .unwrap();
    }
    cluster.kill(0).await;
    std::fs::remove_dir_all(cluster.data(0)).unwrap();
    cluster.kill(1).await;
    cluster.start(0);
    cluster.start(2);
    // The lost copy and the one that was away make two of three, and yet know nothing.
    until_health(cluster.nodes[0], |status, reason| {
        status == 503 && reason.contains("data directory is new")
    })
    .await;
    assert_eq!(get(cluster.nodes[0], "/blobs/k0").await.unwrap().0, 503);
    assert_eq!(get(cluster.nodes[2], "/blobs/k0").await.unwrap().0, 503);
    cluster.start(1);
    cluster.until_all_healthy().await;
    cluster.terminate(1).await;
    for number in 0..50 {
        assert!(
            client.get(&format!("k{number}")).await.unwrap().is_some(),
            "k{number}"
        );
    }
}

#[tokio::test]
async fn health_says_why_it_is_not() {
    let mut cluster = Processes::new(5);
    let alone =
        |status: u16, reason: &str| status == 503 && reason.contains("no majority of the cluster");
    cluster.start(0);
    until_health(cluster.nodes[0], alone).await;
    for node in 1..5 {
        cluster.start(node);
    }
    cluster.until_all_healthy().await;
    for node in [1, 2] {
        cluster.kill(node).await;
    }
    until_healthy(cluster.nodes[0]).await;
    cluster.kill(3).await;
    let down = cluster.nodes[3].to_string();
    until_health(cluster.nodes[0], |status, reason| {
        alone(status, reason) && reason.contains(&down)
    })
    .await;
    assert_eq!(
        request(cluster.nodes[0], "PUT", "/blobs/k", b"x")
            .await
            .unwrap()
            .0,
        503
    );
    cluster.start(3);
    until_healthy(cluster.nodes[0]).await;
}

#[tokio::test]
async fn bad_requests_get_a_sentence() {
    let cluster = Processes::started(3).await;
    let node = cluster.nodes[0];
    let large = vec![0; BLOB_BYTES_MAX + 1];
    let stampless = format!("/internal/v{}/blobs/k", BUILT.protocols[0]);
    for (method, path, body, status) in [
        ("GET", "/blobs/a%20b", &b""[..], 400),
        ("PUT", &format!("/blobs/{}", "k".repeat(129)), b"", 400),
        ("PUT", "/blobs/k", &large, 413),
        ("GET", "/blobs/nothing", b"", 404),
        ("GET", "/keys?limit=0", b"", 400),
        ("GET", "/keys?before=k", b"", 400),
        ("PUT", &stampless, b"x", 400),
        ("GET", "/internal/v9/ping", b"", 426),
    ] {
        let (found, reason) = request(node, method, path, body).await.unwrap();
        assert_eq!(found, status, "{method} {path}: {reason}");
        assert!(!reason.trim().is_empty(), "{method} {path}");
    }
    assert_eq!(
        request(node, "PUT", "/blobs/k", &large[1..])
            .await
            .unwrap()
            .0,
        204
    );
    assert_eq!(
        request(node, "PUT", "/blobs/empty", b"").await.unwrap().0,
        204
    );
    assert_eq!(
        get(node, "/blobs/empty").await.unwrap(),
        (200, String::new())
    );
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let cluster = Processes::started(3).await;
    let client = cluster.client();
    for number in 0..7 {
        client
            .put(&format!("k{number}"), Bytes::new())
            .await
            .unwrap();
    }
    let page = async |query: &str| -> serde_json::Value {
        let (status, text) = get(cluster.nodes[1], &format!("/keys{query}"))
            .await
            .unwrap();
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let first = page("?limit=4").await;
    assert_eq!(
        first,
        serde_json::json!({ "keys": ["k0", "k1", "k2", "k3"], "next_after": "k3" })
    );
    let second = page("?limit=4&after=k3").await;
    assert_eq!(
        second,
        serde_json::json!({ "keys": ["k4", "k5", "k6"], "next_after": null })
    );
}

#[tokio::test]
async fn the_program_says_its_version() {
    for argument in ["version", "--version"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_samplestore"))
            .arg(argument)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("samplestore {}\n", BUILT.version)
        );
    }
    let cluster = Processes::started(3).await;
    let (_, text) = get(cluster.nodes[0], "/version").await.unwrap();
    let version: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(version["version"], BUILT.version);
    assert_eq!(version["storage_format"], BUILT.writes.number());
    assert_eq!(
        version["protocol"],
        BUILT.protocols.last().unwrap().number()
    );
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let cluster = Processes::started(3).await;
    let second = cluster.command(0).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("another process uses the data directory")
    );
}
