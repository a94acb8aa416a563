//! The disruption budget: one ledger of what we hold down, what is down by itself, and what we do not
//! know.

use std::{cmp::Ordering, collections::BTreeSet, fmt};

use evenkeel_words::{
    names::{ComponentName, InstanceId},
    planted::{self, Bug},
};
use imbl::OrdSet;

use super::limits::{self, Counts, Limit};
use crate::{
    instance::Instance,
    node::Liveness,
    plan::Policy,
    state::{Outages, State},
};

/// How many of those that are out are named.
const NAMED_MAX: usize = 3;

/// Why an instance does not count as available: what it is or has, to be read after its name.
#[must_use]
pub fn unavailable(state: &State, instance: &Instance) -> Option<String> {
    held(instance).or_else(|| down_by_itself(state, instance))
}

/// Whether it counts as down already, whatever we do with it.
pub(super) fn is_down(state: &State, instance: &Instance) -> bool {
    down_by_itself(state, instance).is_some()
}

fn held(instance: &Instance) -> Option<String> {
    let slot = instance.slot.as_ref()?;
    Some(format!("is held by {}", slot.plan))
}

fn down_by_itself(state: &State, instance: &Instance) -> Option<String> {
    let liveness = state.node(&instance.id.node).map(|node| node.liveness);
    if instance.is_up(liveness) {
        return None;
    }
    Some(match (liveness, instance.report.reason.as_str()) {
        (Some(Liveness::Unknown) | None, _) => {
            "has not been heard of since the coordinator started".to_owned()
        }
        (Some(Liveness::Suspect | Liveness::AgentLost), _) => "has a silent agent".to_owned(),
        (Some(Liveness::Up), "") => "is not healthy".to_owned(),
        (Some(Liveness::Up), reason) => format!("is not healthy ({reason})"),
    })
}

/// What counts as out of one component, and what that leaves room for.
#[derive(Debug, Clone, Copy)]
pub struct Budget<'a> {
    state: &'a State,
    component: &'a ComponentName,
    out: Option<&'a Outages>,
}

/// What keeps one more instance from being taken down. Shown, it is one sentence.
#[derive(Debug)]
pub enum Full<'a> {
    /// Something is out in another failure domain.
    Domain {
        /// Where the state keeps it.
        state: &'a State,
        /// What is out.
        other: &'a InstanceId,
        /// Its failure domain.
        other_domain: Option<&'a str>,
        /// What would be taken down.
        candidate: &'a InstanceId,
        /// Its failure domain.
        domain: Option<&'a str>,
        /// In how many of them something may be out.
        at_once: u32,
    },
    /// As much of the group or the component is out as may be.
    Limit {
        /// Where the state keeps it.
        state: &'a State,
        /// How many others are out.
        out: u32,
        /// The first few of them.
        first: Vec<&'a InstanceId>,
        /// The limit.
        limit: Limit,
    },
}

impl fmt::Display for Full<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain {
                state,
                other,
                other_domain,
                candidate,
                domain,
                at_once,
            } => {
                write!(
                    f,
                    "{other} in {} {}; {candidate} is in {}, and ",
                    other_domain.unwrap_or("no failure domain"),
                    why(state, other),
                    domain.unwrap_or("none"),
                )?;
                match at_once {
                    1 => write!(f, "two failure domains are never down at once"),
                    max => write!(f, "never more than {max} failure domains are down at once"),
                }
            }
            Self::Limit {
                state,
                out,
                first,
                limit,
            } => {
                let of = match limit {
                    Limit::Group(_) | Limit::Healthy { .. } => "group",
                    Limit::Component(_) => "component",
                };
                let told = first.iter().map(|id| format!("{id} {}", why(state, id)));
                let told: Vec<_> = told.collect();
                let more = usize::try_from(*out).unwrap_or(usize::MAX);
                let more = match more.saturating_sub(told.len()) {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                let told = told.join(", ");
                match out {
                    0 => write!(f, "of its {of} {limit}"),
                    1 => write!(f, "{told}, and {limit}"),
                    out => write!(
                        f,
                        "{out} of its {of} count as down ({told}{more}), and {limit}"
                    ),
                }
            }
        }
    }
}

