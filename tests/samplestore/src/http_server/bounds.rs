//! How many requests are served at once, and for how long.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::sync::Semaphore;

use crate::limits::REQUEST_TIMEOUT;

/// A bound on requests under way.
#[derive(Clone, Debug)]
pub(super) struct Bounds(Arc<Semaphore>);

impl Bounds {
    pub(super) fn new(requests_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(requests_max)))
    }
}

/// Middleware: refuses a request beyond the bound, and gives up on one that takes too long.
pub(super) async fn within(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let Ok(_permit) = bounds.0.try_acquire() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests under way\n",
        )
            .into_response();
    };
    let answer = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await;
    answer.unwrap_or_else(|_| {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the request took too long\n",
        )
            .into_response()
    })
}
