//! etcd, the real one, when its members fail: with a quorum at stake nobody is stopped, and from an upgrade that one of
//! them does not bear all of them come back, with every key that was written.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
use evenkeel_proto::v1::{
    Instance, InstanceHealth, Plan, PlanPolicy, PlanState, TaskState, WaitKind,
};
use evenkeel_tests::{
    api::{Api, first_stage, up},
    cli::Cli,
    fleet::Fleet,
    folder::utf8,
    places, processes,
    systems::{
        etcd::{self, BEFORE_NEWEST, COMPONENT, Layout, NEWEST, OLDER},
        upgrade::policy,
        writer::{Writer, WriterOptions, Written},
    },
    wait,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

/// How long anything may take that nothing keeps from happening.
const SOON: Duration = Duration::from_secs(60);

/// For so long it is watched that nothing happens which must not: several turns of everything that goes round.
const WATCHED: Duration = Duration::from_secs(3);

/// The members; the first goes first.
const MEMBERS: [&str; 3] = ["n1/etcd", "n2/etcd", "n3/etcd"];

async fn instance(api: &Api, name: &str) -> anyhow::Result<Instance> {
    let mut instances = api.instances().await?;
    instances
        .remove(name)
        .with_context(|| format!("there is no {name}"))
}

async fn pid(api: &Api, name: &str) -> anyhow::Result<Pid> {
    let process = instance(api, name).await?.process;
    let process = process.with_context(|| format!("{name} is down"))?;
    Pid::from_raw(i32::try_from(process.pid)?).context("no process id")
}

/// Starts a plan to `version` and stops it for now when the first member is done, so that two are left.
async fn first_done(api: &Api, version: &str) -> anyhow::Result<Plan> {
    // The rule is told that counts.
    let policy = PlanPolicy {
        failure_domain: None,
        ..policy()
    };
    let plan = api.create_plan(&[up(COMPONENT, version)], policy).await?;
    api.start_plan(&plan.name).await?;
    let cut = wait::until("the first member to be under way", SOON, || async {
        let tasks = api.tasks(&plan.name).await?;
        let first = tasks.get(&first_stage(MEMBERS[0])).context("no task")?;
        ensure!(first.admitted_at.is_some(), "{first:?}");
        Ok(())
    });
    cut.await?;
    let request = evenkeel_proto::v1::PausePlanRequest {
        request_id: evenkeel_tests::api::request_id(),
        name: plan.name.clone(),
        reason: "one is enough for now".to_owned(),
    };
    api.plans().pause_plan(request).await?;
    wait::until("the first member to be done", SOON, || async {
        let tasks = api.tasks(&plan.name).await?;
        let states: Vec<TaskState> = tasks.values().map(|task| task.state()).collect();
        ensure!(
            states.first() == Some(&TaskState::Done)
                && tasks
                    .values()
                    .skip(1)
                    .all(|task| task.admitted_at.is_none()),
            "{states:?}"
        );
        Ok(())
    })
    .await?;
    Ok(plan)
}

/// Watches for a while that this member is not stopped, and that nobody gets an order.
async fn ensure_untouched(api: &Api, plan: &Plan, member: &str) -> anyhow::Result<()> {
    let before = pid(api, member).await?;
    sleep(WATCHED).await;
    ensure!(pid(api, member).await? == before, "{member} was stopped");
    for task in api.tasks(&plan.name).await?.values().skip(1) {
        ensure!(task.admitted_at.is_none(), "{task:?}");
    }
    ensure!(api.plan(&plan.name).await?.state() == PlanState::Running);
    Ok(())
}

/// An error unless all that was acknowledged is there, whichever member is asked.
async fn ensure_nothing_is_lost(client: &etcd::Client, written: &Written) -> anyhow::Result<()> {
    ensure!(!written.acknowledged.is_empty(), "nothing was written");
    for found in client.read_all().await? {
        let problems = written.problems(&found);
        ensure!(problems.is_empty(), "{problems:?}");
    }
    Ok(())
}

#[tokio::test]
async fn with_two_members_down_the_third_is_never_stopped_and_once_they_are_back_the_plan_ends()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = Layout::new(folder, BEFORE_NEWEST)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let (api, cli, client) = (fleet.api()?, Cli::of(&fleet)?, layout.client());
    let program = places::system(COMPONENT, NEWEST, COMPONENT)?;
    api.publish(COMPONENT, NEWEST, &program, &fleet.release_key()?)
        .await?;
    let writer = Writer::start(client.clone(), WriterOptions::default());
    writer.wait_for_more(100, SOON).await?;
    let plan = first_done(&api, NEWEST).await?;
    writer.wait_for_more(100, SOON).await?;
    // Without a quorum nothing is written.
    let written = writer.finish().await?;
    ensure!(written.unserved.is_empty(), "{:?}", written.unserved);

    // One that was upgraded and one that was not hang; their agents see that.
    let hung = [pid(&api, MEMBERS[0]).await?, pid(&api, MEMBERS[1]).await?];
    for member in hung {
        kill_process(member, Signal::STOP)?;
    }
    wait::until("both to be known to be out", SOON, || async {
        for name in &MEMBERS[..2] {
            let member = instance(&api, name).await?;
            ensure!(
                member.health() == InstanceHealth::Error,
                "{name}: {member:?}"
            );
        }
        Ok(())
    })
    .await?;
    api.resume_plan(&plan.name).await?;
    wait::until("the rule and the members to be told", SOON, || async {
        let why = api.explain_plan(&plan.name).await?;
        let wait = why
            .get(&first_stage(MEMBERS[2]))
            .context("it does not wait")?;
        ensure!(wait.kind() == WaitKind::Budget, "{wait:?}");
        // Who is out, how many in all, and by which rule it waits.
        ensure!(
            ["2 of its group count as down", MEMBERS[0]]
                .iter()
                .all(|words| wait.sentence.contains(words)),
            "{wait:?}"
        );
        let second = why.get(&first_stage(MEMBERS[1])).context("no wait")?;
        ensure!(second.kind() == WaitKind::Budget, "{second:?}");
        Ok(())
    })
    .await?;
    let told = cli.done(&["plan", "why", &plan.name, MEMBERS[2]])?;
    eprintln!("{told}");
    ensure_untouched(&api, &plan, MEMBERS[2]).await?;

    // Now their hosts are gone as well: we are blind, and more of a rule holds.
    for node in ["n1", "n2"] {
        fleet.agent(node)?.kill()?;
    }
    wait::until("the silence to be told", SOON, || async {
        let why = api.explain_plan(&plan.name).await?;
        let wait = why
            .get(&first_stage(MEMBERS[2]))
            .context("it does not wait")?;
        ensure!(wait.kind() == WaitKind::Breaker, "{wait:?}");
        Ok(())
    })
    .await?;
    ensure_untouched(&api, &plan, MEMBERS[2]).await?;

    for node in ["n1", "n2"] {
        fleet.start_agent(node)?;
    }
    for member in hung {
        kill_process(member, Signal::CONT)?;
    }
    api.wait_for_plan(&plan.name, PlanState::Finalized, SOON)
        .await?;
    fleet.wait_until_whole().await?;
    for member in client.versions().await? {
        ensure!(member.server == NEWEST, "{member:?}");
    }
    ensure_nothing_is_lost(&client, &written).await
}

