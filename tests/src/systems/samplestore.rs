//! The sample store: five nodes by default, quorum of three.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_samplestore::client::{Client, ClientOptions};

use crate::{
    fleet::{FleetSpec, NodeSpec},
    matrix, places, ports,
};

/// Its component.
pub const COMPONENT: &str = "sample-store";

/// Its driver.
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../drivers/samplestore");

/// A layout of sample store nodes.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The fleet that runs them.
    pub spec: FleetSpec,
    /// Where they answer clients.
    pub addresses: Vec<SocketAddr>,
    /// Where each keeps its copy of the data.
    pub data: Vec<Utf8PathBuf>,
}

impl Layout {
    /// `count` nodes that run `version`, one to a zone, their data below `folder`.
    ///
    /// # Errors
    /// When there is no free port, or the release is not built.
    pub fn new(folder: &Utf8Path, count: usize, version: &str) -> anyhow::Result<Self> {
        let binary = places::samplestore(version)?;
        let addresses = ports::loopback(count)?;
        let peers: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let peers = peers.join(",");
        let (mut nodes, mut folders) = (Vec::new(), Vec::new());
        for (address, number) in addresses.iter().zip(1..) {
            let node = format!("n{number}");
            let data = folder.join("storage").join(&node);
            std::fs::create_dir_all(&data).with_context(|| format!("cannot make {data}"))?;
            let instance = format!(
                r#"[[instance]]
name = "store"
component = "{COMPONENT}"
binary = "samplestore"
command = ["{{release}}/samplestore", "serve", "--name", "{node}", "--listen", "{address}", "--data", "{data}", "--peers", "{peers}"]
stop_timeout = "10s"
data_dirs = ["{data}"]
initial = {{ version = "{version}", path = "{binary}" }}
[[instance.probe]]
type = "http"
url = "http://{address}/health"
interval = "500ms"
timeout = "1s"
"#
            );
            nodes.push(NodeSpec::new(node, instance).label("zone", &format!("z{number}")));
            folders.push(data);
        }
        let mut spec = FleetSpec::new(nodes);
        spec.matrix = Some(matrix::of_toml(matrix::SAMPLE_STORE)?);
        Ok(Self {
            spec,
            addresses,
            data: folders,
        })
    }

    /// The same where the agents' configurations allow their instances to be started without their data, and name the
    /// driver that sees to it that the others hold all of it first.
    #[must_use]
    pub fn with_rebuilds(mut self) -> Self {
        let all: Vec<_> = self
            .addresses
            .iter()
            .map(|at| format!("\"{at}\""))
            .collect();
        let all = all.join(", ");
        let places = self.data.iter().zip(&self.addresses);
        for (node, (data, address)) in self.spec.nodes.iter_mut().zip(places) {
            for instance in &mut node.instances {
                let allowed = format!(
                    r#"rebuild = {{ empty = ["{data}"] }}
driver = {{ command = ["{DRIVER}"], settings = {{ endpoint = "{address}", nodes = [{all}] }} }}
initial ="#
                );
                *instance = instance.replacen("initial =", &allowed, 1);
            }
        }
        self
    }

    /// A client of all nodes.
    #[must_use]
    pub fn client(&self) -> Client {
        let options = ClientOptions {
            deadline: Duration::from_secs(5),
            ..ClientOptions::default()
        };
        Client::new(self.addresses.clone(), options)
    }
}
