//! What the matrix says of two versions.

use std::fmt;

use crate::Level;

/// How instances are brought from one version to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Stop, swap, start; the data stays.
    InPlace,
    /// Drain, swap, rejoin empty.
    Rebuild,
}

/// How a hop is undone, the least trouble first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undo {
    /// Stop, swap back, start.
    InPlace,
    /// Drain, swap back, rejoin empty.
    Rebuild,
    /// Not at all.
    NotAtAll,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InPlace => "in place",
            Self::Rebuild => "by rebuild",
        })
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InPlace => "in place",
            Self::Rebuild => "by rebuild",
            Self::NotAtAll => "not at all",
        })
    }
}

/// How a hop is made and unmade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// How it is made.
    pub method: Method,
    /// The level of the rule that allows it; full for equal versions that no rule speaks of.
    pub level: Level,
    /// Whether that rule speaks of the opposite direction.
    pub reversed: bool,
    /// How it is unmade before the plan is finalized.
    pub undo: Undo,
    /// How it is unmade afterwards.
    pub undo_when_final: Undo,
}

/// A hop that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop<'m> {
    /// How.
    pub way: Way,
    /// The rule that allows it, by its number from 0. None for equal versions that no rule speaks of.
    pub rule: Option<usize>,
    /// That rule's note.
    pub note: Option<&'m str>,
}

/// Two versions that may run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beside {
    /// The rule that allows it, by its number from 0. None for equal versions that no rule speaks of.
    pub rule: Option<usize>,
}

/// Why two versions may not run side by side: a sentence that leaves it to the caller to name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Apart {
    /// A rule says `none`.
    #[error("rule {} says that they may not run side by side", .rule + 1)]
    Rule {
        /// The rule, by its number from 0.
        rule: usize,
    },
    /// No rule speaks of them.
    #[error("no rule says that they may run side by side")]
    NoRule,
}

/// Why a hop may not be made: a sentence that leaves it to the caller to name the hop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NoHop {
    /// It is known to go wrong.
    #[error("it is blocked: {reason}")]
    Blocked {
        /// Which of the blocked hops, by its number from 0.
        blocked: usize,
        /// Its reason.
        reason: String,
    },
    /// A rule says `none`, so that the two may not even run side by side.
    #[error("rule {} says none", .rule + 1)]
    Apart {
        /// The rule, by its number from 0.
        rule: usize,
    },
    /// A backward rule speaks of the opposite direction: this one is the way back, open only until the plan is
    /// finalized, and not a hop of its own.
    #[error("rule {} is backward the other way, so that this is only the way back until that is finalized", .rule + 1)]
    OnlyBackward {
        /// The rule, by its number from 0.
        rule: usize,
    },
    /// No rule speaks of it.
    #[error("no rule leads there")]
    NoRule,
}

/// What the most specific rules that speak of two versions, *x* and *y*, state of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement<R> {
    /// What they state of *x* to *y* itself.
    pub(crate) direct: Option<R>,
    /// What they state of *y* to *x* itself.
    pub(crate) reversed: Option<R>,
}

/// What follows from a statement for a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may be made.
    Go(Way),
    /// The versions may not even run side by side.
    Apart,
    /// It is the way back of a backward rule, and no more.
    OnlyBackward,
}

impl Statement<Level> {
    /// What holds of equal versions that no rule speaks of.
    pub(crate) const EQUAL: Self = Self {
        direct: Some(Level::Full),
        reversed: Some(Level::Full),
    };

    /// What holds of other versions that no rule speaks of.
    pub(crate) const SILENT: Self = Self {
        direct: None,
        reversed: None,
    };

    /// The hop from *x* to *y*, were none blocked. A direct statement wins over a reversed one; what is less specific than
    /// these has no say, not in how the hop is undone either.
    pub(crate) fn hop(self) -> Verdict {
        let way = |method, level, undo, undo_when_final| {
            Verdict::Go(Way {
                method,
                level,
                reversed: self.direct.is_none(),
                undo,
                undo_when_final,
            })
        };
        match (self.direct, self.reversed) {
            (Some(Level::None), _) | (None, Some(Level::None) | None) => Verdict::Apart,
            (Some(Level::Full), _) | (None, Some(Level::Full)) => {
                way(Method::InPlace, Level::Full, Undo::InPlace, Undo::InPlace)
            }
            (Some(Level::Backward), back) => way(
                Method::InPlace,
                Level::Backward,
                Undo::InPlace,
                match back {
                    Some(Level::Full | Level::Backward) => Undo::InPlace,
                    Some(Level::Forward) => Undo::Rebuild,
                    Some(Level::None) | None => Undo::NotAtAll,
                },
            ),
            (Some(Level::Forward), _) => way(
                Method::Rebuild,
                Level::Forward,
                Undo::InPlace,
                Undo::InPlace,
            ),
            (None, Some(Level::Forward)) => way(
                Method::InPlace,
                Level::Forward,
                Undo::Rebuild,
                Undo::Rebuild,
            ),
            (None, Some(Level::Backward)) => Verdict::OnlyBackward,
        }
    }
}

impl Way {
    /// The same where the hop back is blocked.
    pub(crate) fn without_way_back(self) -> Self {
        Self {
            undo: Undo::NotAtAll,
            undo_when_final: Undo::NotAtAll,
            ..self
        }
    }
}
