//! Following a watch over lost connections: taken up again where it broke off, a bounded number of times in a row.

use std::time::Duration;

use evenkeel_common::problem::ErrorCode;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::remark;

/// How often in a row the connection may fail before it is given up; about a minute.
const FAILURES_MAX: u32 = 15;

/// The pause after the first failure and the longest one.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long changes are still taken in after the last one that matters: those of the same moment.
const LINGER: Duration = Duration::from_millis(500);

/// What is being watched.
pub(crate) trait Follower {
    /// What changes arrive as.
    type Change;

    /// Opens the stream of changes after a revision.
    async fn open(
        &self,
        channel: Channel,
        after_revision: u64,
    ) -> Result<Response<Streaming<Self::Change>>, Status>;

    /// Takes in a change; gives its revision.
    fn take(&mut self, change: Self::Change) -> Result<u64, Failure>;

    /// Whether there is nothing more to wait for.
    fn settled(&self) -> bool;
}

/// Follows until the follower is settled.
pub(crate) async fn follow(client: &Client, follower: &mut impl Follower) -> Result<(), Failure> {
    let mut after_revision = 0;
    let mut failures = 0;
    let mut pause = PAUSE_MIN;
    loop {
        let before = after_revision;
        let failure = match once(client, follower, &mut after_revision).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if after_revision > before {
            failures = 0;
            pause = PAUSE_MIN;
        }
        failures += 1;
        // A coordinator that was put back to an earlier state: everything is read anew.
        let behind = failure.code == Some(ErrorCode::RevisionAhead) && after_revision > 0;
        if !(failure.passing || behind) || failures > FAILURES_MAX {
            return Err(failure);
        }
        if behind {
            remark(
                "the coordinator is at an earlier revision than before; watching from the start",
            );
            after_revision = 0;
        } else if failures == 1 {
            remark(format!("{}; trying again", failure.sentence));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Follows one stream until the follower is settled; an error when the stream ends before that.
async fn once<F: Follower>(
    client: &Client,
    follower: &mut F,
    after_revision: &mut u64,
) -> Result<(), Failure> {
    let from = *after_revision;
    let mut stream = client
        .open(async |channel| follower.open(channel, from).await)
        .await?;
    let mut settled_at = None;
    loop {
        let next = match settled_at {
            None => stream.message().await,
            Some(at) => match timeout_at(at + LINGER, stream.message()).await {
                Ok(Ok(Some(change))) => Ok(Some(change)),
                _ => return Ok(()),
            },
        };
        match next? {
            Some(change) => *after_revision = follower.take(change)?.max(*after_revision),
            None => return Err(Failure::connection_lost("the coordinator ended the watch")),
        }
        if !follower.settled() {
            settled_at = None;
        } else if settled_at.is_none() {
            settled_at = Some(Instant::now());
        }
    }
}
