//! What makes no sense, is not signed, or is not allowed: it gets its status and a sentence, nothing panics, and
//! nothing that the coordinator lists is any different afterwards, the state's revision included.

mod callers;
mod matrices;
mod mint;
mod plans;
mod releases;
mod sessions;
mod support;
mod wire;
