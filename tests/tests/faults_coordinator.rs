//! The coordinator is killed: at every moment of a plan, at random, and for good. Plans go on where they were, no order
//! is carried out twice, and what was stopped comes back.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
use evenkeel_coordinator::failpoints;
use evenkeel_proto::v1::{PlanPolicy, PlanState, TaskState};
use evenkeel_samplestore::load::{Workload, WorkloadOptions};
use evenkeel_tests::{
    api::{down, quick_policy, up},
    deaths::{self, AtRandom, listens},
    fleet::Fleet,
    folder::utf8,
    places, processes,
    systems::{
        samplestore,
        trivial::{self, Conduct},
    },
    wait,
};
use futures_util::future::try_join_all;
use rand::Rng as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

/// How long anything may take that nothing keeps from happening.
const SOON: Duration = Duration::from_secs(60);

/// How many nodes there are: one that goes first, one that is in flight while others wait, and one that comes last.
const NODES: usize = 3;

/// More moments than any plan of so many trivial processes has.
const MOMENTS_MAX: u32 = 200;

/// How many fleets share the moments of one failpoint: a plan that is carried out mostly waits.
const FLEETS: usize = 3;

/// Fewer moments than any such plan has: to find a failpoint that is not there any more.
const MOMENTS_MIN: u32 = 4;

/// Kills the coordinator the n-th time it comes to this point, in a plan of its own for each n until one plan does
/// not come there so often any more. Several fleets share the numbers.
async fn killed_at_every(failpoint: &str) -> anyhow::Result<()> {
    let fleets = (1..).take(FLEETS);
    let fleets =
        fleets.map(|first| killed_at_some(failpoint, (first..=MOMENTS_MAX).step_by(FLEETS)));
    try_join_all(fleets).await?;
    Ok(())
}

/// The same at these of the times.
async fn killed_at_some(failpoint: &str, numbers: impl Iterator<Item = u32>) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = trivial::Layout::new(folder, NODES)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let key = fleet.release_key()?;
    let versions = [trivial::FIRST, "1.1.0"];
    for version in versions {
        let program = layout.release(version, Conduct::Good)?;
        api.publish(trivial::COMPONENT, version, &program, &key)
            .await?;
    }
    // There and back again.
    let targets = [
        up(trivial::COMPONENT, versions[1]),
        down(trivial::COMPONENT, versions[0]),
    ];
    for ((number, plans), target) in numbers.zip(1_u32..).zip(targets.iter().cycle()) {
        let place = (failpoint, number);
        let moment = deaths::at_moment(
            &mut fleet,
            place,
            &layout.ports,
            target,
            PlanState::Finalized,
        )
        .await?;
        let (at, plan) = (&moment.at, &moment.plan);
        // What was asked for once, though it was said several times, was done once.
        assert_eq!(plan.name, format!("plan-{plans}"), "{at}");
        assert_eq!((plan.tasks_total, plan.tasks_done), (3, 3), "{at}");
        for (name, now) in &moment.after {
            let then = moment.before.get(name).context("a new instance")?;
            let version = now.current.as_ref().map(|current| current.version.as_str());
            assert_eq!(version, Some(target.version.as_str()), "{at}: {name}");
            assert_eq!(now.generation, then.generation + 1, "{at}: {name}");
            assert_eq!(now.accepted_generation, now.generation, "{at}: {name}");
            assert_ne!(now.process, then.process, "{at}: {name}");
        }
        let stops = stops(&mut fleet)?;
        assert_eq!(stops, [u64::from(plans); NODES], "{at}: stopped so often");
        if moment.deaths == 0 {
            ensure!(number > MOMENTS_MIN, "only {number} moments");
            return Ok(());
        }
    }
    anyhow::bail!("a plan has more than {MOMENTS_MAX} moments")
}

