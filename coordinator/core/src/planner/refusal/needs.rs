//! What a stage that may not be would need in order to be allowed.
//!
//! A [`Need`] is one thing that is in the way of a stage, and lists the changes of which any one puts it right. A change
//! is taken to do so wherever the same thing is in the way: a rule that is added decides what no rule decided, or only less
//! specific ones did; a rule that is changed what it decided itself, together with those that are as specific.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use evenkeel_compat::{Apart, Level, Matrix, NoHop, Rule, Scope, Versions};
use evenkeel_words::names::ComponentName;
use semver::{BuildMetadata, Version};

use super::remedy::Remedy;
use crate::planner::{
    request::Request,
    ruled_out::Why,
    space::{Place, Space, Standing},
};

/// A change, as it is told from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Publish(usize, Place),
    MoveUsers(ComponentName, Version),
    AddRule(Scope, Version, Version),
    AmendRule(usize),
    Unblock(usize),
}

/// A change, by its number.
pub(super) type ChangeId = u32;

/// One thing in the way.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// Any one of these puts it right.
    pub(super) options: Vec<ChangeId>,
    /// What is wrong.
    pub(super) why: Why,
}

impl Need {
    /// Whether one of these changes, which are sorted, puts it right.
    pub(super) fn is_met(&self, by: &[ChangeId]) -> bool {
        let mut options = self.options.iter();
        options.any(|option| by.binary_search(option).is_ok())
    }
}

/// How hard a set of changes is to come by, compared part by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Effort {
    /// How many there are.
    pub(super) changes: u64,
    /// What kinds these are.
    pub(super) weight: u64,
    /// How far the versions are apart that rules have to be added for, in versions between them.
    pub(super) gap: u64,
}

impl std::ops::Add for Effort {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            changes: self.changes.saturating_add(other.changes),
            weight: self.weight.saturating_add(other.weight),
            gap: self.gap.saturating_add(other.gap),
        }
    }
}

/// What is known once changes are made.
pub(super) struct Made {
    pub(super) matrix: Matrix,
    pub(super) published: BTreeMap<ComponentName, BTreeSet<Version>>,
    pub(super) reported: BTreeMap<ComponentName, BTreeMap<Version, BTreeSet<String>>>,
}

/// Needs that have been worked out, by what they are the needs of.
type Worked<K> = RefCell<BTreeMap<K, Rc<[Need]>>>;

/// All needs of a space, worked out when they are asked for.
pub(super) struct Needs<'s, 'a> {
    pub(super) space: &'s Space<'a>,
    /// The matrix without what it blocks.
    unblocked: Matrix,
    scopes: Vec<&'s Scope>,
    changes: RefCell<(BTreeMap<Change, ChangeId>, Vec<Change>)>,
    /// Those of the changes that add a rule where others decide, which it would beat.
    exceptions: RefCell<BTreeSet<ChangeId>>,
    hops: Worked<(usize, Place, Place)>,
    meetings: Worked<(usize, Place, usize, Place)>,
}

