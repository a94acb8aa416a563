//! Programs of ours that die while a plan is carried out: at one moment after the other, or at random.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
use evenkeel_proto::v1::{Instance, InstanceHealth, Plan, PlanPolicy, PlanState, PlanTarget};
use evenkeel_samplestore::load::{Report, Workload, WorkloadOptions};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{net::TcpStream, time::sleep};

use crate::{
    api::{Api, quick_policy, up},
    caller::carry_through,
    fleet::Fleet,
    keeper::{Ours, keep},
    places,
    systems::samplestore::{COMPONENT, Layout},
    wait,
};

/// How long anything may take that nothing keeps from happening.
const SOON: Duration = Duration::from_secs(60);

/// How many nodes a fleet has in which something is killed at random.
const NODES: usize = 5;

/// The releases that it is brought through, by one plan.
const VERSIONS: [&str; 2] = ["1.1.0", "2.0.0"];

/// The instances once every one is healthy and no plan holds any.
///
/// # Errors
/// When that does not come about.
pub async fn settled(api: &Api) -> anyhow::Result<BTreeMap<String, Instance>> {
    wait::until("the instances to settle", SOON, || async {
        let instances = api.instances().await?;
        for (name, instance) in &instances {
            ensure!(
                instance.health() == InstanceHealth::Healthy && instance.held_by_plan.is_empty(),
                "{name} is {:?} {}, held by {:?}",
                instance.health(),
                instance.reason,
                instance.held_by_plan
            );
        }
        Ok(instances)
    })
    .await
}

/// That something listens at a port on loopback.
///
/// # Errors
/// When nothing does.
pub async fn listens(port: u16) -> anyhow::Result<()> {
    TcpStream::connect(("127.0.0.1", port)).await?;
    Ok(())
}

/// A plan during which the coordinator was to die.
#[derive(Debug)]
pub struct Moment {
    /// Where it was to die: the failpoint, and the how manieth time.
    pub at: String,
    /// How often it died; not at all if it did not come there so often.
    pub deaths: u32,
    /// The plan at rest.
    pub plan: Plan,
    /// The instances before it.
    pub before: BTreeMap<String, Instance>,
    /// The instances after it.
    pub after: BTreeMap<String, Instance>,
}

/// Carries out a plan to `state` with a coordinator that dies the `number`-th time it comes to this failpoint. What
/// listens at `ports` has to be back before it is started again.
///
/// # Errors
/// When the plan comes to rest elsewhere, or anything else dies.
pub async fn at_moment(
    fleet: &mut Fleet,
    (failpoint, number): (&str, u32),
    ports: &[u16],
    target: &PlanTarget,
    state: PlanState,
) -> anyhow::Result<Moment> {
    let api = fleet.api()?;
    // The one that was to die in the plan before may do so after it.
    let before = keep(fleet, settled(&api), async |_, died| {
        ensure!(*died == Ours::Coordinator, "{died:?} died");
        Ok(())
    });
    let before = before.await?;
    fleet.coordinator()?.kill()?;
    let at = format!("{failpoint}@{number}");
    fleet.start_coordinator_with(&[("EVENKEEL_FAILPOINT", &at)])?;
    let mut deaths = 0;
    let work = async {
        let plan = carry_through(&api, target, quick_policy(), state).await?;
        Ok((plan, settled(&api).await?))
    };
    let (plan, after) = keep(fleet, work, async |_, died| {
        ensure!(*died == Ours::Coordinator, "{died:?} died");
        deaths += 1;
        // Without any coordinator.
        for port in ports {
            wait::until("the instances to be back", SOON, || listens(*port)).await?;
        }
        Ok(())
    })
    .await
    .with_context(|| format!("killed at {at}"))?;
    ensure!(deaths <= 1, "{at}: died {deaths} times");
    Ok(Moment {
        at,
        deaths,
        plan,
        before,
        after,
    })
}

/// How something is killed at random.
#[derive(Debug, Clone)]
pub struct AtRandom {
    /// After so many kills there is peace: a soak counts only where somebody sees it whole.
    pub kills_max: u32,
    /// Between two of them there are so many milliseconds.
    pub pause_ms: Range<u64>,
}

/// What came of an upgrade during which something was killed at random.
#[derive(Debug)]
pub struct Survived {
    /// The fleet, of which everything runs.
    pub fleet: Fleet,
    /// The plan, finalized.
    pub plan: Plan,
    /// How it went for the client.
    pub report: Report,
    /// What it takes to have the same kills again.
    pub seed: u64,
}

impl AtRandom {
    /// Upgrades a sample store below `folder` under load from 1.0.0 to 2.0.0, which takes two stages, and calls `kill` now
    /// and then, which has to start again what it kills.
    ///
    /// # Errors
    /// When the plan is not finalized, a request failed or a blob was lost, or there was no time for a single kill.
    pub async fn during_an_upgrade(
        &self,
        folder: &Utf8Path,
        mut kill: impl AsyncFnMut(&mut Fleet, &mut StdRng) -> anyhow::Result<()>,
    ) -> anyhow::Result<Survived> {
        let seed: u64 = rand::random();
        let mut random = StdRng::seed_from_u64(seed);
        let layout = Layout::new(folder, NODES, "1.0.0")?;
        let mut fleet = Fleet::start(folder, &layout.spec).await?;
        let api = fleet.api()?;
        let key = fleet.release_key()?;
        for version in VERSIONS {
            let binary = places::samplestore(version)?;
            api.publish(COMPONENT, version, &binary, &key).await?;
        }

        let load = Workload::start(&layout.client(), &WorkloadOptions::default());
        // Long enough a plan for some kills on any machine.
        let policy = PlanPolicy {
            soak: Some(prost_types::Duration {
                seconds: 0,
                nanos: 300_000_000,
            }),
            ..quick_policy()
        };
        let target = up(COMPONENT, VERSIONS[1]);
        let work = carry_through(&api, &target, policy, PlanState::Finalized);
        let mut work = std::pin::pin!(work);
        let mut kills = 0;
        let plan = loop {
            if kills == self.kills_max {
                break work.await;
            }
            let pause = Duration::from_millis(random.random_range(self.pause_ms.clone()));
            tokio::select! {
                plan = &mut work => break plan,
                () = sleep(pause) => {}
            }
            kill(&mut fleet, &mut random).await?;
            kills += 1;
        };
        let plan = plan.with_context(|| format!("{kills} kills, seed {seed}"))?;
        let report = load.finish().await;
        ensure!(
            report.is_clean() && report.writes > 0 && report.reads > 0,
            "{kills} kills, seed {seed}: {report:?}"
        );
        ensure!(kills >= 1, "no kill in time");
        let tasks = NODES * VERSIONS.len();
        ensure!(plan.tasks_done as usize == tasks, "seed {seed}: {plan:?}");
        Ok(Survived {
            fleet,
            plan,
            report,
            seed,
        })
    }
}
