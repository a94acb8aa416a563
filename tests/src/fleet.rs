//! A whole fleet on loopback: one coordinator, an agent a node, each its own process with its own certificate.

use std::{
    collections::BTreeMap, fmt::Write as _, os::unix::process::CommandExt as _, process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::{manifest::SigningKey, tls::TlsFiles};
use evenkeel_proto::v1::{CompatibilityMatrix, InstanceHealth, InstanceStatus, Liveness};

use crate::{api::Api, places, ports, processes, program::Program, wait};

/// The fleet's cluster name.
pub const CLUSTER: &str = "test";

/// How long a fleet may take to be whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked whether a program has ended that should not.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a program may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A node and what is on it.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub labels: BTreeMap<String, String>,
    /// Its `[[instance]]` tables, as TOML.
    pub instances: Vec<String>,
}

impl NodeSpec {
    /// A node with one instance.
    #[must_use]
    pub fn new(name: impl Into<String>, instance: String) -> Self {
        Self {
            name: name.into(),
            labels: BTreeMap::new(),
            instances: vec![instance],
        }
    }

    /// The node with one more label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// How a fleet is laid out.
#[derive(Debug, Clone)]
pub struct FleetSpec {
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// Lines that are added to the coordinator's configuration.
    pub coordinator_extra: String,
    /// Lines that are added to each agent's configuration.
    pub agent_extra: String,
    /// What is said of versions once the fleet is whole. Without any, no plan is possible.
    pub matrix: Option<CompatibilityMatrix>,
    /// Whether the programs are out of the reach of the terminal's Ctrl-C, so that whoever started them stops them.
    pub detached: bool,
}

impl FleetSpec {
    /// A fleet of these nodes, whose silence is noticed within seconds and not minutes.
    #[must_use]
    pub fn new(nodes: Vec<NodeSpec>) -> Self {
        Self {
            nodes,
            coordinator_extra: "[agents]\nheartbeat_interval = \"500ms\"\nsuspect_after = \"2s\"\nlost_after = \"4s\"\n"
                .to_owned(),
            agent_extra: "[reconnect]\nfirst_within = \"50ms\"\nbackoff_min = \"50ms\"\nbackoff_max = \"200ms\"\n"
                .to_owned(),
            matrix: None,
            detached: false,
        }
    }
}

/// A fleet that runs. Dropping it kills every process of it, the storage processes too.
#[derive(Debug)]
pub struct Fleet {
    folder: Utf8PathBuf,
    address: String,
    coordinator: Option<Program>,
    agents: BTreeMap<String, Program>,
    nodes: Vec<String>,
    detached: bool,
    left_running: bool,
}

impl Fleet {
    /// Lays out a fleet below `folder` with `evenkeel init`, and starts nothing yet.
    ///
    /// # Errors
    /// When init fails or a configuration cannot be written.
    pub fn lay_out(folder: &Utf8Path, spec: &FleetSpec) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {folder}"))?;
        // As the system tells it of the processes that live there.
        let folder = folder.canonicalize_utf8()?;
        let port = ports::free(1)?.first().copied().context("no port")?;
        let address = format!("127.0.0.1:{port}");
        let mut init = command("evenkeel", spec.detached)?;
        init.args([
            "init",
            folder.as_str(),
            "--cluster",
            CLUSTER,
            "--coordinator",
            &address,
        ]);
        for node in &spec.nodes {
            init.args(["--node", &node.name]);
        }
        let output = init.output().context("cannot run evenkeel init")?;
        ensure!(
            output.status.success(),
            "evenkeel init failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let fleet = Self {
            folder,
            address,
            coordinator: None,
            agents: BTreeMap::new(),
            nodes: spec.nodes.iter().map(|node| node.name.clone()).collect(),
            detached: spec.detached,
            left_running: false,
        };
        append(&fleet.coordinator_config(), &spec.coordinator_extra)?;
        for node in &spec.nodes {
            let mut text = spec.agent_extra.clone();
            for instance in &node.instances {
                write!(text, "\n{instance}")?;
            }
            append(&fleet.agent_config(&node.name), &text)?;
            fleet.set_labels(&node.name, &node.labels)?;
        }
        Ok(fleet)
    }

    /// Lays out a fleet, starts it, waits until it is whole, and applies its compatibility matrix.
    ///
    /// # Errors
    /// When anything of it does not come up.
    pub async fn start(folder: &Utf8Path, spec: &FleetSpec) -> anyhow::Result<Self> {
        let mut fleet = Self::lay_out(folder, spec)?;
        fleet.start_coordinator()?;
        for node in fleet.nodes.clone() {
            fleet.start_agent(&node)?;
        }
        tokio::select! {
            whole = fleet.wait_until_whole() => whole?,
            ended = fleet.first_end() => bail!(ended?),
        }
        if let Some(matrix) = &spec.matrix {
            fleet.api()?.apply_matrix(matrix.clone()).await?;
        }
        Ok(fleet)
    }

    /// The fleet's folder: configuration, certificates, state and logs.
    #[must_use]
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// Where the coordinator listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The names of the nodes.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The coordinator's configuration.
    #[must_use]
    pub fn coordinator_config(&self) -> Utf8PathBuf {
        self.folder.join("coordinator/coordinator.toml")
    }

    /// The coordinator's folder for state.
    #[must_use]
    pub fn coordinator_data(&self) -> Utf8PathBuf {
        self.folder.join("coordinator/data")
    }

