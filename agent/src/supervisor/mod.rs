//! How storage processes are run. One way so far: [`exec`], the agent's own child in a session of its own.

pub mod exec;
