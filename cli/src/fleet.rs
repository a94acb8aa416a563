//! `evenkeel fleet`: how it is as a whole, nodes and instances as they change, and the freeze.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use evenkeel_proto::v1;
use evenkeel_proto::v1::fleet_service_client::FleetServiceClient;
use evenkeel_proto::v1::watch_fleet_response::Change;
use evenkeel_proto::v1::{WatchFleetRequest, WatchFleetResponse};
use serde::Serialize;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::args::ChangeArgs;
use crate::client::required;
use crate::failure::Failure;
use crate::follow::{Follower, follow};
use crate::look::Look;
use crate::output::Output;
use crate::session::Session;
use crate::table::{Table, printable};
use crate::time::age;
use crate::view::{Fleet, Freeze, Instance, Node};

/// What can be done with the fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// How the fleet is as a whole, and what keeps everything in it from starting
    Status,
    /// Every node and instance, then each change, until interrupted
    Watch,
    /// Begin nothing new anywhere; what is in flight is finished, and what failed is put back
    Freeze(FreezeArgs),
    /// Lift the freeze; plans go on
    Unfreeze(ChangeArgs),
}

/// Why nothing is to start.
#[derive(Debug, Args)]
pub(crate) struct FreezeArgs {
    /// Why, for those who are held up by it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) async fn run(session: &Session, command: FleetCommand) -> Result<(), Failure> {
    match command {
        FleetCommand::Watch => {
            let mut watch = Watch {
                output: session.output,
            };
            follow(&session.client, &mut watch).await
        }
        FleetCommand::Status => {
            let answer = session
                .client
                .call(v1::GetFleetRequest {}, async |channel, request| {
                    FleetServiceClient::new(channel).get_fleet(request).await
                })
                .await?;
            show(session, answer.fleet)
        }
        FleetCommand::Freeze(args) => {
            let request_id = args.change.request_id();
            let request = v1::FreezeFleetRequest {
                request_id: request_id.to_string(),
                reason: args.reason,
            };
            let answer = session
                .client
                .change(request_id, request, async |channel, request| {
                    FleetServiceClient::new(channel).freeze_fleet(request).await
                })
                .await?;
            show(session, answer.fleet)
        }
        FleetCommand::Unfreeze(change) => {
            let request_id = change.request_id();
            let request = v1::UnfreezeFleetRequest {
                request_id: request_id.to_string(),
            };
            let answer = session
                .client
                .change(request_id, request, async |channel, request| {
                    FleetServiceClient::new(channel)
                        .unfreeze_fleet(request)
                        .await
                })
                .await?;
            show(session, answer.fleet)
        }
    }
}

fn show(session: &Session, fleet: Option<v1::Fleet>) -> Result<(), Failure> {
    let fleet = Fleet::from(required(fleet, "fleet")?);
    let output = session.output;
    output.result(&fleet, || page(&fleet, output.look, SystemTime::now()))
}

fn page(fleet: &Fleet, look: Look, now: SystemTime) -> String {
    let mut pairs = Table::pairs(look);
    let of = |part: u32, all: u32, is: &str| format!("{all}, {part} of them {is}");
    pairs.pair("Nodes", of(fleet.nodes_up, fleet.nodes, "heard"));
    pairs.pair(
        "Instances",
        of(fleet.instances_available, fleet.instances, "available"),
    );
    let plans = match fleet.plans_under_way.as_slice() {
        [] => "none".to_owned(),
        plans => plans.join(", "),
    };
    pairs.pair("Under way", plans);
    let frozen = fleet
        .freeze
        .as_ref()
        .filter(|freeze| freeze.lifted_at.is_none());
    pairs.pair(
        "Frozen",
        match frozen {
            None => "no".to_owned(),
            Some(freeze) => format!(
                "{} ago by {}: {}",
                age(freeze.frozen_at.as_deref(), now),
                freeze.frozen_by,
                freeze.reason
            ),
        },
    );
    pairs.pair(
        "Breaker",
        match fleet.breaker.as_str() {
            "" => "closed: plans may begin",
            open => open,
        },
    );
    pairs.render()
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
    #[serde(skip_serializing_if = "Option::is_none")]
    freeze: Option<Freeze>,
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
            freeze: None,
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
            Some(Change::Freeze(freeze)) => {
                let freeze = line.freeze.insert(freeze.into());
                Some(freeze_line(freeze))
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

fn freeze_line(freeze: &Freeze) -> String {
    let text = match &freeze.lifted_at {
        None => format!(
            "{}  the fleet is frozen by {}: {}",
            freeze.frozen_at.as_deref().unwrap_or("-"),
            freeze.frozen_by,
            freeze.reason
        ),
        Some(at) => format!("{at}  the freeze is lifted by {}", freeze.lifted_by),
    };
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
