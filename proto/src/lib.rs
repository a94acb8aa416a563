//! The API of Evenkeel and its records on disk, as generated from `evenkeel/**/*.proto`.
//!
//! No logic lives here. The `.proto` files are the reference: every field says there what it means.

/// The gRPC API, package `evenkeel.v1`.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
    tonic::include_proto!("evenkeel.v1");
}

/// The records on disk.
pub mod store {
    /// Package `evenkeel.store.v1`.
    pub mod v1 {
        #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
        tonic::include_proto!("evenkeel.store.v1");
    }
}

pub use v1::Access;

/// The descriptors of every file, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What each method asks of its caller, by the method's path (`/evenkeel.v1.PlanService/StartPlan`).
pub const ACCESS: &[(&str, Access)] = include!(concat!(env!("OUT_DIR"), "/access_table.rs"));
