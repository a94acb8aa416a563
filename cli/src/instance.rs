//! `evenkeel instance`: the storage processes.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use evenkeel_common::names::{ComponentName, InstanceId, NodeName};
use evenkeel_proto::v1::fleet_service_client::FleetServiceClient;
use evenkeel_proto::v1::{GetInstanceRequest, ListInstancesRequest};
use serde::Serialize;

use crate::client::{Client, Listed, Page, every, required};
use crate::failure::Failure;
use crate::look::Look;
use crate::output::remark;
use crate::session::Session;
use crate::table::{Table, labels};
use crate::time::{age, micros};
use crate::view::{Instance, Measures, ReleaseRef};

/// What can be done with instances.
#[derive(Debug, Subcommand)]
pub(crate) enum InstanceCommand {
    /// All instances, or those of a component or a node
    #[command(visible_alias = "ls")]
    List(FilterArgs),
    /// One instance
    Show {
        /// The instance, NODE/INSTANCE
        name: InstanceId,
    },
}

/// Which instances are meant.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Only this component's
    #[arg(short, long, value_name = "COMPONENT")]
    component: Option<ComponentName>,
    /// Only this node's
    #[arg(short, long, value_name = "NODE")]
    node: Option<NodeName>,
}

/// Which instances are meant; empty names mean all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) component: String,
    pub(crate) node: String,
}

impl From<FilterArgs> for Filter {
    fn from(args: FilterArgs) -> Self {
        Self {
            component: args.component.map(String::from).unwrap_or_default(),
            node: args.node.map(String::from).unwrap_or_default(),
        }
    }
}

pub(crate) async fn run(session: &Session, command: InstanceCommand) -> Result<(), Failure> {
    match command {
        InstanceCommand::List(args) => list(session, &args.into()).await,
        InstanceCommand::Show { name } => show(session, name.to_string()).await,
    }
}

#[derive(Serialize)]
struct Instances {
    instances: Vec<Instance>,
    revision: u64,
}

async fn list(session: &Session, filter: &Filter) -> Result<(), Failure> {
    let Listed { items, revision } = all(&session.client, filter).await?;
    if items.is_empty() {
        remark("there is no such instance; an agent reports those in its configuration");
    }
    let instances = Instances {
        instances: items,
        revision,
    };
    let output = session.output;
    output.result(&instances, || {
        if instances.instances.is_empty() {
            return String::new();
        }
        table(&instances.instances, output.look, SystemTime::now())
    })
}

async fn show(session: &Session, name: String) -> Result<(), Failure> {
    let request = GetInstanceRequest { name };
    let answer = session
        .client
        .call(request, async |channel, request| {
            FleetServiceClient::new(channel).get_instance(request).await
        })
        .await?;
    let mut instance = Instance::from(required(answer.instance, "instance")?);
    let measures_age = answer.measures_age;
    instance.measures = answer
        .measures
        .map(|measures| Measures::new(measures, measures_age));
    let output = session.output;
    output.result(&instance, || {
        details(&instance, output.look, SystemTime::now())
    })
}

/// All instances that are meant.
pub(crate) async fn all(client: &Client, filter: &Filter) -> Result<Listed<Instance>, Failure> {
    every(async |page_token| {
        let request = ListInstancesRequest {
            page_size: 0,
            page_token,
            component: filter.component.clone(),
            node: filter.node.clone(),
        };
        let page = client
            .call(request, async |channel, request| {
                FleetServiceClient::new(channel)
                    .list_instances(request)
                    .await
            })
            .await?;
        Ok(Page {
            items: page.instances.into_iter().map(Instance::from).collect(),
            next_page_token: page.next_page_token,
            revision: page.revision,
        })
    })
    .await
}

