//! NATS JetStream, the real one: a stream of three replicas is brought over two minor versions by one plan, while a
//! client publishes into it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use evenkeel_proto::v1::{CompatibilityLevel, PlanState, StageMethod, TaskState, Undo};
use evenkeel_tests::{
    folder::utf8,
    places,
    systems::{
        nats::{COMPONENT, Held, Layout, PROGRAM},
        upgrade::{Upgrade, ensure_all_run, under_load},
    },
    wait,
};

/// What the servers run at the beginning.
const FIRST: &str = "2.10.26";

/// The releases of the two minor versions after it.
const LATER: [&str; 2] = ["2.11.11", "2.12.8"];

/// The last replica hears of the last message a moment after its acknowledgement.
const REPLICATED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn three_servers_go_over_two_minor_versions_and_no_acknowledged_message_is_lost()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let (layout, fleet) = Layout::started(folder, FIRST).await?;
    let client = layout.client().await?;
    assert_eq!(client.versions().await?, [FIRST; 3]);

    let release = |version| anyhow::Ok((version, places::system(COMPONENT, version, PROGRAM)?));
    let upgrade = Upgrade {
        component: COMPONENT,
        releases: LATER.into_iter().map(release).collect::<Result<_, _>>()?,
    };
    let state = PlanState::ReadyToFinalize;
    let outcome = under_load(&fleet, client.clone(), &upgrade, state, async |_, _| Ok(())).await?;
    eprintln!("NATS {FIRST} to {}: {outcome}", LATER.join(" to "));

    // One minor version at a time, and each can be taken back until somebody says that it need not be.
    let stages: Vec<_> = outcome.plan.stages.iter().collect();
    assert_eq!(stages.len(), 2, "{stages:?}");
    for (stage, (from, to)) in stages.iter().zip([(FIRST, LATER[0]), (LATER[0], LATER[1])]) {
        assert_eq!(
            (stage.from_version.as_str(), stage.to_version.as_str()),
            (from, to)
        );
        assert_eq!(stage.level(), CompatibilityLevel::Backward, "{stage:?}");
        assert_eq!(stage.method(), StageMethod::InPlace, "{stage:?}");
        assert_eq!(stage.undo(), Undo::InPlace, "{stage:?}");
        assert_eq!(stage.undo_when_final(), Undo::NotAtAll, "{stage:?}");
    }
    assert_eq!(outcome.tasks.len(), 6, "{:?}", outcome.tasks);
    for task in outcome.tasks.values() {
        assert_eq!(task.state(), TaskState::Done, "{task:?}");
    }

    let written = &outcome.written;
    assert!(written.unserved.is_empty(), "{:?}", written.unserved);
    let found = client.read_all().await?;
    assert_eq!(written.problems(&found), [""; 0]);
    assert_eq!(client.versions().await?, [LATER[1]; 3]);
    let api = fleet.api()?;
    ensure_all_run(&api, &outcome.digest).await?;
    // Not only a quorum: each server holds all of it.
    let all = Held {
        messages: found.len() as u64,
        last_sequence: found.last().context("nothing was written")?.last_position,
    };
    wait::until("every replica to be whole", REPLICATED_WITHIN, || async {
        let held = client.held().await?;
        ensure!(held == [all; 3], "{held:?} of {all:?}");
        Ok(())
    })
    .await?;
    let plan = api.finalize_plan(&outcome.plan.name).await?;
    assert_eq!(plan.state(), PlanState::Finalized, "{plan:?}");
    Ok(())
}