impl<'s, 'a> Needs<'s, 'a> {
    /// The needs of a space of this request, which may have versions that there is no release of.
    pub(super) fn new(request: &Request<'a>, space: &'s Space<'a>) -> Self
    where
        'a: 's,
    {
        let matrix = request.matrix;
        let parts = (matrix.components().clone(), matrix.rules().to_vec());
        // What goes together with blocked hops goes together without them.
        let unblocked = Matrix::new(parts.0, parts.1, Vec::new()).unwrap_or_default();
        let mut scopes: Vec<&Scope> = matrix.rules().iter().map(|rule| &rule.scope).collect();
        scopes.sort();
        scopes.dedup();
        Self {
            space,
            unblocked,
            scopes,
            changes: RefCell::default(),
            exceptions: RefCell::default(),
            hops: RefCell::default(),
            meetings: RefCell::default(),
        }
    }

    fn id(&self, change: Change) -> ChangeId {
        let mut changes = self.changes.borrow_mut();
        let (numbers, all) = &mut *changes;
        *numbers.entry(change).or_insert_with_key(|change| {
            all.push(change.clone());
            (all.len() - 1) as ChangeId
        })
    }

    /// How hard one change is to come by.
    pub(super) fn effort(&self, id: ChangeId) -> Effort {
        let changes = self.changes.borrow();
        let change = changes.1.get(id as usize);
        let index = &self.space.index;
        // A kind outweighs what is before it, so that of sets of the same size the one comes first that asks least of
        // people: a release, then users, then a statement about versions, then one that contradicts what is written.
        let weight = match change {
            Some(Change::Publish(..)) | None => 0,
            Some(Change::MoveUsers(..)) => 1,
            Some(Change::AddRule(..)) if self.exceptions.borrow().contains(&id) => 110,
            Some(Change::AddRule(Scope::All, ..)) => 11,
            Some(Change::AddRule(..)) => 10,
            Some(Change::AmendRule(_)) => 100,
            Some(Change::Unblock(_)) => 1_000,
        };
        let gap = match change {
            Some(Change::AddRule(_, from, to)) => match (index.version(from), index.version(to)) {
                (Some(from), Some(to)) => from.abs_diff(to) as u64,
                _ => 0,
            },
            _ => 0,
        };
        Effort {
            changes: 1,
            weight,
            gap,
        }
    }

    /// How hard a set of changes is to come by.
    pub(super) fn effort_of(&self, set: &[ChangeId]) -> Effort {
        let each = set.iter().map(|id| self.effort(*id));
        each.fold(Effort::default(), |sum, each| sum + each)
    }

    /// The change as it is told to people.
    pub(super) fn remedy(&self, id: ChangeId) -> Option<Remedy> {
        let matrix = self.space.index.matrix();
        match self.changes.borrow().1.get(id as usize)?.clone() {
            Change::Publish(mover, place) => {
                let mover = &self.space.movers[mover];
                Some(Remedy::Publish {
                    component: mover.component.clone(),
                    version: mover.version(place).clone(),
                })
            }
            Change::MoveUsers(component, version) => {
                let mut standing = self.space.standing.iter();
                let is = |still: &&Standing<'_>| {
                    *still.component == component && *still.version == version
                };
                let sources = standing.find(is).and_then(|still| still.sources).cloned();
                Some(Remedy::MoveUsers {
                    component,
                    version,
                    sources: sources.unwrap_or_default(),
                })
            }
            Change::AddRule(scope, from, to) => Some(Remedy::AddRule { scope, from, to }),
            Change::AmendRule(number) => Some(Remedy::ChangeRule {
                number,
                rule: matrix.rules().get(number)?.clone(),
            }),
            Change::Unblock(number) => Some(Remedy::Unblock {
                number,
                blocked: matrix.blocked().get(number)?.clone(),
            }),
        }
    }

    /// What is known, with these changes made; nothing if rules then contradict each other.
    pub(super) fn made(&self, request: &Request<'_>, set: &[ChangeId]) -> Option<Made> {
        let mut made = Made {
            matrix: Matrix::default(),
            published: request.published.clone(),
            reported: request.reported.clone(),
        };
        let mut rules = request.matrix.rules().to_vec();
        let mut blocked: Vec<_> = request.matrix.blocked().iter().map(Some).collect();
        for id in set {
            match self.remedy(*id)? {
                Remedy::Publish { component, version } => {
                    made.published.entry(component).or_default().insert(version);
                }
                Remedy::MoveUsers {
                    component, version, ..
                } => {
                    made.reported.get_mut(&component)?.remove(&version);
                }
                Remedy::AddRule { scope, from, to } => rules.push(Rule {
                    scope,
                    from: Versions::Exact(from),
                    to: Versions::Exact(to),
                    level: Level::Full,
                    note: None,
                }),
                Remedy::ChangeRule { number, .. } => rules.get_mut(number)?.level = Level::Full,
                Remedy::Unblock { number, .. } => *blocked.get_mut(number)? = None,
            }
        }
        let components = request.matrix.components().clone();
        let blocked = blocked.into_iter().flatten().cloned().collect();
        made.matrix = Matrix::new(components, rules, blocked).ok()?;
        Some(made)
    }

