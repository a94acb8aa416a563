//! A cluster of real processes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use evenkeel_samplestore::{Client, ClientOptions};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{PATIENCE, free_addresses, until_healthy};

/// Nodes of the built program. What still runs is killed in the end.
pub(crate) struct Processes {
    pub(crate) nodes: Vec<SocketAddr>,
    running: Vec<Option<Child>>,
    directory: TempDir,
}

impl Processes {
    /// A cluster in which nothing runs yet.
    pub(crate) fn new(count: usize) -> Self {
        let running = (0..count).map(|_| None).collect();
        Self {
            nodes: free_addresses(count),
            running,
            directory: TempDir::new().unwrap(),
        }
    }

    /// A cluster in which everything is healthy.
    pub(crate) async fn started(count: usize) -> Self {
        let mut cluster = Self::new(count);
        for node in 0..count {
            cluster.start(node);
        }
        cluster.until_all_healthy().await;
        cluster
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.nodes.clone(), ClientOptions::default())
    }

    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.directory.path().join(node.to_string())
    }

    pub(crate) fn command(&self, node: usize) -> Command {
        let peers: Vec<_> = self.nodes.iter().map(SocketAddr::to_string).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_samplestore"));
        command.args([
            "serve",
            "--listen",
            &peers[node],
            "--peers",
            &peers.join(","),
        ]);
        command
            .args(["--name", &format!("n{node}"), "--data"])
            .arg(self.data(node))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&mut self, node: usize) {
        assert!(self.running[node].is_none());
        self.running[node] = Some(self.command(node).spawn().unwrap());
    }

    pub(crate) async fn until_all_healthy(&self) {
        for &node in &self.nodes {
            until_healthy(node).await;
        }
    }

    pub(crate) async fn terminate(&mut self, node: usize) -> ExitStatus {
        self.signal(node, Signal::TERM);
        self.ended(node).await
    }

    pub(crate) async fn kill(&mut self, node: usize) {
        self.signal(node, Signal::KILL);
        self.ended(node).await;
    }

    pub(crate) fn signal(&self, node: usize, signal: Signal) {
        let child = self.running[node].as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    async fn ended(&mut self, node: usize) -> ExitStatus {
        let mut child = self.running[node].take().unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "node {node} does not end");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
