//! What agents say, taken in: who is there, and what is true on their hosts.

use std::collections::BTreeMap;

use evenkeel_words::names::{InstanceId, InstanceName, NodeName};
use semver::Version;

use crate::{
    change::{Change, Resource},
    instance::{GoneInstance, Instance, Order, Report},
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

/// Takes in a hello. Instances that the agent no longer has are gone, unless they hold a slot or a plan under
/// way has a task for them: then they count as stopped.
#[must_use]
pub fn hello(state: &State, name: &NodeName, hello: &Hello) -> Option<Change> {
    let mut resources = Vec::new();
    let mut reports = hello.instances.clone();
    for instance in state.instances_on(name) {
        if hello.instances.contains_key(&instance.id.name) {
            continue;
        }
        if state.claimed_by(&instance.id).is_some() || instance.slot.is_some() {
            reports.insert(instance.id.name.clone(), instance.report.absent());
        } else {
            resources.push(Resource::InstanceGone(GoneInstance {
                id: instance.id.clone(),
                order: instance.order.clone(),
                revision: instance.revision,
            }));
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
        silent_since: None,
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
        let known = newest_order(state, &id).map_or(0, |order| order.generation);
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

/// The newest order that the instance was given, also if it was gone since.
fn newest_order(state: &State, id: &InstanceId) -> Option<Order> {
    match state.instance(id) {
        Some(instance) => instance.order.clone(),
        None => state.gone(id)?.order.clone(),
    }
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
        let mut report = report.clone();
        let mut labels = node_labels.clone();
        labels.extend(report.labels.clone());
        // While it holds a slot it counts where the slot was taken, whatever its agent calls it.
        if let Some(held) = old.filter(|old| old.slot.is_some()) {
            report.component = held.report.component.clone();
            labels = held.labels.clone();
        }
        if old.is_some_and(|old| old.report == report && old.labels == labels) {
            return None;
        }
        let old = old.map(AsRef::as_ref);
        let order = newest_order(state, &id);
        Some(Resource::Instance(Instance {
            id,
            labels,
            report,
            order,
            slot: old.and_then(|old| old.slot.clone()),
            quarantine: old.map_or_else(Default::default, |old| old.quarantine.clone()),
            changed_at: old.map_or_else(Default::default, |old| old.changed_at),
            revision: old.map_or(0, |old| old.revision),
        }))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evenkeel_compat::Method;
    use evenkeel_words::{digest::Digest, timestamp::Timestamp};

    use super::*;
    use crate::{
        instance::{Fence, Health, Status},
        release::ReleaseRef,
        state::Key,
    };

    fn said(generation: u64) -> Report {
        Report {
            may_rebuild: false,
            rebuild_obstacle: String::new(),
            configuration: String::new(),
            can_finalize: false,
            asks_before_stop: false,
            finalized: None,
            held: false,
            hold_word: 0,
            component: "store".parse().unwrap(),
            labels: Labels::new(),
            status: Status::Running,
            health: Health::Healthy,
            reason: String::new(),
            current: None,
            process: None,
            staged: Vec::new(),
            accepted: Fence {
                epoch: 1,
                generation,
            },
            progress: None,
        }
    }

    fn heard(state: &mut State, instances: &[(&str, Report)]) {
        let instances = instances
            .iter()
            .map(|(name, report)| (name.parse().unwrap(), report.clone()))
            .collect();
        let hello = Hello {
            agent_version: Version::new(0, 1, 0),
            platform: "linux/amd64".to_owned(),
            labels: Labels::new(),
            instances,
        };
        let change = super::hello(state, &"n1".parse().unwrap(), &hello).unwrap();
        state.apply(&change, Timestamp(1));
    }

    #[test]
    fn an_instance_that_went_and_comes_back_has_its_newest_order_still() {
        let id: InstanceId = "n1/store".parse().unwrap();
        let mut state = State::default();
        state.apply(
            &Change {
                actor: String::new(),
                cause: String::new(),
                resources: vec![Resource::Coordinator { epoch: 1 }],
            },
            Timestamp(0),
        );
        heard(&mut state, &[("store", said(0))]);
        let ordered = Instance {
            order: Some(Order {
                method: Method::InPlace,
                generation: 3,
                release: ReleaseRef {
                    version: Version::new(1, 0, 0),
                    digest: Digest::from_bytes([1; 32]),
                },
                fallback: None,
                ready_within: Duration::from_secs(1),
                way_back: false,
            }),
            ..Instance::clone(state.instance(&id).unwrap())
        };
        let change = Change {
            actor: String::new(),
            cause: String::new(),
            resources: vec![Resource::Instance(ordered)],
        };
        state.apply(&change, Timestamp(1));

        let before = state.revision();
        heard(&mut state, &[]);
        assert!(state.instance(&id).is_none());
        let newer: Vec<_> = state
            .newer_than(before)
            .map(|(_, key)| key.clone())
            .collect();
        assert_eq!(newer, [Key::Instance(id.clone())], "a watcher is told");

        heard(&mut state, &[("store", said(3))]);
        assert_eq!(state.instance(&id).unwrap().generation(), 3);
        let node = state.node(&"n1".parse().unwrap()).unwrap();
        assert_eq!(node.fenced, None);
        assert!(state.gone(&id).is_none());
    }
}
