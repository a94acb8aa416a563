//! What clients and operators ask: blobs, keys, health, version.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::bounds::{Bounds, within};
use super::page_query::PageQuery;
use super::{Refusal, refusal};
use crate::Key;
use crate::limits::{BLOB_BYTES_MAX, CLIENT_PAGE_KEYS_MAX, CLIENT_REQUESTS_MAX, REQUEST_TIMEOUT};
use crate::node::{Node, QuorumError};
use crate::protocol::{self, EXPIRES, STAMP};

pub(super) fn router(node: &Arc<Node>) -> Router {
    let bounds = Bounds::new(CLIENT_REQUESTS_MAX);
    let blobs = Router::new()
        .route("/blobs/{key}", get(get_blob).put(put_blob))
        .route("/keys", get(get_keys))
        .layer(DefaultBodyLimit::max(BLOB_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(bounds, within));
    // Health and version are answered however busy the node is.
    blobs
        .route("/health", get(get_health))
        .route("/version", get(get_version))
        .with_state(Arc::clone(node))
}

async fn put_blob(
    State(node): State<Arc<Node>>,
    Path(key): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Refusal> {
    let key = parse_key(&key)?;
    let own_limit = SystemTime::now() + REQUEST_TIMEOUT;
    let asked = match super::header(&headers, EXPIRES) {
        Some(text) => protocol::from_unix_ms(text).ok_or_else(|| {
            (
                StatusCode::BAD_REQUEST,
                format!("{EXPIRES} is a Unix time in milliseconds\n"),
            )
        })?,
        None => own_limit,
    };
    let stamp = node
        .put(key, bytes, asked.min(own_limit))
        .await
        .map_err(|error| unavailable(&error))?;
    Ok((StatusCode::NO_CONTENT, [(STAMP, stamp.to_string())]).into_response())
}

async fn get_blob(
    State(node): State<Arc<Node>>,
    Path(key): Path<String>,
) -> Result<Response, Refusal> {
    let key = parse_key(&key)?;
    let found = node.get(&key).await.map_err(|error| unavailable(&error))?;
    let blob =
        found.ok_or_else(|| (StatusCode::NOT_FOUND, "there is no such blob\n".to_owned()))?;
    Ok(([(STAMP, blob.stamp.to_string())], blob.bytes).into_response())
}

async fn get_keys(
    State(node): State<Arc<Node>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = PageQuery::parse(query.as_deref(), CLIENT_PAGE_KEYS_MAX)
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, &error))?;
    let page = node
        .keys(query.after, query.keys_max)
        .await
        .map_err(|error| unavailable(&error))?;
    let keys: Vec<_> = page.keys.iter().map(Key::as_str).collect();
    let next = keys.last().filter(|_| page.more);
    Ok(json_answer(&json!({ "keys": keys, "next_after": next })))
}

async fn get_health(State(node): State<Arc<Node>>) -> Result<&'static str, Refusal> {
    node.check_health()
        .await
        .map_err(|error| refusal(StatusCode::SERVICE_UNAVAILABLE, &error))?;
    Ok("healthy\n")
}

async fn get_version(State(node): State<Arc<Node>>) -> Response {
    let release = node.release();
    let protocols: Vec<_> = release.protocols.iter().map(|p| p.number()).collect();
    json_answer(&json!({
        "name": node.name(),
        "version": release.version,
        "storage_format": release.writes.number(),
        "protocol": protocols.last(),
        "protocols": protocols,
    }))
}

fn json_answer(value: &serde_json::Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], format!("{value}\n")).into_response()
}

fn parse_key(text: &str) -> Result<Key, Refusal> {
    text.parse()
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, &error))
}

fn unavailable(error: &QuorumError) -> Refusal {
    refusal(StatusCode::SERVICE_UNAVAILABLE, error)
}
