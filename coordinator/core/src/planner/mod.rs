//! What to upgrade, in which order, through which versions, and the proof that no two versions that ever meet are
//! incompatible: before anything is touched.
//!
//! - [`draft`]: from targets to a plan for the fleet as it is, or why there is none. It puts the rest together:
//! - `request`: what is asked, and whether it makes sense; `find`: from a request to an answer or a refusal.
//! - `space`, `groups`, `pairs`, `search`, `cost`: where the versions may be, who has to do with whom, and the cheapest way.
//! - `answer`, `refusal`, `ruled_out`: what is told of it.
//! - [`check()`]: the second opinion, which shares nothing with the search; `unchanged`: it is asked for when a draft
//!   is to be started.
//! - `known`: what the planner looks at, out of the state; `words`: how its sentences are put together.
//! - `restart`: plans that bring nothing to another version.
//! - [`catch_up()`]: a plan for those that stay down because what they have may not run.
//! - `layout`: the steps of a path become stages, waves and tasks; `suits`: whether the policy suits the instances.

mod answer;
mod catch_up;
mod check;
mod cost;
mod draft;
mod find;
mod groups;
mod known;
mod layout;
mod pairs;
mod refusal;
mod request;
mod restart;
mod ruled_out;
mod search;
mod space;
mod suits;
mod unchanged;
mod words;

pub use answer::{Answer, Step, VERSIONS_TOLD_MAX};
pub use catch_up::{Hop, catch_up};
pub use check::{FAULTS_MAX, Fault, Mix, Passage, check};
pub use cost::Cost;
pub use draft::{NoDraft, draft, kind_of, ruled_out, stages};
pub use find::find;
pub use layout::TASKS_MAX;
pub use refusal::{Furthest, NoPath, Obstacle, Reason, Remedy};
pub use request::{BadRequest, RUNNING_VERSIONS_MAX, Request, VERSIONS_MAX};
pub use restart::{Selection, draft_restart};
pub use ruled_out::{RULED_OUT_MAX, RuledOut, Why};
pub use unchanged::check_unchanged;
