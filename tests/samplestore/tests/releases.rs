//! Nodes of different releases in one cluster, inside one process.

#![allow(
    clippy::unwrap_used,
    reason = "tests may be blunt, and so may what they share"
)]

mod support {
    mod basics;
    pub(crate) use basics::*;
}

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel_samplestore::release::{V1_0_0, V1_1_0, V1_1_2, V2_0_0};
use evenkeel_samplestore::serve::ServeError;
use evenkeel_samplestore::store::OpenError;
use evenkeel_samplestore::{
    Client, ClientOptions, Release, Settings, Workload, WorkloadOptions, serve,
};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use support::{PATIENCE, free_addresses, until_health, until_healthy};

/// How to stop a node, and how it ended.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), ServeError>>);

struct Nodes {
    addresses: Vec<SocketAddr>,
    directory: TempDir,
    running: Vec<Option<Running>>,
}

impl Nodes {
    fn started(releases: [&'static Release; 3]) -> Self {
        let mut nodes = Self {
            addresses: free_addresses(3),
            directory: TempDir::new().unwrap(),
            running: (0..3).map(|_| None).collect(),
        };
        for (node, release) in releases.into_iter().enumerate() {
            nodes.start(node, release);
        }
        nodes
    }

    fn start(&mut self, node: usize, release: &'static Release) {
        let data = self.directory.path().join(node.to_string());
        let address = self.addresses[node];
        let settings = Settings::new(
            address,
            data,
            self.addresses.clone(),
            Some(format!("n{node}")),
        )
        .unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            tokio::pin!(stopped);
            let begun = Instant::now();
            loop {
                match serve(&settings, release, &mut stopped).await {
                    // The node before it in this process may still be letting go of the directory.
                    Err(ServeError::Open(OpenError::InUse)) if begun.elapsed() < PATIENCE => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    result => return result,
                }
            }
        });
        self.running[node] = Some((stop, task));
    }

    async fn stop(&mut self, node: usize) {
        let (stop, task) = self.running[node].take().unwrap();
        stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    fn client(&self) -> Client {
        Client::new(self.addresses.clone(), ClientOptions::default())
    }

    async fn until_all_healthy(&self) {
        for &node in &self.addresses {
            until_healthy(node).await;
        }
    }

    /// Swaps all nodes one after the other.
    async fn roll_to(&mut self, release: &'static Release) {
        for node in 0..3 {
            self.stop(node).await;
            self.start(node, release);
            until_healthy(self.addresses[node]).await;
        }
    }
}

#[tokio::test]
async fn neighbouring_releases_serve_side_by_side() {
    for releases in [
        [&V1_0_0, &V1_0_0, &V1_1_0],
        [&V1_0_0, &V1_1_0, &V1_1_0],
        [&V1_1_0, &V2_0_0, &V2_0_0],
    ] {
        let nodes = Nodes::started(releases);
        nodes.until_all_healthy().await;
        let client = nodes.client();
        for number in 0..9 {
            let key = format!("k{number}");
            client.put(&key, Bytes::from(key.clone())).await.unwrap();
            assert_eq!(client.get(&key).await.unwrap(), Some(Bytes::from(key)));
        }
    }
}

#[tokio::test]
async fn releases_1_0_and_2_0_refuse_each_other_and_say_so() {
    let nodes = Nodes::started([&V1_0_0, &V2_0_0, &V1_0_0]);
    let refusing = |own: &'static str, other: &'static str| {
        move |status: u16, reason: &str| {
            status == 503 && reason.contains(own) && reason.contains(other)
        }
    };
    let old = refusing(
        "this node speaks 1",
        "n1 (samplestore 2.0.0) speaks protocol 2",
    );
    let new = refusing(
        "this node speaks 2",
        "(samplestore 1.0.0) speaks protocol 1",
    );
    until_health(nodes.addresses[0], old).await;
    until_health(nodes.addresses[1], new).await;
}

#[tokio::test]
async fn data_and_clients_live_through_upgrades_and_the_way_back() {
    let mut nodes = Nodes::started([&V1_0_0; 3]);
    nodes.until_all_healthy().await;
    let workload = Workload::start(&nodes.client(), &WorkloadOptions::default());
    for release in [&V1_1_0, &V2_0_0, &V1_1_0, &V1_0_0] {
        nodes.roll_to(release).await;
    }
    let report = workload.finish().await;
    assert!(report.is_clean(), "{report:#?}");
}

#[tokio::test]
async fn release_2_0_does_not_start_on_data_of_1_0() {
    let mut nodes = Nodes::started([&V1_0_0; 3]);
    nodes.until_all_healthy().await;
    nodes.stop(0).await;
    nodes.start(0, &V2_0_0);
    let (_stop, task) = nodes.running[0].take().unwrap();
    let ended = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(
        matches!(ended, Err(ServeError::Open(OpenError::NotReady { .. }))),
        "{ended:?}"
    );
}

#[tokio::test]
async fn the_release_that_is_never_healthy_serves_and_says_why() {
    let nodes = Nodes::started([&V1_1_0, &V1_1_0, &V1_1_2]);
    until_health(nodes.addresses[2], |status, reason| {
        status == 503 && reason.contains("on purpose")
    })
    .await;
    until_healthy(nodes.addresses[0]).await;
    Client::new(vec![nodes.addresses[2]], ClientOptions::default())
        .put("k", Bytes::new())
        .await
        .unwrap();
}
