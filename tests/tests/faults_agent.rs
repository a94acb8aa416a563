//! The agent of a node is killed before and after every step that it takes: the storage process does not notice, unless
//! the step is its own stop or start, and the next agent goes on, or back, from where the one before was.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
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
    scene::driver,
    systems::trivial::{self, Conduct},
};
use rand::Rng as _;

/// How long anything may take that nothing keeps from happening.
const SOON: Duration = Duration::from_secs(60);

/// More plans than all places take.
const PLANS_MAX: u32 = 100;

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
    let gate = |gates: &[[&str; 2]]| gates.iter().flatten().any(|name| *name == failpoint);
    if gate(&[failpoints::JOURNAL_ASKING, failpoints::ASK])
        || gate(&[failpoints::JOURNAL_QUIESCING, failpoints::QUIESCE])
    {
        return Ok(Left::Untouched);
    }
    if gate(&[
        failpoints::VERSION,
        failpoints::UNQUIESCE,
        failpoints::RECOVERED,
        failpoints::FINALIZE,
    ]) {
        return Ok(Left::Started);
    }
    // Of any of its records.
    if failpoint == failpoints::JOURNAL_TORN {
        return Ok(Left::OnItsWay);
    }
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

/// Where an agent is to die: the failpoint, and the how manieth time.
type Place = (&'static str, u32);

/// Kills agents the n-th time they come to each of these places, until no plan brings one there so often. Each plan
/// has a death on each of three nodes, or tries to.
async fn killed_at_every(
    places: impl IntoIterator<Item = &'static str>,
    lay_out: impl FnOnce(&Utf8Path, trivial::Layout) -> anyhow::Result<trivial::Layout>,
) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = lay_out(folder, trivial::Layout::new(folder, 3)?)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let (api, key) = (fleet.api()?, fleet.release_key()?);
    let mut places: VecDeque<Place> = places.into_iter().map(|place| (place, 1)).collect();
    let mut met = BTreeSet::new();
    for number in 1..=PLANS_MAX {
        if places.is_empty() {
            return Ok(());
        }
        let nodes = fleet.nodes().to_vec();
        let deadly: BTreeMap<String, Place> = nodes
            .into_iter()
            .zip(places.drain(..places.len().min(3)))
            .collect();
        // One that no host has yet, so that it has to be downloaded.
        let to = format!("1.{number}.0");
        let program = layout.release(&to, Conduct::Good)?;
        api.publish(trivial::COMPONENT, &to, &program, &key).await?;
        let died = upgraded_with_deaths(&mut fleet, &to, &deadly).await?;
        for (node, place) in deadly {
            if died.contains(&node) {
                met.insert(place.0);
                places.push_back((place.0, place.1 + 1));
            } else {
                ensure!(met.contains(place.0), "{} was never met", place.0);
            }
        }
    }
    anyhow::bail!("there is no end: {places:?}")
}

/// Upgrades a fleet on some nodes of which the agent is to die at a place; on which it did.
async fn upgraded_with_deaths(
    fleet: &mut Fleet,
    to: &str,
    deadly: &BTreeMap<String, Place>,
) -> anyhow::Result<BTreeSet<String>> {
    let api = fleet.api()?;
    for (node, (failpoint, times)) in deadly {
        fleet.agent(node)?.kill()?;
        let at = format!("{failpoint}@{times}");
        fleet.start_agent_with(node, &[("EVENKEEL_FAILPOINT", &at)])?;
    }
    let before = deaths::settled(&api).await?;
    let target = up(trivial::COMPONENT, to);
    let mut found: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    let work = carry_through(&api, &target, quick_policy(), PlanState::Finalized);
    let plan = keep(fleet, work, async |fleet, died| {
        let Ours::Agent(node) = died else {
            anyhow::bail!("{died:?} died");
        };
        let before = found.insert(node.clone(), storage(fleet, node)?);
        ensure!(before.is_none(), "{node} died twice");
        Ok(())
    })
    .await
    .with_context(|| format!("killed at {deadly:?}"))?;
    assert_eq!(plan.tasks_done, 3, "{deadly:?}");
    let after = deaths::settled(&api).await?;
    for (name, now) in &after {
        let was = before.get(name).context("a new instance")?;
        let node = now.name.split('/').next().context("no node")?;
        let runs = now.process.clone().context("no process")?;
        assert_eq!(version(&runs), Some(to), "{name}, {deadly:?}");
        // One order, however often its agent began it.
        assert_eq!(now.generation, was.generation + 1, "{name}, {deadly:?}");
        assert_eq!(storage(fleet, node)?, BTreeSet::from([runs.pid]), "{name}");
        if let (Some(at_death), Some((failpoint, _))) = (found.get(node), deadly.get(node)) {
            let process = pid(was)?;
            match left(failpoint)? {
                Left::Untouched => {
                    assert_eq!(*at_death, BTreeSet::from([process]), "{failpoint}");
                }
                Left::Started => assert_eq!(*at_death, BTreeSet::from([runs.pid]), "{failpoint}"),
                Left::OnItsWay => assert!(
                    at_death.iter().all(|pid| [process, runs.pid].contains(pid)),
                    "{failpoint}: {at_death:?}"
                ),
            }
        }
    }
    Ok(found.into_keys().collect())
}

#[tokio::test]
async fn a_kill_at_any_step_leaves_the_storage_process_alone_and_the_next_agent_resumes()
-> anyhow::Result<()> {
    let places = failpoints::OF_EVERY_ORDER;
    let places = places.into_iter().chain(failpoints::OF_RECORDS);
    killed_at_every(places, |_, layout| Ok(layout)).await
}

#[tokio::test]
async fn a_kill_before_or_after_any_word_with_the_storage_system_is_no_harm_either()
-> anyhow::Result<()> {
    killed_at_every(failpoints::OF_GATES, |folder, layout| {
        let answers = "ok-to-stop | quiesce | unquiesce | recovered) ;;";
        let driver = driver(folder, answers)?;
        Ok(layout.with_driver(&format!(
            "command = [\"{driver}\", \"{{node}}\"]\ninterval = \"100ms\""
        )))
    })
    .await
}

/// One agent tells the storage system the end, so one dies.
#[tokio::test]
async fn a_kill_before_or_after_the_storage_system_is_told_the_end_does_not_keep_the_plan_from_it()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let driver = driver(folder, "finalize) ;;")?;
    let layout = trivial::Layout::new(folder, 3)?
        .with_driver(&format!("command = [\"{driver}\", \"{{node}}\"]"));
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let (api, key) = (fleet.api()?, fleet.release_key()?);
    for (failpoint, number) in failpoints::OF_FINALIZING.into_iter().zip(1..) {
        let to = format!("1.{number}.0");
        let program = layout.release(&to, Conduct::Good)?;
        api.publish(trivial::COMPONENT, &to, &program, &key).await?;
        let deadly = BTreeMap::from([("n1".to_owned(), (failpoint, 1))]);
        let died = upgraded_with_deaths(&mut fleet, &to, &deadly).await?;
        assert_eq!(died, BTreeSet::from(["n1".to_owned()]), "{failpoint}");
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
