//! The handbook's worked example (docs/COMPATIBILITY.md) on real processes: two components that talk to each other and to
//! a client that nobody of ours changes, and what becomes of plans when what is known of versions changes meanwhile.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use evenkeel_common::problem::ErrorCode;
use evenkeel_proto::v1::{
    BlockedHop, CompatibilityMatrix, Plan, PlanPolicy, PlanRefusal, PlanState, RemedyKind,
    StartPlanRequest, TaskState,
};
use evenkeel_tests::{
    api::{quick_policy, request_id},
    example::{self, CLIENT, DATA, Example, METADATA},
    folder::utf8,
    wait,
};

/// How long a plan may take to come to rest.
const WITHIN: Duration = Duration::from_secs(60);

/// Who sees which clients are in use.
const SOURCE: &str = "web-gateway";

/// The way that both go, as component, from and to.
const WAY: [(&str, &str, &str); 4] = [
    (METADATA, "1.0.0", "1.2.0"),
    (DATA, "1.1.0", "1.2.0"),
    (METADATA, "1.2.0", "2.0.0"),
    (DATA, "1.2.0", "2.0.0"),
];

fn way(plan: &Plan) -> Vec<(&str, &str, &str)> {
    let stages = plan.stages.iter();
    stages
        .map(|stage| {
            (
                stage.component.as_str(),
                stage.from_version.as_str(),
                stage.to_version.as_str(),
            )
        })
        .collect()
}

/// Long enough a plan for something to be said during its first stage.
fn policy() -> PlanPolicy {
    PlanPolicy {
        soak: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..quick_policy()
    }
}

/// Why there is no plan to 2.0.0.
async fn refusal(example: &Example) -> anyhow::Result<PlanRefusal> {
    let targets = example::targets();
    let preview = example.api.preview_plan(&targets, policy()).await?;
    ensure!(preview.plan.is_none(), "{preview:?}");
    // Nor can it be created.
    let created = example.api.create_plan(&targets, policy()).await;
    let error = created.err().context("it was created")?;
    let status: &tonic::Status = error.downcast_ref().context("no status")?;
    assert_eq!(
        ErrorCode::of(status),
        Some(ErrorCode::NotAllowedNow),
        "{status:?}"
    );
    preview.refusal.context("no refusal")
}

/// Creates and starts the plan to 2.0.0, and waits until its first instance is under way.
async fn under_way(example: &Example) -> anyhow::Result<Plan> {
    let plan = example
        .api
        .create_plan(&example::targets(), policy())
        .await?;
    assert_eq!(way(&plan), WAY);
    example.api.start_plan(&plan.name).await?;
    wait::until("the first stage to begin", WITHIN, || async {
        let tasks = example.api.tasks(&plan.name).await?;
        let first = tasks.values().next().context("no task")?;
        ensure!(first.state() >= TaskState::Admitted, "{first:?}");
        Ok(())
    })
    .await?;
    Ok(plan)
}

/// Waits for the plan to pause before its third stage, with these words in its reason, and checks that nobody has left
/// 1.2.0.
async fn paused_before_2_0_0(example: &Example, plan: &Plan, words: &[&str]) -> anyhow::Result<()> {
    let paused = example
        .api
        .wait_for_plan(&plan.name, PlanState::Paused, WITHIN)
        .await?;
    for word in words {
        ensure!(
            paused.reason.contains(word),
            "{:?}: {}",
            word,
            paused.reason
        );
    }
    for ((stage, instance), task) in example.api.tasks(&plan.name).await? {
        if stage < 2 {
            assert_eq!(task.state(), TaskState::Done, "{task:?}");
        } else {
            assert!(task.admitted_at.is_none(), "{instance}: {task:?}");
        }
    }
    all_run(example, "1.2.0").await?;
    // Whoever asks why is told the same.
    let waits = example.api.explain_plan(&plan.name).await?;
    ensure!(
        waits
            .values()
            .all(|wait| wait.sentence.contains(&paused.reason)),
        "{waits:?}"
    );
    Ok(())
}

async fn all_run(example: &Example, version: &str) -> anyhow::Result<()> {
    for (name, instance) in example.api.instances().await? {
        let process = instance.process.context("it is down")?;
        let runs = process.release.context("it runs no release")?.version;
        ensure!(runs == version, "{name} runs {runs}");
    }
    Ok(())
}

/// Goes on with the plan to its end, which somebody has to agree to.
async fn carried_to_its_end(example: &Example, plan: &Plan) -> anyhow::Result<()> {
    let state = PlanState::ReadyToFinalize;
    example.api.wait_for_plan(&plan.name, state, WITHIN).await?;
    all_run(example, "2.0.0").await?;
    let plan = example.api.finalize_plan(&plan.name).await?;
    ensure!(plan.state() == PlanState::Finalized, "{plan:?}");
    ensure!(plan.tasks_done == 10 && plan.tasks_total == 10, "{plan:?}");
    Ok(())
}

