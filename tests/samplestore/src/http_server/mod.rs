//! How a node is reached: `clients` and `peers` are the two sets of paths, `listener` the connections under them.

mod bounds;
mod clients;
mod listener;
mod page_query;
mod peers;

use std::sync::Arc;

use axum::Router;
use http::{HeaderMap, StatusCode};

pub(crate) use self::listener::Listener;

use crate::node::Node;

/// Everything a node answers.
pub(crate) fn router(node: &Arc<Node>) -> Router {
    clients::router(node).merge(peers::router(node))
}

/// An answer that is a sentence.
type Refusal = (StatusCode, String);

fn refusal(status: StatusCode, error: &dyn std::error::Error) -> Refusal {
    (status, format!("{}\n", crate::errors::chain(error)))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
