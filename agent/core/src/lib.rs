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
//!
//!   with somebody who knows the storage system besides:
//!              order          may be stopped           quiesced                    ready               recovered
//!   Serving ──────────▶ Asking ──────────▶ Quiescing ──────────▶ Stopping … Verifying ──────▶ Recovering ──────────▶ Serving
//!      ▲                  │ too late           │ fails, too late
//!      └── declined ◀─────┴──── Declining ◀────┘
//!
//!   a rebuild besides:
//!              order               drained                  data moved              started                  rejoined
//!   Serving ──────────▶ Draining ──────────▶ Stopping ▶ Emptying ──────────▶ … Starting ──────▶ Rejoining ──────────▶ Verifying
//! ```
//!
//! What was done to make a process ready to be stopped is undone in `Declining` and `Recovering`, and as
//! long as that has not worked it is tried on wherever a process runs. A way back asks nobody before it
//! stops a process: what is broken is put back.
//!
//! A way back takes `Emptying` as well where data has to be put back, or set aside, and `Rejoining`
//! where the storage system was told that the instance would go. Once data was moved, the way back
//! is not given up before it is where it belongs: `Emptying` and `Swapping` are tried until they
//! work, since a release must never be started on data that was left to another.

mod event;
mod fence;
mod finality;
mod hold;
mod journey;
mod record;
mod release;
mod restart;
mod state;
mod step;

pub use event::{Action, Event, IllegalMove, Ticket, Transition};
pub use fence::{Fallback, Fence, Incoming, Order, Refusal, Verdict};
pub use finality::{Finality, Finalizing, NotFinal};
pub use hold::Hold;
pub use journey::{DataMove, Journey, Method, Purpose, Rejoin};
pub use record::{Record, Standing};
pub use release::Release;
pub use restart::{RestartPolicy, Run, Service, Settings};
pub use state::{
    BootId, Finalized, Hitch, OrderResult, Outcome, Phase, Progress, State, Status, StepName,
};
pub use step::step;

/// Milliseconds of the boot clock: it only rises while the host is up, and starts anew with each boot.
pub type Now = u64;
