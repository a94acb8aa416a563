//! Versions that meet are compatible, also when a node comes back that was away: an instance without a process whose
//! version may not run beside what is there stays down until it is caught up ([`catch_up`]) or may run again.
//!
//! What is said of that is kept with the instance as a word that rises, and its agent says which word it has on its
//! disk. Only where both say that it stays down does its version not count as one that others meet
//! ([`Instance::is_quarantined`]): a word that is lost, late or not heard yet is on the safe side. It counts again from
//! the moment at which it is let go, before its agent hears of that.
//!
//! What runs is not held, since nothing of ours would stop it; [`told`] warns of it. Neither is what is being carried
//! out by an order, but one that was held before stays so until what it has may run: its order names nothing to go
//! back to, and if that fails it stays down.
//!
//! Which of two stays down that may not meet: whatever meets a version that runs. Where neither runs, after the power
//! went for all, the one that fewer have, then the older one. None of that depends on who is held, so that no two let
//! each other go and hold each other in turns.

use std::collections::BTreeSet;

use evenkeel_words::{
    limits::{REASON_BYTES_MAX, cut},
    names::{ComponentName, InstanceId},
    timestamp::Timestamp,
};
use semver::Version;

use super::{Decision, breaker, catch_up};
use crate::{
    change::Resource,
    instance::{Instance, Quarantine},
    state::{Key, State},
};

/// How many instances are held or let go in one change at most.
const CHANGED_MAX: usize = 256;

/// What the version of an instance would meet and may not, or meets, in one sentence; nothing if it may run.
#[must_use]
pub fn meets(state: &State, instance: &Instance) -> Option<String> {
    let report = &instance.report;
    let process = report.process.as_ref().map(|process| &process.release);
    let version = &process.or(report.current.as_ref())?.version;
    let own = (&report.component, version);
    // Nobody has ever said what may meet.
    if state.matrix().version == 0 {
        return None;
    }
    let matrix = &state.matrix().matrix;
    let apart = |other: (&ComponentName, &Version)| {
        let why = matrix.beside(own, other).err()?;
        Some(format!(
            "{} {version} may not run beside {} {}: {why}",
            own.0, other.0, other.1
        ))
    };
    let related = state
        .components()
        .filter(|other| matrix.constrain(own.0, other));
    let met = related
        .flat_map(|component| {
            let versions = state.members(component).map(|members| members.having());
            let at_work = state.members(component).map(|members| members.at_work());
            let versions = [versions, at_work].into_iter().flatten();
            versions.flat_map(move |versions| versions.keys().map(move |v| (component, v)))
        })
        .filter(|other| *other != own && comes_first(state, *other, own))
        .find_map(apart);
    met.or_else(|| {
        let externals = matrix.components().iter();
        let externals = externals
            .filter(|(name, component)| component.external && matrix.constrain(own.0, name));
        externals.into_iter().find_map(|(name, _)| {
            let mut in_use = state.in_use(name)?;
            in_use.find_map(|(version, sources)| {
                let why = apart((name, version))?;
                let source = sources.get_min().map_or("", |source| source.as_str());
                Some(format!("{why} (reported by {source})"))
            })
        })
    })
}

/// Whether the one version is there, as far as the other is concerned: it runs, or neither does and more have it.
fn comes_first(
    state: &State,
    (component, version): (&ComponentName, &Version),
    own: (&ComponentName, &Version),
) -> bool {
    let at_work = |component: &ComponentName, version: &Version| {
        let members = state.members(component);
        members.is_some_and(|members| members.at_work().contains_key(version))
    };
    let rank = |component: &ComponentName, version: &Version| {
        let members = state.members(component);
        let having = members.and_then(|members| members.having().get(version).copied());
        (having, version.clone(), component.clone())
    };
    at_work(component, version)
        || (!at_work(own.0, own.1) && rank(component, version) > rank(own.0, own.1))
}

/// What has to be said of an instance's staying down, if that is not what was said last.
fn said_anew(state: &State, instance: &Instance, now: Timestamp) -> Option<Quarantine> {
    let was = &instance.quarantine;
    let down = instance.report.process.is_none();
    let met = Some(instance)
        .filter(|_| down)
        .and_then(|x| meets(state, x));
    let reason = match (&instance.slot, &was.reason) {
        (Some(_), None) => None,
        (Some(_), Some(held)) => met.map(|_| held.clone()),
        (None, _) => met.map(|met| cut(met, REASON_BYTES_MAX)),
    };
    let turned = reason.is_some() != was.reason.is_some();
    // Its agent goes by a word that this state does not know.
    let outrun = instance.report.hold_word > was.word;
    if !turned && !outrun && reason == was.reason {
        return None;
    }
    let word = match turned || outrun {
        true => was.word.max(instance.report.hold_word).saturating_add(1),
        false => was.word,
    };
    Some(Quarantine {
        word,
        reason,
        since: if turned { now } else { was.since },
    })
}