/// Kills the coordinator behind its n-th record, in a plan of its own for each n, whose release does not start.
#[tokio::test]
async fn a_plan_that_fails_is_put_back_after_a_kill_behind_any_record() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = trivial::Layout::new(folder, NODES)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let program = layout.release("1.1.0", Conduct::Ends)?;
    api.publish(trivial::COMPONENT, "1.1.0", &program, &fleet.release_key()?)
        .await?;
    let target = up(trivial::COMPONENT, "1.1.0");
    for number in 1..=MOMENTS_MAX {
        let place = ("coordinator.append.after", number);
        let moment =
            deaths::at_moment(&mut fleet, place, &layout.ports, &target, PlanState::Paused).await?;
        let (at, plan) = (&moment.at, &moment.plan);
        assert!(
            plan.reason.starts_with("n1/store was put back to 1.0.0: "),
            "{at}: {}",
            plan.reason
        );
        for (name, now) in &moment.after {
            let then = moment.before.get(name).context("a new instance")?;
            assert_eq!(now.current, then.current, "{at}: {name}");
            // Only the canary was tried, and that once.
            let orders = u64::from(name == "n1/store");
            assert_eq!(now.generation, then.generation + orders, "{at}: {name}");
            assert_eq!(now.process != then.process, orders == 1, "{at}: {name}");
        }
        if moment.deaths == 0 {
            ensure!(number > MOMENTS_MIN, "only {number} moments");
            return Ok(());
        }
        api.abort_plan(&plan.name, "seen enough").await?;
        api.wait_for_plan(&plan.name, PlanState::Aborted, SOON)
            .await?;
    }
    anyhow::bail!("a plan has more than {MOMENTS_MAX} moments")
}

/// How often the agents have begun to stop their processes for an order.
fn stops(fleet: &mut Fleet) -> anyhow::Result<Vec<u64>> {
    let nodes = fleet.nodes().to_vec();
    let counts = nodes.iter().map(|node| {
        let printed = fleet.agent(node)?.printed();
        let stops = printed
            .lines()
            .filter(|line| line.contains("moved on") && line.contains("to=\"stopping\""));
        Ok(stops.count() as u64)
    });
    counts.collect()
}

/// A test for each failpoint.
macro_rules! killed_at_every {
    ($($name:ident: $failpoint:path;)+) => {
        /// The failpoints that have a test.
        const GONE_THROUGH: &[&str] = &[$($failpoint),+];

        $(
            #[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                killed_at_every($failpoint).await
            }
        )+
    };
}

killed_at_every! {
    a_plan_goes_on_after_a_kill_before_any_record: failpoints::APPEND_BEFORE;
    a_plan_goes_on_after_a_kill_in_the_middle_of_any_record: failpoints::APPEND_TORN;
    a_plan_goes_on_after_a_kill_behind_any_record_that_nobody_was_told_of: failpoints::APPEND_AFTER;
    a_plan_goes_on_after_a_kill_behind_any_turn_of_the_writer: failpoints::TURN_AFTER;
}

#[test]
fn there_is_no_failpoint_of_the_coordinator_without_a_test() {
    assert_eq!(GONE_THROUGH, failpoints::ALL);
    // And none is left out of the list.
    let declared = include_str!("../../coordinator/src/failpoints.rs")
        .split('"')
        .skip(1);
    let declared: Vec<&str> = declared.step_by(2).collect();
    assert_eq!(declared, failpoints::ALL);
}

#[tokio::test]
async fn kills_at_random_under_load_cost_no_request_and_no_blob() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    // From a life that hardly begins to one in which an instance is upgraded.
    let at_random = AtRandom {
        kills_max: 12,
        pause_ms: 50..400,
    };
    let mut survived = at_random
        .during_an_upgrade(utf8(&dir)?, async |fleet, random| {
            fleet.coordinator()?.kill()?;
            sleep(Duration::from_millis(random.random_range(0..300))).await;
            fleet.start_coordinator()
        })
        .await?;
    let stops = stops(&mut survived.fleet)?;
    assert_eq!(
        stops, [2; 5],
        "each was stopped once a stage; seed {}",
        survived.seed
    );
    Ok(())
}

/// The executables of the storage processes below this folder.
fn running(folder: &Utf8Path) -> BTreeSet<String> {
    processes::below(folder)
        .iter()
        .filter(|process| !process.program.starts_with("evenkeel-"))
        .filter_map(|process| {
            let pid = process.pid.as_raw_nonzero();
            let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
            Some(exe.to_string_lossy().into_owned())
        })
        .collect()
}

