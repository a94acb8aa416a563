//! Storage systems: how each is run under Evenkeel, and a client that writes all the while and knows afterwards
//! whether anything was lost.

pub mod samplestore;
