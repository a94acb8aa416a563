//! Every limit of the sample store in one place.

use std::time::Duration;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Largest blob, in bytes.
pub const BLOB_BYTES_MAX: usize = 1 << 20;
/// Most keys a node keeps.
pub const KEYS_MAX: usize = 1_000_000;
/// Most bytes of live records a node keeps.
pub const LIVE_BYTES_MAX: u64 = 4 << 30;
/// Highest counter of a stamp taken from the network: far above what writes can reach, far below overflow.
pub const STAMP_COUNTER_MAX: u64 = 1 << 62;

/// Fewest and most nodes of a cluster.
pub const NODES_MIN: usize = 3;
/// See [`NODES_MIN`].
pub const NODES_MAX: usize = 7;

/// Most records and bytes that one sync of the log makes durable together.
pub const BATCH_RECORDS_MAX: usize = 1024;
/// See [`BATCH_RECORDS_MAX`]. A batch takes the record that crosses the line, so a torn tail is at most this and one
/// record more.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Superseded bytes below which the log is not rewritten.
pub const WASTE_BYTES_MIN: u64 = 16 << 20;

/// Most connections a node holds open; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1024;
/// Most client requests served at once; more are refused as busy.
pub const CLIENT_REQUESTS_MAX: usize = 256;
/// Most requests of peers served at once. Apart from the clients', for those wait for these.
pub const PEER_REQUESTS_MAX: usize = 1024;
/// Most calls under way to one peer.
pub const PEER_CALLS_MAX: usize = 512;
/// Idle connections kept to one node.
pub const IDLE_CONNECTIONS_MAX: usize = 16;
/// Most keys in one page of `GET /keys`.
pub const CLIENT_PAGE_KEYS_MAX: usize = 1000;
/// Most keys in one page between peers.
pub const PEER_PAGE_KEYS_MAX: usize = 5000;
/// Largest body taken as an answer: a page between peers, or a blob.
pub const ANSWER_BYTES_MAX: usize = 2 << 20;
/// Longest text of an error that is read from another node or passed on.
pub const REASON_BYTES_MAX: usize = 1024;

/// How long a request may take at the node that coordinates it, its body included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one call to a peer may take.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a peer may take to show that it is there.
pub const PING_TIMEOUT: Duration = Duration::from_millis(300);
/// How long an answer of a peer counts as proof that it is there.
pub const PING_FRESH: Duration = Duration::from_millis(250);
/// How long a connection may take to send a request's head.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take to finish once the node was told to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Blobs fetched at once while catching up.
pub const CATCH_UP_FETCHES_MAX: usize = 16;
/// Shortest and longest pause between two tries to catch up.
pub const CATCH_UP_PAUSE_MIN: Duration = Duration::from_millis(20);
/// See [`CATCH_UP_PAUSE_MIN`].
pub const CATCH_UP_PAUSE_MAX: Duration = Duration::from_millis(250);
/// How often a healthy node compares itself with its peers, for the writes that a broken connection kept from it.
pub const COMPARE_INTERVAL: Duration = Duration::from_secs(30);
