//! etcd, the real one: upgraded while a client writes, and put back when a release is no good.

use std::time::Duration;

use anyhow::ensure;
use camino::Utf8Path;
use evenkeel_proto::v1::{PlanState, TaskState};
use evenkeel_tests::{
    fleet::Fleet,
    places,
    systems::{
        etcd::{self, COMPONENT, Client, Layout, NEWEST},
        upgrade::{Upgrade, ensure_all_run, under_load},
        writer::Written,
    },
    wait,
};

/// etcd makes up its mind a few seconds after the last member has changed.
const CLUSTER_VERSION_WITHIN: Duration = Duration::from_secs(60);

/// Waits until every member runs `version`, and all of them together speak it.
async fn wait_for_version(client: &Client, version: &str) -> anyhow::Result<()> {
    let cluster = etcd::cluster_version(version)?;
    let what = format!("the cluster to speak {cluster}");
    wait::until(&what, CLUSTER_VERSION_WITHIN, || async {
        for member in client.versions().await? {
            ensure!(
                member.server == version && member.cluster == cluster,
                "{member:?}"
            );
        }
        Ok(())
    })
    .await
}

/// An error unless every write was acknowledged and is there, whichever member is asked.
async fn ensure_nothing_is_lost(client: &Client, written: &Written) -> anyhow::Result<()> {
    ensure!(written.unserved.is_empty(), "{:?}", written.unserved);
    for found in client.read_all().await? {
        let problems = written.problems(&found);
        ensure!(problems.is_empty(), "{problems:?}");
    }
    Ok(())
}

#[tokio::test]
async fn three_members_are_upgraded_and_no_acknowledged_write_is_lost() {
    let [from, to] = etcd::versions().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(dir.path()).unwrap();
    let layout = Layout::new(folder, from).unwrap();
    let fleet = Fleet::start(folder, &layout.spec).await.unwrap();
    let client = layout.client();
    wait_for_version(&client, from).await.unwrap();

    let program = places::system(COMPONENT, to, COMPONENT).unwrap();
    let upgrade = Upgrade::to(COMPONENT, to, program);
    let state = PlanState::Finalized;
    let outcome = under_load(&fleet, client.clone(), &upgrade, state, async |_, _| Ok(()))
        .await
        .unwrap();
    eprintln!("etcd {from} to {to}: {outcome}");

    ensure_nothing_is_lost(&client, &outcome.written)
        .await
        .unwrap();
    ensure_all_run(&fleet.api().unwrap(), &outcome.digest)
        .await
        .unwrap();
    wait_for_version(&client, to).await.unwrap();
    ensure_nothing_is_lost(&client, &outcome.written)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_release_that_is_no_etcd_is_put_back_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(dir.path()).unwrap();
    let layout = Layout::new(folder, NEWEST).unwrap();
    let fleet = Fleet::start(folder, &layout.spec).await.unwrap();
    let api = fleet.api().unwrap();
    let client = layout.client();
    let before = api.instances().await.unwrap();

    // A program for this platform, and rightly signed; only no etcd.
    let program = places::samplestore("1.1.1").unwrap();
    let upgrade = Upgrade::to(COMPONENT, "3.5.99", program);
    let state = PlanState::Paused;
    let outcome = under_load(&fleet, client.clone(), &upgrade, state, async |_, _| Ok(()))
        .await
        .unwrap();
    let reason = &outcome.plan.reason;
    eprintln!("etcd put back: {outcome}; {reason}");

    ensure_nothing_is_lost(&client, &outcome.written)
        .await
        .unwrap();
    wait_for_version(&client, NEWEST).await.unwrap();
    let (reverted, others): (Vec<_>, Vec<_>) = outcome
        .tasks
        .values()
        .partition(|task| task.state() == TaskState::Reverted);
    assert_eq!(reverted.len(), 1, "{:?}", outcome.tasks);
    assert!(!reverted[0].reason.is_empty(), "{reverted:?}");
    assert!(reason.contains(&reverted[0].instance), "{reason}");
    for task in others {
        assert!(task.admitted_at.is_none(), "{task:?}");
    }
    for (name, instance) in api.instances().await.unwrap() {
        let is = instance.process.unwrap();
        let was = before[&name].process.clone().unwrap();
        assert_eq!(is.release, was.release, "{name}");
        // Nobody else was touched.
        let is_same = is.pid == was.pid;
        assert_eq!(is_same, name != reverted[0].instance, "{name}");
    }
}
