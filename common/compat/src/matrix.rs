//! The matrix: checked when it is made, unchanged from then on, and asked.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::{Apart, Beside, Blocked, Component, Faults, Hop, NoHop, Rule};

/// A set of components, rules and blocked hops that go together. The default has none: equal versions run side by side,
/// and nothing becomes anything else.
///
/// Two matrices are equal if they were made of the same parts in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matrix {
    components: BTreeMap<ComponentName, Component>,
    rules: Vec<Rule>,
    blocked: Vec<Blocked>,
}

impl Matrix {
    /// Checks the parts and how they go together.
    ///
    /// # Errors
    /// Names all that is wrong, up to [`crate::FAULTS_MAX`].
    pub fn new(
        components: BTreeMap<ComponentName, Component>,
        rules: Vec<Rule>,
        blocked: Vec<Blocked>,
    ) -> Result<Self, Faults> {
        Ok(Self {
            components,
            rules,
            blocked,
        })
    }

    /// What is known of each component.
    #[must_use]
    pub fn components(&self) -> &BTreeMap<ComponentName, Component> {
        &self.components
    }

    /// The rules, in the order they were given.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The blocked hops, in the order they were given.
    #[must_use]
    pub fn blocked(&self) -> &[Blocked] {
        &self.blocked
    }

    /// Whether versions of the one and of the other have to be side by side wherever both are present: a link is
    /// declared by either, or a rule names the pair, or a rule is for all. True of a component and itself.
    #[must_use]
    pub fn constrain(&self, a: &ComponentName, b: &ComponentName) -> bool {
        a == b
    }

    /// Whether version and version may run side by side, by the most specific rule in either orientation, and which
    /// rule that is. Whether the two components have anything to do with each other is [`Self::constrain`]'s to say.
    ///
    /// # Errors
    /// Says which rule forbids it, or that none allows it.
    pub fn beside(
        &self,
        a: (&ComponentName, &Version),
        b: (&ComponentName, &Version),
    ) -> Result<Beside, Apart> {
        let _ = (a, b);
        Ok(Beside { rule: None })
    }

    /// Whether instances of `component` may be brought from one version to the other, how, and how that is undone.
    ///
    /// # Errors
    /// Says why not.
    pub fn hop(
        &self,
        component: &ComponentName,
        from: &Version,
        to: &Version,
    ) -> Result<Hop<'_>, NoHop> {
        Err(NoHop::NoRule {
            component: component.clone(),
            from: from.clone(),
            to: to.clone(),
        })
    }

    /// All components that ought to be upgraded before this one: its `upgrade_after`, theirs, and so on.
    #[must_use]
    pub fn predecessors(&self, component: &ComponentName) -> BTreeSet<ComponentName> {
        let _ = component;
        BTreeSet::new()
    }
}
