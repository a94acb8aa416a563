//! Waiting for a condition, with a deadline.

use std::{future::Future, time::Duration};

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` finds something.
///
/// # Errors
/// After `within`, with `what` was waited for and what was seen last.
pub async fn until<T, F: Future<Output = anyhow::Result<T>>>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let last = match look().await {
            Ok(found) => return Ok(found),
            Err(last) => last,
        };
        if Instant::now() >= deadline {
            bail!("waited {within:?} for {what}; last seen: {last:#}");
        }
        sleep(LOOK_EVERY).await;
    }
}