/// Instances in columns.
pub(crate) fn table(instances: &[Instance], look: Look, now: SystemTime) -> String {
    let heading = [
        "NAME",
        "COMPONENT",
        "VERSION",
        "STATUS",
        "HEALTH",
        "PLAN",
        "CHANGED",
        "REASON",
    ];
    let mut table = Table::new(look, &heading);
    for instance in instances {
        table.row([
            instance.name.clone(),
            instance.component.clone(),
            instance.version().to_owned(),
            instance.status.clone(),
            instance.health.clone(),
            instance.held_by_plan.clone(),
            age(instance.changed_at.as_deref(), now),
            instance.reason.clone(),
        ]);
    }
    table.render()
}

fn details(instance: &Instance, look: Look, now: SystemTime) -> String {
    let mut pairs = Table::pairs(look);
    pairs.pair("Name", &instance.name);
    pairs.pair("Component", &instance.component);
    pairs.pair("Status", &instance.status);
    pairs.pair("Health", &instance.health);
    if !instance.reason.is_empty() {
        pairs.pair("Reason", &instance.reason);
    }
    match (instance.quarantine.as_str(), &instance.process) {
        ("", _) => {}
        (met, None) => pairs.pair("Quarantined", met),
        (met, Some(_)) => pairs.pair("Warning", met),
    }
    pairs.pair("Release", release(instance.current.as_ref()));
    let process = instance.process.as_ref().map(|process| {
        let started = age(process.started_at.as_deref(), now);
        format!(
            "pid {}, started {started} ago, runs {}",
            process.pid,
            release(process.release.as_ref())
        )
    });
    pairs.pair("Process", process.unwrap_or_default());
    for staged in &instance.staged {
        let mut text = format!("{} {}", release(staged.release.as_ref()), staged.state);
        if !staged.reason.is_empty() {
            text = format!("{text}: {}", staged.reason);
        }
        pairs.pair("Staged", text);
    }
    pairs.pair("Labels", labels(&instance.labels));
    pairs.pair(
        "Rebuild",
        match (instance.may_rebuild, instance.rebuild_obstacle.as_str()) {
            (true, _) => "allowed: it may be started without its data".to_owned(),
            (false, "") => "not allowed by its agent's configuration".to_owned(),
            (false, obstacle) => format!("not now: {obstacle}"),
        },
    );
    pairs.pair("Held by", &instance.held_by_plan);
    pairs.pair(
        "Orders",
        format!(
            "{} given, {} accepted (epoch {})",
            instance.generation, instance.accepted_generation, instance.accepted_epoch
        ),
    );
    if let Some(progress) = &instance.progress {
        let how = match progress.step.as_str() {
            "ended" => &progress.result,
            step => step,
        };
        let mut text = format!("order {} {how}", progress.generation);
        if !progress.reason.is_empty() {
            text = format!("{text}: {}", progress.reason);
        }
        if progress.stop_to_ready_us > 0 {
            text = format!(
                "{text}, stop to ready {}",
                micros(progress.stop_to_ready_us)
            );
        }
        pairs.pair("Progress", text);
    }
    if let Some(measures) = &instance.measures {
        pairs.pair("Measured", measured(measures));
    }
    pairs.pair(
        "Changed",
        format!("{} ago", age(instance.changed_at.as_deref(), now)),
    );
    pairs.render()
}

/// What was measured lately, and how long ago that was heard.
fn measured(measures: &Measures) -> String {
    let mut text = format!(
        "{} s ago: {} good answers to probes within five minutes, {} failed, p50 {}, p99 {}, {} restarts",
        measures.age_ms / 1_000,
        measures.probes,
        measures.probe_failures,
        micros(measures.latency_p50_us),
        micros(measures.latency_p99_us),
        measures.restarts
    );
    for (name, figure) in &measures.metrics {
        text.push_str(&format!(", {name} {figure}"));
    }
    text
}

/// A release by its version and the beginning of its digest.
fn release(release: Option<&ReleaseRef>) -> String {
    match release {
        Some(release) => format!(
            "{} ({})",
            release.version,
            release.digest.chars().take(12).collect::<String>()
        ),
        None => "no release".to_owned(),
    }
}