/// The agent dies when it has stopped the instance for a release of such a conduct, and the coordinator for good.
async fn left_alone_while_stopped(conduct: Conduct) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = &utf8(&dir)?.canonicalize_utf8()?;
    let layout = trivial::Layout::new(folder, 1)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let program = layout.release("1.1.0", conduct)?;
    api.publish(trivial::COMPONENT, "1.1.0", &program, &fleet.release_key()?)
        .await?;
    fleet.agent("n1")?.kill()?;
    fleet.start_agent_with("n1", &[("EVENKEEL_FAILPOINT", "journal.swapping.after")])?;
    let policy = PlanPolicy {
        instance_deadline: Some(prost_types::Duration {
            seconds: 2,
            nanos: 0,
        }),
        ..quick_policy()
    };
    let plan = api
        .create_plan(&[up(trivial::COMPONENT, "1.1.0")], policy)
        .await?;
    api.start_plan(&plan.name).await?;
    fleet.agent("n1")?.wait(SOON)?;
    fleet.coordinator()?.kill()?;
    let port = layout.ports.first().context("no port")?;
    assert!(listens(*port).await.is_err(), "the instance is not stopped");
    assert_eq!(running(folder), BTreeSet::new());

    fleet.start_agent("n1")?;
    wait::until("the instance to serve", SOON, || listens(*port)).await?;
    // A bad one would have been given up by now.
    let (version, state) = match conduct {
        Conduct::Good | Conduct::Answers { .. } => ("/1.1.0-", PlanState::Finalized),
        Conduct::Ends | Conduct::Deaf | Conduct::Sickens { .. } => ("/1.0.0-", PlanState::Paused),
    };
    let running = running(folder);
    assert!(
        running.len() == 1 && running.iter().all(|exe| exe.contains(version)),
        "{running:?}"
    );

    // Should one come after all, it finds what is true.
    fleet.start_coordinator()?;
    let plan = api.wait_for_plan(&plan.name, state, SOON).await?;
    if conduct != Conduct::Good {
        assert!(
            plan.reason.starts_with("n1/store was put back to 1.0.0: "),
            "{}",
            plan.reason
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_instance_that_was_stopped_when_the_coordinator_went_for_good_gets_its_release()
-> anyhow::Result<()> {
    left_alone_while_stopped(Conduct::Good).await
}

#[tokio::test]
async fn an_instance_whose_new_release_ends_goes_back_without_any_coordinator() -> anyhow::Result<()>
{
    left_alone_while_stopped(Conduct::Ends).await
}

#[tokio::test]
async fn an_instance_whose_new_release_is_never_healthy_goes_back_without_any_coordinator()
-> anyhow::Result<()> {
    left_alone_while_stopped(Conduct::Deaf).await
}

/// Asks a store itself.
async fn healthy(store: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(store).await?;
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: store\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{store}: {answer}");
    Ok(())
}

#[tokio::test]
async fn a_store_serves_on_when_the_coordinator_goes_for_good_in_the_middle_of_a_task()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = samplestore::Layout::new(folder, 3, "1.0.0")?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let binary = places::samplestore("1.1.0")?;
    api.publish(
        samplestore::COMPONENT,
        "1.1.0",
        &binary,
        &fleet.release_key()?,
    )
    .await?;
    let load = Workload::start(&layout.client(), &WorkloadOptions::default());
    let plan = api
        .create_plan(&[up(samplestore::COMPONENT, "1.1.0")], quick_policy())
        .await?;
    api.start_plan(&plan.name).await?;
    let under_way = |state| {
        matches!(
            state,
            TaskState::Admitted | TaskState::Stopped | TaskState::Swapped | TaskState::Started
        )
    };
    wait::until("a task to be under way", SOON, || async {
        let tasks = api.tasks(&plan.name).await?;
        ensure!(
            tasks.values().any(|task| under_way(task.state())),
            "{tasks:?}"
        );
        Ok(())
    })
    .await?;
    fleet.coordinator()?.kill()?;

    // The agents go on by themselves; nobody is left to be asked but the stores.
    for address in &layout.addresses {
        wait::until("every store to be healthy", SOON, || healthy(*address)).await?;
    }
    let report = load.finish().await;
    assert!(report.is_clean(), "{report:?}");
    Ok(())
}
