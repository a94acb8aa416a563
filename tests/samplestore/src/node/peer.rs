//! Another node, as this one calls it.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Semaphore;

use super::member::MemberError;
use crate::errors::chain;
use crate::http_client::{CallError, HttpClient, reason, url};
use crate::limits::{PEER_CALLS_MAX, PEER_TIMEOUT, PING_FRESH, PING_TIMEOUT};
use crate::protocol::{self, CHECKSUM, ESTABLISHED, EXPIRES, Protocol, STAMP};
use crate::store::Blob;
use crate::{Key, Stamp};

/// Another node. Calls go over connections that are kept.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    http: HttpClient,
    /// The protocols this node speaks.
    spoken: &'static [Protocol],
    calls: Semaphore,
    seen: Mutex<Seen>,
}

/// What the last calls showed.
#[derive(Debug, Default)]
struct Seen {
    /// The best protocol both sides speak, once known.
    protocol: Option<Protocol>,
    /// When it last answered in a protocol both speak, with no failure since.
    answered: Option<Instant>,
    /// Whether the last call failed.
    failing: bool,
}

/// A page of what a peer holds.
#[derive(Debug)]
pub(super) struct PeerPage {
    /// Whether the peer's copy has once been complete.
    pub(super) established: bool,
    pub(super) stamps: Vec<(Key, Stamp)>,
}

