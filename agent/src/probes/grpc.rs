//! Whether a process says of itself that it serves, by the standard health service of gRPC.

use std::fmt;

use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::service_fn;

use super::{Target, tls::ProbeTls};

/// The largest answer that is read, in bytes. One has two.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// What HTTP/2 is called where TLS agrees on a protocol.
const HTTP2: &[u8] = b"h2";

/// A call of `grpc.health.v1.Health/Check`, a connection each time.
#[derive(Debug, Clone)]
pub struct GrpcProbe {
    target: Target,
    /// The service that is asked for; empty for the server as a whole.
    service: String,
}

impl GrpcProbe {
    /// A probe of the server at this URL, which has no path.
    ///
    /// # Errors
    /// Says what is wrong with the URL.
    pub fn new(url: &str, service: String, tls: Option<ProbeTls>) -> Result<Self, String> {
        let target = Target::new(url, tls)?;
        if target.path() != "/" {
            return Err(format!("{url:?} has a path, and a gRPC service has none"));
        }
        Ok(Self { target, service })
    }

    pub(super) async fn ask(&self) -> Result<(), String> {
        let mut client =
            HealthClient::new(self.connect().await?).max_decoding_message_size(ANSWER_BYTES_MAX);
        let request = HealthCheckRequest {
            service: self.service.clone(),
        };
        let answer = client
            .check(request)
            .await
            .map_err(|status| format!("answered {:?}: {}", status.code(), status.message()))?;
        match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            other => Err(format!("says that it is {}", other.as_str_name())),
        }
    }

    async fn connect(&self) -> Result<Channel, String> {
        let target = self.target.clone();
        let connect = service_fn(move |_: Uri| {
            let target = target.clone();
            async move {
                let stream = TcpStream::connect(&target.address).await?;
                let stream: Box<dyn Stream> = match &target.tls {
                    None => Box::new(stream),
                    Some(tls) => Box::new(
                        tls.connect(stream, target.host(), HTTP2)
                            .await
                            .map_err(std::io::Error::other)?,
                    ),
                };
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        // The TLS is the connector's; what the server is told stays what the URL says.
        let mut parts = self.target.url.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        let connected_to = Uri::from_parts(parts).map_err(|error| error.to_string())?;
        Endpoint::from(connected_to)
            .origin(self.target.url.clone())
            .connect_with_connector(connect)
            .await
            .map_err(|error| crate::report::sentence(&error))
    }
}

impl fmt::Display for GrpcProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grpc {}", self.target.url)
    }
}

/// What calls go over.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for S {}