/// How a plan that one member does not bear comes to rest, and is rolled back by a person while a client writes.
async fn rolled_back(
    fleet: &Fleet,
    client: &etcd::Client,
    (from, to): (&str, &str),
    policy: PlanPolicy,
    meanwhile: impl AsyncFnOnce(&Api, &Plan) -> anyhow::Result<()>,
    repaired: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (api, cli) = (fleet.api()?, Cli::of(fleet)?);
    let key = fleet.release_key()?;
    // Without the one before there would be no way back.
    for version in [from, to] {
        let program = places::system(COMPONENT, version, COMPONENT)?;
        api.publish(COMPONENT, version, &program, &key).await?;
    }
    let writer = Writer::start(client.clone(), WriterOptions::default());
    writer.wait_for_more(100, SOON).await?;
    let plan = api.create_plan(&[up(COMPONENT, to)], policy).await?;
    api.start_plan(&plan.name).await?;
    meanwhile(&api, &plan).await?;
    let paused = api
        .wait_for_plan(&plan.name, PlanState::Paused, SOON)
        .await?;
    ensure!(paused.reason.contains(MEMBERS[1]), "{}", paused.reason);
    eprintln!("paused: {}", paused.reason);
    repaired().await?;

    let reason = "one of them does not bear it";
    cli.done(&["plan", "rollback", &plan.name, "--reason", reason])?;
    let over = cli.until_plan(&plan.name, "rolled-back", SOON).await?;
    ensure!(over.to_string().contains(reason), "{over}");
    fleet.wait_until_whole().await?;
    writer.wait_for_more(100, SOON).await?;
    let written = writer.finish().await?;
    ensure!(written.unserved.is_empty(), "{:?}", written.unserved);
    let cluster = etcd::cluster_version(from)?;
    wait::until("the members to be of one version", SOON, || async {
        for member in client.versions().await? {
            ensure!(
                member.server == from && member.cluster == cluster,
                "{member:?}"
            );
        }
        Ok(())
    })
    .await?;
    ensure_nothing_is_lost(client, &written).await
}

