//! Plans and a refusal for tests, as the coordinator says them.

use std::time::{Duration, SystemTime};

use evenkeel_proto::v1;

use crate::look::Look;
use crate::view::Task;

/// The widths that pages are looked at in.
pub(super) const WIDTHS: [usize; 2] = [80, 120];

pub(super) fn wide(width: Option<usize>) -> Look {
    Look {
        colour: false,
        width,
    }
}

/// The point in time that the samples are looked at from.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

pub(super) fn before_now(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: 1_790_000_000 - seconds,
        nanos: 0,
    })
}

fn hop(component: &str, from: &str, to: &str, instances: u32) -> v1::Stage {
    v1::Stage {
        component: component.to_owned(),
        from_version: from.to_owned(),
        to_version: to.to_owned(),
        level: v1::CompatibilityLevel::Full.into(),
        method: v1::StageMethod::InPlace.into(),
        undo: v1::Undo::InPlace.into(),
        undo_when_final: v1::Undo::InPlace.into(),
        instances,
        direct: true,
        reachable_back: vec![from.to_owned()],
        ..v1::Stage::default()
    }
}

fn target(component: &str, version: &str) -> v1::PlanTarget {
    v1::PlanTarget {
        component: component.to_owned(),
        version: version.to_owned(),
        allow_downgrade: false,
    }
}

fn ruled_out(component: &str, from: &str, to: &str, reason: &str) -> v1::RuledOut {
    v1::RuledOut {
        component: component.to_owned(),
        from_version: from.to_owned(),
        to_version: to.to_owned(),
        reason: reason.to_owned(),
    }
}

/// What a dry run answers: components interleaved, with a stage of each kind.
pub(super) fn preview() -> v1::Plan {
    let first = v1::Stage {
        direct: false,
        note: "reads the index of 1.0 and writes its own beside it; expect twice the metadata on disk until 2.0 is \
               final"
            .to_owned(),
        ..hop("metadata-service", "1.0.0", "1.1.0", 3)
    };
    let second = v1::Stage {
        out_of_order: true,
        level: v1::CompatibilityLevel::Backward.into(),
        undo_when_final: v1::Undo::NotAtAll.into(),
        ..hop("data-service", "1.1.0", "2.0.0", 12)
    };
    let third = v1::Stage {
        direct: false,
        level: v1::CompatibilityLevel::Forward.into(),
        reversed: true,
        undo: v1::Undo::ByRebuild.into(),
        undo_when_final: v1::Undo::ByRebuild.into(),
        reachable_back: vec!["1.1.0".to_owned(), "1.0.0".to_owned()],
        ..hop("metadata-service", "1.1.0", "2.0.0", 3)
    };
    let fourth = v1::Stage {
        level: v1::CompatibilityLevel::Forward.into(),
        method: v1::StageMethod::Rebuild.into(),
        ..hop("index-service", "4.2.0", "4.1.7", 1)
    };
    v1::Plan {
        state: v1::PlanState::Draft.into(),
        stages: vec![first, second, third, fourth],
        targets: vec![
            target("metadata-service", "2.0.0"),
            target("data-service", "2.0.0"),
            v1::PlanTarget {
                allow_downgrade: true,
                ..target("index-service", "4.1.7")
            },
        ],
        policy: Some(v1::PlanPolicy {
            compare: None,
            max_unavailable: Some(1),
            failure_domain: Some("zone".to_owned()),
            canary: Some(1),
            soak: Some(prost_types::Duration {
                seconds: 120,
                nanos: 0,
            }),
            instance_deadline: Some(prost_types::Duration {
                seconds: 300,
                nanos: 0,
            }),
            progress_deadline: Some(prost_types::Duration {
                seconds: 600,
                nanos: 0,
            }),
            ..v1::PlanPolicy::default()
        }),
        tasks_total: 19,
        matrix_version: 7,
        ruled_out: vec![
            ruled_out(
                "metadata-service",
                "1.0.0",
                "2.0.0",
                "no rule relates 1.0.0 to 2.0.0",
            ),
            ruled_out(
                "data-service",
                "1.1.0",
                "1.1.1",
                "blocked: loses writes under load, seen on 2026-03-02 in the west region with more than 400 clients",
            ),
        ],
        ..v1::Plan::default()
    }
}

/// A plan whose last member would be the point of no return, on its way.
pub(super) fn etcd(state: v1::PlanState, reason: &str) -> v1::Plan {
    let stage = v1::Stage {
        level: v1::CompatibilityLevel::Backward.into(),
        undo_when_final: v1::Undo::NotAtAll.into(),
        finalizes_itself: true,
        ..hop("etcd", "3.4.23", "3.5.1", 3)
    };
    v1::Plan {
        name: "plan-4".to_owned(),
        state: state.into(),
        reason: reason.to_owned(),
        stages: vec![stage],
        targets: vec![target("etcd", "3.5.1")],
        ruled_out: Vec::new(),
        tasks_total: 3,
        tasks_done: 2,
        created_by: "ada".to_owned(),
        created_at: before_now(7_500),
        started_at: before_now(900),
        ..preview()
    }
}

pub(super) fn task(stage: u32, instance: &str, state: v1::TaskState, reason: &str) -> Task {
    Task::from(v1::Task {
        stage,
        instance: instance.to_owned(),
        state: state.into(),
        reason: reason.to_owned(),
        wave: 1,
        stop_to_ready_us: 234_000,
        ..v1::Task::default()
    })
}

/// Why the worked example's first target cannot be reached.
pub(super) fn refusal() -> v1::PlanRefusal {
    let remedy = |kind: v1::RemedyKind, from: &str, to: &str, sentence: &str| v1::Remedy {
        kind: kind.into(),
        components: vec!["data-service".to_owned()],
        from_version: from.to_owned(),
        to_version: to.to_owned(),
        sentence: sentence.to_owned(),
    };
    v1::PlanRefusal {
        summary: "data-service cannot come from 1.1.0 to 2.0.0: no rule bridges 1.x and 2.0.0".to_owned(),
        reasons: vec![
            "no rule relates 1.2.0, the furthest version that data-service reaches, to 2.0.0".to_owned(),
            "client-sdk 1.0.0 is in use, as web-gateway reported 3 days ago, and no rule lets it run beside data-service 2.0.0"
                .to_owned(),
        ],
        remedies: vec![
            remedy(
                v1::RemedyKind::AddRule,
                "1.2.0",
                "2.0.0",
                "add a rule 1.2.0 -> 2.0.0 of level backward or full, for all components",
            ),
            remedy(
                v1::RemedyKind::MoveUsers,
                "1.0.0",
                "",
                "the users of client-sdk 1.0.0 have to move to 1.2.0 or later",
            ),
            remedy(
                v1::RemedyKind::Publish,
                "1.2.0",
                "",
                "publish data-service 1.2.0 for linux/amd64",
            ),
        ],
        furthest: vec![
            v1::Reachable {
                component: "metadata-service".to_owned(),
                version: "1.2.0".to_owned(),
                at_least: false,
            },
            v1::Reachable {
                component: "data-service".to_owned(),
                version: "1.2.0".to_owned(),
                at_least: false,
            },
        ],
        stages: vec![
            hop("data-service", "1.1.0", "1.2.0", 12),
            hop("data-service", "1.2.0", "2.0.0", 12),
        ],
        ruled_out: vec![ruled_out(
            "data-service",
            "1.1.0",
            "2.0.0",
            "no rule relates 1.1.0 to 2.0.0",
        )],
        remedies_are_smallest: true,
        error_code: "NOT_ALLOWED_NOW".to_owned(),
    }
}