/// A call, before it is known in which protocol it goes out.
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<(&'a Blob, Option<SystemTime>)>,
    timeout: Duration,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, http: HttpClient, spoken: &'static [Protocol]) -> Self {
        Self {
            address,
            http,
            spoken,
            calls: Semaphore::new(PEER_CALLS_MAX),
            seen: Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the last call failed.
    pub(super) fn is_failing(&self) -> bool {
        self.seen().failing
    }

    /// Whether the peer is there and can be talked to. An answer from just now is as good as a new one.
    pub(super) async fn ping(&self) -> Result<(), MemberError> {
        if self
            .seen()
            .answered
            .is_some_and(|at| at.elapsed() < PING_FRESH)
        {
            return Ok(());
        }
        let answer = self
            .call(Call {
                timeout: PING_TIMEOUT,
                ..Call::get("ping")
            })
            .await?;
        accept(&answer).map(drop)
    }

    pub(super) async fn stamp(&self, key: &Key) -> Result<Option<Stamp>, MemberError> {
        let answer = self.call(Call::get(&format!("stamps/{key}"))).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        accept(&answer)?;
        let text = std::str::from_utf8(answer.body()).ok();
        text.and_then(|t| t.parse().ok())
            .map(Some)
            .ok_or(MemberError::Nonsense("no stamp"))
    }

    pub(super) async fn blob(&self, key: &Key) -> Result<Option<Blob>, MemberError> {
        let answer = self.call(Call::get(&format!("blobs/{key}"))).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        accept(&answer)?;
        let stamp = header(&answer, STAMP)
            .and_then(|s| s.parse().ok())
            .ok_or(MemberError::Nonsense("no stamp"))?;
        let crc = crc32c::crc32c(answer.body());
        if header(&answer, CHECKSUM).is_some_and(|sent| sent != protocol::checksum(crc)) {
            return Err(MemberError::Nonsense(
                "a blob that does not match its checksum",
            ));
        }
        Ok(Some(Blob {
            stamp,
            crc,
            bytes: answer.into_body(),
        }))
    }

    pub(super) async fn put(
        &self,
        key: &Key,
        blob: &Blob,
        expires: Option<SystemTime>,
    ) -> Result<(), MemberError> {
        let path = format!("blobs/{key}");
        let call = Call {
            method: Method::PUT,
            body: Some((blob, expires)),
            ..Call::get(&path)
        };
        accept(&self.call(call).await?).map(drop)
    }

    pub(super) async fn page(
        &self,
        after: Option<&Key>,
        keys_max: usize,
    ) -> Result<PeerPage, MemberError> {
        let after = after.map_or(String::new(), |key| format!("&after={key}"));
        let answer = self
            .call(Call::get(&format!("stamps?limit={keys_max}{after}")))
            .await?;
        accept(&answer)?;
        let text = std::str::from_utf8(answer.body())
            .map_err(|_| MemberError::Nonsense("a page that is no text"))?;
        let stamps = text.lines().map(|line| {
            let (key, stamp) = line.split_once(' ')?;
            Some((key.parse().ok()?, stamp.parse().ok()?))
        });
        let stamps = stamps
            .collect::<Option<Vec<_>>>()
            .ok_or(MemberError::Nonsense("a line that is no stamp"))?;
        Ok(PeerPage {
            established: header(&answer, ESTABLISHED) == Some("true"),
            stamps,
        })
    }

    /// One exchange, in the best protocol both sides speak.
    async fn call(&self, call: Call<'_>) -> Result<Response<Bytes>, MemberError> {
        let _permit = self.calls.try_acquire().map_err(|_| MemberError::Busy)?;
        let result = self.negotiate(&call).await;
        self.remember(&result);
        result
    }

    async fn negotiate(&self, call: &Call<'_>) -> Result<Response<Bytes>, MemberError> {
        let known = self.seen().protocol;
        let Some(first) = known.or(self.spoken.last().copied()) else {
            return Err(MemberError::NoCommonProtocol(
                "this node speaks none".to_owned(),
            ));
        };
        let answer = self.exchange(call, first).await?;
        if answer.status() != StatusCode::UPGRADE_REQUIRED {
            return Ok(answer);
        }
        let Some(second) = protocol::best_common(answer.headers(), self.spoken) else {
            let own = protocol::list(self.spoken);
            return Err(MemberError::NoCommonProtocol(format!(
                "this node speaks {own}: {}",
                reason(&answer)
            )));
        };
        self.exchange(call, second).await
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        protocol: Protocol,
    ) -> Result<Response<Bytes>, MemberError> {
        let first = self
            .http
            .call(call.request(self.address, protocol)?, call.timeout)
            .await;
        match first {
            // The peer was restarted and the connection kept from before is dead. Every call may be repeated.
            Err(CallError::NoAnswer(error)) if !error.is_connect() => Ok(self
                .http
                .call(call.request(self.address, protocol)?, call.timeout)
                .await?),
            first => Ok(first?),
        }
    }

    fn remember(&self, result: &Result<Response<Bytes>, MemberError>) {
        let mut seen = self.seen();
        match result {
            Ok(answer) => {
                seen.protocol = protocol::best_common(answer.headers(), self.spoken);
                seen.answered = Some(Instant::now());
                if std::mem::take(&mut seen.failing) {
                    tracing::info!(peer = %self.address, "the peer answers again");
                }
            }
            Err(error) => {
                seen.answered = None;
                if !std::mem::replace(&mut seen.failing, true) {
                    tracing::warn!(peer = %self.address, reason = chain(error), "the peer does not answer");
                }
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Call<'a> {
    fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            timeout: PEER_TIMEOUT,
        }
    }

    fn request(
        &self,
        address: SocketAddr,
        protocol: Protocol,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let url = url(address, &format!("/internal/v{protocol}/{}", self.path));
        let mut request = Request::builder().method(self.method.clone()).uri(url);
        let Some((blob, expires)) = self.body else {
            return request.body(Full::default());
        };
        request = request.header(STAMP, blob.stamp.to_string());
        if protocol.has_checksums() {
            request = request.header(CHECKSUM, protocol::checksum(blob.crc));
        }
        if let Some(expires) = expires {
            request = request.header(EXPIRES, protocol::unix_ms(expires));
        }
        request.body(Full::new(blob.bytes.clone()))
    }
}

fn accept(answer: &Response<Bytes>) -> Result<&Response<Bytes>, MemberError> {
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(MemberError::Refused(reason(answer)))
    }
}

fn header<'a>(answer: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}
