//! Mutual TLS between everything that is Evenkeel: TLS 1.3 only, ring only, the cluster's CA only.
//!
//! Start reading at [`ServerTls`] and [`Incoming`] for the coordinator's side, at [`connect`] for everybody else's.
//! Both ends are known by the URI in their certificate ([`crate::identity`]); host names are not compared, so a
//! coordinator may move or be reached under several addresses. What a peer may do is decided elsewhere.
//! No session is resumed: that would skip the look at the client's certificate.

mod address;
mod client;
mod explain;
mod files;
mod incoming;
mod server;
mod verify;

pub use address::{Address, InvalidAddress};
pub use client::{ConnectError, connect, connect_lazy};
pub use explain::explain;
pub use files::{TlsError, TlsFiles};
pub use incoming::{
    Connection, ConnectionCounts, Incoming, IncomingLimits, PeerConnection, listen,
};
pub use server::ServerTls;

/// What gRPC speaks, for ALPN.
const ALPN_H2: &[u8] = b"h2";
