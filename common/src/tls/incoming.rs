//! Accepting connections: each is shaken hands with in a task of its own, within limits, and handed on when it is
//! clear who is at the other end.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::{debug, info, warn};

use super::ServerTls;
use super::explain::{chain, tls_error};
use crate::identity::{CertificateFacts, CertificateFactsError, Identity};

/// Connections that the kernel keeps until they are accepted: what a fleet that comes back at once needs;
/// the system's own bound (`net.core.somaxconn`) applies too.
const BACKLOG: u32 = 4096;

/// Connections with a finished handshake that wait to be served.
const READY_MAX: usize = 256;

/// First and longest pause after a failed accept that is the system's fault, such as no file descriptors left.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How many connections there may be, and how long one may take to say who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncomingLimits {
    /// From accepted to authenticated.
    pub handshake_timeout: Duration,
    /// Handshakes at once; further connections wait in the kernel.
    pub handshakes_max: usize,
    /// Connections at once, those in their handshake included; further ones are closed at once.
    pub connections_max: usize,
}

impl Default for IncomingLimits {
    /// For a fleet of 10,000 agents: a handshake takes 0.5 ms of the server's CPU, so that 1,000 at once, were they
    /// all to arrive in the same instant, are through in half a second.
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            handshakes_max: 1_000,
            connections_max: 20_000,
        }
    }
}

/// What became of connections, since the start.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    accepted: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    over_limit: AtomicU64,
    accept_failures: AtomicU64,
}

impl ConnectionCounts {
    /// Handshakes that ended well.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Handshakes that failed: a certificate that is not welcome, or no TLS at all.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Handshakes that took too long.
    pub fn timed_out(&self) -> u64 {
        self.timed_out.load(Ordering::Relaxed)
    }

    /// Connections closed because there were too many.
    pub fn over_limit(&self) -> u64 {
        self.over_limit.load(Ordering::Relaxed)
    }

    /// Times that the system could not accept, for want of file descriptors or memory.
    pub fn accept_failures(&self) -> u64 {
        self.accept_failures.load(Ordering::Relaxed)
    }
}

/// Who is at the other end of a connection; in the extensions of each of its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConnection {
    /// Whom the certificate names.
    pub identity: Identity,
    /// Where it comes from.
    pub remote_addr: SocketAddr,
    /// When the certificate ends.
    pub not_after: SystemTime,
    /// The certificate's serial number, in lower-case hex.
    pub serial: String,
}

/// Listens on `address`, ready for a whole fleet at once.
///
/// # Errors
/// When the address is taken or not this host's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // So that a restart does not wait for the old connections to fade.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The stream of authenticated connections, for tonic's `serve_with_incoming`.
///
/// It ends, and the port is closed, when the token is cancelled; dropping it has the same effect.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<Connection>,
    counts: Arc<ConnectionCounts>,
}

impl Incoming {
    /// Begins to accept. Has to be called within a tokio runtime.
    #[must_use]
    pub fn start(
        listener: TcpListener,
        tls: Arc<ServerTls>,
        limits: IncomingLimits,
        shutdown: CancellationToken,
    ) -> Self {
        let (sender, ready) = mpsc::channel(READY_MAX);
        let counts = Arc::new(ConnectionCounts::default());
        let acceptor = Acceptor {
            listener,
            tls,
            limits,
            counts: Arc::clone(&counts),
            connections: Arc::new(Semaphore::new(limits.connections_max)),
            handshakes: Arc::new(Semaphore::new(limits.handshakes_max)),
            ready: sender,
        };
        tokio::spawn(async move {
            let abandoned = acceptor.ready.clone();
            tokio::select! {
                () = acceptor.run() => {}
                () = shutdown.cancelled() => {}
                () = abandoned.closed() => {}
            }
        });
        Self { ready, counts }
    }

    /// What became of connections so far; goes on counting.
    #[must_use]
    pub fn counts(&self) -> Arc<ConnectionCounts> {
        Arc::clone(&self.counts)
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready
            .poll_recv(context)
            .map(|connection| connection.map(Ok))
    }
}

struct Acceptor {
    listener: TcpListener,
    tls: Arc<ServerTls>,
    limits: IncomingLimits,
    counts: Arc<ConnectionCounts>,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    ready: mpsc::Sender<Connection>,
}

