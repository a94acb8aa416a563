//! What a matrix is made of.

use std::collections::BTreeSet;
use std::fmt;

use evenkeel_words::names::ComponentName;

use crate::{Level, Versions};

/// The most rules and blocked hops together. A vendor's table of a hundred releases, each with each, has ten thousand.
pub const RULES_MAX: usize = 50_000;

/// The most components.
pub const COMPONENTS_MAX: usize = 256;

/// The longest note or reason, in characters: a sentence or three.
pub const WORDS_CHARS_MAX: usize = 500;

/// What the matrix knows of a component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Component {
    /// Its versions matter, and nobody of ours changes them.
    pub external: bool,
    /// Its new format takes hold by itself once the last instance runs the new version.
    pub finalizes_itself: bool,
    /// The components that ought to be upgraded before it.
    pub upgrade_after: BTreeSet<ComponentName>,
    /// The components it has a link to. One side's word is enough.
    pub talks_to: BTreeSet<ComponentName>,
}

/// Whom a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All components: within each, and between any two, in either order.
    All,
    /// Versions of one component.
    Component(ComponentName),
    /// Two components: the rule's `from` is the first's version, its `to` the second's.
    Pair(ComponentName, ComponentName),
}

/// A statement about versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whom it speaks of.
    pub scope: Scope,
    /// Version *a*.
    pub from: Versions,
    /// Version *b*.
    pub to: Versions,
    /// What it says of *a* with respect to *b*.
    pub level: Level,
    /// A sentence for people, shown in plans.
    pub note: Option<String>,
}

/// A hop that is known to go wrong. Directed; beats every rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The component, or nothing for all.
    pub component: Option<ComponentName>,
    /// The versions that must not hop.
    pub from: Versions,
    /// The versions they must not hop to.
    pub to: Versions,
    /// Why.
    pub reason: String,
}

impl Scope {
    /// The scope of a rule that names just these two.
    pub(crate) fn between(a: &ComponentName, b: &ComponentName) -> Self {
        if a == b {
            Self::Component(a.clone())
        } else {
            Self::Pair(a.clone(), b.clone())
        }
    }

    /// The same with the two sides of a pair changed over.
    pub(crate) fn turned(&self) -> Self {
        match self {
            Self::Pair(first, second) => Self::Pair(second.clone(), first.clone()),
            Self::All | Self::Component(_) => self.clone(),
        }
    }
}

impl Blocked {
    /// Whether it speaks of this component.
    #[must_use]
    pub fn applies_to(&self, component: &ComponentName) -> bool {
        self.component.as_ref().is_none_or(|name| name == component)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all components"),
            Self::Component(name) => write!(f, "{name}"),
            Self::Pair(first, second) => write!(f, "{first} and {second}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} -> {} {}",
            self.scope, self.from, self.to, self.level
        )
    }
}
