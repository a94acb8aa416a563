//! The words that every crate of Evenkeel shares, the pure ones among them: values without a clock, a
//! file or a thread anywhere behind them, so that the two `core` crates may depend on this one.

pub mod amount;
pub mod digest;
pub mod limits;
pub mod names;
pub mod planted;
pub mod text;
pub mod timestamp;
pub mod window;
