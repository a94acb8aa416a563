//! `evenkeel fleet`: nodes and instances as they change.

use clap::Subcommand;
use evenkeel_proto::v1::fleet_service_client::FleetServiceClient;
use evenkeel_proto::v1::watch_fleet_response::Change;
use evenkeel_proto::v1::{WatchFleetRequest, WatchFleetResponse};
use serde::Serialize;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::failure::Failure;
use crate::follow::{Follower, follow};
use crate::output::Output;
use crate::session::Session;
use crate::table::printable;
use crate::view::{Instance, Node};

/// What can be done with the fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Every node and instance, then each change, until interrupted
    Watch,
}

pub(crate) async fn run(session: &Session, command: FleetCommand) -> Result<(), Failure> {
    match command {
        FleetCommand::Watch => {
            let mut watch = Watch {
                output: session.output,
            };
            follow(&session.client, &mut watch).await
        }
    }
}

struct Watch {
    output: Output,
}

/// A change, as programs get it.
#[derive(Serialize)]
struct Line {
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Node>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<Instance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_gone: Option<String>,
}

impl Follower for Watch {
    type Change = WatchFleetResponse;

    async fn open(
        &self,
        channel: Channel,
        after_revision: u64,
    ) -> Result<Response<Streaming<WatchFleetResponse>>, Status> {
        FleetServiceClient::new(channel)
            .watch_fleet(WatchFleetRequest { after_revision })
            .await
    }

    fn take(&mut self, change: WatchFleetResponse) -> Result<u64, Failure> {
        let revision = change.revision;
        let mut line = Line {
            revision,
            node: None,
            instance: None,
            instance_gone: None,
        };
        let text = match change.change {
            Some(Change::Node(node)) => {
                let node = line.node.insert(node.into());
                Some(node_line(node))
            }
            Some(Change::Instance(instance)) => {
                let instance = line.instance.insert(instance.into());
                Some(instance_line(instance))
            }
            Some(Change::InstanceGone(name)) => {
                let name = line.instance_gone.insert(name);
                Some(printable(&format!("{name}  gone from its node")))
            }
            None => None,
        };
        self.output.change(&line, text)?;
        Ok(revision)
    }

    fn settled(&self) -> bool {
        false
    }
}

fn node_line(node: &Node) -> String {
    let at = node.changed_at.as_deref().unwrap_or("-");
    let mut text = format!("{at}  {}  {}", node.name, node.liveness);
    if !node.fenced.is_empty() {
        text = format!("{text}  fenced: {}", node.fenced);
    }
    printable(&text)
}

fn instance_line(instance: &Instance) -> String {
    let at = instance.changed_at.as_deref().unwrap_or("-");
    let mut text = format!(
        "{at}  {}  {} {}  {}  {}",
        instance.name,
        instance.component,
        instance.version(),
        instance.status,
        instance.health
    );
    if !instance.reason.is_empty() {
        text = format!("{text}  {}", instance.reason);
    }
    printable(&text)
}
