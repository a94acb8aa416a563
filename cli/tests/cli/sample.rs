//! A small fleet and a plan for it.

use evenkeel_proto::v1::*;

use crate::coordinator::State;

/// Long enough ago for ages to be days, so that they do not change during a test.
fn long_ago() -> Option<prost_types::Timestamp> {
    let now = std::time::SystemTime::now();
    Some(prost_types::Timestamp::from(
        now - std::time::Duration::from_secs(3 * 24 * 3600 + 5 * 3600 + 60),
    ))
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: 1_790_000_000 + seconds,
        nanos: 0,
    })
}

pub(crate) fn node(name: &str, liveness: Liveness) -> Node {
    Node {
        name: name.to_owned(),
        labels: [("zone", "a"), ("rack", "r1")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        platform: "linux/amd64".to_owned(),
        agent_version: "0.1.0".to_owned(),
        liveness: liveness.into(),
        changed_at: long_ago(),
        revision: 3,
        ..Node::default()
    }
}

pub(crate) fn release_ref(version: &str) -> Option<ReleaseRef> {
    Some(ReleaseRef {
        version: version.to_owned(),
        digest: "0123456789abcdef".repeat(4),
    })
}

pub(crate) fn instance(name: &str, status: InstanceStatus, health: InstanceHealth) -> Instance {
    Instance {
        name: name.to_owned(),
        component: "store".to_owned(),
        status: status.into(),
        health: health.into(),
        current: release_ref("1.0.0"),
        process: Some(Process {
            pid: 4711,
            started_at: long_ago(),
            release: release_ref("1.0.0"),
            ..Process::default()
        }),
        changed_at: long_ago(),
        revision: 4,
        ..Instance::default()
    }
}

/// A hop of the stores that asks for nobody.
pub(crate) fn stage(from: &str, to: &str) -> Stage {
    Stage {
        component: "store".to_owned(),
        from_version: from.to_owned(),
        to_version: to.to_owned(),
        level: CompatibilityLevel::Full.into(),
        method: StageMethod::InPlace.into(),
        undo: Undo::InPlace.into(),
        undo_when_final: Undo::InPlace.into(),
        instances: 3,
        direct: true,
        reachable_back: vec![from.to_owned()],
        ..Stage::default()
    }
}

pub(crate) fn plan(state: PlanState, done: u32) -> Plan {
    Plan {
        name: "p1".to_owned(),
        state: state.into(),
        targets: vec![PlanTarget {
            component: "store".to_owned(),
            version: "1.1.0".to_owned(),
            allow_downgrade: false,
        }],
        stages: vec![stage("1.0.0", "1.1.0")],
        matrix_version: 2,
        policy: Some(PlanPolicy {
            max_unavailable: Some(1),
            failure_domain: Some("zone".to_owned()),
            canary: Some(1),
            soak: Some(prost_types::Duration {
                seconds: 120,
                nanos: 0,
            }),
            ..PlanPolicy::default()
        }),
        tasks_total: 3,
        tasks_done: done,
        created_by: "ada".to_owned(),
        created_at: long_ago(),
        changed_at: at(0),
        revision: 5,
        ..Plan::default()
    }
}

pub(crate) fn task(instance: &str, wave: u32, state: TaskState, seconds: i64) -> Task {
    Task {
        plan: "p1".to_owned(),
        instance: instance.to_owned(),
        wave,
        state: state.into(),
        from: release_ref("1.0.0"),
        to: release_ref("1.1.0"),
        changed_at: at(seconds),
        ..Task::default()
    }
}

/// Three nodes with an instance each, and a draft.
pub(crate) fn fleet() -> State {
    let mut fenced = node("n2", Liveness::Up);
    fenced.fenced = "it follows epoch 9".to_owned();
    let mut sick = instance("n3/store", InstanceStatus::Error, InstanceHealth::Error);
    sick.reason = "the process ended\u{1b}[2J with 1".to_owned();
    let mut other = instance("n1/meta", InstanceStatus::Running, InstanceHealth::Healthy);
    other.component = "meta".to_owned();
    State {
        nodes: vec![
            node("n1", Liveness::Up),
            fenced,
            node("n3", Liveness::AgentLost),
        ],
        instances: vec![
            other,
            instance("n1/store", InstanceStatus::Running, InstanceHealth::Healthy),
            instance(
                "n2/store",
                InstanceStatus::Upgrading,
                InstanceHealth::Warning,
            ),
            sick,
        ],
        plans: vec![plan(PlanState::Draft, 0)],
        tasks: vec![
            task("n1/store", 1, TaskState::Pending, 0),
            task("n2/store", 0, TaskState::Prefetched, 0),
            task("n3/store", 1, TaskState::Pending, 0),
        ],
        ..State::default()
    }
}

pub(crate) fn reported(
    component: &str,
    source: &str,
    versions: &[(&str, u64)],
) -> ReportedVersions {
    let in_use = |&(version, count): &(&str, u64)| VersionInUse {
        version: version.to_owned(),
        count,
    };
    ReportedVersions {
        component: component.to_owned(),
        source: source.to_owned(),
        versions: versions.iter().map(in_use).collect(),
        reported_by: "ada".to_owned(),
        reported_at: long_ago(),
        revision: 6,
    }
}
