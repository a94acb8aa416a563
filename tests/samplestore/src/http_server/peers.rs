//! What the other nodes ask. Served from the moment the node listens, healthy or not: what is on disk is true.

use std::fmt::Write;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::bounds::{Bounds, within};
use super::page_query::PageQuery;
use super::{Refusal, header, refusal};
use crate::key::InvalidKey;
use crate::limits::{BLOB_BYTES_MAX, PEER_PAGE_KEYS_MAX, PEER_REQUESTS_MAX};
use crate::node::Node;
use crate::protocol::{self, CHECKSUM, ESTABLISHED, EXPIRES, PROTOCOLS, Protocol, STAMP};
use crate::store::StoreError;
use crate::{Key, Stamp};

/// A node as it answers in one protocol.
#[derive(Clone)]
struct Spoken {
    node: Arc<Node>,
    protocol: Protocol,
}

pub(super) fn router(node: &Arc<Node>) -> Router {
    let bounds = Bounds::new(PEER_REQUESTS_MAX);
    let mut router = Router::new().route(
        "/internal/{*rest}",
        axum::routing::any(refuse_protocol).with_state(Arc::clone(node)),
    );
    for &protocol in node.release().protocols {
        let spoken = Router::new()
            .route("/ping", get(async || StatusCode::NO_CONTENT))
            .route("/stamps", get(get_page))
            .route("/stamps/{key}", get(get_stamp))
            .route("/blobs/{key}", get(get_blob).put(put_blob))
            .with_state(Spoken {
                node: Arc::clone(node),
                protocol,
            });
        router = router.nest(&format!("/internal/v{protocol}"), spoken);
    }
    router
        .layer(DefaultBodyLimit::max(BLOB_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(bounds, within))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(node),
            name_protocols,
        ))
}

/// Middleware: says on every answer what the node speaks.
async fn name_protocols(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    if let Ok(spoken) = HeaderValue::from_str(&protocol::list(node.release().protocols)) {
        answer.headers_mut().insert(PROTOCOLS, spoken);
    }
    answer
}

async fn refuse_protocol(State(node): State<Arc<Node>>) -> Refusal {
    let (name, version) = (node.name(), node.release().version);
    let spoken = protocol::list(node.release().protocols);
    (
        StatusCode::UPGRADE_REQUIRED,
        format!("{name} (samplestore {version}) speaks protocol {spoken}\n"),
    )
}

async fn get_page(
    State(at): State<Spoken>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = PageQuery::parse(query.as_deref(), PEER_PAGE_KEYS_MAX)
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, &error))?;
    let store = at.node.store();
    // Asked before the page is taken: a page of a copy that is completed meanwhile may lack something.
    let established = store.is_established();
    let mut lines = String::new();
    for (key, stamp) in store.page(query.after.as_ref(), query.keys_max) {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{key} {stamp}");
    }
    Ok(([(ESTABLISHED, established.to_string())], lines).into_response())
}

async fn get_stamp(State(at): State<Spoken>, Path(key): Path<String>) -> Result<String, Refusal> {
    let key = parse_key(&key)?;
    let store = at.node.store();
    if !store.is_established() {
        return Err((
            StatusCode::SERVICE_UNAVAILABLE,
            "this copy is not complete yet\n".to_owned(),
        ));
    }
    store
        .stamp(&key)
        .map(|stamp| stamp.to_string())
        .ok_or_else(not_found)
}

async fn get_blob(State(at): State<Spoken>, Path(key): Path<String>) -> Result<Response, Refusal> {
    let found = at
        .node
        .store()
        .read(&parse_key(&key)?)
        .map_err(|error| store_refusal(&error))?;
    let blob = found.ok_or_else(not_found)?;
    let mut answer = ([(STAMP, blob.stamp.to_string())], blob.bytes).into_response();
    if at.protocol.has_checksums()
        && let Ok(checksum) = HeaderValue::from_str(&protocol::checksum(blob.crc))
    {
        answer.headers_mut().insert(CHECKSUM, checksum);
    }
    Ok(answer)
}

async fn put_blob(
    State(at): State<Spoken>,
    Path(key): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<StatusCode, Refusal> {
    let bad = |what: &str| (StatusCode::BAD_REQUEST, format!("{what}\n"));
    let key = parse_key(&key)?;
    let stamp: Option<Stamp> = header(&headers, STAMP).and_then(|text| text.parse().ok());
    let stamp = stamp.ok_or_else(|| bad("the stamp is missing or wrong"))?;
    if at.protocol.has_checksums() {
        let sent = header(&headers, CHECKSUM);
        if sent != Some(&protocol::checksum(crc32c::crc32c(&bytes))) {
            return Err(bad("the checksum is missing or wrong"));
        }
    }
    if let Some(text) = header(&headers, EXPIRES) {
        let expires = protocol::from_unix_ms(text).ok_or_else(|| bad("the expiry is no time"))?;
        if SystemTime::now() >= expires {
            return Err(bad("the write has expired"));
        }
    }
    at.node
        .store()
        .append(key, stamp, bytes)
        .await
        .map_err(|error| store_refusal(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_key(text: &str) -> Result<Key, Refusal> {
    text.parse()
        .map_err(|error: InvalidKey| refusal(StatusCode::BAD_REQUEST, &error))
}

fn not_found() -> Refusal {
    (StatusCode::NOT_FOUND, "there is no such blob\n".to_owned())
}

fn store_refusal(error: &StoreError) -> Refusal {
    let status = match error {
        StoreError::Full => StatusCode::INSUFFICIENT_STORAGE,
        StoreError::Broken(_) | StoreError::Read(_) | StoreError::Damaged => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    refusal(status, error)
}
