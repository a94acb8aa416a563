//! What is wrong with a matrix, and where.

use std::fmt;

use evenkeel_words::names::ComponentName;

/// The most faults that are told at once; whoever has more mends these first.
pub const FAULTS_MAX: usize = 20;

/// What a fault is about. Rules and blocked hops are numbered from 0, in the order they were given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The matrix as a whole.
    Matrix,
    /// A component.
    Component(ComponentName),
    /// A rule.
    Rule(usize),
    /// A blocked hop.
    Blocked(usize),
}

/// Which part of the place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of it.
    Whole,
    /// The component, or components, it names.
    Scope,
    /// `from`.
    From,
    /// `to`.
    To,
    /// The note.
    Note,
    /// The reason.
    Reason,
    /// An entry of `upgrade_after`.
    UpgradeAfter(ComponentName),
    /// An entry of `talks_to`.
    TalksTo(ComponentName),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// Where in there.
    pub part: Part,
    /// The other place, where two do not go together.
    pub other: Option<Place>,
    /// What, as a sentence that does not name the places.
    pub sentence: String,
}

/// All that is wrong with a matrix, up to [`FAULTS_MAX`], in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    /// At least one.
    pub faults: Vec<Fault>,
    /// Whether there are more than are told.
    pub more: bool,
}

impl fmt::Display for Place {
    /// As people count: from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matrix => f.write_str("the matrix"),
            Self::Component(name) => write!(f, "component {name}"),
            Self::Rule(index) => write!(f, "rule {}", index + 1),
            Self::Blocked(index) => write!(f, "blocked {}", index + 1),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.sentence)?;
        match &self.other {
            Some(other) => write!(f, " (see {other})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{fault}")?;
        }
        if self.more {
            f.write_str("; and more")?;
        }
        Ok(())
    }
}
