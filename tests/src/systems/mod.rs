//! Storage systems: how each is run under Evenkeel, and a client that writes all the while and knows afterwards
//! whether anything was lost.

pub mod etcd;
pub mod json;
pub mod nats;
pub mod samplestore;
pub mod trivial;
pub mod upgrade;
pub mod writer;
