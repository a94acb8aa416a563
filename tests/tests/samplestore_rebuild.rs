//! A step that cannot be taken on the data that is there: each instance starts empty and is filled by the others, one
//! after the other, while a client writes and reads.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
use evenkeel_common::digest::Digest;
use evenkeel_proto::v1::{
    CompatibilityLevel, CompatibilityMatrix, CompatibilityRule, PlanPolicy, PlanState, StageMethod,
    Undo,
};
use evenkeel_samplestore::{
    Key, Release, Store,
    load::{Workload, WorkloadOptions},
    release::{V1_0_0, V1_1_0},
};
use evenkeel_tests::{
    api::{quick_policy, up},
    fleet::Fleet,
    folder::utf8,
    matrix, places, processes,
    systems::{
        samplestore::{COMPONENT, Layout},
        upgrade::ensure_all_run,
    },
    wait,
};

/// How many nodes there are, and copies of each blob.
const NODES: usize = 3;

/// So many blobs are there before the first instance is emptied.
const WRITES_BEFORE: u64 = 50;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(90);

/// More blobs than a test writes.
const BLOBS_MAX: usize = 1_000_000;

/// `to` does not read what 1.0.0 wrote, says this matrix; the sample store itself is not that strict.
fn forward_only(to: &str) -> anyhow::Result<CompatibilityMatrix> {
    let mut matrix = matrix::of_toml(matrix::SAMPLE_STORE)?;
    matrix.rules = vec![CompatibilityRule {
        components: vec![COMPONENT.to_owned()],
        from: "1.0.0".to_owned(),
        to: to.to_owned(),
        level: CompatibilityLevel::Forward.into(),
        note: String::new(),
    }];
    Ok(matrix)
}

/// The fleet of a layout, which only a rebuild leads to the release `to`, and that release published.
async fn started(
    folder: &Utf8Path,
    layout: &mut Layout,
    to: &str,
) -> anyhow::Result<(Fleet, Digest)> {
    layout.spec.matrix = Some(forward_only(to)?);
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let (binary, key) = (places::samplestore(to)?, fleet.release_key()?);
    let digest = fleet.api()?.publish(COMPONENT, to, &binary, &key).await?;
    Ok((fleet, digest))
}

/// The keys of the blobs in a copy that nobody serves any more.
fn keys(data: &Utf8Path, release: &Release) -> anyhow::Result<BTreeSet<Key>> {
    let store = Store::open(data.as_std_path(), release)?;
    ensure!(store.is_established(), "{data} was never complete");
    let page = store.page(None, BLOBS_MAX);
    Ok(page.into_iter().map(|(key, _)| key).collect())
}

/// What was set aside of a copy.
fn set_aside(data: &Utf8Path) -> anyhow::Result<usize> {
    let (folder, name) = (data.parent(), data.file_name());
    let prefix = format!("{}.before-", name.context("no name")?);
    let entries = folder.context("no folder")?.read_dir_utf8()?;
    let mut count = 0;
    for entry in entries {
        count += usize::from(entry?.file_name().starts_with(&prefix));
    }
    Ok(count)
}

/// An error unless all copies are the same, and hold what was there from the beginning.
fn ensure_equal(copies: &[BTreeSet<Key>]) -> anyhow::Result<()> {
    let whole = copies.first().context("no copy")?;
    let counts: Vec<usize> = copies.iter().map(BTreeSet::len).collect();
    ensure!(copies.iter().all(|copy| copy == whole), "{counts:?}");
    // Some keys are written more than once.
    ensure!(whole.len() as u64 >= WRITES_BEFORE / 2, "{counts:?}");
    Ok(())
}

/// Waits until the client has written enough.
async fn some_blobs(load: &Workload) -> anyhow::Result<()> {
    wait::until("some blobs to be there", WITHIN, || async {
        let written = load.progress().writes;
        ensure!(written >= WRITES_BEFORE, "{written}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_instance_is_emptied_and_filled_again_and_no_blob_is_lost() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let mut layout = Layout::new(folder, NODES, "1.0.0")?.with_rebuilds();
    let (mut fleet, digest) = started(folder, &mut layout, "1.1.0").await?;
    let api = fleet.api()?;

    let load = Workload::start(&layout.client(), &WorkloadOptions::default());
    some_blobs(&load).await?;
    let policy = PlanPolicy {
        failure_domain: Some("zone".to_owned()),
        ..quick_policy()
    };
    let plan = api.create_plan(&[up(COMPONENT, "1.1.0")], policy).await?;
    let [stage] = plan.stages.as_slice() else {
        anyhow::bail!("{plan:?}");
    };
    assert_eq!(stage.level(), CompatibilityLevel::Forward);
    assert_eq!(stage.method(), StageMethod::Rebuild);
    assert_eq!(
        (stage.undo(), stage.undo_when_final()),
        (Undo::InPlace, Undo::InPlace)
    );
    api.start_plan(&plan.name).await?;
    api.wait_for_plan(&plan.name, PlanState::Finalized, WITHIN)
        .await?;
    fleet.wait_until_whole().await?;
    let report = load.finish().await;
    assert!(report.is_clean(), "{report:?}");
    assert!(report.writes >= WRITES_BEFORE, "{report:?}");
    ensure_all_run(&api, &digest).await?;

    // Not only a majority: each copy is whole, and none is the one that was there before.
    fleet.stop()?;
    processes::stop_below(folder, WITHIN)?;
    let mut copies = Vec::new();
    for data in &layout.data {
        assert_eq!(set_aside(data)?, 1, "{data}");
        copies.push(keys(data, &V1_1_0)?);
    }
    ensure_equal(&copies)
}

#[tokio::test]
async fn a_release_that_does_not_start_empty_gives_way_to_the_data_that_was_set_aside()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let mut layout = Layout::new(folder, NODES, "1.0.0")?.with_rebuilds();
    let (mut fleet, _) = started(folder, &mut layout, "1.1.1").await?;
    let api = fleet.api()?;
    let load = Workload::start(&layout.client(), &WorkloadOptions::default());
    some_blobs(&load).await?;
    let plan = api
        .create_plan(&[up(COMPONENT, "1.1.1")], quick_policy())
        .await?;
    api.start_plan(&plan.name).await?;
    let plan = api
        .wait_for_plan(&plan.name, PlanState::Paused, WITHIN)
        .await?;
    let put_back = "n1/store was put back to 1.0.0: ";
    ensure!(plan.reason.starts_with(put_back), "{}", plan.reason);
    fleet.wait_until_whole().await?;
    let report = load.finish().await;
    assert!(report.is_clean(), "{report:?}");

    fleet.stop()?;
    processes::stop_below(folder, WITHIN)?;
    let mut copies = Vec::new();
    for data in &layout.data {
        assert_eq!(set_aside(data)?, 0, "{data}");
        copies.push(keys(data, &V1_0_0)?);
    }
    ensure_equal(&copies)
}

#[tokio::test]
async fn a_host_that_does_not_allow_it_is_named_and_nothing_is_touched() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let mut layout = Layout::new(folder, NODES, "1.0.0")?;
    let (fleet, _) = started(folder, &mut layout, "1.1.0").await?;
    let api = fleet.api()?;
    let before = api.instances().await?;
    let created = api
        .create_plan(&[up(COMPONENT, "1.1.0")], quick_policy())
        .await;
    let refused = format!("{:#}", created.err().context("it was created")?);
    for word in ["n1/store", "rebuil"] {
        ensure!(refused.contains(word), "{refused}");
    }
    assert_eq!(api.instances().await?, before);
    Ok(())
}
