//! What a person can ask of a plan that is under way, or did not do, on real processes: roll it back, aim it elsewhere, try
//! one instance again or leave it out; and plans that only restart.

use std::fs;

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
use evenkeel_tests::{
    cli::task,
    scene::{QUICK, SOON, Scene, driver},
    systems::{
        json,
        trivial::{COMPONENT, Conduct, FIRST, Layout},
    },
    wait,
};
use serde_json::Value;

/// No changes to the layout.
fn plain(_: &Utf8Path, layout: Layout) -> anyhow::Result<Layout> {
    Ok(layout)
}

/// The release that these tests publish.
const NEXT: &str = "1.1.0";

/// And one that comes after it.
const LATER: &str = "1.2.0";

/// A driver by which the second node's process calls itself 1.0.0 until a file `mended` is there.
fn second_is_not_what_it_says(folder: &Utf8Path, layout: Layout) -> anyhow::Result<Layout> {
    let answers = format!(
        r#"version) version={NEXT}; [ "$node" != n2 ] || [ -e "{folder}/mended" ] || version={FIRST}
  echo "{{\"version\": \"$version\"}}" ;;"#
    );
    let driver = driver(folder, &answers)?;
    Ok(layout.with_driver(&format!(
        "command = [\"{driver}\", \"{{node}}\"]\ninterval = \"100ms\""
    )))
}

fn state(shown: &Value, stage: u64, instance: &str) -> anyhow::Result<String> {
    Ok(json::text(task(shown, stage, instance)?, "/state")?.to_owned())
}

#[tokio::test]
async fn a_plan_that_is_done_and_not_final_is_rolled_back_by_a_person() -> anyhow::Result<()> {
    let scene = Scene::new(3, plain).await?;
    scene.publish(NEXT, Conduct::Good).await?;
    // There has to be something to go back to.
    scene.publish(FIRST, Conduct::Good).await?;
    let plan = scene.upgrade(NEXT, &["--pause-before-finalize", "true"])?;
    scene
        .cli
        .until_plan(&plan, "ready-to-finalize", SOON)
        .await?;
    scene.ensure_all_run(NEXT)?;

    let reason = "customers complain";
    scene
        .cli
        .done(&["plan", "rollback", &plan, "--reason", reason])?;
    let over = scene.cli.until_plan(&plan, "rolled-back", SOON).await?;
    ensure!(json::text(&over, "/reason")?.contains(reason), "{over}");
    ensure!(json::number(&over, "/stages/1/undoes")? == 0, "{over}");
    for node in 1..=3 {
        let back = state(&over, 1, &format!("n{node}/store"))?;
        ensure!(back == "done", "{back}: {over}");
    }
    scene.ensure_all_run(FIRST)
}

#[tokio::test]
async fn a_plan_that_leads_nowhere_is_aimed_elsewhere_from_where_the_fleet_is() -> anyhow::Result<()>
{
    let scene = Scene::new(3, second_is_not_what_it_says).await?;
    scene.publish(NEXT, Conduct::Good).await?;
    let plan = scene.upgrade(NEXT, &[])?;
    let paused = scene.cli.until_plan(&plan, "paused", SOON).await?;
    ensure!(state(&paused, 0, "n1/store")? == "done", "{paused}");
    ensure!(state(&paused, 0, "n2/store")? == "reverted", "{paused}");

    scene.publish(FIRST, Conduct::Good).await?;
    let elsewhere = format!("{COMPONENT}={FIRST}");
    let retarget = ["plan", "retarget", &plan, "--to", &elsewhere];
    let refused = scene.cli.refused(&retarget)?;
    ensure!(refused.contains("downgrade"), "{refused}");
    let allowed = [
        &retarget[..],
        &["--allow-downgrade", COMPONENT, "--reason", "it will not do"],
    ];
    scene.cli.done(&allowed.concat())?;
    let over = scene.cli.until_plan(&plan, "superseded", SOON).await?;
    let successor = json::text(&over, "/superseded_by")?;
    // One that says what it is not cannot be gone back to either, so the driver has to be right again.
    let other = scene.cli.show(successor)?;
    ensure!(task(&other, 0, "n1/store").is_ok(), "{other}");
    ensure!(task(&other, 0, "n2/store").is_err(), "{other}");
    ensure!(task(&other, 0, "n3/store").is_err(), "{other}");
    Ok(())
}

