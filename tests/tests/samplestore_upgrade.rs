//! The main job, on the sample store: a fleet goes from one release to the next and no client notices.

use std::time::Duration;

use anyhow::Context as _;
use evenkeel_proto::v1::{PlanPolicy, PlanState, TaskState};
use evenkeel_samplestore::load::{Workload, WorkloadOptions};
use evenkeel_tests::{
    api::{quick_policy, up},
    fleet::Fleet,
    folder::utf8,
    places,
    systems::{
        samplestore::{COMPONENT, Layout},
        upgrade::ensure_all_run,
    },
};

/// How long a plan may take.
const WITHIN: Duration = Duration::from_secs(90);

/// One zone at a time.
fn policy(soak_seconds: i64) -> PlanPolicy {
    PlanPolicy {
        failure_domain: Some("zone".to_owned()),
        soak: Some(prost_types::Duration {
            seconds: soak_seconds,
            nanos: 0,
        }),
        ..quick_policy()
    }
}

/// Brings `nodes` nodes that run 1.0.0 under load to the last of these releases, by one plan through each of them.
async fn upgraded_through(
    nodes: usize,
    versions: &[&str],
    soak_seconds: i64,
) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = Layout::new(folder, nodes, "1.0.0")?;
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let key = fleet.release_key()?;
    let mut target = None;
    for version in versions {
        let binary = places::samplestore(version)?;
        let digest = api.publish(COMPONENT, version, &binary, &key).await?;
        target = Some((up(COMPONENT, version), digest));
    }
    let (target, digest) = target.context("no release")?;

    let load = Workload::start(&layout.client(), &WorkloadOptions::default());
    let plan = api.create_plan(&[target], policy(soak_seconds)).await?;
    assert_eq!(plan.state(), PlanState::Draft);
    let stages = plan.stages.iter();
    let way: Vec<_> = stages
        .map(|stage| (stage.from_version.as_str(), stage.to_version.as_str()))
        .collect();
    let from = std::iter::once(&"1.0.0").chain(versions).copied();
    assert_eq!(way, from.zip(versions.iter().copied()).collect::<Vec<_>>());
    api.start_plan(&plan.name).await?;
    let plan = api
        .wait_for_plan(&plan.name, PlanState::Finalized, WITHIN)
        .await?;
    let report = load.finish().await;

    assert!(report.is_clean(), "{report:?}");
    assert!(report.writes > 0 && report.reads > 0, "{report:?}");
    let all = u32::try_from(nodes * versions.len())?;
    assert_eq!((plan.tasks_total, plan.tasks_done), (all, all));
    ensure_all_run(&api, &digest).await?;
    for (name, instance) in api.instances().await? {
        assert_eq!(instance.held_by_plan, "", "{name}");
    }
    let tasks = api.tasks(&plan.name).await?;
    for (stage, _) in versions.iter().enumerate() {
        let of_stage = tasks.values().filter(|task| task.stage as usize == stage);
        let canaries = of_stage.clone().filter(|task| task.wave == 0);
        assert_eq!(canaries.count(), 1, "one canary a stage");
        assert_eq!(of_stage.count(), nodes);
    }
    for task in tasks.values() {
        assert_eq!(task.state(), TaskState::Done, "{task:?}");
        assert!(task.stop_to_ready_us > 0, "{task:?}");
    }
    // No stage begins before the one before it is done.
    let times = |stage: usize| {
        let of_stage = tasks
            .values()
            .filter(move |task| task.stage as usize == stage);
        of_stage.filter_map(|task| Some((task.admitted_at?, task.changed_at?)))
    };
    for stage in 1..versions.len() {
        let begun = times(stage)
            .map(|(begun, _)| (begun.seconds, begun.nanos))
            .min();
        let before = times(stage - 1)
            .map(|(_, done)| (done.seconds, done.nanos))
            .max();
        assert!(begun >= before, "{tasks:?}");
    }
    Ok(())
}

#[tokio::test]
async fn five_nodes_are_upgraded_and_no_request_fails() -> anyhow::Result<()> {
    upgraded_through(5, &["1.1.0"], 1).await
}

#[tokio::test]
async fn what_has_to_go_through_a_release_between_does_so_in_one_plan_and_no_request_fails()
-> anyhow::Result<()> {
    upgraded_through(3, &["1.1.0", "2.0.0"], 0).await
}
