//! Connections: how many, how they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::errors::chain;
use crate::limits::{CONNECTIONS_MAX, DRAIN_TIMEOUT, HEADER_TIMEOUT};

/// Pause after the kernel could not give a connection, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An open port.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::bind(address).await?,
        })
    }

    /// Answers with the router until `stop` is done. Then closes the port and gives requests under way a while.
    pub(crate) async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        let accept_all = async {
            // The semaphore is never closed.
            while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
                match self.socket.accept().await {
                    Ok((stream, _)) => {
                        let connection = graceful.watch(connection(stream, router.clone()));
                        tokio::spawn(async move {
                            // How a connection ends is its client's affair.
                            let _ = connection.await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(reason = chain(&error), "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept_all => {}
            () = stop => {}
        }
        drop(self.socket);
        if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("stopped with requests still under way");
        }
    }
}

fn connection(
    stream: TcpStream,
    router: Router,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    // Without it small answers wait for the other side's acknowledgement; a failure only costs time.
    let _ = stream.set_nodelay(true);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