fn why(state: &State, id: &InstanceId) -> String {
    let instance = state.instance(id);
    let why = instance.and_then(|instance| unavailable(state, instance));
    why.unwrap_or_default()
}

impl<'a> Budget<'a> {
    /// With all counted that are not available.
    #[must_use]
    pub fn of(state: &'a State, component: &'a ComponentName) -> Self {
        let members = state.members(component);
        Self {
            state,
            component,
            out: members.map(|members| match planted::is(Bug::BudgetIgnoresFailures) {
                true => members.held(),
                false => members.down(),
            }),
        }
    }

    /// With only those counted that we hold.
    #[must_use]
    pub fn of_held(state: &'a State, component: &'a ComponentName) -> Self {
        let members = state.members(component);
        Self {
            state,
            component,
            out: members.map(|members| members.held()),
        }
    }

    /// Whether one more instance may be taken down.
    #[must_use]
    pub fn has_room(&self, policy: &'a Policy, candidate: &'a Instance) -> bool {
        let full = self.holds_back(policy, candidate);
        full.or_else(|| self.held_elsewhere(policy, candidate))
            .is_none()
    }

    /// What of its own component keeps one more instance from being taken down; nothing if there is room.
    #[must_use]
    pub fn holds_back(&self, policy: &'a Policy, candidate: &'a Instance) -> Option<Full<'a>> {
        self.domain_full(policy, candidate)
            .or_else(|| self.limit_reached(policy, candidate, true))
    }

    /// The same for one that is down already.
    fn holds_back_one_down(&self, policy: &'a Policy, candidate: &'a Instance) -> Option<Full<'a>> {
        self.domain_full(policy, candidate)
            .or_else(|| self.limit_reached(policy, candidate, false))
    }

    /// What we hold of other components in other failure domains than the candidate's, if those are as many as may be.
    #[must_use]
    pub fn held_elsewhere(&self, policy: &'a Policy, candidate: &'a Instance) -> Option<Full<'a>> {
        let label = policy.failure_domain.as_deref()?;
        let own = candidate.labels.get(label).map(String::as_str)?;
        let held = || self.held_of_others().flat_map(|out| out.by_label(label));
        let (value, ids) = held().find(|(value, _)| *value != own)?;
        let domains = held().map(|(value, _)| Some(value)).collect();
        if !limits::too_many_domains(policy, Some(own), &domains) {
            return None;
        }
        let other = (ids.get_min()?, Some(value));
        Some(self.other_domain(policy, other, candidate, Some(own)))
    }

    /// How much of the component is out, beside what may be; nothing if there is no such limit.
    #[must_use]
    pub fn component_fill(&self, policy: &Policy) -> Option<Ordering> {
        let max = limits::of_component(policy, self.size())?;
        Some(count(self.out.map_or(0, Outages::len)).cmp(&max))
    }

    fn size(&self) -> u32 {
        let members = self.state.members(self.component);
        count(members.map_or(0, |members| members.all().len()))
    }

    /// The failure domains in which something of the component is out, and those in which something of any other is held
    /// by us: each of the two may hold back by itself.
    #[must_use]
    pub fn domains(&self, policy: &Policy) -> [BTreeSet<Option<String>>; 2] {
        let Some(label) = policy.failure_domain.as_deref() else {
            return Default::default();
        };
        let of = |out: &Outages| {
            let known = out.by_label(label).map(|(value, _)| Some(value.to_owned()));
            let nowhere = (unlabelled(out, label) > 0).then_some(None);
            known.chain(nowhere).collect::<Vec<_>>()
        };
        [
            self.out.into_iter().flat_map(of).collect(),
            self.held_of_others().flat_map(of).collect(),
        ]
    }

    fn held_of_others(&self) -> impl Iterator<Item = &'a Outages> {
        let (state, own) = (self.state, self.component);
        let others = state
            .components()
            .filter(move |component| *component != own);
        others.filter_map(move |component| Some(state.members(component)?.held()))
    }

    fn domain_full(&self, policy: &'a Policy, candidate: &'a Instance) -> Option<Full<'a>> {
        if planted::is(Bug::DomainIgnored) {
            return None;
        }
        let label = policy.failure_domain.as_deref()?;
        let domain = candidate.labels.get(label).map(String::as_str);
        let out = self.out?;
        // Nowhere is another domain than any.
        let nowhere = unlabelled(out, label) > 0;
        let somewhere_else = || {
            let mut ids = out.all();
            let other = ids.find(|id| {
                let instance = self.state.instance(id);
                instance.is_some_and(|instance| !instance.labels.contains_key(label))
            });
            let other = other.filter(|_| nowhere && domain.is_some());
            other.map(|id| (id, None))
        };
        let other = elsewhere(out, label, domain).or_else(somewhere_else)?;
        let known = out.by_label(label).map(|(value, _)| Some(value));
        let domains = known.chain(nowhere.then_some(None)).collect();
        limits::too_many_domains(policy, domain, &domains)
            .then(|| self.other_domain(policy, other, candidate, domain))
    }

    fn other_domain(
        &self,
        policy: &Policy,
        (other, other_domain): (&'a InstanceId, Option<&'a str>),
        candidate: &'a Instance,
        domain: Option<&'a str>,
    ) -> Full<'a> {
        Full::Domain {
            state: self.state,
            other,
            other_domain,
            candidate: &candidate.id,
            domain,
            at_once: policy.failure_domains_at_once,
        }
    }

    fn limit_reached(
        &self,
        policy: &Policy,
        candidate: &Instance,
        takes_down: bool,
    ) -> Option<Full<'a>> {
        if planted::is(Bug::BudgetIgnored) {
            return None;
        }
        let members = self.state.members(self.component)?;
        let own = self.out.is_some_and(|out| out.contains(&candidate.id));
        let of_group = self.out.and_then(|out| out.of_group(candidate.group()));
        let others = |out: usize| count(out.saturating_sub(usize::from(own)));
        let group = members.groups().get(candidate.group());
        let counts = Counts {
            group: count(group.map_or(0, OrdSet::len)),
            group_down: others(of_group.map_or(0, OrdSet::len)),
            component: self.size(),
            component_down: others(self.out.map_or(0, Outages::len)),
            takes_down,
        };
        let limit = limits::broken(policy, &counts)?;
        let not_itself = |id: &&InstanceId| **id != candidate.id;
        let (out, first) = match limit {
            Limit::Group(_) | Limit::Healthy { .. } => (
                counts.group_down,
                first(of_group.into_iter().flatten().filter(not_itself)),
            ),
            Limit::Component(_) => (
                counts.component_down,
                first(
                    self.out
                        .into_iter()
                        .flat_map(Outages::all)
                        .filter(not_itself),
                ),
            ),
        };
        Some(Full::Limit {
            state: self.state,
            out,
            first,
            limit,
        })
    }
}

