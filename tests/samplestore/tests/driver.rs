//! The driver that is shipped for the sample store, against real nodes.

#![allow(
    clippy::unwrap_used,
    reason = "tests may be blunt, and so may what they share"
)]

mod support {
    mod basics;
    pub(crate) mod processes;
    pub(crate) use basics::*;
}

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel_samplestore::{Workload, WorkloadOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use support::processes::Processes;
use support::{PATIENCE, get, until_healthy};

/// Exit status and what the driver says to a verb with these settings.
async fn asked(verb: &str, settings: Value) -> (i32, String) {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../drivers/samplestore");
    let verb = verb.to_owned();
    let run = move || {
        let mut child = Command::new(driver)
            .arg(&verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = json!({ "format": 1, "verb": verb, "settings": settings });
        let mut input = child.stdin.take().unwrap();
        // It need not listen to a verb that it does not know.
        let _ = input.write_all(told.to_string().as_bytes());
        drop(input);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), said)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// What it says of one of these nodes.
async fn ask(cluster: &Processes, node: usize, verb: &str) -> (i32, String) {
    let nodes: Vec<_> = cluster.nodes.iter().map(SocketAddr::to_string).collect();
    asked(verb, json!({ "endpoint": nodes[node], "nodes": nodes })).await
}

/// Asks until it says yes.
async fn until_yes(cluster: &Processes, node: usize, verb: &str) {
    let begun = Instant::now();
    loop {
        let (status, said) = ask(cluster, node, verb).await;
        if status == 0 {
            return;
        }
        assert_eq!(status, 1, "{said}");
        assert!(begun.elapsed() < PATIENCE, "{said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[track_caller]
fn is_no(answer: (i32, String), reason: &str) {
    assert_eq!(answer.0, 1, "{answer:?}");
    let said: Value = serde_json::from_str(&answer.1).unwrap();
    let said = said["reason"].as_str().unwrap();
    assert!(said.contains(reason), "{said}");
}

/// Puts a blob into one copy alone, as if all other nodes had missed it.
async fn put_at_one(node: SocketAddr, key: &str, blob: &str) {
    let mut stream = TcpStream::connect(node).await.unwrap();
    let request = format!(
        "PUT /internal/v1/blobs/{key} HTTP/1.1\r\nhost: {node}\r\nconnection: close\r\n\
         x-samplestore-stamp: 1-00000000000000ff\r\ncontent-length: {}\r\n\r\n{blob}",
        blob.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

#[tokio::test]
async fn what_one_node_alone_holds_is_with_all_others_once_it_is_drained() {
    let cluster = Processes::started(3).await;
    put_at_one(cluster.nodes[0], "only", "here").await;
    is_no(
        ask(&cluster, 0, "drain-status").await,
        "lacks 1 of the blobs here",
    );
    // It is the others that lack it.
    assert_eq!(ask(&cluster, 1, "drain-status").await.0, 0);
    is_no(
        ask(&cluster, 1, "join").await,
        &format!("1 of the blobs at {} are not here yet", cluster.nodes[0]),
    );
    until_yes(&cluster, 0, "drain").await;
    assert_eq!(ask(&cluster, 0, "drain-status").await.0, 0);
    for &node in &cluster.nodes[1..] {
        let blob = get(node, "/internal/v1/blobs/only").await;
        assert_eq!(blob, Some((200, "here".to_owned())));
    }
    assert_eq!(ask(&cluster, 0, "cancel-drain").await.0, 0);
}

#[tokio::test]
async fn a_node_is_not_drained_while_another_is_away() {
    let mut cluster = Processes::started(3).await;
    cluster.kill(2).await;
    for verb in ["drain", "drain-status"] {
        is_no(ask(&cluster, 0, verb).await, "does not answer");
    }
    cluster.start(2);
    until_yes(&cluster, 0, "drain-status").await;
}

#[tokio::test]
async fn a_node_may_be_stopped_only_while_the_others_could_serve_without_it() {
    let mut cluster = Processes::started(3).await;
    until_yes(&cluster, 0, "ok-to-stop").await;
    cluster.kill(2).await;
    is_no(
        ask(&cluster, 0, "ok-to-stop").await,
        "1 of the other nodes are whole, and 2 have to be",
    );
    // One that is away may be stopped: the others do without it already.
    assert_eq!(ask(&cluster, 2, "ok-to-stop").await.0, 0);
    is_no(ask(&cluster, 2, "recovered").await, "does not answer");
    cluster.start(2);
    until_yes(&cluster, 2, "recovered").await;
    until_yes(&cluster, 0, "ok-to-stop").await;
    for verb in ["quiesce", "unquiesce", "finalize"] {
        assert_eq!(ask(&cluster, 0, verb).await.0, 64);
    }
}

#[tokio::test]
async fn a_node_has_recovered_once_it_holds_what_was_written_meanwhile() {
    let cluster = Processes::started(3).await;
    put_at_one(cluster.nodes[0], "only", "here").await;
    is_no(ask(&cluster, 1, "recovered").await, "1 of the blobs at");
    until_yes(&cluster, 0, "recovered").await;
}

#[tokio::test]
async fn a_node_recovers_while_another_is_silent_as_long_as_a_majority_answers() {
    let mut cluster = Processes::started(3).await;
    cluster.kill(2).await;
    until_yes(&cluster, 0, "recovered").await;
    put_at_one(cluster.nodes[1], "only", "here").await;
    is_no(ask(&cluster, 0, "recovered").await, "1 of the blobs at");
    cluster.kill(1).await;
    let answer = ask(&cluster, 0, "recovered").await;
    assert_eq!(answer.0, 1, "{answer:?}");
}

#[tokio::test]
async fn a_node_says_its_version_and_how_the_others_are() {
    let cluster = Processes::started(3).await;
    let (status, said) = ask(&cluster, 0, "version").await;
    let version: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(status, 0);
    assert!(version["version"].as_str().unwrap().contains('.'), "{said}");
    let (status, said) = ask(&cluster, 0, "health").await;
    let health: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(status, 0);
    assert_eq!(
        health["metrics"],
        json!({ "others": 2, "others_complete": 2 })
    );
}

#[tokio::test]
async fn a_rebuild_under_load_fails_no_request_and_loses_no_blob() {
    let mut cluster = Processes::started(3).await;
    let client = cluster.client();
    for number in 0..200 {
        let blob = Bytes::from(format!("blob {number}"));
        client.put(&format!("old-{number}"), blob).await.unwrap();
    }
    let workload = Workload::start(&client, &WorkloadOptions::default());
    for node in 0..3 {
        until_yes(&cluster, node, "drain").await;
        until_yes(&cluster, node, "drain-status").await;
        cluster.terminate(node).await;
        std::fs::remove_dir_all(cluster.data(node)).unwrap();
        is_no(ask(&cluster, node, "join").await, "does not answer");
        cluster.start(node);
        until_yes(&cluster, node, "join").await;
        until_healthy(cluster.nodes[node]).await;
    }
    let report = workload.finish().await;
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.writes > 0 && report.reads > 0, "{report:#?}");
    // No copy is left that was there when these were written.
    for number in 0..200 {
        let blob = client.get(&format!("old-{number}")).await.unwrap();
        assert_eq!(blob, Some(Bytes::from(format!("blob {number}"))));
    }
}

#[tokio::test]
async fn what_it_does_not_know_and_what_it_cannot_use_is_no_answer() {
    let nodes = json!({ "endpoint": "127.0.0.1:1", "nodes": ["127.0.0.1:1", "127.0.0.1:2"] });
    assert_eq!(asked("rebalance", nodes).await.0, 64);
    let of = |nodes: &[&str]| json!({ "endpoint": "127.0.0.1:1", "nodes": nodes });
    let lonely = of(&["127.0.0.1:1"]);
    // It would be counted among the others, under its other name.
    let under_another_name = of(&["localhost:1", "127.0.0.1:2", "127.0.0.1:3"]);
    let twice = of(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:2"]);
    for settings in [json!({}), lonely, json!([]), under_another_name, twice] {
        assert_eq!(asked("drain", settings).await.0, 2);
    }
}
