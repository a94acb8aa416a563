//! The disruption budget: one ledger of what we hold down, what is down by itself, and what we do not
//! know.

use evenkeel_words::names::ComponentName;

use crate::{
    instance::{Health, Instance, Status},
    node::Liveness,
    plan::Policy,
    state::State,
};

/// Why an instance does not count as available: what it is or has, to be read after its name.
#[must_use]
pub fn unavailable(state: &State, instance: &Instance) -> Option<String> {
    held(instance).or_else(|| down_by_itself(state, instance))
}

fn held(instance: &Instance) -> Option<String> {
    let slot = instance.slot.as_ref()?;
    Some(format!("is held by {}", slot.plan))
}

fn down_by_itself(state: &State, instance: &Instance) -> Option<String> {
    let liveness = state.node(&instance.id.node).map(|node| node.liveness);
    match liveness {
        Some(Liveness::Up) => {}
        Some(Liveness::Unknown) | None => {
            return Some("has not been heard of since the coordinator started".to_owned());
        }
        Some(Liveness::Suspect | Liveness::AgentLost) => {
            return Some("has a silent agent".to_owned());
        }
    }
    let report = &instance.report;
    let good = match (report.status, report.health) {
        (Status::Running, Health::Healthy | Health::Warning) => true,
        (Status::Running, Health::Error)
        | (Status::Upgrading | Status::Stopped | Status::Error, _) => false,
    };
    (!good).then(|| match report.reason.as_str() {
        "" => "is not healthy".to_owned(),
        reason => format!("is not healthy ({reason})"),
    })
}

/// The instances of a component that count as down, each with why.
#[derive(Debug)]
pub struct Down<'a>(Vec<(&'a Instance, String)>);

impl<'a> Down<'a> {
    /// All that are not available.
    #[must_use]
    pub fn of(state: &'a State, component: &ComponentName) -> Self {
        Self::counting(state, component, |instance| unavailable(state, instance))
    }

    /// Only those that we hold.
    #[must_use]
    pub fn held(state: &'a State, component: &ComponentName) -> Self {
        Self::counting(state, component, held)
    }

    fn counting(
        state: &'a State,
        component: &ComponentName,
        why: impl Fn(&Instance) -> Option<String>,
    ) -> Self {
        let instances = state.instances_of(component).map(AsRef::as_ref);
        Self(instances.filter_map(|i| Some((i, why(i)?))).collect())
    }

    /// What keeps one more instance from being taken down, in one sentence; nothing if the budget has room.
    #[must_use]
    pub fn holds_back(&self, policy: &Policy, candidate: &Instance) -> Option<String> {
        let label = policy.failure_domain.as_deref();
        let domain = |instance: &Instance| label.and_then(|l| instance.labels.get(l).cloned());
        let own_domain = domain(candidate);

        let others = self.0.iter().filter(|(other, _)| other.id != candidate.id);
        let mut in_group = Vec::new();
        for (other, why) in others {
            let other_domain = domain(other);
            if other_domain != own_domain {
                return Some(format!(
                    "{} in {} {why}; {} is in {}, and two failure domains are never down at once",
                    other.id,
                    other_domain.as_deref().unwrap_or("no failure domain"),
                    candidate.id,
                    own_domain.as_deref().unwrap_or("none"),
                ));
            }
            if other.group() == candidate.group() {
                in_group.push((&other.id, why));
            }
        }
        let down = u32::try_from(in_group.len()).unwrap_or(u32::MAX);
        let max = policy.max_unavailable;
        if down < max {
            return None;
        }
        let (first, why) = in_group.first()?;
        Some(match down {
            1 => format!("{first} {why}, and max_unavailable is {max}"),
            down => format!(
                "{down} of its group count as down ({first} {why}), and max_unavailable is {max}"
            ),
        })
    }
}

/// An instance of any component that we hold down in another failure domain than the candidate's.
#[must_use]
pub fn other_domain_held(state: &State, policy: &Policy, candidate: &Instance) -> Option<String> {
    let label = policy.failure_domain.as_deref()?;
    let own = candidate.labels.get(label)?;
    let mut others = state
        .slot_holders()
        .filter(|other| other.id != candidate.id);
    let (other, domain) = others.find_map(|other| {
        let domain = other.labels.get(label).filter(|domain| *domain != own)?;
        Some((other, domain))
    })?;
    let why = held(other)?;
    Some(format!(
        "{} in {domain} {why}; {} is in {own}, and two failure domains are never down at once",
        other.id, candidate.id
    ))
}

/// What keeps an instance from being put back, in one sentence; nothing if the budget has room. One that is
/// down already takes nothing down: only what we hold counts then, or two sick ones would wait for each
/// other for ever.
#[must_use]
pub fn holds_back_way_back(state: &State, policy: &Policy, instance: &Instance) -> Option<String> {
    let component = &instance.report.component;
    let down = match down_by_itself(state, instance) {
        Some(_) => Down::held(state, component),
        None => Down::of(state, component),
    };
    down.holds_back(policy, instance)
}
