//! etcd, the real one: upgraded while a client writes, held before the point of no return and taken back from there, and
//! put back when a release is no good.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use evenkeel_proto::v1::{
    CompatibilityLevel, Plan, PlanState, RemedyKind, TaskState, Undo, WaitKind,
};
use evenkeel_tests::{
    api::{Api, down, up},
    fleet::Fleet,
    folder::utf8,
    matrix, places, processes,
    program::Program,
    systems::{
        etcd::{self, BEFORE_NEWEST, COMPONENT, Client, Layout, NEWEST, OLDER},
        upgrade::{Upgrade, ensure_all_run, policy, under_load},
        writer::Written,
    },
    wait,
};

/// How long anything may take that nothing keeps from happening.
const SOON: Duration = Duration::from_secs(60);

fn to_newest() -> anyhow::Result<Upgrade> {
    let program = places::system(COMPONENT, NEWEST, COMPONENT)?;
    Ok(Upgrade::to(COMPONENT, NEWEST, program))
}

/// Waits until every member runs `version`, and all of them together speak it. etcd makes up its mind a few seconds after
/// the last member has changed.
async fn wait_for_version(client: &Client, version: &str) -> anyhow::Result<()> {
    let cluster = etcd::cluster_version(version)?;
    let what = format!("the cluster to speak {cluster}");
    wait::until(&what, SOON, || async {
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

/// Waits until the plan holds the last member back, and checks that etcd speaks the older version still.
async fn held_before_the_last(api: &Api, client: &Client, plan: &Plan) -> anyhow::Result<()> {
    let last = wait::until("the last member to be held back", SOON, || async {
        let tasks = api.tasks(&plan.name).await?;
        let mut left = tasks
            .values()
            .filter(|task| task.state() != TaskState::Done);
        let (last, None) = (left.next().context("all are done")?, left.next()) else {
            anyhow::bail!("{tasks:?}");
        };
        let waits = api.explain_plan(&plan.name).await?;
        let wait = waits.get(&(0, last.instance.clone()));
        let wait = wait.with_context(|| format!("{waits:?}"))?;
        ensure!(wait.kind() == WaitKind::Person, "{wait:?}");
        ensure!(wait.sentence.contains("there is no way back"), "{wait:?}");
        ensure!(last.admitted_at.is_none(), "{last:?}");
        Ok(last.instance.clone())
    })
    .await?;
    let plan = api.plan(&plan.name).await?;
    ensure!((plan.tasks_done, plan.tasks_total) == (2, 3), "{plan:?}");
    ensure!(last.ends_with("/etcd"), "{last}");
    let cluster = etcd::cluster_version(OLDER)?;
    let versions = client.versions().await?;
    let newest = versions.iter().filter(|member| member.server == NEWEST);
    ensure!(
        newest.count() == 2 && versions.iter().all(|member| member.cluster == cluster),
        "{versions:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_last_member_waits_for_a_person_and_after_it_there_is_no_way_back() -> anyhow::Result<()>
{
    if !etcd::has_older()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = Layout::new(folder, OLDER)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let client = layout.client();
    wait_for_version(&client, OLDER).await?;

    let upgrade = to_newest()?;
    let state = PlanState::Finalized;
    let meanwhile = async |api: &Api, plan: &Plan| {
        let [stage] = plan.stages.as_slice() else {
            anyhow::bail!("{plan:?}");
        };
        assert_eq!(stage.level(), CompatibilityLevel::Backward);
        assert!(stage.finalizes_itself);
        assert_eq!(
            (stage.undo(), stage.undo_when_final()),
            (Undo::InPlace, Undo::NotAtAll)
        );
        held_before_the_last(api, &client, plan).await?;
        api.finalize_plan(&plan.name).await?;
        Ok(())
    };
    let outcome = under_load(&fleet, client.clone(), &upgrade, state, meanwhile).await?;
    eprintln!("etcd {OLDER} to {NEWEST}: {outcome}");
    ensure_nothing_is_lost(&client, &outcome.written).await?;
    let api = fleet.api()?;
    ensure_all_run(&api, &outcome.digest).await?;
    wait_for_version(&client, NEWEST).await?;
    ensure_nothing_is_lost(&client, &outcome.written).await?;

    // The plan back is refused, with a release to go back to.
    let older = places::system(COMPONENT, OLDER, COMPONENT)?;
    api.publish(COMPONENT, OLDER, &older, &fleet.release_key()?)
        .await?;
    let back = api
        .preview_plan(&[down(COMPONENT, OLDER)], policy())
        .await?;
    let refused = back.refusal.with_context(|| format!("{:?}", back.plan))?;
    ensure!(format!("{refused:?}").contains("backward"), "{refused:#?}");

    // And rightly so: the older one does not start on what is there now.
    fleet.stop()?;
    processes::stop_below(folder, SOON)?;
    let data = folder.join("storage/n1/member");
    ensure!(data.is_dir(), "{data} is not there");
    let log = folder.join("older.log");
    let mut command = Command::new(older);
    command.args(["--name", "n1", "--data-dir", data.as_str()]);
    command.args(["--listen-client-urls", "http://127.0.0.1:0"]);
    command.args(["--advertise-client-urls", "http://127.0.0.1:0"]);
    command.args([
        "--listen-peer-urls",
        "http://127.0.0.1:0",
        "--logger",
        "zap",
    ]);
    let mut started = Program::start("the older etcd", command.stdin(Stdio::null()), &log)?;
    let status = started.wait(SOON)?;
    let printed = started.printed();
    ensure!(
        !status.success() && printed.contains("invalid downgrade"),
        "{status}: {printed}"
    );
    Ok(())
}

#[tokio::test]
async fn before_the_last_member_has_gone_the_others_go_back_and_nothing_is_lost()
-> anyhow::Result<()> {
    if !etcd::has_older()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = Layout::new(folder, OLDER)?;
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let client = layout.client();
    wait_for_version(&client, OLDER).await?;
    let upgrade = to_newest()?;
    let state = PlanState::Aborted;
    let meanwhile = async |api: &Api, plan: &Plan| {
        held_before_the_last(api, &client, plan).await?;
        api.abort_plan(&plan.name, "we go back").await?;
        api.wait_for_plan(&plan.name, PlanState::Aborted, SOON)
            .await?;
        let older = places::system(COMPONENT, OLDER, COMPONENT)?;
        api.publish(COMPONENT, OLDER, &older, &fleet.release_key()?)
            .await?;
        // Nobody has finalized it, so whoever asks for it by name may go back.
        let back = api.create_plan(&[down(COMPONENT, OLDER)], policy()).await?;
        api.start_plan(&back.name).await?;
        let back = api
            .wait_for_plan(&back.name, PlanState::Finalized, SOON)
            .await?;
        ensure!((back.tasks_done, back.tasks_total) == (2, 2), "{back:?}");
        Ok(())
    };
    let outcome = under_load(&fleet, client.clone(), &upgrade, state, meanwhile).await?;
    eprintln!("etcd {OLDER} to {NEWEST}, two of three, and back: {outcome}");
    ensure_nothing_is_lost(&client, &outcome.written).await?;
    wait_for_version(&client, OLDER).await?;
    ensure_nothing_is_lost(&client, &outcome.written).await
}

#[tokio::test]
async fn three_members_change_their_patch_release_and_nobody_is_asked() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = Layout::new(folder, BEFORE_NEWEST)?;
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let client = layout.client();
    wait_for_version(&client, BEFORE_NEWEST).await?;
    let upgrade = to_newest()?;
    let state = PlanState::Finalized;
    let outcome = under_load(&fleet, client.clone(), &upgrade, state, async |_, _| Ok(())).await?;
    eprintln!("etcd {BEFORE_NEWEST} to {NEWEST}: {outcome}");
    ensure_nothing_is_lost(&client, &outcome.written).await?;
    ensure_all_run(&fleet.api()?, &outcome.digest).await?;
    wait_for_version(&client, NEWEST).await
}

/// No 3.3 comes from where every machine can fetch. So what runs here is a 3.4, and only its agents' configuration calls
/// it 3.3.25: what is shown is that we refuse, not what etcd would have done.
#[tokio::test]
async fn from_3_3_to_3_5_is_refused_and_goes_through_3_4_once_there_is_one() -> anyhow::Result<()> {
    if !etcd::has_older()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = Layout::declared(folder, OLDER, "3.3.25")?;
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let key = fleet.release_key()?;
    let newest = places::system(COMPONENT, NEWEST, COMPONENT)?;
    api.publish(COMPONENT, NEWEST, &newest, &key).await?;
    let target = [up(COMPONENT, NEWEST)];
    let preview = api.preview_plan(&target, policy()).await?;
    let refused = preview
        .refusal
        .with_context(|| format!("{:?}", preview.plan))?;
    ensure!(
        refused
            .furthest
            .iter()
            .all(|reached| reached.version == "3.3.25"),
        "{refused:#?}"
    );
    let created = api.create_plan(&target, policy()).await;
    let refused = created.err().context("it was created")?;
    ensure!(format!("{refused:#}").contains("3.3.25"), "{refused:#}");

    let older = places::system(COMPONENT, OLDER, COMPONENT)?;
    api.publish(COMPONENT, OLDER, &older, &key).await?;
    let preview = api.preview_plan(&target, policy()).await?;
    let plan = preview
        .plan
        .with_context(|| format!("{:?}", preview.refusal))?;
    let stages = plan.stages.iter();
    let way: Vec<_> = stages
        .map(|stage| (stage.from_version.as_str(), stage.to_version.as_str()))
        .collect();
    assert_eq!(way, [("3.3.25", OLDER), (OLDER, NEWEST)]);

    // The shipped matrix does not let anybody into that release at all, and says why.
    api.apply_matrix(matrix::of_toml(matrix::ETCD)?).await?;
    let preview = api.preview_plan(&target, policy()).await?;
    let refused = preview
        .refusal
        .with_context(|| format!("{:?}", preview.plan))?;
    let [unblock] = refused.remedies.as_slice() else {
        anyhow::bail!("not one remedy: {refused:#?}");
    };
    assert_eq!(unblock.kind(), RemedyKind::Unblock, "{refused:#?}");
    ensure!(
        format!("{refused:?}").contains("lose committed writes"),
        "{refused:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_release_that_is_no_etcd_is_put_back_and_nothing_is_lost() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = Layout::new(folder, NEWEST)?;
    let fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let client = layout.client();
    let before = api.instances().await?;

    // A program for this platform, and rightly signed; only no etcd.
    let program = places::samplestore("1.1.1")?;
    let upgrade = Upgrade::to(COMPONENT, "3.5.99", program);
    let state = PlanState::Paused;
    let outcome = under_load(&fleet, client.clone(), &upgrade, state, async |_, _| Ok(())).await?;
    let reason = &outcome.plan.reason;
    eprintln!("etcd put back: {outcome}; {reason}");

    ensure_nothing_is_lost(&client, &outcome.written).await?;
    wait_for_version(&client, NEWEST).await?;
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
    for (name, instance) in api.instances().await? {
        let is = instance.process.context("no process")?;
        let was = before[&name].process.clone().context("no process")?;
        assert_eq!(is.release, was.release, "{name}");
        // Nobody else was touched.
        let is_same = is.pid == was.pid;
        assert_eq!(is_same, name != reverted[0].instance, "{name}");
    }
    Ok(())
}
