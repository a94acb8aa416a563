//! A client that moves on to the next node when one does not serve it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use crate::Key;
use crate::errors::chain;
use crate::http_client::{HttpClient, reason, url};
use crate::key::InvalidKey;
use crate::limits::BLOB_BYTES_MAX;
use crate::protocol::{self, EXPIRES};

/// How long a node that failed is asked last.
const AVOID: Duration = Duration::from_secs(1);
/// Pause once every node has been asked in vain.
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// How patient a client is.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long a request may take in all.
    pub deadline: Duration,
    /// How long one node may take before the next is asked.
    pub attempt_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(2),
        }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The key is none.
    #[error("not a key")]
    Key(#[from] InvalidKey),
    /// The blob is too large.
    #[error("a blob is at most {BLOB_BYTES_MAX} bytes, not {0}")]
    TooLarge(usize),
    /// The request could not be put into words.
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
    /// A node says that the request is wrong; the others would say the same.
    #[error("rejected with {0}")]
    Rejected(String),
    /// No node could serve it in time. A write may have happened and may not.
    #[error("no node served the request within {} ms, the last said: {last}", .deadline.as_millis())]
    Unserved {
        /// The time there was.
        deadline: Duration,
        /// What the last node asked said, or why it said nothing.
        last: String,
    },
}

/// A client of the whole cluster. Clones share their connections. All requests may be repeated, and are.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    nodes: Vec<Node>,
    options: ClientOptions,
    http: HttpClient,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Node {
    address: SocketAddr,
    failed: Mutex<Option<Instant>>,
}

impl Client {
    /// A client of the cluster with these nodes. It must be used within a Tokio runtime.
    #[must_use]
    pub fn new(nodes: Vec<SocketAddr>, options: ClientOptions) -> Self {
        let nodes = nodes
            .into_iter()
            .map(|address| Node {
                address,
                failed: Mutex::new(None),
            })
            .collect();
        Self(Arc::new(Shared {
            nodes,
            options,
            http: HttpClient::new(),
            next: AtomicUsize::new(0),
        }))
    }

    /// Writes a blob. On success a majority holds it durably.
    ///
    /// # Errors
    /// If the key or the blob is not allowed, or no node could serve the request in time.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ClientError> {
        let key: Key = key.parse()?;
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(ClientError::TooLarge(bytes.len()));
        }
        self.serve(&Method::PUT, &key, &bytes).await.map(drop)
    }

    /// Reads a blob; none if there is no blob of that key.
    ///
    /// # Errors
    /// If the key is not allowed, or no node could serve the request in time.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, ClientError> {
        let key: Key = key.parse()?;
        let answer = self.serve(&Method::GET, &key, &Bytes::new()).await?;
        Ok((answer.status() != StatusCode::NOT_FOUND).then(|| answer.into_body()))
    }

    async fn serve(
        &self,
        method: &Method,
        key: &Key,
        bytes: &Bytes,
    ) -> Result<Response<Bytes>, ClientError> {
        let deadline = self.0.options.deadline;
        let end = Instant::now() + deadline;
        let mut last = "there is no node".to_owned();
        loop {
            for node in self.in_turn() {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(ClientError::Unserved { deadline, last });
                }
                let timeout = left.min(self.0.options.attempt_timeout);
                let request = request(
                    method,
                    node.address,
                    key,
                    bytes,
                    SystemTime::now() + timeout,
                )?;
                last = match self.0.http.call(request, timeout).await {
                    Ok(answer)
                        if answer.status().is_success()
                            || answer.status() == StatusCode::NOT_FOUND =>
                    {
                        return Ok(answer);
                    }
                    Ok(answer) if answer.status().is_client_error() => {
                        return Err(ClientError::Rejected(reason(&answer)));
                    }
                    Ok(answer) => format!("{} {}", node.address, reason(&answer)),
                    Err(error) => format!("{} {}", node.address, chain(&error)),
                };
                *node.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            tokio::time::sleep(ROUND_PAUSE).await;
            if Instant::now() >= end {
                return Err(ClientError::Unserved { deadline, last });
            }
        }
    }

    /// All nodes, each request beginning with another one, those that failed just now at the end.
    fn in_turn(&self) -> Vec<&Node> {
        let nodes = &self.0.nodes;
        let start = self.0.next.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        let mut order: Vec<_> = nodes[start..].iter().chain(&nodes[..start]).collect();
        order.sort_by_key(|node| {
            let failed = *node.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.is_some_and(|at| at.elapsed() < AVOID)
        });
        order
    }
}

fn request(
    method: &Method,
    node: SocketAddr,
    key: &Key,
    bytes: &Bytes,
    expires: SystemTime,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let request = Request::builder()
        .method(method)
        .uri(url(node, &format!("/blobs/{key}")));
    request
        .header(EXPIRES, protocol::unix_ms(expires))
        .body(Full::new(bytes.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(ports: &[u16]) -> Client {
        let nodes = ports
            .iter()
            .map(|&port| SocketAddr::from(([127, 0, 0, 1], port)))
            .collect();
        let options = ClientOptions {
            deadline: Duration::from_millis(100),
            ..ClientOptions::default()
        };
        Client::new(nodes, options)
    }

    #[tokio::test]
    async fn bad_requests_are_refused_before_anyone_is_asked() {
        let client = client(&[1]);
        assert!(matches!(client.get("a b").await, Err(ClientError::Key(_))));
        let large = Bytes::from(vec![0; BLOB_BYTES_MAX + 1]);
        assert!(matches!(
            client.put("a", large).await,
            Err(ClientError::TooLarge(_))
        ));
    }

    #[tokio::test]
    async fn a_request_fails_when_no_node_serves_it_in_time() {
        for client in [client(&[]), client(&[1])] {
            let begun = Instant::now();
            assert!(matches!(
                client.get("a").await,
                Err(ClientError::Unserved { .. })
            ));
            assert!(begun.elapsed() >= Duration::from_millis(100));
        }
    }

    #[test]
    fn each_request_begins_with_another_node_and_failed_ones_come_last() {
        let client = client(&[1, 2, 3]);
        let ports = |client: &Client| {
            client
                .in_turn()
                .iter()
                .map(|n| n.address.port())
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(&client), [1, 2, 3]);
        assert_eq!(ports(&client), [2, 3, 1]);
        *client.0.nodes[2].failed.lock().unwrap() = Some(Instant::now());
        assert_eq!(ports(&client), [1, 2, 3]);
        assert_eq!(ports(&client), [1, 2, 3]);
    }
}