/// What people read of an instance that is held, or that runs beside what it may not meet; nothing for any other.
#[must_use]
pub fn told(state: &State, instance: &Instance, now: Timestamp) -> Option<String> {
    match &instance.quarantine.reason {
        Some(reason) => Some(format!(
            "{reason}; {}",
            catch_up::outlook(state, instance, now)
        )),
        None if instance.report.process.is_some() => {
            let met = meets(state, instance)?;
            Some(format!(
                "it is not held because it runs already, but {met}; a plan or a person has to bring it elsewhere"
            ))
        }
        None => None,
    }
}

/// Whom to look at again because of what changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    instances: BTreeSet<InstanceId>,
    /// Somebody may be caught up who could not be before.
    catch_up: bool,
}

impl Watch {
    /// One that has not looked at anything of this state yet.
    pub(super) fn new(state: &State) -> Self {
        let mut watch = Self::default();
        watch.look_at_all(state);
        watch
    }

    fn look_at_all(&mut self, state: &State) {
        self.instances
            .extend(state.may_be_held().map(|x| x.id.clone()));
        self.catch_up = true;
    }

    /// The state has changed in this.
    pub(super) fn note(&mut self, before: &State, after: &State, key: &Key) {
        match key {
            Key::Coordinator => *self = Self::new(after),
            Key::Matrix | Key::ReportedVersions(..) => self.look_at_all(after),
            Key::Instance(id) => {
                self.instances.insert(id.clone());
                let instances = [before.instance(id), after.instance(id)];
                let components: BTreeSet<_> = instances
                    .into_iter()
                    .flatten()
                    .map(|instance| &instance.report.component)
                    .collect();
                if components
                    .into_iter()
                    .any(|component| !same_versions(before, after, component))
                {
                    self.look_at_all(after);
                }
                let held = after.instance(id).is_some_and(|x| x.is_quarantined());
                self.catch_up |= held;
            }
            Key::Plan(_) | Key::Node(_) | Key::Release(..) | Key::Freeze => self.catch_up = true,
            Key::Task(_) | Key::Request(_) => {}
        }
    }

    /// Those that have to be held, or let go.
    pub(super) fn hold(&mut self, state: &State, now: Timestamp) -> Option<Decision> {
        let mut changed = Vec::new();
        while changed.len() < CHANGED_MAX
            && let Some(id) = self.instances.pop_first()
        {
            let Some(instance) = state.instance(&id) else {
                continue;
            };
            if let Some(quarantine) = said_anew(state, instance, now) {
                changed.push(Instance {
                    quarantine,
                    ..Instance::clone(instance)
                });
            }
        }
        let first = changed.first()?;
        let what = match &first.quarantine.reason {
            Some(reason) => format!("{} held down: {reason}", first.id),
            None => format!("{} no longer held down", first.id),
        };
        let cause = match changed.len() {
            1 => what,
            more => format!("{what}, and {} more held or let go", more - 1),
        };
        Some((cause, changed.into_iter().map(Resource::Instance).collect()))
    }

    /// A plan for some that are held, if one can be made now.
    pub(super) fn catch_up(&mut self, state: &State, now: Timestamp) -> Option<Decision> {
        if !self.catch_up {
            return None;
        }
        let decision = catch_up::begin(state, now);
        self.catch_up = decision.is_some();
        decision
    }

    /// The breaker may have closed.
    pub(super) fn look_at_catching_up(&mut self) {
        self.catch_up = true;
    }

    /// When somebody may be caught up though nothing happens.
    pub(super) fn due_at(state: &State, now: Timestamp) -> Option<Timestamp> {
        state.quarantined().next()?;
        breaker::closes_at(state, now).filter(|at| *at > now)
    }
}

/// Whether the versions of a component that decide who is held are the same.
fn same_versions(before: &State, after: &State, component: &ComponentName) -> bool {
    let of = |state: &State| {
        let members = state.members(component)?;
        Some((members.at_work().clone(), members.having().clone()))
    };
    match (of(before), of(after)) {
        (Some(before), Some(after)) => before.0.keys().eq(after.0.keys()) && before.1 == after.1,
        (before, after) => before.is_none() && after.is_none(),
    }
}
