//! `evenkeel node`: the storage hosts.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use evenkeel_common::names::NodeName;
use evenkeel_proto::v1::fleet_service_client::FleetServiceClient;
use evenkeel_proto::v1::{GetNodeRequest, ListNodesRequest};
use indicatif::BinaryBytes;
use serde::Serialize;

use crate::client::{Client, Listed, Page, every, required};
use crate::failure::Failure;
use crate::instance::{self, Filter};
use crate::look::Look;
use crate::output::remark;
use crate::session::Session;
use crate::table::{Table, labels};
use crate::time::{age, brief};
use crate::view::{DataFolder, Instance, Node, Vitals};

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// All nodes
    #[command(visible_alias = "ls")]
    List,
    /// One node and its instances
    Show {
        /// The node's name
        name: NodeName,
    },
}

pub(crate) async fn run(session: &Session, command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::List => list(session).await,
        NodeCommand::Show { name } => show(session, name.as_str()).await,
    }
}

#[derive(Serialize)]
struct Nodes {
    nodes: Vec<Node>,
    revision: u64,
}

async fn list(session: &Session) -> Result<(), Failure> {
    let Listed { items, revision } = all(&session.client).await?;
    if items.is_empty() {
        remark("no node has reported yet; start an agent");
    }
    let nodes = Nodes {
        nodes: items,
        revision,
    };
    session.output.result(&nodes, || {
        if nodes.nodes.is_empty() {
            return String::new();
        }
        let now = SystemTime::now();
        let heading = ["NAME", "LIVENESS", "PLATFORM", "AGENT", "CHANGED", "LABELS"];
        let mut table = Table::new(session.output.look, &heading);
        for node in &nodes.nodes {
            table.row([
                node.name.clone(),
                liveness(node),
                node.platform.clone(),
                node.agent_version.clone(),
                age(node.changed_at.as_deref(), now),
                labels(&node.labels),
            ]);
        }
        table.render()
    })
}

#[derive(Serialize)]
struct NodeAndInstances {
    #[serde(flatten)]
    node: Node,
    /// What its agent said last of its host.
    vitals: Option<Vitals>,
    instances: Vec<Instance>,
}

async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let client = &session.client;
    let request = GetNodeRequest {
        name: name.to_owned(),
    };
    let answer = client
        .call(request, async |channel, request| {
            FleetServiceClient::new(channel).get_node(request).await
        })
        .await?;
    let on_node = Filter {
        node: name.to_owned(),
        ..Filter::default()
    };
    let both = NodeAndInstances {
        node: required(answer.node, "node")?.into(),
        vitals: answer
            .vitals
            .map(|vitals| Vitals::new(vitals, answer.vitals_age)),
        instances: instance::all(client, &on_node).await?.items,
    };
    let output = session.output;
    output.result(&both, || {
        let NodeAndInstances {
            node,
            vitals,
            instances,
        } = &both;
        let now = SystemTime::now();
        let mut pairs = Table::pairs(output.look);
        pairs.pair("Name", &node.name);
        pairs.pair("Liveness", &node.liveness);
        pairs.pair("Platform", &node.platform);
        pairs.pair("Agent", &node.agent_version);
        pairs.pair("Labels", labels(&node.labels));
        pairs.pair(
            "Changed",
            format!("{} ago", age(node.changed_at.as_deref(), now)),
        );
        if !node.fenced.is_empty() {
            pairs.pair("Fenced", &node.fenced);
        }
        if let Some(vitals) = vitals {
            host(&mut pairs, vitals);
        }
        let mut text = pairs.render();
        if let Some(vitals) = vitals.as_ref().filter(|vitals| !vitals.folders.is_empty()) {
            text.push('\n');
            text.push_str(&folders(&vitals.folders, output.look));
        }
        if !instances.is_empty() {
            text.push('\n');
            text.push_str(&instance::table(instances, output.look, now));
        }
        text
    })
}

/// What the machine is at.
fn host(pairs: &mut Table, vitals: &Vitals) {
    if let Some(host) = &vitals.host {
        let (busy, waiting, load) = (host.busy_percent, host.io_wait_percent, host.load);
        pairs.pair(
            "Processor",
            format!(
                "{busy:.1} % busy, {waiting:.1} % waiting for disks, load {load:.2} on {}",
                host.processors
            ),
        );
        pairs.pair(
            "Memory",
            format!(
                "{} of {} available",
                BinaryBytes(host.memory_available_bytes),
                BinaryBytes(host.memory_bytes)
            ),
        );
        let lost = match host.network_errors {
            0 => String::new(),
            errors => format!(", {errors} packets lost or damaged"),
        };
        pairs.pair(
            "Network",
            format!(
                "{}/s in, {}/s out{lost}",
                BinaryBytes(host.received_bytes_per_s),
                BinaryBytes(host.sent_bytes_per_s)
            ),
        );
    }
    let heard = Duration::from_millis(vitals.age_ms);
    pairs.pair("Looked at", format!("{} ago", brief(heard)));
}

/// The data folders, a line each.
fn folders(folders: &[DataFolder], look: Look) -> String {
    let heading = [
        "DATA OF", "DISK", "SIZE", "FREE", "INODES", "ERRORS", "CHECK", "TROUBLE",
    ];
    let mut table = Table::new(look, &heading);
    for folder in folders {
        let free = |free: u64, all: u64| match free.saturating_mul(100).checked_div(all) {
            Some(percent) => format!("{percent} %"),
            None => "-".to_owned(),
        };
        let errors = [folder.io_errors, folder.file_system_errors];
        let known = errors.iter().any(Option::is_some);
        let errors = errors.into_iter().flatten().fold(0, u64::saturating_add);
        table.row([
            format!("{}[{}]", folder.instance, folder.index),
            or_dash(&folder.device),
            BinaryBytes(folder.bytes).to_string(),
            free(folder.available_bytes, folder.bytes),
            free(folder.available_inodes, folder.inodes),
            match known {
                true => errors.to_string(),
                false => "-".to_owned(),
            },
            match folder.check_us {
                0 => "-".to_owned(),
                micros => format!(
                    "{:.1} ms",
                    Duration::from_micros(micros).as_secs_f64() * 1e3
                ),
            },
            or_dash(&folder.trouble),
        ]);
    }
    table.render()
}

fn or_dash(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    }
}

/// A node that refuses our orders is not simply up.
fn liveness(node: &Node) -> String {
    match node.fenced.as_str() {
        "" => node.liveness.clone(),
        _ => format!("{} (fenced)", node.liveness),
    }
}

async fn all(client: &Client) -> Result<Listed<Node>, Failure> {
    every(async |page_token| {
        let request = ListNodesRequest {
            page_size: 0,
            page_token,
        };
        let page = client
            .call(request, async |channel, request| {
                FleetServiceClient::new(channel).list_nodes(request).await
            })
            .await?;
        Ok(Page {
            items: page.nodes.into_iter().map(Node::from).collect(),
            next_page_token: page.next_page_token,
            revision: page.revision,
        })
    })
    .await
}