#[tokio::test]
async fn a_plan_that_is_aimed_elsewhere_half_way_is_followed_by_one_that_brings_all_of_them_there()
-> anyhow::Result<()> {
    let scene = Scene::new(3, plain).await?;
    for version in [NEXT, LATER] {
        scene.publish(version, Conduct::Good).await?;
    }
    let plan = scene.upgrade(NEXT, &["--soak", "2s"])?;
    wait::until("the first to be on its way", SOON, || async {
        let shown = scene.cli.show(&plan)?;
        let first = task(&shown, 0, "n1/store")?;
        ensure!(
            first.pointer("/admitted_at") != Some(&Value::Null),
            "{first}"
        );
        Ok(())
    })
    .await?;
    let elsewhere = format!("{COMPONENT}={LATER}");
    let reason = "the next one is out";
    let retarget = ["plan", "retarget", &plan, "--to", &elsewhere];
    scene
        .cli
        .done(&[&retarget[..], &["--reason", reason]].concat())?;

    // What was in flight is finished, and nothing more begun.
    let over = scene.cli.until_plan(&plan, "superseded", SOON).await?;
    ensure!(state(&over, 0, "n1/store")? == "done", "{over}");
    for other in ["n2/store", "n3/store"] {
        let task = task(&over, 0, other)?;
        ensure!(task.pointer("/admitted_at") == Some(&Value::Null), "{task}");
    }
    let successor = json::text(&over, "/superseded_by")?;
    let over = scene.cli.until_plan(successor, "finalized", SOON).await?;
    // Each went there straight from where it was.
    ensure!(json::number(&over, "/tasks_done")? == 3, "{over}");
    ensure!(json::number(&over, "/tasks_total")? == 3, "{over}");
    scene.ensure_all_run(LATER)
}

#[tokio::test]
async fn why_a_plan_is_refused_or_does_not_move_is_told_to_whoever_asks() -> anyhow::Result<()> {
    let scene = Scene::new(2, plain).await?;
    scene.publish(NEXT, Conduct::Good).await?;
    let unknown = format!("{COMPONENT}=9.9.9");
    let refused = scene.cli.refused(&["plan", "create", "--to", &unknown])?;
    ensure!(
        refused.contains("9.9.9") && refused.contains("publish"),
        "{refused}"
    );

    let to = format!("{COMPONENT}={NEXT}");
    let create = [
        "plan",
        "create",
        "--to",
        &to,
        "--no-compare",
        "--soak",
        "0s",
    ];
    let drafted = [scene.cli.json(&create)?, scene.cli.json(&create)?];
    let plan = json::text(&drafted[0], "/name")?;
    let other = json::text(&drafted[1], "/name")?;
    let why = |plan: &str| scene.cli.done(&["plan", "why", plan, "n2/store"]);
    let told = why(plan)?;
    ensure!(told.contains("a draft that nobody has started"), "{told}");

    let reason = "the auditors are here";
    scene.cli.done(&["fleet", "freeze", "--reason", reason])?;
    scene.cli.done(&["plan", "start", plan])?;
    scene
        .cli
        .until_waits((plan, "n2/store"), "freeze", SOON)
        .await?;
    let told = why(plan)?;
    ensure!(told.contains(reason), "{told}");
    let refused = scene.cli.refused(&["plan", "start", other])?;
    ensure!(refused.contains(plan), "{refused}");

    let pause = "lunch first";
    scene
        .cli
        .done(&["plan", "pause", plan, "--reason", pause])?;
    let told = why(plan)?;
    ensure!(told.contains("is paused") && told.contains(pause), "{told}");
    scene.cli.done(&["fleet", "unfreeze"])?;
    scene.cli.done(&["plan", "resume", plan])?;
    scene.cli.until_plan(plan, "finalized", SOON).await?;
    scene.ensure_all_run(NEXT)?;
    // What it was computed for is no more.
    let refused = scene.cli.refused(&["plan", "start", other])?;
    ensure!(refused.contains(other), "{refused}");
    Ok(())
}

#[tokio::test]
async fn an_instance_that_was_put_back_is_tried_again_by_itself_once_it_is_mended()
-> anyhow::Result<()> {
    let scene = Scene::new(3, second_is_not_what_it_says).await?;
    scene.publish(NEXT, Conduct::Good).await?;
    let plan = scene.upgrade(NEXT, &[])?;
    let paused = scene.cli.until_plan(&plan, "paused", SOON).await?;
    ensure!(state(&paused, 0, "n2/store")? == "reverted", "{paused}");
    ensure!(
        json::text(&paused, "/reason")?.contains("n2/store"),
        "{paused}"
    );

    let why = scene.cli.done(&["plan", "why", &plan, "n3/store"])?;
    ensure!(
        ["is paused", "n2/store was put back", "resume"]
            .iter()
            .all(|words| why.contains(words)),
        "{why}"
    );

    fs::write(scene.folder()?.join("mended"), "")?;
    scene.cli.done(&["plan", "retry", &plan, "n2/store"])?;
    let retried = scene.cli.show(&plan)?;
    // A word about one instance is none about the plan.
    ensure!(json::text(&retried, "/state")? == "paused", "{retried}");
    ensure!(state(&retried, 0, "n2/store")? != "reverted", "{retried}");
    scene.cli.done(&["plan", "resume", &plan])?;
    scene.cli.until_plan(&plan, "finalized", SOON).await?;
    scene.ensure_all_run(NEXT)
}

