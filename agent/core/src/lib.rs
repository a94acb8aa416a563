//! The pure heart of the agent: what follows for one instance from what happened.
//!
//! [`step`] takes a [`State`], an [`Event`] and the time, and answers with the next state, the
//! [`Record`] that has to be durable before anything else, and the [`Action`]s to carry out. The
//! shell feeds the results of those actions back as events.
//!
//! This crate cannot do I/O, read a clock or spawn, because it depends on nothing that can. Where to
//! start reading: [`Phase`] for the states, [`step`] for the moves, [`Fence`] for which orders count.
//!
//! ```text
//!              order                stopped             swapped            started
//!   Serving ──────────▶ Stopping ──────────▶ Swapping ──────────▶ Starting ──────▶ Verifying
//!      ▲                 ▲   │ already current │                    ▲                │   │
//!      │                 │   └─────────────────┼────────────────────┘          ready │   │
//!      │                 │                     │                                     │   │
//!      │                 └── turned back: a failure or the deadline, once ◀──────────┼───┤
//!      └──────────────────────── done or reverted ◀──────────────────────────────────┘   │
//!      ▲ ready                                                                           │
//!   Failed ◀──────────────── the way back failed as well, or there was none ◀────────────┘
//! ```

mod event;
mod fence;
mod record;
mod release;
mod restart;
mod state;
mod step;

pub use event::{Action, Event, IllegalMove, Ticket, Transition};
pub use fence::{Fence, Incoming, Order, Refusal, Verdict};
pub use record::{Record, Standing};
pub use release::Release;
pub use restart::{RestartPolicy, Run, Service};
pub use state::{
    BootId, Journey, OrderResult, Outcome, Phase, Progress, Purpose, State, Status, StepName,
};
pub use step::step;

/// Milliseconds of the boot clock: it only rises while the host is up, and starts anew with each boot.
pub type Now = u64;
