//! What would open a path: rules, releases, users that move on.

use std::{collections::BTreeSet, fmt};

use evenkeel_compat::{Blocked, Rule, Scope};
use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::planner::words::listed;

/// One of the things that together would open a path. The order is that of how readily each is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A release to publish.
    Publish {
        /// The component.
        component: ComponentName,
        /// Its version.
        version: Version,
    },
    /// Users of a version of an external component that have to move on from it.
    MoveUsers {
        /// The component.
        component: ComponentName,
        /// The version.
        version: Version,
        /// Who reported it.
        sources: BTreeSet<String>,
    },
    /// A rule that relates two versions, of a level that lets them run side by side and leads where the path goes.
    AddRule {
        /// Whom it has to speak of.
        scope: Scope,
        /// The one version; of the first component, if it speaks of two.
        from: Version,
        /// The other.
        to: Version,
    },
    /// A rule that would have to say otherwise.
    ChangeRule {
        /// The rule, by its number from 0.
        number: usize,
        /// What it says now.
        rule: Rule,
    },
    /// A blocked hop that would have to be blocked no more.
    Unblock {
        /// Which of the blocked hops, by its number from 0.
        number: usize,
        /// What it says now.
        blocked: Blocked,
    },
}

impl Remedy {
    /// The components that it is about; none for all.
    #[must_use]
    pub fn components(&self) -> Vec<ComponentName> {
        let of_scope = |scope: &Scope| match scope {
            Scope::All => Vec::new(),
            Scope::Component(one) => vec![one.clone()],
            Scope::Pair(one, other) => vec![one.clone(), other.clone()],
        };
        match self {
            Self::Publish { component, .. } | Self::MoveUsers { component, .. } => {
                vec![component.clone()]
            }
            Self::AddRule { scope, .. } => of_scope(scope),
            Self::ChangeRule { rule, .. } => of_scope(&rule.scope),
            Self::Unblock { blocked, .. } => blocked.component.iter().cloned().collect(),
        }
    }

    /// The version or versions that it is about: one exact or a range, and of two the first.
    #[must_use]
    pub fn from(&self) -> String {
        match self {
            Self::Publish { version, .. } | Self::MoveUsers { version, .. } => version.to_string(),
            Self::AddRule { from, .. } => from.to_string(),
            Self::ChangeRule { rule, .. } => rule.from.to_string(),
            Self::Unblock { blocked, .. } => blocked.from.to_string(),
        }
    }

    /// The second of the two, if there are two.
    #[must_use]
    pub fn to(&self) -> Option<String> {
        match self {
            Self::Publish { .. } | Self::MoveUsers { .. } => None,
            Self::AddRule { to, .. } => Some(to.to_string()),
            Self::ChangeRule { rule, .. } => Some(rule.to.to_string()),
            Self::Unblock { blocked, .. } => Some(blocked.to.to_string()),
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { component, version } => write!(f, "publish {component} {version}"),
            Self::MoveUsers {
                component,
                version,
                sources,
            } => {
                let sources: Vec<_> = sources.iter().cloned().collect();
                write!(
                    f,
                    "move the users of {component} {version} (reported by {}) to another version",
                    listed(&sources)
                )
            }
            Self::AddRule { scope, from, to } => match scope {
                Scope::Pair(one, other) => {
                    write!(
                        f,
                        "add a rule that lets {one} {from} and {other} {to} run side by side"
                    )
                }
                Scope::All | Scope::Component(_) => {
                    write!(f, "add a rule that relates {from} and {to} for {scope}")
                }
            },
            Self::ChangeRule { number, rule } => write!(f, "change rule {} ({rule})", number + 1),
            Self::Unblock { blocked, .. } => {
                let Blocked {
                    from, to, reason, ..
                } = blocked;
                match &blocked.component {
                    Some(component) => write!(f, "unblock {component} {from} -> {to}")?,
                    None => write!(f, "unblock {from} -> {to} for all components")?,
                }
                write!(f, " (blocked: {reason})")
            }
        }
    }
}
