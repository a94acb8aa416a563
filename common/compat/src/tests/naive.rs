//! The matrix read as its definition is written: every rule is looked at for every question.

use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::{Blocked, Level, Method, Rule, Scope, Undo, Way};

type Of<'a> = (&'a ComponentName, &'a Version);

/// Scope first, exact sides second.
type Weight = (bool, usize);

pub(super) struct Naive<'a> {
    pub(super) rules: &'a [Rule],
    pub(super) blocked: &'a [Blocked],
}

/// What one rule states of `a` to `b` itself.
fn stated(rule: &Rule, a: Of<'_>, b: Of<'_>) -> Option<(Weight, Level)> {
    let scoped = |a: &ComponentName, b: &ComponentName| match &rule.scope {
        Scope::All => true,
        Scope::Component(name) => a == name && b == name,
        Scope::Pair(first, second) => a == first && b == second,
    };
    let speaks =
        |a: Of<'_>, b: Of<'_>| scoped(a.0, b.0) && rule.from.matches(a.1) && rule.to.matches(b.1);
    let both_ways = matches!(rule.level, Level::Full | Level::None);
    if !(speaks(a, b) || (both_ways && speaks(b, a))) {
        return None;
    }
    let exact = [&rule.from, &rule.to]
        .iter()
        .filter(|v| v.exact().is_some())
        .count();
    Some(((rule.scope != Scope::All, exact), rule.level))
}

impl Naive<'_> {
    /// The most specific statement of `a` to `b`, and whether as specific ones differ.
    fn best(&self, a: Of<'_>, b: Of<'_>) -> Option<(Weight, Level, bool)> {
        let all: Vec<_> = self
            .rules
            .iter()
            .filter_map(|rule| stated(rule, a, b))
            .collect();
        let weight = all.iter().map(|(weight, _)| *weight).max()?;
        let mut levels = all
            .iter()
            .filter(|(other, _)| *other == weight)
            .map(|(_, level)| *level);
        let level = levels.next()?;
        Some((weight, level, levels.any(|other| other != level)))
    }

    /// Whether rules of equal weight, at any weight, differ on `a` to `b`.
    pub(super) fn contradicts(&self, a: Of<'_>, b: Of<'_>) -> bool {
        let all: Vec<_> = self
            .rules
            .iter()
            .filter_map(|rule| stated(rule, a, b))
            .collect();
        all.iter().any(|(weight, level)| {
            all.iter()
                .any(|(other, differs)| weight == other && level != differs)
        })
    }

    pub(super) fn beside(&self, a: Of<'_>, b: Of<'_>) -> bool {
        let statements = [self.best(a, b), self.best(b, a)];
        match statements
            .into_iter()
            .flatten()
            .max_by_key(|(weight, ..)| *weight)
        {
            Some((_, level, _)) => level != Level::None,
            None => a.1.cmp_precedence(b.1).is_eq(),
        }
    }

    fn is_blocked(&self, component: &ComponentName, from: &Version, to: &Version) -> bool {
        self.blocked.iter().any(|blocked| {
            blocked
                .component
                .as_ref()
                .is_none_or(|name| name == component)
                && blocked.from.matches(from)
                && blocked.to.matches(to)
        })
    }

    pub(super) fn hop(
        &self,
        component: &ComponentName,
        from: &Version,
        to: &Version,
    ) -> Option<Way> {
        let (x, y) = ((component, from), (component, to));
        if self.is_blocked(component, from, to) || !self.beside(x, y) {
            return None;
        }
        let (there, back) = (self.best(x, y), self.best(y, x));
        let direct = there.filter(|(weight, ..)| back.is_none_or(|(other, ..)| *weight >= other));
        let direct_back =
            back.filter(|(weight, ..)| there.is_none_or(|(other, ..)| *weight >= other));
        let equal_without_rule = there.is_none() && back.is_none();
        let (method, level, undo, undo_when_final) = match (direct, direct_back) {
            _ if equal_without_rule => (Method::InPlace, Level::Full, Undo::InPlace, Undo::InPlace),
            (Some((_, Level::Full, _)), _) => {
                (Method::InPlace, Level::Full, Undo::InPlace, Undo::InPlace)
            }
            (Some((_, Level::Backward, _)), back) => {
                let undo = match back.map(|(_, level, _)| level) {
                    Some(Level::Full | Level::Backward) => Undo::InPlace,
                    Some(Level::Forward) => Undo::Rebuild,
                    Some(Level::None) | None => Undo::NotAtAll,
                };
                (Method::InPlace, Level::Backward, Undo::InPlace, undo)
            }
            (Some((_, Level::Forward, _)), _) => (
                Method::Rebuild,
                Level::Forward,
                Undo::InPlace,
                Undo::InPlace,
            ),
            (None, Some((_, Level::Forward, _))) => (
                Method::InPlace,
                Level::Forward,
                Undo::Rebuild,
                Undo::Rebuild,
            ),
            _ => return None,
        };
        let reversed = direct.is_none() && !equal_without_rule;
        let way = Way {
            method,
            level,
            reversed,
            undo,
            undo_when_final,
        };
        Some(match self.is_blocked(component, to, from) {
            true => Way {
                undo: Undo::NotAtAll,
                undo_when_final: Undo::NotAtAll,
                ..way
            },
            false => way,
        })
    }
}
