//! One node from start to stop.

use std::io;
use std::sync::Arc;

use crate::http_server::{Listener, router};
use crate::node::{Node, catch_up_forever};
use crate::store::OpenError;
use crate::{Release, Settings, Store};

/// Why a node could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data is not to be had.
    #[error("cannot open the store")]
    Open(#[from] OpenError),
    /// The port is not to be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Runs a node of the given release until `stop` is done, then finishes the requests under way.
///
/// # Errors
/// If the data directory or the port cannot be had.
pub async fn serve(
    settings: &Settings,
    release: &'static Release,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let store = Store::open(&settings.data, release)?;
    let address = settings.listen;
    let listener = Listener::bind(address)
        .await
        .map_err(|source| ServeError::Bind { address, source })?;
    let node = Arc::new(Node::new(settings, release, store));
    tracing::info!(version = release.version, node = node.name(), %address, "serving");
    let catching_up = tokio::spawn(catch_up_forever(Arc::clone(&node)));
    listener.serve(router(&node), stop).await;
    catching_up.abort();
    tracing::info!("stopped");
    Ok(())
}
