//! Calls to a node over HTTP, with a deadline, a limit on the answer and connections that are used again.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::limits::{ANSWER_BYTES_MAX, IDLE_CONNECTIONS_MAX, REASON_BYTES_MAX};

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or it broke before the answer's head was there.
    #[error("no answer")]
    NoAnswer(#[source] legacy::Error),
    /// The answer broke off or was too long.
    #[error("unusable answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Time ran out.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient {
    /// A client without connections. It must be used within a Tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Self { client }
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// When there is no whole answer within `timeout`.
    pub async fn call(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        let exchange = async {
            let (head, body) = self
                .client
                .request(request)
                .await
                .map_err(CallError::NoAnswer)?
                .into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(CallError::Body)?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or(Err(CallError::TimedOut(timeout)))
    }
}

/// The address of a path at a node. The path is made of keys and constants, which need no escaping.
#[must_use]
pub fn url(node: SocketAddr, path: &str) -> String {
    format!("http://{node}{path}")
}

/// What a node said in words, shortened to something that fits a log line.
#[must_use]
pub fn reason(answer: &Response<Bytes>) -> String {
    let body = answer.body();
    let text = String::from_utf8_lossy(&body[..body.len().min(REASON_BYTES_MAX)]);
    let line: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("{}: {line}", answer.status().as_u16())
}
