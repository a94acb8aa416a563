//! What a plan's policy and the fleet's freeze hold up, on real processes, with what a person types and is told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use camino::Utf8Path;
use evenkeel_tests::{
    cli::task,
    scene::{SOON, Scene, driver},
    systems::{
        json,
        trivial::{COMPONENT, Conduct, FIRST, Layout},
    },
    wait,
};
use serde_json::Value;
use tokio::time::sleep;

/// For so long it is watched that nothing happens which must not.
const WATCHED: Duration = Duration::from_millis(800);

/// No changes to the layout.
fn plain(_: &Utf8Path, layout: Layout) -> anyhow::Result<Layout> {
    Ok(layout)
}

/// An hour of the day that is not soon, in UTC.
fn another_hour() -> anyhow::Result<u64> {
    let hour = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 3_600;
    Ok((hour + 6) % 24)
}

/// The hour and minute of the day, in UTC, at which a minute begins that is seen coming, and how far away it is at most.
fn a_minute_to_come() -> anyhow::Result<(u64, u64, Duration)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    // Soon enough to be waited for, and not before somebody has looked.
    let minute = (now + 15).div_ceil(60);
    let away = Duration::from_secs(60 * minute - now);
    Ok((minute / 60 % 24, minute % 60, away))
}

/// An error unless nobody was given an order, now and for a while.
async fn ensure_nothing_starts(scene: &Scene, plan: &str) -> anyhow::Result<()> {
    let before = scene.running()?;
    sleep(WATCHED).await;
    let shown = scene.cli.show(plan)?;
    for number in 1..=before.len() {
        let task = task(&shown, 0, &format!("n{number}/store"))?;
        ensure!(task.pointer("/admitted_at") == Some(&Value::Null), "{task}");
    }
    ensure!(scene.running()? == before, "somebody was touched");
    Ok(())
}

#[tokio::test]
async fn outside_its_windows_a_plan_begins_nothing_and_says_until_when_and_within_them_it_goes_on()
-> anyhow::Result<()> {
    let scene = Scene::new(2, plain).await?;
    scene.publish("1.1.0", Conduct::Good).await?;
    let closed = format!("0 {} * * * for 1h in UTC", another_hour()?);
    let plan = scene.upgrade("1.1.0", &["--window", &closed])?;
    let asked = (plan.as_str(), "n1/store");
    let wait = scene.cli.until_waits(asked, "window", SOON).await?;
    let sentence = json::text(&wait, "/sentence")?;
    ensure!(sentence.contains("outside the plan's windows"), "{wait}");
    let opens = format!("T{:02}:00:00.000Z", another_hour()?);
    ensure!(json::text(&wait, "/until")?.ends_with(&opens), "{wait}");
    ensure_nothing_starts(&scene, &plan).await?;

    scene.cli.done(&["plan", "abort", &plan])?;
    scene.cli.until_plan(&plan, "aborted", SOON).await?;
    // Any open one will do.
    let plan = scene.upgrade(
        "1.1.0",
        &["--window", &closed, "--window", "* * * * * for 1m in UTC"],
    )?;
    scene.cli.until_plan(&plan, "finalized", SOON).await?;
    scene.ensure_all_run("1.1.0")
}

#[tokio::test]
async fn a_plan_waits_for_its_window_and_goes_on_by_itself_when_that_opens() -> anyhow::Result<()> {
    let scene = Scene::new(2, plain).await?;
    scene.publish("1.1.0", Conduct::Good).await?;
    let (hour, minute, away) = a_minute_to_come()?;
    let window = format!("{minute} {hour} * * * for 10m in UTC");
    let plan = scene.upgrade("1.1.0", &["--window", &window])?;
    let asked = (plan.as_str(), "n1/store");
    let wait = scene.cli.until_waits(asked, "window", SOON).await?;
    let opens = json::text(&wait, "/until")?.to_owned();
    ensure!(
        opens.ends_with(&format!("T{hour:02}:{minute:02}:00.000Z")),
        "{wait}"
    );
    ensure!(json::text(&wait, "/sentence")?.contains(&window), "{wait}");
    ensure_nothing_starts(&scene, &plan).await?;

    let over = scene
        .cli
        .until_plan(&plan, "finalized", away + SOON)
        .await?;
    for instance in ["n1/store", "n2/store"] {
        let task = task(&over, 0, instance)?;
        let admitted = json::text(task, "/admitted_at")?;
        ensure!(*admitted >= *opens, "{admitted} is before {opens}: {task}");
    }
    scene.ensure_all_run("1.1.0")
}

