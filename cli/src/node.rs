//! `evenkeel node`: the storage hosts.

use std::time::SystemTime;

use clap::Subcommand;
use evenkeel_common::names::NodeName;
use evenkeel_proto::v1::fleet_service_client::FleetServiceClient;
use evenkeel_proto::v1::{GetNodeRequest, ListNodesRequest};
use serde::Serialize;

use crate::client::{Client, Listed, Page, every, required};
use crate::failure::Failure;
use crate::instance::{self, Filter};
use crate::output::remark;
use crate::session::Session;
use crate::table::{Table, labels};
use crate::time::age;
use crate::view::{Instance, Node};

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
        instances: instance::all(client, &on_node).await?.items,
    };
    let output = session.output;
    output.result(&both, || {
        let NodeAndInstances { node, instances } = &both;
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
        let mut text = pairs.render();
        if !instances.is_empty() {
            text.push('\n');
            text.push_str(&instance::table(instances, output.look, now));
        }
        text
    })
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
