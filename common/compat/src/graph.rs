//! Pictures of a matrix: the versions of a component as dots, what the rules say of each two as lines.
//!
//! Levels are line styles: full is a solid line with a head at both ends, backward dashed, forward dotted, a blocked hop red
//! with its reason. What is `none`, or has no rule, is not drawn.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::Matrix;

/// The components to draw, each with the versions to draw of it.
pub type Drawn = BTreeMap<ComponentName, BTreeSet<Version>>;

/// The graph in the DOT language.
#[must_use]
pub fn dot(matrix: &Matrix, drawn: &Drawn) -> String {
    let _ = (matrix, drawn);
    String::new()
}

/// The graph as an SVG image of its own, legend included.
#[must_use]
pub fn svg(matrix: &Matrix, drawn: &Drawn) -> String {
    let _ = (matrix, drawn);
    String::new()
}