#[tokio::test]
async fn a_member_that_does_not_start_with_the_new_release_is_put_back_and_the_others_are_rolled_back()
-> anyhow::Result<()> {
    if !etcd::has_older()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let mut layout = Layout::new(folder, OLDER)?;
    // 3.5 no longer knows what this one is told, and does not start.
    let second = layout.spec.nodes.get_mut(1).context("no second node")?;
    for instance in &mut second.instances {
        *instance = instance.replace(
            "\"--logger\", \"zap\"",
            "\"--logger\", \"zap\", \"--debug\"",
        );
        ensure!(instance.contains("--debug"), "{instance}");
    }
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let client = layout.client();
    let meanwhile = async |api: &Api, plan: &Plan| {
        api.wait_for_plan(&plan.name, PlanState::Paused, SOON)
            .await?;
        let tasks = api.tasks(&plan.name).await?;
        let state = |member: &str| tasks.get(&first_stage(member)).map(|task| task.state());
        assert_eq!(state(MEMBERS[0]), Some(TaskState::Done), "{tasks:?}");
        assert_eq!(state(MEMBERS[1]), Some(TaskState::Reverted), "{tasks:?}");
        Ok(())
    };
    let way = (OLDER, NEWEST);
    rolled_back(&fleet, &client, way, policy(), meanwhile, async || Ok(())).await
}

#[tokio::test]
async fn a_member_whose_data_is_damaged_while_it_soaks_stops_the_plan_and_once_mended_all_go_back()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = &utf8(&dir)?.canonicalize_utf8()?;
    let layout = Layout::new(folder, BEFORE_NEWEST)?;
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let client = layout.client();
    let second = fleet.agent_data("n2").canonicalize_utf8()?;
    let store = folder.join("storage/n2/member/member/snap/db");
    let aside = folder.join("db-as-it-was");
    let meanwhile = async |api: &Api, plan: &Plan| {
        wait::until("the second member to soak", SOON, || async {
            let tasks = api.tasks(&plan.name).await?;
            let task = tasks.get(&first_stage(MEMBERS[1])).context("no task")?;
            ensure!(task.state() == TaskState::Rejoined, "{task:?}");
            Ok(())
        })
        .await?;
        damage(&second, &store, &aside)
    };
    let mended = async || {
        std::fs::remove_file(&store)?;
        std::fs::rename(&aside, &store).context("cannot mend it")
    };
    let long = PlanPolicy {
        soak: Some(prost_types::Duration {
            seconds: 20,
            nanos: 0,
        }),
        // The first is not waited for as long.
        canary: Some(0),
        instance_deadline: Some(prost_types::Duration {
            seconds: 25,
            nanos: 0,
        }),
        ..policy()
    };
    let way = (BEFORE_NEWEST, NEWEST);
    rolled_back(&fleet, &client, way, long, meanwhile, mended).await
}

/// Ends the member of an agent as a crash would, and leaves it a database that is none.
fn damage(agent: &Utf8Path, store: &Utf8Path, aside: &Utf8Path) -> anyhow::Result<()> {
    // So that the agent does not start it on what is being moved.
    std::fs::rename(store, aside).with_context(|| format!("cannot move {store}"))?;
    std::fs::write(store, "this is no database")?;
    for process in processes::below(agent) {
        if process.program == COMPONENT {
            kill_process(process.pid, Signal::KILL)?;
        }
    }
    Ok(())
}
