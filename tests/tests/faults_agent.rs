//! The agent of a node is killed before and after every step that it takes: the storage process does not notice, unless
//! the step is its own stop or start, and the next agent goes on, or back, from where the one before was.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use evenkeel_agent::failpoints;
use evenkeel_proto::v1::{Instance, PlanPolicy, PlanState, Process};
use evenkeel_tests::{
    api::{Api, quick_policy, up},
    caller::carry_through,
    deaths::{self, AtRandom, Survived},
    fleet::Fleet,
    folder::utf8,
    keeper::{Ours, keep},
    processes,
    systems::trivial::{self, Conduct},
};
use rand::Rng as _;

/// How long anything may take that nothing keeps from happening.
const SOON: Duration = Duration::from_secs(60);

/// The instance whose agent dies.
const VICTIM: &str = "n1/store";

/// The instance whose agent dies, once all is quiet.
async fn settled(api: &Api) -> anyhow::Result<Instance> {
    let mut instances = deaths::settled(api).await?;
    instances.remove(VICTIM).context("not there")
}

fn pid(instance: &Instance) -> anyhow::Result<u32> {
    Ok(instance.process.as_ref().context("no process")?.pid)
}

/// The ids of the storage processes of a node.
fn storage(fleet: &Fleet, node: &str) -> anyhow::Result<BTreeSet<u32>> {
    let folder = fleet.agent_data(node).canonicalize_utf8()?;
    let found = processes::below(&folder).into_iter();
    let storage = found.filter(|process| !process.program.starts_with("evenkeel-"));
    storage
        .map(|process| Ok(u32::try_from(process.pid.as_raw_nonzero().get())?))
        .collect()
}

/// What a death at a place must have left of the storage process that ran before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It runs as if nothing had happened.
    Untouched,
    /// Its own stop or start was under way.
    OnItsWay,
    /// The one that was started runs, and stays.
    Started,
}

fn left(failpoint: &str) -> anyhow::Result<Left> {
    let all = failpoints::OF_EVERY_ORDER;
    let place = |name: &str| all.iter().position(|known| *known == name);
    let at = place(failpoint).context("no such failpoint")?;
    let (signalled, started) = (place(failpoints::STOP[1]), place(failpoints::START[2]));
    Ok(if Some(at) < signalled {
        Left::Untouched
    } else if Some(at) < started {
        Left::OnItsWay
    } else {
        Left::Started
    })
}

#[tokio::test]
async fn a_kill_at_any_step_leaves_the_storage_process_alone_and_the_next_agent_resumes()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = trivial::Layout::new(folder, 2)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let key = fleet.release_key()?;
    for (failpoint, number) in failpoints::OF_EVERY_ORDER.iter().zip(1..) {
        // One that no host has yet, so that it has to be downloaded.
        let to = format!("1.{number}.0");
        let program = layout.release(&to, Conduct::Good)?;
        api.publish(trivial::COMPONENT, &to, &program, &key).await?;
        fleet.agent("n1")?.kill()?;
        fleet.start_agent_with("n1", &[("EVENKEEL_FAILPOINT", failpoint)])?;
        let before = settled(&api).await?;
        let process = pid(&before)?;
        assert_eq!(storage(&fleet, "n1")?, BTreeSet::from([process]));

        let target = up(trivial::COMPONENT, &to);
        let mut found = Vec::new();
        let work = carry_through(&api, &target, quick_policy(), PlanState::Finalized);
        let plan = keep(&mut fleet, work, async |fleet, died| {
            ensure!(*died == Ours::Agent("n1".to_owned()), "{died:?} died");
            found.push(storage(fleet, "n1")?);
            Ok(())
        })
        .await
        .with_context(|| format!("killed at {failpoint}"))?;

        let found: [BTreeSet<u32>; 1] = found
            .try_into()
            .map_err(|found| anyhow::anyhow!("{failpoint}: not one death but {found:?}"))?;
        assert_eq!(plan.tasks_done, 2, "{failpoint}");
        let after = settled(&api).await?;
        let now = after.process.clone().context("no process")?;
        assert_eq!(version(&now), Some(to.as_str()), "{failpoint}");
        assert_eq!(after.generation, before.generation + 1, "{failpoint}");
        assert_eq!(storage(&fleet, "n1")?, BTreeSet::from([now.pid]));
        let [at_death] = found;
        match left(failpoint)? {
            Left::Untouched => assert_eq!(at_death, BTreeSet::from([process]), "{failpoint}"),
            Left::Started => assert_eq!(at_death, BTreeSet::from([now.pid]), "{failpoint}"),
            Left::OnItsWay => assert!(
                at_death.iter().all(|pid| [process, now.pid].contains(pid)),
                "{failpoint}: {at_death:?}"
            ),
        }
    }
    Ok(())
}

