//! The driver that is shipped for etcd, against real members.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may be blunt")]

use std::{
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use evenkeel_tests::{
    places, ports,
    systems::etcd::{BEFORE_NEWEST, COMPONENT, OLDER, has_older},
};
use serde_json::{Value, json};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three members, each a process of its own; they end with this.
struct Cluster {
    folder: tempfile::TempDir,
    clients: Vec<SocketAddr>,
    peers: Vec<SocketAddr>,
    /// Where each member tells clients that it is.
    advertised: Vec<SocketAddr>,
    members: Vec<Child>,
}

impl Cluster {
    fn start(version: &str) -> Self {
        let cluster = Self::start_with(version, |clients| clients.to_vec());
        for member in 0..3 {
            cluster.until_yes(member, "recovered", version);
        }
        cluster
    }

    fn start_with(
        version: &str,
        advertised: impl FnOnce(&[SocketAddr]) -> Vec<SocketAddr>,
    ) -> Self {
        let mut clients = ports::loopback(6).unwrap();
        let peers = clients.split_off(3);
        let mut cluster = Self {
            folder: tempfile::tempdir().unwrap(),
            advertised: advertised(&clients),
            clients,
            peers,
            members: Vec::new(),
        };
        for member in 0..3 {
            let started = cluster.spawn(member, version);
            cluster.members.push(started);
        }
        cluster
    }

    fn spawn(&self, member: usize, version: &str) -> Child {
        let (client, peer) = (self.clients[member], self.peers[member]);
        let all = self.peers.iter().enumerate();
        let all: Vec<_> = all.map(|(of, at)| format!("m{of}=http://{at}")).collect();
        Command::new(places::system(COMPONENT, version, COMPONENT).unwrap())
            .args(["--name", &format!("m{member}"), "--logger", "zap"])
            .arg("--data-dir")
            .arg(self.folder.path().join(format!("m{member}")))
            .args(["--listen-client-urls", &format!("http://{client}")])
            .args([
                "--advertise-client-urls",
                &format!("http://{}", self.advertised[member]),
            ])
            .args(["--listen-peer-urls", &format!("http://{peer}")])
            .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
            .args(["--initial-cluster", &all.join(",")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn kill(&mut self, member: usize) {
        self.members[member].kill().unwrap();
        self.members[member].wait().unwrap();
    }

    fn restart(&mut self, member: usize, version: &str) {
        self.kill(member);
        self.members[member] = self.spawn(member, version);
    }

    /// Exit status and what the driver says for a member that is on its way to this version.
    fn ask(&self, member: usize, verb: &str, version: &str) -> (i32, Value) {
        let mut child = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers/etcd"))
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = json!({
            "settings": { "endpoint": self.clients[member].to_string() },
            "arguments": { "release": { "version": version } },
        });
        // It need not listen to a verb that it does not know.
        let _ = child
            .stdin
            .take()
            .unwrap()
            .write_all(told.to_string().as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), said)
    }

    fn until_yes(&self, member: usize, verb: &str, version: &str) -> Value {
        let begun = Instant::now();
        loop {
            let (status, said) = self.ask(member, verb, version);
            if status == 0 {
                return said;
            }
            assert_eq!(status, 1, "{said}");
            assert!(begun.elapsed() < PATIENCE, "{verb}: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// While another member is being made to lead they say that and nothing else.
    #[track_caller]
    fn is_no(&self, member: usize, verb: &str, version: &str, reason: &str) {
        let begun = Instant::now();
        loop {
            let (status, said) = self.ask(member, verb, version);
            assert_eq!(status, 1, "{verb}: {said}");
            let said = said["reason"].as_str().unwrap();
            if said.contains(reason) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{verb}: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn leads(&self, member: usize) -> bool {
        let (_, said) = self.ask(member, "health", "");
        said["metrics"]["is_leader"] == 1
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

#[test]
fn a_member_may_be_stopped_only_while_the_others_are_a_quorum() {
    let mut cluster = Cluster::start(BEFORE_NEWEST);
    cluster.until_yes(0, "ok-to-stop", BEFORE_NEWEST);
    cluster.kill(2);
    cluster.is_no(
        0,
        "ok-to-stop",
        BEFORE_NEWEST,
        "1 of the other members are whole, and 2 of 3 have to be: m2: ",
    );
    cluster.is_no(2, "recovered", BEFORE_NEWEST, "does not answer");
    cluster.restart(2, BEFORE_NEWEST);
    cluster.until_yes(2, "recovered", BEFORE_NEWEST);
    cluster.until_yes(0, "ok-to-stop", BEFORE_NEWEST);
    assert_eq!(cluster.ask(0, "drain", BEFORE_NEWEST).0, 64);
}

#[test]
fn what_answers_in_the_place_of_another_member_does_not_count_as_that_one() {
    // As where nobody said what to advertise: each member says that it is at the local host.
    let cluster = Cluster::start_with(BEFORE_NEWEST, |clients| vec![clients[0]; 3]);
    cluster.until_yes(0, "recovered", BEFORE_NEWEST);
    cluster.is_no(
        0,
        "ok-to-stop",
        BEFORE_NEWEST,
        "0 of the other members are whole, and 2 of 3 have to be: ",
    );
    cluster.is_no(0, "ok-to-stop", BEFORE_NEWEST, "another member answers");
}

#[test]
fn a_member_that_leads_is_quiesced_by_making_another_one_lead() {
    let cluster = Cluster::start(BEFORE_NEWEST);
    let leader = (0..3).find(|&member| cluster.leads(member)).unwrap();
    cluster.until_yes(leader, "quiesce", BEFORE_NEWEST);
    assert!(!cluster.leads(leader));
    assert!((0..3).any(|member| cluster.leads(member)));
    let said = cluster.until_yes(leader, "version", BEFORE_NEWEST);
    assert_eq!(said["version"], BEFORE_NEWEST);
}

#[test]
fn an_upgrade_is_final_once_every_member_runs_it() {
    if !has_older().unwrap() {
        return;
    }
    let mut cluster = Cluster::start(OLDER);
    cluster.until_yes(0, "finalize", OLDER);
    for member in 0..3 {
        cluster.is_no(0, "finalize", BEFORE_NEWEST, "the cluster version is 3.4.0");
        cluster.until_yes(member, "ok-to-stop", BEFORE_NEWEST);
        cluster.until_yes(member, "quiesce", BEFORE_NEWEST);
        cluster.restart(member, BEFORE_NEWEST);
        cluster.until_yes(member, "recovered", BEFORE_NEWEST);
    }
    let said = cluster.until_yes(1, "finalize", BEFORE_NEWEST);
    assert_eq!(said["cluster_version"], "3.5.0");
}