    /// The needs of a hop beside all that stands still.
    pub(super) fn of_hop(&self, number: usize, from: Place, to: Place) -> Rc<[Need]> {
        let key = (number, from, to);
        if let Some(known) = self.hops.borrow().get(&key) {
            return known.clone();
        }
        let needs: Rc<[Need]> = self.work_out_hop(number, from, to).into();
        self.hops.borrow_mut().insert(key, needs.clone());
        needs
    }

    fn work_out_hop(&self, number: usize, from: Place, to: Place) -> Vec<Need> {
        let mover = &self.space.movers[number];
        let mut needs = Vec::new();
        if mover.hops[usize::from(from)].iter().any(|hop| hop.to == to) {
            return needs;
        }
        if !mover.published[usize::from(to)] {
            needs.push(Need {
                options: vec![self.id(Change::Publish(number, to))],
                why: Why::NotPublished,
            });
        }
        let component = mover.component;
        let (before, after) = (mover.version(from), mover.version(to));
        needs.extend(self.blocks(component, before, after));
        if let Err(why) = self.unblocked.hop(component, before, after) {
            let ends = ((component, before), (component, after));
            needs.extend(
                self.needs_of_rules(ends, why == NoHop::NoRule, Vec::new(), &|rule| {
                    Why::NoHop(match &why {
                        NoHop::Apart { .. } => NoHop::Apart { rule },
                        NoHop::OnlyBackward { .. } => NoHop::OnlyBackward { rule },
                        other => other.clone(),
                    })
                }),
            );
        }
        for still in &self.space.standing {
            let there = (still.component, still.version);
            needs.extend(self.beside((component, after), there, Some(still)));
        }
        needs
    }

    /// Everything that blocks a hop.
    fn blocks(
        &self,
        component: &ComponentName,
        from: &Version,
        to: &Version,
    ) -> impl Iterator<Item = Need> {
        let matrix = self.space.index.matrix();
        let blocked = matrix.hop(component, from, to);
        let blocked = matches!(blocked, Err(NoHop::Blocked { .. }));
        let all = matrix.blocked().iter().enumerate().filter(move |_| blocked);
        let all = all.filter(move |(_, block)| {
            let of = block.component.as_ref();
            of.is_none_or(|of| of == component) && block.from.matches(from) && block.to.matches(to)
        });
        all.map(|(number, block)| Need {
            options: vec![self.id(Change::Unblock(number))],
            why: Why::NoHop(NoHop::Blocked {
                blocked: number,
                reason: block.reason.clone(),
            }),
        })
    }

    /// What two versions need to run side by side, if they may not.
    pub(super) fn beside(
        &self,
        one: (&ComponentName, &Version),
        other: (&ComponentName, &Version),
        still: Option<&Standing<'_>>,
    ) -> Vec<Need> {
        let matrix = self.space.index.matrix();
        if !matrix.constrain(one.0, other.0) {
            return Vec::new();
        }
        let Err(why) = matrix.beside(one, other) else {
            return Vec::new();
        };
        let sources = still.and_then(|still| still.sources);
        let users = sources.map(|_| Change::MoveUsers(other.0.clone(), other.1.clone()));
        let users = users.into_iter().collect();
        self.needs_of_rules((one, other), why == Apart::NoRule, users, &|rule| {
            let why = match why {
                Apart::Rule { .. } => Apart::Rule { rule },
                Apart::NoRule => Apart::NoRule,
            };
            Why::meets(other, sources, why)
        })
    }

