//! The fleet simulation: thousands of lives of small fleets, each out of one seed, in virtual time.
//!
//! The coordinator's core and the agent's state machine are the real ones. Hosts, processes, disks, clocks and the
//! network are made up, and worse than real ones. docs/SIMULATION.md says what is simulated, how to run it and how to
//! read a trace.
//!
//! Start reading at [`life`], how a life goes; then `world`, what there is in it and what may happen; `coordinator`
//! and `agent`, the shells around the real cores; `chance` and `people`, what goes wrong and what is asked for; and
//! `truth`, what must be true all the time. Nothing in here reads a clock, starts a thread or depends on the order of
//! a hash table: the same seed is the same life. Only `campaign` has threads, to live many lives at once.
#![expect(
    clippy::expect_used,
    reason = "a name that this crate makes up and cannot be one is a defect of the simulation, and ends it"
)]

mod agent;
mod campaign;
mod chance;
mod coordinator;
mod coverage;
mod dice;
mod fleet;
mod life;
mod network;
mod node;
mod people;
mod process;
mod queue;
mod trace;
mod truth;
mod world;

pub use campaign::{Campaign, Failure, run};
pub use coverage::{Coverage, Sight};
pub use evenkeel_words::planted::Bug;
#[cfg(feature = "planted-bugs")]
pub use evenkeel_words::planted::plant;
pub use life::{Account, live};
