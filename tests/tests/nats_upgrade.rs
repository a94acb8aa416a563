//! NATS JetStream, the real one: a stream of three replicas is upgraded while a client publishes into it.

use std::time::Duration;

use anyhow::ensure;
use camino::Utf8Path;
use evenkeel_proto::v1::PlanState;
use evenkeel_tests::{
    api::Hop,
    fleet::Fleet,
    places,
    systems::{
        nats::{COMPONENT, Held, Layout, PROGRAM},
        upgrade::{ensure_all_run, under_load},
    },
    wait,
};

const HOP: Hop<'_> = Hop {
    component: COMPONENT,
    from: "2.11.11",
    to: "2.12.8",
};

/// The last replica hears of the last message a moment after its acknowledgement.
const REPLICATED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn three_servers_are_upgraded_and_no_acknowledged_message_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(dir.path()).unwrap();
    let layout = Layout::new(folder, HOP.from).unwrap();
    let fleet = Fleet::start(folder, &layout.spec).await.unwrap();
    let client = layout.client().await.unwrap();
    assert_eq!(client.versions().await.unwrap(), [HOP.from; 3]);

    let program = places::system(COMPONENT, HOP.to, PROGRAM).unwrap();
    let outcome = under_load(&fleet, client.clone(), HOP, &program, PlanState::Finalized)
        .await
        .unwrap();
    eprintln!("NATS {} to {}: {outcome}", HOP.from, HOP.to);

    let written = &outcome.written;
    assert!(written.unserved.is_empty(), "{:?}", written.unserved);
    let found = client.read_all().await.unwrap();
    assert_eq!(written.problems(&found), [""; 0]);
    assert_eq!(client.versions().await.unwrap(), [HOP.to; 3]);
    ensure_all_run(&fleet.api().unwrap(), &outcome.digest)
        .await
        .unwrap();
    // Not only a quorum: each server holds all of it.
    let all = Held {
        messages: found.len() as u64,
        last_sequence: found.last().unwrap().last_position,
    };
    wait::until("every replica to be whole", REPLICATED_WITHIN, || async {
        let held = client.held().await?;
        ensure!(held == [all; 3], "{held:?} of {all:?}");
        Ok(())
    })
    .await
    .unwrap();
}
