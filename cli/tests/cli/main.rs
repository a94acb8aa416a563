//! The program as its users run it, against a coordinator of canned answers over real mTLS.

mod changes;
mod cluster;
mod coordinator;
mod lists;
mod publish;
mod refusals;
mod sample;
mod watch;