    /// An agent's configuration.
    #[must_use]
    pub fn agent_config(&self, node: &str) -> Utf8PathBuf {
        self.folder.join("agents").join(node).join("agent.toml")
    }

    /// An agent's folder for state.
    #[must_use]
    pub fn agent_data(&self, node: &str) -> Utf8PathBuf {
        self.folder.join("agents").join(node).join("data")
    }

    /// The key that signs releases.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn release_key(&self) -> anyhow::Result<SigningKey> {
        Ok(SigningKey::load(&self.folder.join("releases.key"))?)
    }

    /// The admin's certificate.
    #[must_use]
    pub fn admin_tls(&self) -> TlsFiles {
        self.tls("operators/admin")
    }

    /// The certificate in a folder that init made, such as `agents/n1`.
    #[must_use]
    pub fn tls(&self, of: &str) -> TlsFiles {
        let folder = self.folder.join(of);
        TlsFiles {
            ca: folder.join("ca.pem"),
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        }
    }

    /// A connection as the admin.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub fn api(&self) -> anyhow::Result<Api> {
        Api::connect(&self.address, &self.admin_tls())
    }

    fn log(&self, name: &str) -> Utf8PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Starts the coordinator.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_coordinator(&mut self) -> anyhow::Result<()> {
        self.start_coordinator_with(&[])
    }

    /// Starts the coordinator with variables in its environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_coordinator_with(&mut self, env: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut command = command("evenkeel-coordinator", self.detached)?;
        command
            .args(["--config", self.coordinator_config().as_str()])
            .envs(env.iter().copied());
        let program = Program::start("the coordinator", &mut command, &self.log("coordinator"))?;
        self.coordinator = Some(program);
        Ok(())
    }

    /// The coordinator.
    ///
    /// # Errors
    /// When it was never started.
    pub fn coordinator(&mut self) -> anyhow::Result<&mut Program> {
        self.coordinator
            .as_mut()
            .context("the coordinator was not started")
    }

    /// Starts the agent of a node.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent(&mut self, node: &str) -> anyhow::Result<()> {
        self.start_agent_with(node, &[])
    }

    /// Starts the agent of a node with variables in its environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent_with(&mut self, node: &str, env: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut command = command("evenkeel-agent", self.detached)?;
        command
            .args(["--config", self.agent_config(node).as_str()])
            .envs(env.iter().copied());
        let name = format!("agent-{node}");
        let program = Program::start(&name, &mut command, &self.log(&name))?;
        self.agents.insert(node.to_owned(), program);
        Ok(())
    }

    /// The agent of a node.
    ///
    /// # Errors
    /// When it was never started.
    pub fn agent(&mut self, node: &str) -> anyhow::Result<&mut Program> {
        self.agents
            .get_mut(node)
            .with_context(|| format!("the agent of {node} was not started"))
    }

    /// Waits until every node is up and every instance healthy.
    ///
    /// # Errors
    /// When one is not in time, naming it and its reason.
    pub async fn wait_until_whole(&self) -> anyhow::Result<()> {
        let api = self.api()?;
        wait::until("the fleet to be whole", WHOLE_WITHIN, || async {
            let nodes = api.nodes().await?;
            for name in &self.nodes {
                let node = nodes
                    .get(name)
                    .with_context(|| format!("{name} has not reported"))?;
                ensure!(node.liveness() == Liveness::Up, "{name} is not up");
            }
            for (name, instance) in api.instances().await? {
                let good = instance.health() == InstanceHealth::Healthy
                    && instance.status() == InstanceStatus::Running;
                ensure!(good, "{name} is not healthy: {}", instance.reason);
            }
            Ok(())
        })
        .await
    }

    /// Waits until a program of it has ended by itself, and says which and why.
    async fn first_end(&self) -> anyhow::Result<String> {
        loop {
            for program in self.coordinator.iter().chain(self.agents.values()) {
                if let Some(end) = program.ended()? {
                    return Ok(end);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Leaves everything running after this value is gone, for a look round.
    pub fn leave_running(mut self) {
        self.left_running = true;
        for program in self.agents.values_mut().chain(&mut self.coordinator) {
            program.leave_running();
        }
    }

    /// Stops the coordinator and the agents; storage processes are killed with the fleet's end.
    ///
    /// # Errors
    /// When one does not stop in time.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for agent in self.agents.values_mut() {
            agent.terminate(STOP_WITHIN)?;
        }
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.terminate(STOP_WITHIN)?;
        }
        Ok(())
    }

    fn set_labels(&self, node: &str, labels: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let path = self.agent_config(node);
        let mut lines = String::from("[labels]\n");
        for (name, value) in labels {
            writeln!(lines, "{name} = {value:?}")?;
        }
        let text = std::fs::read_to_string(&path)?.replacen("[labels]\n", &lines, 1);
        std::fs::write(&path, text).with_context(|| format!("cannot write {path}"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.left_running {
            return;
        }
        // Agents first: they would start their storage processes again.
        self.agents.clear();
        self.coordinator = None;
        processes::kill_below(&self.folder);
    }
}

/// One of our programs, to be started.
fn command(program: &str, detached: bool) -> anyhow::Result<Command> {
    let mut command = Command::new(places::program(program)?);
    if detached {
        command.process_group(0);
    }
    Ok(command)
}

fn append(path: &Utf8Path, text: &str) -> anyhow::Result<()> {
    let mut whole = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    whole.push('\n');
    whole.push_str(text);
    std::fs::write(path, whole).with_context(|| format!("cannot write {path}"))
}
