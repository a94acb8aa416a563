//! A coordinator that answers health checks, and the question to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use evenkeel_common::tls::{
    ConnectionCounts, Incoming, IncomingLimits, PeerConnection, ServerTls, TlsFiles, connect,
    explain, listen,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// A coordinator that answers health checks and tells who asked.
pub(crate) struct Coordinator {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ServerTls>,
    pub(crate) counts: Arc<ConnectionCounts>,
    pub(crate) peers: mpsc::UnboundedReceiver<PeerConnection>,
    pub(crate) shutdown: CancellationToken,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Coordinator {
    pub(crate) fn start(files: TlsFiles) -> Self {
        Self::start_with(files, Vec::new(), IncomingLimits::default())
    }

    pub(crate) fn start_with(
        files: TlsFiles,
        revocation_lists: Vec<Utf8PathBuf>,
        limits: IncomingLimits,
    ) -> Self {
        let tls = Arc::new(ServerTls::load(files, revocation_lists).unwrap());
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let incoming = Incoming::start(listener, Arc::clone(&tls), limits, shutdown.clone());
        let counts = incoming.counts();
        let (sender, peers) = mpsc::unbounded_channel();
        let (_, service) = tonic_health::server::health_reporter();
        let watch = move |request: Request<()>| {
            let peer = request.extensions().get::<PeerConnection>().cloned();
            sender
                .send(peer.ok_or_else(|| Status::internal("no peer"))?)
                .unwrap();
            Ok(request)
        };
        tokio::spawn(
            Server::builder()
                .layer(tonic::service::InterceptorLayer::new(watch))
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        Self {
            address,
            tls,
            counts,
            peers,
            shutdown,
        }
    }

    /// One health check over a new connection: nothing, or the sentence that explains why not.
    pub(crate) async fn check(&self, files: &TlsFiles) -> Result<(), String> {
        check(&self.address.to_string(), files).await
    }
}

pub(crate) async fn check(address: &str, files: &TlsFiles) -> Result<(), String> {
    let channel = connect(address, files)
        .await
        .map_err(|error| explain(&error))?;
    HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .map(|_| ())
        .map_err(|status| explain(&status))
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