#[tokio::test]
async fn while_the_fleet_is_frozen_nothing_begins_anywhere_and_when_it_is_not_it_goes_on()
-> anyhow::Result<()> {
    let scene = Scene::new(2, plain).await?;
    scene.publish("1.1.0", Conduct::Good).await?;
    let reason = "the tax office is closing its books";
    scene.cli.done(&["fleet", "freeze", "--reason", reason])?;
    let plan = scene.upgrade("1.1.0", &[])?;
    let asked = (plan.as_str(), "n1/store");
    let wait = scene.cli.until_waits(asked, "freeze", SOON).await?;
    ensure!(json::text(&wait, "/sentence")?.contains(reason), "{wait}");
    ensure_nothing_starts(&scene, &plan).await?;
    ensure!(
        scene.cli.done(&["fleet", "status"])?.contains(reason),
        "not shown"
    );

    scene.cli.done(&["fleet", "unfreeze"])?;
    scene.cli.until_plan(&plan, "finalized", SOON).await?;
    scene.ensure_all_run("1.1.0")
}

#[tokio::test]
async fn a_share_of_the_fleet_is_what_goes_at_once_and_one_that_comes_to_nothing_is_refused()
-> anyhow::Result<()> {
    let scene = Scene::new(4, plain).await?;
    scene.publish("1.1.0", Conduct::Deaf).await?;
    let to = format!("{COMPONENT}=1.1.0");
    let create = ["plan", "create", "--to", &to, "--max-unavailable", "20%"];
    let refused = scene.cli.refused(&create)?;
    ensure!(
        refused.contains("20%") && refused.contains("less than one"),
        "{refused}"
    );

    // A release that never answers is in flight until its time is up.
    let half = [
        "--max-unavailable",
        "50%",
        "--canary",
        "0",
        "--instance-deadline",
        "4s",
    ];
    let plan = scene.upgrade("1.1.0", &half)?;
    let asked = (plan.as_str(), "n3/store");
    let wait = scene.cli.until_waits(asked, "budget", SOON).await?;
    let sentence = json::text(&wait, "/sentence")?;
    ensure!(
        ["n1/store", "n2/store"]
            .iter()
            .any(|name| sentence.contains(name)),
        "{wait}"
    );
    let paused = scene.cli.until_plan(&plan, "paused", SOON).await?;
    for (instance, state, admitted) in [
        ("n1/store", "reverted", true),
        ("n2/store", "reverted", true),
        ("n3/store", "prefetched", false),
        ("n4/store", "prefetched", false),
    ] {
        let task = task(&paused, 0, instance)?;
        ensure!(json::text(task, "/state")? == state, "{task}");
        ensure!(
            (task.pointer("/admitted_at") != Some(&Value::Null)) == admitted,
            "{task}"
        );
    }
    scene.ensure_all_run(FIRST)
}