#[tokio::test]
async fn an_instance_that_is_left_out_holds_up_nobody_but_the_end() -> anyhow::Result<()> {
    let scene = Scene::new(3, second_is_not_what_it_says).await?;
    scene.publish(NEXT, Conduct::Good).await?;
    let plan = scene.upgrade(NEXT, &[])?;
    scene.cli.until_plan(&plan, "paused", SOON).await?;

    let refused = scene.cli.refused(&["plan", "skip", &plan, "n2/store"])?;
    ensure!(refused.contains("--reason"), "{refused}");
    let reason = "its disk is being changed";
    scene
        .cli
        .done(&["plan", "skip", &plan, "n2/store", "--reason", reason])?;
    scene.cli.done(&["plan", "resume", &plan])?;
    let over = scene
        .cli
        .until_plan(&plan, "ready-to-finalize", SOON)
        .await?;
    let skipped = task(&over, 0, "n2/store")?;
    ensure!(json::text(skipped, "/state")? == "skipped", "{skipped}");
    ensure!(
        json::text(skipped, "/reason")?.contains(reason),
        "{skipped}"
    );
    let running = scene.running()?;
    let versions: Vec<&str> = running
        .iter()
        .map(|(_, _, version)| version.as_str())
        .collect();
    ensure!(versions == [NEXT, FIRST, NEXT], "{running:?}");
    // It would be left behind for good.
    let refused = scene.cli.refused(&["plan", "finalize", &plan])?;
    ensure!(refused.contains("n2/store"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn processes_are_restarted_on_what_they_run_and_only_those_that_are_named()
-> anyhow::Result<()> {
    let scene = Scene::new(3, plain).await?;
    let before = scene.running()?;
    let one = [&["restart", "n2/store"], QUICK.as_slice()].concat();
    let plan = scene.cli.plan(&one)?;
    scene.cli.until_plan(&plan, "finalized", SOON).await?;
    let after = scene.running()?;
    for ((name, was, version), (_, is, runs)) in before.iter().zip(&after) {
        ensure!(version == runs, "{after:?}");
        ensure!((was != is) == (name == "n2/store"), "{before:?}, {after:?}");
    }

    let all = [&["restart", COMPONENT], QUICK.as_slice()].concat();
    let plan = scene.cli.plan(&all)?;
    let over = scene.cli.until_plan(&plan, "finalized", SOON).await?;
    ensure!(json::number(&over, "/tasks_done")? == 3, "{over}");
    let last = scene.running()?;
    ensure!(
        after
            .iter()
            .zip(&last)
            .all(|((_, was, _), (_, is, _))| was != is),
        "{after:?}, {last:?}"
    );
    scene.ensure_all_run(FIRST)
}

#[tokio::test]
async fn only_processes_that_run_with_another_configuration_than_they_ought_to_are_restarted_for_it()
-> anyhow::Result<()> {
    let mut scene = Scene::new(3, plain).await?;
    let before = scene.running()?;
    let reconfigure = [&["restart", COMPONENT], QUICK.as_slice()].concat();
    let reconfigure: Vec<&str> = ["reconfigure"]
        .iter()
        .chain(&reconfigure[1..])
        .copied()
        .collect();
    let asked = [&["plan"], reconfigure.as_slice()].concat();
    let refused = scene.cli.refused(&asked)?;
    ensure!(
        !refused.is_empty(),
        "nothing differs, and it does not say so"
    );

    // The agent is told another argument, of which a process that runs knows nothing yet.
    let config = scene.fleet.agent_config("n2");
    let text = fs::read_to_string(&config)?;
    let (before_command, after_command) =
        text.split_once("\"]\nstop_timeout").context("no command")?;
    let changed = format!("{before_command}\", \"another\"]\nstop_timeout{after_command}");
    fs::write(&config, changed)?;
    scene.fleet.agent("n2")?.kill()?;
    scene.fleet.start_agent("n2")?;
    scene.fleet.wait_until_whole().await?;
    ensure!(
        scene.running()? == before,
        "the agent's end was its process's"
    );

    wait::until("the coordinator to know of it", SOON, || async {
        scene.cli.done(&[asked.as_slice(), &["--dry-run"]].concat())
    })
    .await?;
    let plan = scene.cli.plan(&reconfigure)?;
    let over = scene.cli.until_plan(&plan, "finalized", SOON).await?;
    ensure!(json::number(&over, "/tasks_total")? == 1, "{over}");
    let after = scene.running()?;
    for ((name, was, _), (_, is, _)) in before.iter().zip(&after) {
        ensure!((was != is) == (name == "n2/store"), "{before:?}, {after:?}");
    }
    Ok(())
}
