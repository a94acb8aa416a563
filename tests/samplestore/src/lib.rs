//! The sample store: a small but real replicated blob store, there to be upgraded by the demo and the tests.
//!
//! Three to seven nodes each keep a copy of every blob in an append-only log. Any node takes a client's request and
//! coordinates it: a write is acknowledged once a majority holds it durably, a read answers with the newest value that
//! a majority knows. A node that was away fetches what it missed before it calls itself healthy.
//!
//! Start reading at [`serve`], which puts the parts together: [`Store`] is one node's copy on disk, the `node` module
//! is what nodes do together, `http` is how it is reached. [`release`] says how the releases differ. [`client`] and
//! [`load`] are the other side: a client that moves on to the next node, and a workload that checks every answer.

pub mod client;
pub mod errors;
pub mod http_client;
mod http_server;
pub mod key;
pub mod limits;
pub mod load;
mod node;
mod protocol;
pub mod release;
pub mod serve;
pub mod settings;
pub mod stamp;
pub mod store;

pub use client::{Client, ClientError, ClientOptions};
pub use key::Key;
pub use load::{Report, Workload, WorkloadOptions};
pub use release::Release;
pub use serve::serve;
pub use settings::Settings;
pub use stamp::Stamp;
pub use store::Store;
