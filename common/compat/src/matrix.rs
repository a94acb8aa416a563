//! The matrix: checked when it is made, unchanged from then on, and asked.

mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::lookup::{BlockedLookup, EXACT_SIDES, Lookup, Sides, Sought};
use crate::relation::{Statement, Verdict};
use crate::{Apart, Beside, Blocked, Component, Faults, Hop, Level, NoHop, Rule, Scope};

/// A set of components, rules and blocked hops that go together. The default has none: equal versions run side by side,
/// and nothing becomes anything else.
///
/// Two matrices are equal if they were made of the same parts in the same order. A clone shares the parts.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Matrix {
    parts: Arc<Parts>,
}

#[derive(Default)]
struct Parts {
    components: BTreeMap<ComponentName, Component>,
    rules: Vec<Rule>,
    blocked: Vec<Blocked>,
    by_versions: Lookup,
    blocked_by_versions: BlockedLookup,
    /// The pairs that a link or a rule names, each with the lesser name first.
    pairs: BTreeSet<(ComponentName, ComponentName)>,
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
        validate::sizes(&components, &rules, &blocked)?;
        let sides: Vec<_> = rules.iter().map(|r| Sides::of(&r.from, &r.to)).collect();
        let blocked_sides: Vec<_> = blocked.iter().map(|b| Sides::of(&b.from, &b.to)).collect();
        validate::parts(&components, (&rules, &sides), (&blocked, &blocked_sides))?;
        Ok(Self {
            parts: Arc::new(Parts {
                pairs: pairs(&components, &rules),
                by_versions: Lookup::new(&rules, sides),
                blocked_by_versions: BlockedLookup::new(blocked_sides),
                components,
                rules,
                blocked,
            }),
        })
    }

    /// What is known of each component.
    #[must_use]
    pub fn components(&self) -> &BTreeMap<ComponentName, Component> {
        &self.parts.components
    }

    /// The rules, in the order they were given.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.parts.rules
    }

    /// The blocked hops, in the order they were given.
    #[must_use]
    pub fn blocked(&self) -> &[Blocked] {
        &self.parts.blocked
    }

    /// Whether versions of the one and of the other have to be side by side wherever both are present: a link is
    /// declared by either, or a rule names the pair, or a rule is for all. True of a component and itself.
    #[must_use]
    pub fn constrain(&self, a: &ComponentName, b: &ComponentName) -> bool {
        a == b || self.parts.by_versions.has(&Scope::All) || self.parts.pairs.contains(&pair(a, b))
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
        let rule = self.statement(a, b).and_then(|s| s.direct.or(s.reversed));
        match rule.map(|rule| (rule, self.level(rule))) {
            Some((rule, Level::None)) => Err(Apart::Rule { rule }),
            None if a.1.cmp_precedence(b.1).is_ne() => Err(Apart::NoRule),
            Some(_) | None => Ok(Beside { rule }),
        }
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
        if let Some(number) = self.blocking(component, from, to) {
            let reason = self.blocked().get(number).map(|b| b.reason.clone());
            return Err(NoHop::Blocked {
                blocked: number,
                reason: reason.unwrap_or_default(),
            });
        }
        let found = self.statement((component, from), (component, to));
        let levels = match found {
            Some(rules) => Statement {
                direct: rules.direct.map(|rule| self.level(rule)),
                reversed: rules.reversed.map(|rule| self.level(rule)),
            },
            None if from.cmp_precedence(to).is_eq() => Statement::EQUAL,
            None => Statement::SILENT,
        };
        let rule = found.and_then(|rules| rules.direct.or(rules.reversed));
        match (levels.hop(), rule) {
            (Verdict::Go(way), rule) => Ok(Hop {
                way: match self.blocking(component, to, from) {
                    Some(_) => way.without_way_back(),
                    None => way,
                },
                rule,
                note: rule.and_then(|rule| self.rules().get(rule)?.note.as_deref()),
            }),
            (Verdict::Apart, Some(rule)) => Err(NoHop::Apart { rule }),
            (Verdict::OnlyBackward, Some(rule)) => Err(NoHop::OnlyBackward { rule }),
            (Verdict::Apart | Verdict::OnlyBackward, None) => Err(NoHop::NoRule),
        }
    }

    /// All components that ought to be upgraded before this one: its `upgrade_after`, theirs, and so on.
    #[must_use]
    pub fn predecessors(&self, component: &ComponentName) -> BTreeSet<ComponentName> {
        let after = |name: &ComponentName| self.components().get(name).map(|c| &c.upgrade_after);
        let mut found = BTreeSet::new();
        let mut open: Vec<_> = after(component).into_iter().flatten().collect();
        while let Some(name) = open.pop() {
            if found.insert(name.clone()) {
                open.extend(after(name).into_iter().flatten());
            }
        }
        found
    }

    /// What the rules' sides match, in their order.
    pub(crate) fn sides(&self) -> &[Sides] {
        self.parts.by_versions.sides()
    }

    /// What the blocked hops' sides match, in their order.
    pub(crate) fn blocked_sides(&self) -> &[Sides] {
        self.parts.blocked_by_versions.sides()
    }

    /// All rules that speak of two versions in either orientation and are as specific as the most specific that does: those
    /// of which [`Self::beside`] and [`Self::hop`] name one, and which all have to be changed for another answer. By their
    /// numbers from 0, rising.
    #[must_use]
    pub fn deciding(
        &self,
        a: (&ComponentName, &Version),
        b: (&ComponentName, &Version),
    ) -> Vec<usize> {
        let (x, y) = (Sought::new(a.1), Sought::new(b.1));
        let rules = &self.parts.by_versions;
        let scopes = [Scope::between(a.0, b.0), Scope::All];
        let mut found = scopes.iter().flat_map(|scope| {
            EXACT_SIDES.into_iter().map(|exact_sides| {
                let mut all = rules.all(scope, exact_sides, &x, &y);
                all.extend(rules.all(&scope.turned(), exact_sides, &y, &x));
                all.sort_unstable();
                all.dedup();
                all
            })
        });
        found.find(|all| !all.is_empty()).unwrap_or_default()
    }

    /// What the most specific rules that speak of the two versions state, in either direction.
    fn statement(
        &self,
        a: (&ComponentName, &Version),
        b: (&ComponentName, &Version),
    ) -> Option<Statement<usize>> {
        let (x, y) = (Sought::new(a.1), Sought::new(b.1));
        let rules = &self.parts.by_versions;
        let symmetric = |rule: &usize| self.level(*rule).is_symmetric();
        [Scope::between(a.0, b.0), Scope::All]
            .iter()
            .find_map(|scope| {
                let turned = scope.turned();
                EXACT_SIDES.into_iter().find_map(|exact_sides| {
                    let there = rules.first(scope, exact_sides, &x, &y);
                    let back = rules.first(&turned, exact_sides, &y, &x);
                    let statement = Statement {
                        direct: there.into_iter().chain(back.filter(symmetric)).min(),
                        reversed: back.into_iter().chain(there.filter(symmetric)).min(),
                    };
                    (there.is_some() || back.is_some()).then_some(statement)
                })
            })
    }

    /// The first blocked hop of the component that leads from the one version to the other.
    fn blocking(&self, component: &ComponentName, from: &Version, to: &Version) -> Option<usize> {
        let (from, to) = (Sought::new(from), Sought::new(to));
        let applies = |blocked: &Blocked| blocked.applies_to(component);
        let by_versions = &self.parts.blocked_by_versions;
        by_versions.first(self.blocked(), &from, &to, applies)
    }

    /// The level of a rule; of one that does not exist, the strictest.
    fn level(&self, rule: usize) -> Level {
        self.rules().get(rule).map_or(Level::None, |r| r.level)
    }
}

impl PartialEq for Parts {
    /// The other parts follow from these.
    fn eq(&self, other: &Self) -> bool {
        self.components == other.components
            && self.rules == other.rules
            && self.blocked == other.blocked
    }
}

impl Eq for Parts {}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matrix")
            .field("components", self.components())
            .field("rules", &self.rules())
            .field("blocked", &self.blocked())
            .finish()
    }
}

/// Two components in the order of their names.
fn pair(a: &ComponentName, b: &ComponentName) -> (ComponentName, ComponentName) {
    (a.min(b).clone(), a.max(b).clone())
}

/// The pairs of components that a link or a rule names.
fn pairs(
    components: &BTreeMap<ComponentName, Component>,
    rules: &[Rule],
) -> BTreeSet<(ComponentName, ComponentName)> {
    let links = components.iter().flat_map(|(name, component)| {
        component
            .talks_to
            .iter()
            .map(move |other| pair(name, other))
    });
    let named = rules.iter().filter_map(|rule| match &rule.scope {
        Scope::Pair(first, second) => Some(pair(first, second)),
        Scope::All | Scope::Component(_) => None,
    });
    links.chain(named).collect()
}
