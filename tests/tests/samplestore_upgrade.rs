//! The main job, on the sample store: a fleet goes from one release to the next and no client notices.

use std::time::Duration;

use camino::Utf8Path;
use evenkeel_proto::v1::{PlanPolicy, PlanState, TaskState};
use evenkeel_samplestore::load::{Workload, WorkloadOptions};
use evenkeel_tests::{
    api::up,
    fleet::Fleet,
    places,
    systems::samplestore::{COMPONENT, Layout},
};

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[tokio::test]
async fn five_nodes_are_upgraded_and_no_request_fails() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(dir.path()).unwrap();
    let layout = Layout::new(folder, 5, "1.0.0").unwrap();
    let fleet = Fleet::start(folder, &layout.spec).await.unwrap();
    let api = fleet.api().unwrap();
    let key = fleet.release_key().unwrap();
    let binary = places::samplestore("1.1.0").unwrap();
    let digest = api
        .publish(COMPONENT, "1.1.0", &binary, &key)
        .await
        .unwrap();

    let load = Workload::start(&layout.client(), &WorkloadOptions::default());
    let policy = PlanPolicy {
        failure_domain: Some("zone".to_owned()),
        soak: seconds(1),
        instance_deadline: seconds(30),
        progress_deadline: seconds(60),
        ..Default::default()
    };
    let plan = api
        .create_plan(&[up(COMPONENT, "1.1.0")], policy)
        .await
        .unwrap();
    assert_eq!(plan.state(), PlanState::Draft);
    api.start_plan(&plan.name).await.unwrap();
    let plan = api
        .wait_for_plan(&plan.name, PlanState::Finalized, Duration::from_secs(90))
        .await
        .unwrap();
    let report = load.finish().await;

    assert!(report.is_clean(), "{report:?}");
    assert!(report.writes > 0 && report.reads > 0, "{report:?}");
    assert_eq!((plan.tasks_total, plan.tasks_done), (5, 5));
    for (name, instance) in api.instances().await.unwrap() {
        let process = instance.process.unwrap();
        assert_eq!(
            process.release.unwrap().digest,
            digest.to_string(),
            "{name}"
        );
        assert_eq!(instance.held_by_plan, "", "{name}");
    }
    let tasks = api.tasks(&plan.name).await.unwrap();
    assert!(tasks.values().all(|task| task.state() == TaskState::Done));
    assert!(
        tasks.values().all(|task| task.stop_to_ready_us > 0),
        "{tasks:?}"
    );
    assert_eq!(
        tasks.values().filter(|task| task.wave == 0).count(),
        1,
        "one canary"
    );
}