impl Acceptor {
    /// Never ends; when it is dropped, the handshakes that are going on are too.
    async fn run(self) {
        let mut tasks = JoinSet::new();
        let mut pause = ACCEPT_PAUSE_MIN;
        // Neither semaphore is ever closed.
        while let Ok(handshake_permit) = Arc::clone(&self.handshakes).acquire_owned().await {
            let (stream, remote_addr) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if concerns_one_connection(&error) => continue,
                Err(error) => {
                    self.counts.accept_failures.fetch_add(1, Ordering::Relaxed);
                    warn!(%error, pause_ms = pause.as_millis(), "cannot accept connections");
                    sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                    continue;
                }
            };
            pause = ACCEPT_PAUSE_MIN;
            while tasks.try_join_next().is_some() {}
            match Arc::clone(&self.connections).try_acquire_owned() {
                Ok(connection_permit) => {
                    let handshake = self.handshake(stream, remote_addr, connection_permit);
                    let ready = self.ready.clone();
                    tasks.spawn(async move {
                        let connection = handshake.await;
                        drop(handshake_permit);
                        if let Some(connection) = connection {
                            // Fails only when nobody serves any more.
                            let _ = ready.send(connection).await;
                        }
                    });
                }
                Err(_) => {
                    self.counts.over_limit.fetch_add(1, Ordering::Relaxed);
                    debug!(%remote_addr, "closed a connection: there are too many");
                }
            }
        }
    }

    /// Finds out who is at the other end; none when it will not be served.
    fn handshake(
        &self,
        stream: TcpStream,
        remote_addr: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Option<Connection>> + use<> {
        let acceptor = TlsAcceptor::from(self.tls.current());
        let counts = Arc::clone(&self.counts);
        let limit = self.limits.handshake_timeout;
        async move {
            match timeout(limit, authenticate(acceptor, stream, remote_addr)).await {
                Ok(Ok((stream, peer))) => {
                    counts.accepted.fetch_add(1, Ordering::Relaxed);
                    debug!(%remote_addr, identity = %peer.identity, "connected");
                    return Some(Connection {
                        stream,
                        peer,
                        _permit: permit,
                    });
                }
                Ok(Err(reason)) => {
                    counts.refused.fetch_add(1, Ordering::Relaxed);
                    reason.log(remote_addr);
                }
                Err(_) => {
                    counts.timed_out.fetch_add(1, Ordering::Relaxed);
                    debug!(%remote_addr, "closed a connection: its handshake took too long");
                }
            }
            None
        }
    }
}

/// Why a connection was refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the client's certificate cannot be used")]
    Certificate(#[source] CertificateFactsError),
    #[error("the client showed no certificate")]
    NoCertificate,
}

impl Refusal {
    /// Somebody who is not let in is worth a line; a port scan or a health check of a load balancer is not.
    fn log(&self, remote_addr: SocketAddr) {
        let reason = chain(self);
        match self {
            Self::Handshake(error) if !about_certificate(error) => {
                debug!(%remote_addr, reason, "refused a connection");
            }
            Self::Handshake(_) | Self::Certificate(_) | Self::NoCertificate => {
                info!(%remote_addr, reason, "refused a connection");
            }
        }
    }
}

fn about_certificate(error: &io::Error) -> bool {
    matches!(
        tls_error(error),
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
    )
}

async fn authenticate(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    remote_addr: SocketAddr,
) -> Result<(TlsStream<TcpStream>, PeerConnection), Refusal> {
    stream.set_nodelay(true).map_err(Refusal::Handshake)?;
    let stream = acceptor.accept(stream).await.map_err(Refusal::Handshake)?;
    let (_, session) = stream.get_ref();
    let certificate = session
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or(Refusal::NoCertificate)?;
    let facts = CertificateFacts::from_der(certificate).map_err(Refusal::Certificate)?;
    let peer = PeerConnection {
        identity: facts.identity,
        remote_addr,
        not_after: facts.not_after,
        serial: facts.serial,
    };
    Ok((stream, peer))
}

/// A connection that broke before it was accepted says nothing about the next one.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// An authenticated connection.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: PeerConnection,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Connected for Connection {
    type ConnectInfo = PeerConnection;

    fn connect_info(&self) -> PeerConnection {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
