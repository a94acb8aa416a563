//! JSON over HTTP, as storage systems answer it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use evenkeel_samplestore::http_client::{HttpClient, reason, url};
use http::Request;
use serde_json::Value;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The answer to a GET.
///
/// # Errors
/// When there is none, or it is not 200 with JSON.
pub(super) async fn get(
    http: &HttpClient,
    address: SocketAddr,
    path: &str,
) -> anyhow::Result<Value> {
    let request = Request::get(url(address, path)).body(String::new())?;
    call(http, request).await
}

/// The answer to a POST.
///
/// # Errors
/// When there is none, or it is not 200 with JSON.
pub(super) async fn post(
    http: &HttpClient,
    address: SocketAddr,
    path: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let request = Request::post(url(address, path)).body(body.to_string())?;
    call(http, request).await
}

async fn call(http: &HttpClient, request: Request<String>) -> anyhow::Result<Value> {
    let uri = request.uri().clone();
    let request = request.map(Into::into);
    let answer = http
        .call(request, ANSWER_WITHIN)
        .await
        .with_context(|| format!("asking {uri}"))?;
    ensure!(
        answer.status().is_success(),
        "{uri} answers {}",
        reason(&answer)
    );
    serde_json::from_slice(answer.body()).with_context(|| format!("{uri} does not answer JSON"))
}

/// The text at a place such as `/header/revision`.
///
/// # Errors
/// When there is none.
pub fn text<'a>(value: &'a Value, place: &str) -> anyhow::Result<&'a str> {
    value
        .pointer(place)
        .and_then(Value::as_str)
        .with_context(|| format!("no text at {place} in {value}"))
}

/// The number at a place, also one that is written as text.
///
/// # Errors
/// When there is none.
pub fn number(value: &Value, place: &str) -> anyhow::Result<u64> {
    let number = value.pointer(place).and_then(|number| match number {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    });
    number.with_context(|| format!("no number at {place} in {value}"))
}
