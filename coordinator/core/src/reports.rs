//! What agents say, taken in: who is there, and what is true on their hosts.

use std::collections::BTreeMap;

use evenkeel_words::names::{InstanceId, InstanceName, NodeName};
use semver::Version;

use crate::{
    change::{Change, Resource},
    instance::{Instance, Report},
    node::{Labels, Liveness, Node},
    state::State,
};

/// The first word of an agent's session: all that is true on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The agent's own version.
    pub agent_version: Version,
    /// Operating system and processor.
    pub platform: String,
    /// Where the node stands.
    pub labels: Labels,
    /// Every instance of the node.
    pub instances: BTreeMap<InstanceName, Report>,
}

/// Takes in a hello. Instances that the agent no longer has are gone, with any slot, unless a plan under way
/// has a task for them: then they count as stopped.
#[must_use]
pub fn hello(state: &State, name: &NodeName, hello: &Hello) -> Option<Change> {
    let mut resources = Vec::new();
    let mut reports = hello.instances.clone();
    for instance in state.instances_on(name) {
        if hello.instances.contains_key(&instance.id.name) {
            continue;
        }
        if state.claimed_by(&instance.id).is_some() {
            reports.insert(instance.id.name.clone(), instance.report.absent());
        } else {
            resources.push(Resource::InstanceGone(instance.id.clone()));
        }
    }
    resources.extend(instances(state, name, &hello.labels, &reports));
    resources.extend(node(state, name, hello).map(Resource::Node));
    change(name, "session opened", resources)
}

/// Takes in what changed on a host since the report before.
#[must_use]
pub fn report(
    state: &State,
    name: &NodeName,
    reports: &BTreeMap<InstanceName, Report>,
) -> Option<Change> {
    let node = state.node(name)?;
    change(
        name,
        "instances reported",
        instances(state, name, &node.labels, reports).collect(),
    )
}

/// Takes in what silence, or its end, says of the agents.
#[must_use]
pub fn liveness(state: &State, judged: &[(NodeName, Liveness)]) -> Option<Change> {
    let changed = judged.iter().filter_map(|(name, liveness)| {
        let node = state.node(name).filter(|node| node.liveness != *liveness)?;
        Some(Resource::Node(Node {
            liveness: *liveness,
            ..Node::clone(node)
        }))
    });
    let resources: Vec<_> = changed.collect();
    (!resources.is_empty()).then(|| Change {
        actor: "coordinator".to_owned(),
        cause: "liveness judged".to_owned(),
        resources,
    })
}

fn change(node: &NodeName, cause: &str, resources: Vec<Resource>) -> Option<Change> {
    (!resources.is_empty()).then(|| Change {
        actor: format!("agent {node}"),
        cause: cause.to_owned(),
        resources,
    })
}

fn node(state: &State, name: &NodeName, hello: &Hello) -> Option<Node> {
    let old = state.node(name);
    let new = Node {
        name: name.clone(),
        labels: hello.labels.clone(),
        platform: hello.platform.clone(),
        agent_version: hello.agent_version.clone(),
        liveness: Liveness::Up,
        fenced: fenced(state, name, hello),
        changed_at: old.map_or_else(Default::default, |old| old.changed_at),
        revision: old.map_or(0, |old| old.revision),
    };
    (old.map(AsRef::as_ref) != Some(&new)).then_some(new)
}

/// Why the agent refuses our orders, if it does: it has accepted more than this ledger knows of, so the
/// ledger is an old copy, or another coordinator is at work.
fn fenced(state: &State, node: &NodeName, hello: &Hello) -> Option<String> {
    hello.instances.iter().find_map(|(name, report)| {
        let id = InstanceId {
            node: node.clone(),
            name: name.clone(),
        };
        let known = state.instance(&id).map_or(0, |known| known.generation());
        let accepted = report.accepted;
        if accepted.epoch > state.epoch() {
            Some(format!(
                "{id} has accepted epoch {}, and this coordinator is at {}: its state is an old copy, or another coordinator is at work",
                accepted.epoch,
                state.epoch()
            ))
        } else if accepted.generation > known {
            Some(format!(
                "{id} has accepted order {}, and this coordinator knows of {known}: its state is an old copy, or another coordinator is at work",
                accepted.generation
            ))
        } else {
            None
        }
    })
}

fn instances<'a>(
    state: &'a State,
    node: &'a NodeName,
    node_labels: &'a Labels,
    reports: &'a BTreeMap<InstanceName, Report>,
) -> impl Iterator<Item = Resource> + 'a {
    reports.iter().filter_map(move |(name, report)| {
        let id = InstanceId {
            node: node.clone(),
            name: name.clone(),
        };
        let old = state.instance(&id);
        let mut labels = node_labels.clone();
        labels.extend(report.labels.clone());
        if old.is_some_and(|old| old.report == *report && old.labels == labels) {
            return None;
        }
        let old = old.map(AsRef::as_ref);
        Some(Resource::Instance(Instance {
            id,
            labels,
            report: report.clone(),
            order: old.and_then(|old| old.order.clone()),
            slot: old.and_then(|old| old.slot.clone()),
            changed_at: old.map_or_else(Default::default, |old| old.changed_at),
            revision: old.map_or(0, |old| old.revision),
        }))
    })
}
