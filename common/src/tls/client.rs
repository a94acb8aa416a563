//! The client's end: a gRPC channel to the cluster's coordinator and to nobody else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use camino::Utf8PathBuf;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::io::AsyncBufReadExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::ALPN_H2;
use super::address::{Address, InvalidAddress};
use super::files::{Credentials, TlsError, TlsFiles, date, provider};
use super::verify::CoordinatorVerifier;
use crate::identity::Usage;

/// How long the system's resolver may take for a name.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one address may take to answer; then the next one is tried.
const TCP_TIMEOUT: Duration = Duration::from_secs(3);

/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// From the TCP connection to our side of the handshake done.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a coordinator is given to say its first word after that, by which it is known that it let us in. A busy one
/// that takes longer is believed: a refusal then shows at the first call instead.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(3);

/// A silent connection is asked for a sign of life this often, and given up this long after it was asked: a partition
/// under an open stream shows within their sum, where a request's own timeout would never show it.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The most bytes of headers in an answer; ours are a few hundred.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Why there is no connection to a coordinator.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The TLS files cannot be used.
    #[error("cannot set up TLS towards the coordinator")]
    Tls(#[from] TlsError),
    /// Our certificate's time is over, or has not come.
    #[error("the certificate {path} is valid from {} to {}, not now", date(*.not_before), date(*.not_after))]
    OutOfDate {
        /// The certificate's file.
        path: Utf8PathBuf,
        /// First instant of its validity.
        not_before: SystemTime,
        /// Last instant of its validity.
        not_after: SystemTime,
    },
    /// The name has no address, or nobody could be asked.
    #[error("cannot find the address of {host}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// No address of the coordinator takes connections.
    #[error("cannot connect to the coordinator at {address}")]
    Tcp {
        /// The last address that was tried.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The two sides did not come to terms.
    #[error("the TLS handshake with the coordinator at {address} failed")]
    Handshake {
        /// The address.
        address: SocketAddr,
        /// The client's certificate that was shown.
        certificate: Utf8PathBuf,
        /// The CA that the coordinator's certificate was checked against.
        ca: Utf8PathBuf,
        /// What went wrong; a [`rustls::Error`] inside when it was about certificates.
        #[source]
        source: io::Error,
    },
    /// The program is being stopped.
    #[error("the attempt to connect was interrupted")]
    Interrupted,
    /// The channel could not be opened; one of the above is behind it, unless it failed after the handshake.
    #[error("cannot open a channel to the coordinator")]
    Channel(#[source] tonic::transport::Error),
}

/// Connects to the coordinator at `address` (`host:port`), known by the URI in its certificate. The channel reconnects
/// by itself when it breaks, and reads the files anew each time.
///
/// Done when the coordinator has said its first word, so that a certificate that it refuses fails here and not at
/// the first call. [`super::explain`] makes a sentence of the error.
///
/// # Errors
/// When the address or the files are no good, or the coordinator cannot be reached, is not one, or refuses us.
pub async fn connect(address: &str, files: &TlsFiles) -> Result<Channel, ConnectError> {
    let connector = Connector::new(address, files)?;
    connector
        .endpoint()
        .connect_with_connector(service_fn(move |_: Uri| connector.clone().connect()))
        .await
        .map_err(ConnectError::Channel)
}

/// As [`connect`], but connects when the channel is first used, and again whenever it is used without a connection.
/// Has to be called within a tokio runtime.
///
/// # Errors
/// When the address is none.
pub fn connect_lazy(address: &str, files: &TlsFiles) -> Result<Channel, ConnectError> {
    let connector = Connector::new(address, files)?;
    Ok(connector
        .endpoint()
        .connect_with_connector_lazy(service_fn(move |_: Uri| connector.clone().connect())))
}

/// Makes connections to one address.
#[derive(Debug, Clone)]
struct Connector {
    address: Address,
    files: TlsFiles,
}

impl Connector {
    fn new(address: &str, files: &TlsFiles) -> Result<Self, ConnectError> {
        Ok(Self {
            address: address.parse()?,
            files: files.clone(),
        })
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::from(self.address.uri())
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(HEADER_BYTES_MAX)
    }

    async fn connect(self) -> Result<TokioIo<TlsStream<TcpStream>>, ConnectError> {
        let files = self.files.clone();
        // Read each time: a certificate that was renewed meanwhile is used.
        let config = spawn_blocking(move || configure(&files))
            .await
            .map_err(|_| ConnectError::Interrupted)??;
        let (stream, address) = self.connect_tcp().await?;
        let failed = |source| ConnectError::Handshake {
            address,
            certificate: self.files.certificate.clone(),
            ca: self.files.ca.clone(),
            source,
        };
        let handshake =
            TlsConnector::from(Arc::new(config)).connect(self.address.server_name(), stream);
        let mut stream = timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        // In TLS 1.3 our side is done before the coordinator has looked at our certificate. What it thinks of it is known
        // from what it says next: HTTP/2 settings, or an alert. The bytes stay in the stream.
        if let Ok(first_word) = timeout(FIRST_WORD_TIMEOUT, stream.fill_buf()).await
            && first_word.map_err(failed)?.is_empty()
        {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(TokioIo::new(stream))
    }

    /// The first of the host's addresses that takes the connection.
    async fn connect_tcp(&self) -> Result<(TcpStream, SocketAddr), ConnectError> {
        let unresolved = |source| ConnectError::Resolve {
            host: self.address.host().to_owned(),
            source,
        };
        let addresses = timeout(
            RESOLVE_TIMEOUT,
            lookup_host((self.address.host(), self.address.port())),
        )
        .await
        .map_err(|_| unresolved(io::ErrorKind::TimedOut.into()))?
        .map_err(unresolved)?;
        let mut failure = unresolved(io::ErrorKind::NotFound.into());
        for address in addresses.take(ADDRESSES_MAX) {
            let attempt = timeout(TCP_TIMEOUT, TcpStream::connect(address)).await;
            match attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    // Small messages that somebody waits for.
                    if let Err(source) = stream.set_nodelay(true) {
                        failure = ConnectError::Tcp { address, source };
                        continue;
                    }
                    return Ok((stream, address));
                }
                Err(source) => failure = ConnectError::Tcp { address, source },
            }
        }
        Err(failure)
    }
}

fn configure(files: &TlsFiles) -> Result<ClientConfig, ConnectError> {
    let credentials = Credentials::load(files, Usage::Client)?;
    let facts = &credentials.facts;
    // The coordinator would refuse it too, with fewer words.
    let now = SystemTime::now();
    if now < facts.not_before || facts.not_after < now {
        return Err(ConnectError::OutOfDate {
            path: files.certificate.clone(),
            not_before: facts.not_before,
            not_after: facts.not_after,
        });
    }
    let provider = provider();
    let verifier = CoordinatorVerifier {
        roots: credentials.roots,
        cluster: facts.identity.cluster().clone(),
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(credentials.chain, credentials.key)
        .map_err(|source| files.not_a_pair(source))?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