#[tokio::test]
async fn more_failures_than_are_tolerated_roll_the_plan_back() -> anyhow::Result<()> {
    let scene = Scene::new(4, |_, layout| layout.answering()).await?;
    scene
        .publish(FIRST, Conduct::Answers { after_ms: 0 })
        .await?;
    // Good enough to be started, and not to be kept.
    scene
        .publish("1.1.0", Conduct::Sickens { after_ms: 2_000 })
        .await?;
    let policy = [
        "--failures-tolerated",
        "1",
        "--on-failure",
        "rollback",
        "--soak",
        "6s",
        "--max-unavailable",
        "2",
    ];
    let plan = scene.upgrade("1.1.0", &policy)?;
    let over = scene.cli.until_plan(&plan, "rolled-back", SOON).await?;
    let canary = task(&over, 0, "n1/store")?;
    let was = json::text(canary, "/reason")?;
    ensure!(
        was.contains("it was reverted: got sick while it soaked"),
        "{canary}"
    );
    // One failure was tolerated: others were tried after it.
    let tried = (2..=4).map(|number| task(&over, 0, &format!("n{number}/store")));
    let tried = tried.collect::<anyhow::Result<Vec<_>>>()?;
    let tried = tried
        .iter()
        .filter(|task| task.pointer("/admitted_at") != Some(&Value::Null));
    ensure!(tried.count() >= 1, "{over}");
    let reason = json::text(&over, "/reason")?;
    ensure!(reason.contains("/store"), "{reason}");
    scene.fleet.wait_until_whole().await?;
    scene.ensure_all_run(FIRST)
}

#[tokio::test]
async fn a_storage_system_that_cannot_spare_an_instance_is_asked_until_it_can_and_is_told_the_end_once()
-> anyhow::Result<()> {
    let scene = Scene::new(2, |folder, layout| {
        let answers = format!(
            r#"ok-to-stop) [ -e "{folder}/may-stop" ] || {{ echo '{{"reason": "its copy is the only one"}}'; exit 1; }} ;;
recovered) ;;
finalize) echo "$node" >> "{folder}/finalized" ;;"#
        );
        let driver = driver(folder, &answers)?;
        Ok(layout.with_driver(&format!(
            "command = [\"{driver}\", \"{{node}}\"]\ninterval = \"100ms\"\nok_to_stop_interval = \"200ms\""
        )))
    })
    .await?;
    scene.publish("1.1.0", Conduct::Good).await?;
    let before = scene.running()?;
    let plan = scene.upgrade("1.1.0", &[])?;
    let why = || async {
        let told = scene.cli.done(&["plan", "why", &plan, "n1/store"])?;
        ensure!(told.contains("its copy is the only one"), "{told}");
        Ok(())
    };
    wait::until("the storage system's word to be told", SOON, why).await?;
    sleep(WATCHED).await;
    ensure!(scene.running()? == before, "it was touched");

    std::fs::write(scene.folder()?.join("may-stop"), "")?;
    scene.cli.until_plan(&plan, "finalized", SOON).await?;
    scene.ensure_all_run("1.1.0")?;
    let told = std::fs::read_to_string(scene.folder()?.join("finalized"))?;
    ensure!(told == "n1\n", "{told}");
    Ok(())
}

#[tokio::test]
async fn a_release_that_is_slower_than_the_one_before_does_not_get_past_the_first()
-> anyhow::Result<()> {
    let scene = Scene::new(3, |_, layout| layout.answering()).await?;
    scene
        .publish("1.1.0", Conduct::Answers { after_ms: 60 })
        .await?;
    let policy = [
        "--compare",
        "latency=300%",
        "--compare-answers",
        "5",
        "--compare-worse-for",
        "2s",
        "--soak",
        "3s",
    ];
    let plan = scene.upgrade("1.1.0", &policy)?;
    let paused = scene.cli.until_plan(&plan, "paused", SOON).await?;
    let reason = json::text(&paused, "/reason")?;
    ensure!(reason.contains("do worse than the others"), "{reason}");
    ensure!(
        json::text(task(&paused, 0, "n1/store")?, "/state")? == "done",
        "{paused}"
    );
    for other in ["n2/store", "n3/store"] {
        let task = task(&paused, 0, other)?;
        ensure!(task.pointer("/admitted_at") == Some(&Value::Null), "{task}");
    }

    // Somebody says that it may be so.
    scene.cli.done(&["plan", "resume", &plan])?;
    scene.cli.until_plan(&plan, "finalized", SOON).await?;
    scene.ensure_all_run("1.1.0")
}
