//! Whether the node may be counted on.

use super::Node;
use super::ask::{AtOnce, TooFew, ask};
use super::catch_up::Progress;
use crate::release::Fault;

/// Why the node is not healthy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unhealthy {
    #[error("the log cannot be written: {0}")]
    StoreFailed(String),
    #[error("catching up: {0}")]
    CatchingUp(String),
    #[error("no majority of the cluster can be reached: {0}")]
    Alone(TooFew),
    #[error("this release never becomes healthy, on purpose")]
    Fault,
}

impl Node {
    /// Fails with the reason unless the node is complete and would find a majority right now.
    pub(crate) async fn check_health(&self) -> Result<(), Unhealthy> {
        if self.release.fault == Some(Fault::NeverHealthy) {
            return Err(Unhealthy::Fault);
        }
        if let Some(reason) = self.store.failure() {
            return Err(Unhealthy::StoreFailed(reason.to_owned()));
        }
        let reached = ask(
            self.peers_in_turn(),
            AtOnce::Enough,
            self.majority() - 1,
            |member| async move { member.ping().await },
        );
        reached.await.map_err(Unhealthy::Alone)?;
        match self.progress() {
            Progress::CatchingUp(reason) => Err(Unhealthy::CatchingUp(reason)),
            Progress::CaughtUp => Ok(()),
        }
    }
}