fn version(process: &Process) -> Option<&str> {
    process
        .release
        .as_ref()
        .map(|release| release.version.as_str())
}

/// Kills the agent at each of these places on an upgrade to a release of such a conduct.
async fn killed_on_the_way_back(conduct: Conduct, failpoints: &[&str]) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = trivial::Layout::new(folder, 1)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let program = layout.release("1.1.0", conduct)?;
    api.publish(trivial::COMPONENT, "1.1.0", &program, &fleet.release_key()?)
        .await?;
    let target = up(trivial::COMPONENT, "1.1.0");
    let policy = PlanPolicy {
        instance_deadline: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..quick_policy()
    };
    for failpoint in failpoints {
        fleet.agent("n1")?.kill()?;
        fleet.start_agent_with("n1", &[("EVENKEEL_FAILPOINT", failpoint)])?;
        let before = settled(&api).await?;
        let mut deaths = 0;
        let work = carry_through(&api, &target, policy.clone(), PlanState::Paused);
        let plan = keep(&mut fleet, work, async |_, died| {
            ensure!(*died == Ours::Agent("n1".to_owned()), "{died:?} died");
            deaths += 1;
            Ok(())
        })
        .await
        .with_context(|| format!("killed at {failpoint}"))?;

        assert_eq!(deaths, 1, "{failpoint}");
        assert!(
            plan.reason.starts_with("n1/store was put back to 1.0.0: "),
            "{failpoint}: {}",
            plan.reason
        );
        api.abort_plan(&plan.name, "seen enough").await?;
        api.wait_for_plan(&plan.name, PlanState::Aborted, SOON)
            .await?;
        let after = settled(&api).await?;
        let now = after.process.clone().context("no process")?;
        assert_eq!(version(&now), Some(trivial::FIRST), "{failpoint}");
        assert_eq!(after.generation, before.generation + 1, "{failpoint}");
        assert_eq!(storage(&fleet, "n1")?, BTreeSet::from([now.pid]));
    }
    Ok(())
}

#[tokio::test]
async fn a_kill_on_the_way_back_from_a_release_that_ends_is_no_way_to_stay_down()
-> anyhow::Result<()> {
    let places = [
        "journal.stopping.before@2",
        "journal.stopping.after@2",
        "journal.swapping.before@2",
        "journal.swapping.after@2",
        "swap.before@2",
        "swap.after@2",
        "journal.starting.before@2",
        "journal.starting.after@2",
        "start.before@2",
        "start.begun@2",
        // Of a process that has ended by then there is no such moment.
        "start.after",
        "journal.settled.before",
        "journal.settled.after",
    ];
    killed_on_the_way_back(Conduct::Ends, &places).await
}

#[tokio::test]
async fn a_kill_on_the_way_back_from_a_release_that_is_deaf_is_no_way_to_stay_down()
-> anyhow::Result<()> {
    let places = [
        "start.after",
        "journal.stopping.before@2",
        "journal.stopping.after@2",
        "stop.before@2",
        "stop.after@2",
        "swap.after@2",
        "start.after@2",
    ];
    killed_on_the_way_back(Conduct::Deaf, &places).await
}

#[tokio::test]
async fn kills_of_agents_and_coordinator_at_random_under_load_cost_no_request_and_no_blob()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let at_random = AtRandom {
        kills_max: 30,
        pause_ms: 20..400,
    };
    let survived = at_random
        .during_an_upgrade(utf8(&dir)?, async |fleet, random| {
            let nodes = fleet.nodes().to_vec();
            // One more than there are nodes: the coordinator dies with them.
            match nodes.get(random.random_range(0..=nodes.len())) {
                Some(node) => {
                    fleet.agent(node)?.kill()?;
                    fleet.start_agent(node)
                }
                None => {
                    fleet.coordinator()?.kill()?;
                    fleet.start_coordinator()
                }
            }
        })
        .await?;
    let Survived { fleet, seed, .. } = &survived;
    for node in fleet.nodes() {
        assert_eq!(storage(fleet, node)?.len(), 1, "{node}, seed {seed}");
    }
    Ok(())
}