#[tokio::test]
async fn the_bridge_is_missing_then_the_clients_are_in_the_way_and_then_it_runs()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let example = Example::start(utf8(&dir)?, Some(example::without_bridge()?)).await?;
    let in_use = [("1.0.0", 12), ("1.2.0", 30)];
    example.api.report_versions(CLIENT, SOURCE, &in_use).await?;
    let refused = refusal(&example).await?;
    let mut rules = refused.remedies.iter();
    let bridge = rules.find(|remedy| remedy.kind() == RemedyKind::AddRule);
    let bridge = bridge.with_context(|| format!("{refused:#?}"))?;
    assert_eq!(bridge.to_version, "2.0.0", "{refused:#?}");
    assert!(bridge.from_version.starts_with("1."), "{refused:#?}");
    // The rules are for all, and so is the one that is missing.
    assert_eq!(bridge.components, [""; 0], "{refused:#?}");
    for reached in &refused.furthest {
        assert_eq!(reached.version, "1.2.0", "{refused:#?}");
    }
    assert_eq!(refused.furthest.len(), 2, "{refused:#?}");

    // With the bridge there is a way for us, but not for the clients that are out there.
    let applied = example.api.apply_matrix(example::with_bridge()?).await?;
    assert_eq!(applied, 2);
    let refused = refusal(&example).await?;
    let [users] = refused.remedies.as_slice() else {
        anyhow::bail!("not one remedy: {refused:#?}");
    };
    assert_eq!(users.kind(), RemedyKind::MoveUsers, "{refused:#?}");
    assert_eq!(
        (users.components.as_slice(), users.from_version.as_str()),
        ([CLIENT.to_owned()].as_slice(), "1.0.0"),
        "{refused:#?}"
    );

    // They have moved.
    let in_use = [("1.2.0", 42)];
    example.api.report_versions(CLIENT, SOURCE, &in_use).await?;
    let plan = example
        .api
        .create_plan(&example::targets(), quick_policy())
        .await?;
    assert_eq!(way(&plan), WAY);
    example.api.start_plan(&plan.name).await?;
    carried_to_its_end(&example, &plan).await
}

#[tokio::test]
async fn a_report_under_a_running_plan_pauses_it_before_the_stage_that_it_forbids()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let example = Example::start(utf8(&dir)?, Some(example::with_bridge()?)).await?;
    let in_use = [("1.2.0", 42)];
    example.api.report_versions(CLIENT, SOURCE, &in_use).await?;
    let plan = under_way(&example).await?;
    // Somebody else sees others.
    let found = [("1.0.0", 1)];
    example
        .api
        .report_versions(CLIENT, "batch-jobs", &found)
        .await?;
    let words = [METADATA, "2.0.0", CLIENT, "1.0.0"];
    paused_before_2_0_0(&example, &plan, &words).await?;

    // Going on is no way round it.
    let resumed = example.api.resume_plan(&plan.name).await?;
    ensure!(resumed.resumed_at.is_some(), "{resumed:?}");
    paused_before_2_0_0(&example, &plan, &words).await?;
    example
        .api
        .report_versions(CLIENT, "batch-jobs", &[])
        .await?;
    example.api.resume_plan(&plan.name).await?;
    carried_to_its_end(&example, &plan).await
}

#[tokio::test]
async fn a_matrix_that_changes_under_a_running_plan_pauses_it_before_the_stage_that_it_forbids()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let matrix = example::with_bridge()?;
    let example = Example::start(utf8(&dir)?, Some(matrix.clone())).await?;
    example.api.report_versions(CLIENT, SOURCE, &[]).await?;
    let plan = under_way(&example).await?;
    let reason = "2.0.0 was seen to lose blocks";
    let changed = blocked(matrix.clone(), reason);
    example.api.apply_matrix(changed).await?;
    paused_before_2_0_0(&example, &plan, &[METADATA, "1.2.0", "2.0.0", reason]).await?;

    example.api.apply_matrix(matrix).await?;
    example.api.resume_plan(&plan.name).await?;
    carried_to_its_end(&example, &plan).await
}

/// The matrix with the last step blocked.
fn blocked(mut matrix: CompatibilityMatrix, reason: &str) -> CompatibilityMatrix {
    matrix.blocked.push(BlockedHop {
        component: METADATA.to_owned(),
        from: "1.2.0".to_owned(),
        to: "2.0.0".to_owned(),
        reason: reason.to_owned(),
    });
    matrix
}

#[tokio::test]
async fn a_draft_is_held_against_what_is_known_when_it_is_started() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let matrix = example::with_bridge()?;
    let example = Example::start(utf8(&dir)?, Some(matrix.clone())).await?;
    example.api.report_versions(CLIENT, SOURCE, &[]).await?;
    let plan = example
        .api
        .create_plan(&example::targets(), quick_policy())
        .await?;
    let before = example.api.instances().await?;
    let start = || async {
        let request = StartPlanRequest {
            request_id: request_id(),
            name: plan.name.clone(),
        };
        let started = example.api.plans().start_plan(request).await;
        started.err().context("it was started")
    };

    let reason = "2.0.0 was seen to lose blocks";
    example
        .api
        .apply_matrix(blocked(matrix.clone(), reason))
        .await?;
    let refused = start().await?;
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains(reason), "{refused:?}");

    example.api.apply_matrix(matrix).await?;
    let found = [("1.0.0", 1)];
    example.api.report_versions(CLIENT, SOURCE, &found).await?;
    let refused = start().await?;
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains(CLIENT), "{refused:?}");
    assert_eq!(example.api.instances().await?, before);

    // Nothing is in the way any more.
    example.api.report_versions(CLIENT, SOURCE, &[]).await?;
    example.api.start_plan(&plan.name).await?;
    carried_to_its_end(&example, &plan).await
}
