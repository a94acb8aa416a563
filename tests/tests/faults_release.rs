//! Releases that are no good: those that do not start or never get healthy are taken back, and bytes that are not the
//! signed ones never become one.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;
use evenkeel_proto::v1::{
    Instance, InstanceHealth, Plan, PlanPolicy, PlanState, StageState, TaskState, WaitKind,
};
use evenkeel_samplestore::load::{Workload, WorkloadOptions};
use evenkeel_tests::{
    api::{Api, first_stage, quick_policy, up},
    fleet::Fleet,
    folder::utf8,
    places,
    systems::{
        samplestore,
        trivial::{self, Conduct},
    },
    wait,
};

/// How long anything may take that nothing keeps from happening.
const SOON: Duration = Duration::from_secs(60);

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// Waits for the plan to pause because the canary was put back, and checks that nobody else was touched.
async fn put_back(api: &Api, plan: &str, why: &str, others: &[Instance]) -> anyhow::Result<Plan> {
    let plan = api.wait_for_plan(plan, PlanState::Paused, SOON).await?;
    let (start, end) = (
        "n1/store was put back to 1.0.0: ",
        "; resume tries it again, abort gives up",
    );
    ensure!(
        plan.reason.starts_with(start) && plan.reason.ends_with(end) && plan.reason.contains(why),
        "{}",
        plan.reason
    );
    let mut instances = api.instances().await?;
    let canary = instances.remove("n1/store").context("no canary")?;
    assert_eq!(canary.health(), InstanceHealth::Healthy, "{canary:?}");
    let process = canary.process.context("no process")?;
    for release in [canary.current, process.release] {
        assert_eq!(release.context("no release")?.version, "1.0.0");
    }
    for other in others {
        let now = instances.remove(&other.name).context("gone")?;
        assert_eq!(now.process, other.process);
        assert_eq!(now.generation, other.generation);
    }
    let tasks = api.tasks(&plan.name).await?;
    let task = tasks.get(&first_stage("n1/store")).context("no task")?;
    assert_eq!(task.state(), TaskState::Reverted, "{task:?}");
    assert!(task.reason.contains(why), "{task:?}");
    // Whoever asks is told the same of each.
    let waits = api.explain_plan(&plan.name).await?;
    assert_eq!(waits.len(), tasks.len());
    for wait in waits.values() {
        assert_eq!(wait.kind(), WaitKind::Person, "{wait:?}");
        assert!(wait.sentence.contains(&plan.reason), "{wait:?}");
    }
    Ok(plan)
}

/// Upgrades a sample store under load to a release that is bad on purpose.
async fn upgrade_to(version: &str, why: &str) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = samplestore::Layout::new(folder, 3, "1.0.0")?;
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let binary = places::samplestore(version)?;
    api.publish(
        samplestore::COMPONENT,
        version,
        &binary,
        &fleet.release_key()?,
    )
    .await?;
    let load = Workload::start(&layout.client(), &WorkloadOptions::default());
    let others = api.instances().await?.into_values();
    let others: Vec<Instance> = others.filter(|i| i.name != "n1/store").collect();
    let policy = PlanPolicy {
        instance_deadline: seconds(3),
        ..quick_policy()
    };
    let plan = api
        .create_plan(&[up(samplestore::COMPONENT, version)], policy)
        .await?;
    api.start_plan(&plan.name).await?;
    let first = put_back(&api, &plan.name, why, &others).await?;

    // The same again.
    api.resume_plan(&plan.name).await?;
    let second = put_back(&api, &plan.name, why, &others).await?;
    assert!(second.revision > first.revision);

    let reason = "it is a bad release";
    api.abort_plan(&plan.name, reason).await?;
    let aborted = api
        .wait_for_plan(&plan.name, PlanState::Aborted, SOON)
        .await?;
    assert!(aborted.reason.ends_with(reason), "{}", aborted.reason);
    assert_eq!(aborted.tasks_done, 0);
    for instance in api.instances().await?.values() {
        assert_eq!(instance.held_by_plan, "", "{instance:?}");
    }
    let report = load.finish().await;
    assert!(report.is_clean(), "{report:?}");
    assert!(report.writes > 0 && report.reads > 0, "{report:?}");
    Ok(())
}

