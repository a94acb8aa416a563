//! Somebody who starts again what has died, as a service manager does.

use std::{pin::pin, time::Duration};

use tokio::time::sleep;

use crate::fleet::Fleet;

/// How often it is looked whether all are alive.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One of our programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ours {
    /// The coordinator.
    Coordinator,
    /// The agent of this node.
    Agent(String),
}

/// Carries `work` to its end. Whatever dies meanwhile is told to `died`, which is done before it is started again.
///
/// # Errors
/// What `work` or `died` fails with, or what cannot be started.
pub async fn keep<T>(
    fleet: &mut Fleet,
    work: impl Future<Output = anyhow::Result<T>>,
    mut died: impl AsyncFnMut(&mut Fleet, &Ours) -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = sleep(LOOK_EVERY) => {}
        }
        if !fleet.coordinator()?.runs()? {
            died(fleet, &Ours::Coordinator).await?;
            fleet.start_coordinator()?;
        }
        for node in fleet.nodes().to_vec() {
            if !fleet.agent(&node)?.runs()? {
                died(fleet, &Ours::Agent(node.clone())).await?;
                fleet.start_agent(&node)?;
            }
        }
    }
}
