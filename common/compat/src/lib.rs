//! The compatibility matrix: which versions of a fleet's components may run side by side, which may become which,
//! how, and what the way back is.
//!
//! A [`Matrix`] is made of [`Component`]s, [`Rule`]s and [`Blocked`] hops, is checked as a whole when it is made and
//! never changes afterwards. It answers plain questions ([`Matrix::beside`], [`Matrix::hop`]); who has thousands of them
//! about a known set of versions asks an [`index::Index`]. [`file`] reads and writes the file that people keep their
//! matrix in, and [`graph`] draws it.
//!
//! Pure: no file is opened in here, no clock is read, and the same input gives the same answer. Whether a version is
//! published, where it runs and what to do about it is for the planner.

pub mod file;
pub mod graph;
pub mod index;

mod contradictions;
mod fault;
mod intervals;
mod level;
mod lookup;
mod matrix;
mod reach;
mod relation;
mod rule;
mod versions;

pub use fault::{FAULTS_MAX, Fault, Faults, Part, Place};
pub use level::{Level, LevelError};
pub use matrix::Matrix;
pub use relation::{Apart, Beside, Hop, Method, NoHop, Undo, Way};
pub use rule::{Blocked, COMPONENTS_MAX, Component, RULES_MAX, Rule, Scope, WORDS_CHARS_MAX};
#[cfg(test)]
mod tests;

pub use versions::{VERSION_CHARS_MAX, VERSIONS_CHARS_MAX, Versions, VersionsError};