#[tokio::test]
async fn a_release_that_does_not_start_is_taken_back_and_everything_serves() -> anyhow::Result<()> {
    upgrade_to("1.1.1", "does not start, on purpose").await
}

#[tokio::test]
async fn a_release_that_never_gets_healthy_is_taken_back_and_everything_serves()
-> anyhow::Result<()> {
    upgrade_to("1.1.2", "not ready within 3 s").await
}

/// A way to spoil an artifact that lies at the coordinator.
struct Spoilt {
    how: &'static str,
    bytes: fn(Vec<u8>) -> Vec<u8>,
    reason: &'static str,
}

const SPOILT: [Spoilt; 5] = [
    Spoilt {
        how: "one bit in the middle",
        bytes: |mut bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        },
        reason: "the download has the SHA-256",
    },
    Spoilt {
        how: "its last byte is missing",
        bytes: |mut bytes| {
            bytes.pop();
            bytes
        },
        reason: "the download ended after",
    },
    Spoilt {
        how: "nothing is left",
        bytes: |_| Vec::new(),
        reason: "the download ended after 0",
    },
    Spoilt {
        how: "something follows",
        bytes: |mut bytes| {
            bytes.push(0);
            bytes
        },
        reason: "goes on after its",
    },
    Spoilt {
        how: "another program of the same length",
        bytes: |bytes| {
            let mut other = fs::read("/bin/sleep").unwrap_or_default();
            other.resize(bytes.len(), 0);
            other
        },
        reason: "the download has the SHA-256",
    },
];

/// Every file below a folder of releases that is part of a whole one.
fn releases_at(fleet: &Fleet, node: &str) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let folder = fleet
        .agent_data(node)
        .join("releases")
        .join(trivial::COMPONENT);
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        if !entry.file_name().starts_with('.') {
            found.push(entry.path().to_owned());
        }
    }
    found.sort();
    Ok(found)
}

#[tokio::test]
async fn bytes_that_are_not_the_signed_ones_never_become_a_release() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = trivial::Layout::new(folder, 2)?;
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let key = fleet.release_key()?;
    for (spoilt, number) in SPOILT.iter().zip(1..) {
        let how = spoilt.how;
        let to = format!("1.{number}.0");
        let program = layout.release(&to, Conduct::Good)?;
        let digest = api.publish(trivial::COMPONENT, &to, &program, &key).await?;
        let artifact = fleet
            .coordinator_data()
            .join("artifacts")
            .join(digest.to_string());
        let good = fs::read(&artifact)?;
        fs::write(&artifact, (spoilt.bytes)(good.clone()))?;

        let before = api.instances().await?;
        let held = [releases_at(&fleet, "n1")?, releases_at(&fleet, "n2")?];
        let plan = api
            .create_plan(&[up(trivial::COMPONENT, &to)], quick_policy())
            .await?;
        api.start_plan(&plan.name).await?;
        let waits = wait::until("both to have failed to fetch it", SOON, || async {
            for instance in api.instances().await?.values() {
                let staged = instance.staged.first().context("nothing staged")?;
                ensure!(staged.state() == StageState::Failed, "{staged:?}");
                ensure!(staged.reason.contains(spoilt.reason), "{staged:?}");
            }
            let waits = api.explain_plan(&plan.name).await?;
            let told = waits.values().all(|w| w.sentence.contains(spoilt.reason));
            ensure!(told, "{waits:?}");
            Ok(waits)
        })
        .await
        .with_context(|| how)?;
        assert_eq!(waits.len(), 2, "{how}");
        for wait in waits.values() {
            assert_eq!(wait.kind(), WaitKind::Prefetch, "{how}: {wait:?}");
        }
        for (name, now) in api.instances().await? {
            let then = before.get(&name).context("a new instance")?;
            assert_eq!(now.current, then.current, "{how}: {name}");
            assert_eq!(now.process, then.process, "{how}: {name}");
            assert_eq!(now.generation, then.generation, "{how}: {name}");
        }
        let now = [releases_at(&fleet, "n1")?, releases_at(&fleet, "n2")?];
        assert_eq!(now, held, "{how}");

        fs::write(&artifact, good)?;
        api.wait_for_plan(&plan.name, PlanState::Finalized, SOON)
            .await
            .with_context(|| how)?;
    }
    Ok(())
}