    /// What the rules of two versions need: one more where none decides, or else all of those to be changed that do.
    /// `instead` puts it right as well.
    fn needs_of_rules(
        &self,
        (one, other): ((&ComponentName, &Version), (&ComponentName, &Version)),
        silent: bool,
        instead: Vec<Change>,
        why: &dyn Fn(usize) -> Why,
    ) -> Vec<Need> {
        let need = |changes: Vec<Change>, why: Why| {
            let options = instead.iter().cloned().chain(changes);
            Need {
                options: options.map(|change| self.id(change)).collect(),
                why,
            }
        };
        if silent {
            return vec![need(self.rules_between(one, other), why(0))];
        }
        let matrix = self.space.index.matrix();
        let deciding = matrix.deciding(one, other);
        // A rule of two exact versions beats what is less specific, however much of that there is.
        let first = deciding.first().and_then(|rule| matrix.rules().get(*rule));
        let first = first.map(|rule| (&rule.scope, rule.from.exact().and(rule.to.exact())));
        let beats = |change: &Change| match (change, first) {
            (Change::AddRule(Scope::All, ..), Some((scope, exact))) => {
                *scope == Scope::All && exact.is_none()
            }
            (Change::AddRule(..), Some((scope, exact))) => *scope == Scope::All || exact.is_none(),
            _ => false,
        };
        let mut exceptions = self.rules_between(one, other);
        exceptions.retain(beats);
        for exception in &exceptions {
            let id = self.id(exception.clone());
            self.exceptions.borrow_mut().insert(id);
        }
        let each = deciding.into_iter().map(|rule| {
            let change = std::iter::once(Change::AmendRule(rule));
            need(
                change.chain(exceptions.iter().cloned()).collect(),
                why(rule),
            )
        });
        each.collect()
    }

    /// What a mover at `at` needs beside another one's version.
    pub(super) fn of_meeting(
        &self,
        number: usize,
        at: Place,
        other: usize,
        there: Place,
    ) -> Rc<[Need]> {
        let key = (number, at, other, there);
        if let Some(known) = self.meetings.borrow().get(&key) {
            return known.clone();
        }
        let (mover, with) = (&self.space.movers[number], &self.space.movers[other]);
        let index = &self.space.index;
        let (rank, with_rank) = (mover.ranks[usize::from(at)], with.ranks[usize::from(there)]);
        let beside = index.beside(mover.number, rank, with.number);
        let needs: Rc<[Need]> = match beside.contains(with_rank) {
            true => Rc::new([]),
            false => {
                let one = (mover.component, mover.version(at));
                let other = (with.component, with.version(there));
                self.beside(one, other, None).into()
            }
        };
        self.meetings.borrow_mut().insert(key, needs.clone());
        needs
    }

    /// The rules of which one is to be added between two versions: for the component or the pair, unless all that speaks
    /// of it speaks of all; for all, if there is such a rule already, so that nothing is held together that was apart.
    fn rules_between(
        &self,
        one: (&ComponentName, &Version),
        other: (&ComponentName, &Version),
    ) -> Vec<Change> {
        let (one, other) = if one.0 <= other.0 {
            (one, other)
        } else {
            (other, one)
        };
        let plain = |version: &Version| Version {
            build: BuildMetadata::EMPTY,
            ..version.clone()
        };
        let (from, to) = (plain(one.1), plain(other.1));
        let (low, high) = if from <= to {
            (&from, &to)
        } else {
            (&to, &from)
        };
        let for_all = Change::AddRule(Scope::All, low.clone(), high.clone());
        let has = |scope: &Scope| self.scopes.binary_search(&scope).is_ok();
        let (scope, named) = if one.0 == other.0 {
            let scope = Scope::Component(one.0.clone());
            let named = Change::AddRule(scope.clone(), low.clone(), high.clone());
            (has(&scope), named)
        } else {
            let scope = Scope::Pair(one.0.clone(), other.0.clone());
            let turned = Scope::Pair(other.0.clone(), one.0.clone());
            let is_there = has(&scope) || has(&turned);
            (is_there, Change::AddRule(scope, from, to))
        };
        match (has(&Scope::All), scope) {
            (true, false) => vec![for_all],
            (true, true) => vec![named, for_all],
            (false, _) => vec![named],
        }
    }
}