/// As many as are named.
fn first<'a>(out: impl Iterator<Item = &'a InstanceId>) -> Vec<&'a InstanceId> {
    out.take(NAMED_MAX).collect()
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// One that is out in another domain than this, and that domain.
fn elsewhere<'a>(
    out: &'a Outages,
    label: &'a str,
    domain: Option<&str>,
) -> Option<(&'a InstanceId, Option<&'a str>)> {
    let mut values = out.by_label(label);
    let (value, ids) = values.find(|(value, _)| Some(*value) != domain)?;
    Some((ids.get_min()?, Some(value)))
}

/// How many do not have the label.
fn unlabelled(out: &Outages, label: &str) -> usize {
    let labelled: usize = out.by_label(label).map(|(_, ids)| ids.len()).sum();
    out.len().saturating_sub(labelled)
}

/// What keeps an instance from being put back, in one sentence; nothing if the budget has room. One that is
/// down already takes nothing down: only what we hold counts then, or two sick ones would wait for each
/// other for ever.
#[must_use]
pub fn holds_back_way_back(state: &State, policy: &Policy, instance: &Instance) -> Option<String> {
    let component = &instance.report.component;
    let full = match down_by_itself(state, instance) {
        Some(_) => Budget::of_held(state, component).holds_back_one_down(policy, instance),
        None => Budget::of(state, component).holds_back(policy, instance),
    };
    full.map(|full| full.to_string())
}
