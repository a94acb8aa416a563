//! How the things of a state are found.

use evenkeel_coordinator_core::{
    calls::{self, Call},
    change::RequestKey,
    instance::Report,
    plan::{PlanId, Target, TaskId},
    reports,
    state::{Key, REQUESTS_MAX, State},
};
use evenkeel_words::{
    names::{InstanceId, NodeName},
    timestamp::Timestamp,
};
use semver::Version;

use crate::{
    host::{Host, Local, release},
    script::published,
    world::World,
};

/// Three nodes with two instances each, two releases, and two drafts.
fn world() -> World {
    let mut world = World::new();
    for node in ["n-1", "n1", "n10"] {
        let node: NodeName = node.parse().unwrap();
        let mut host = Host::new("linux/amd64", [].into());
        for name in ["0", "store"] {
            let local = Local::new("store".parse().unwrap(), release(&one()), [].into());
            host.instances.insert(name.parse().unwrap(), local);
        }
        world.hosts.insert(node.clone(), host);
        world.report(&node);
    }
    for version in [Version::new(1, 1, 0), Version::new(1, 10, 0)] {
        let call = published("store".parse().unwrap(), version.clone(), None, &version);
        world.ask(None, &call).unwrap();
        let targets = vec![Target {
            component: "store".parse().unwrap(),
            version: version.clone(),
            allow_downgrade: false,
        }];
        let call = Call::CreatePlan {
            targets,
            content: release(&version).digest,
            policy: Default::default(),
        };
        world.ask(None, &call).unwrap();
    }
    world
}

fn one() -> Version {
    Version::new(1, 0, 0)
}

#[test]
fn a_page_begins_after_the_name_that_the_one_before_ended_with() {
    let state = world().state;
    let nodes = |after: Option<&str>| {
        let after: Option<NodeName> = after.map(|name| name.parse().unwrap());
        let nodes = state.nodes_after(after.as_ref());
        nodes.map(|node| node.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(nodes(None), ["n-1", "n1", "n10"]);
    assert_eq!(nodes(Some("n-1")), ["n1", "n10"]);
    assert_eq!(nodes(Some("n0")), ["n1", "n10"]);
    assert_eq!(nodes(Some("n10")), [""; 0]);

    let after: InstanceId = "n1/0".parse().unwrap();
    let instances = state
        .instances_after(Some(&after))
        .map(|x| x.id.to_string());
    let instances: Vec<_> = instances.collect();
    assert_eq!(instances, ["n1/store", "n10/0", "n10/store"]);

    let first: PlanId = "plan-1".parse().unwrap();
    let plans = |after| {
        state
            .plans_after(after)
            .map(|x| x.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(plans(None), ["plan-1", "plan-2"]);
    assert_eq!(plans(Some(first)), ["plan-2"]);

    let tasks = |after| {
        let tasks = state.tasks_after(first, after);
        tasks
            .map(|x| (x.plan, x.instance.to_string()))
            .collect::<Vec<_>>()
    };
    assert_eq!(tasks(None).len(), 6);
    assert!(tasks(None).iter().all(|(plan, _)| *plan == first));
    let after = TaskId {
        plan: first,
        stage: 0,
        instance: after,
    };
    assert_eq!(tasks(Some(&after))[0].1, "n1/store");
    assert_eq!(tasks(Some(&after)).len(), 3);
}

#[test]
fn the_instances_of_a_node_are_its_own() {
    let state = world().state;
    let of = |node: &str| {
        let node = node.parse().unwrap();
        let instances = state.instances_on(&node);
        instances.map(|x| x.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of("n-1"), ["n-1/0", "n-1/store"]);
    assert_eq!(of("n1"), ["n1/0", "n1/store"]);
    assert_eq!(of("n2"), [""; 0]);
}

#[test]
fn versions_are_in_the_order_of_their_numbers() {
    let state = world().state;
    let component = "store".parse().unwrap();
    let versions = state.releases_of(&component).map(|x| x.version.to_string());
    assert_eq!(versions.collect::<Vec<_>>(), ["1.1.0", "1.10.0"]);
    let after = (component, Version::new(1, 1, 0));
    assert_eq!(state.releases_after(Some(&after)).count(), 1);
}

#[test]
fn the_oldest_answers_are_forgotten_first() {
    let mut state = State::default();
    let key = |id: usize| RequestKey {
        subject: "alice".to_owned(),
        request_id: id.to_string(),
    };
    let call = published("store".parse().unwrap(), one(), None, &one());
    let mut gone = Vec::new();
    for id in 0..REQUESTS_MAX + 2 {
        let at = Timestamp(id as u64);
        let outcome = calls::handle(&state, &key(id), &call, at).unwrap();
        let keys = state.apply(&outcome.change.unwrap(), at);
        gone.extend(keys.into_iter().filter(|key| state.resource(key).is_none()));
    }
    assert_eq!(gone, [Key::Request(key(0)), Key::Request(key(1))]);
    assert!(state.request(&key(2)).is_some());
}

#[test]
fn an_instance_that_becomes_another_component_is_found_there_alone() {
    let mut state = world().state;
    let node: NodeName = "n1".parse().unwrap();
    let id: InstanceId = "n1/store".parse().unwrap();
    let report = Report {
        component: "meta".parse().unwrap(),
        ..state.instance(&id).unwrap().report.clone()
    };
    let change = reports::report(&state, &node, &[(id.name.clone(), report)].into());
    state.apply(&change.unwrap(), Timestamp(0));
    let of = |component: &str| {
        let component = component.parse().unwrap();
        let instances = state.instances_of(&component);
        instances.map(|x| x.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("meta"), std::slice::from_ref(&id));
    assert!(!of("store").contains(&id));
}
