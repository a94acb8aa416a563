//! The budget's arithmetic: from how many there are and how many of them are down to whether one more may go.

use std::{collections::BTreeSet, fmt};

use crate::plan::{Amount, Policy};

/// What there is and what of it is down, apart from the instance that would go down next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// How many instances the group has.
    pub group: u32,
    /// How many others of the group are down.
    pub group_down: u32,
    /// How many instances the component has.
    pub component: u32,
    /// How many others of the component are down.
    pub component_down: u32,
    /// It is up, so that one healthy one less is left.
    pub takes_down: bool,
}

/// The limit that one more would break. Shown, it is what it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// As many of the group are down as may be.
    Group(Share),
    /// As many of the component are.
    Component(Share),
    /// Too few of the group would be left.
    Healthy {
        /// How many would be.
        left: u32,
        /// How many have to be.
        least: Share,
    },
}

/// An amount, and what it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    amount: Amount,
    comes_to: u32,
    of: u32,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.amount {
            Amount::Count(count) => write!(f, "{count}"),
            Amount::Percent(_) => write!(f, "{} ({} of {})", self.amount, self.comes_to, self.of),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(max) => write!(f, "max_unavailable is {max}"),
            Self::Component(max) => write!(f, "max_unavailable_component is {max}"),
            Self::Healthy { left, least } => {
                write!(f, "only {left} would be left where min_healthy is {least}")
            }
        }
    }
}

/// How many of a group of this size may be down at once.
#[must_use]
pub fn of_group(policy: &Policy, size: u32) -> u32 {
    policy.max_unavailable.of_rounded_down(size)
}

/// How many of a component of this size may be, if there is such a limit.
#[must_use]
pub fn of_component(policy: &Policy, size: u32) -> Option<u32> {
    let limit = policy.max_unavailable_component?;
    Some(limit.of_rounded_down(size))
}

/// How many of a group of this size have to stay healthy, if there is such a limit.
#[must_use]
pub fn healthy(policy: &Policy, size: u32) -> Option<u32> {
    Some(policy.min_healthy?.of_rounded_up(size))
}

/// The limit that one more instance going down would break; nothing if there is room.
#[must_use]
pub fn broken(policy: &Policy, counts: &Counts) -> Option<Limit> {
    // A plan whose share would be nothing is refused at its draft. One that has come to nothing since, because the group
    // has become smaller, would neither go on nor back for ever.
    let of_group = of_group(policy, counts.group).max(1);
    if counts.group_down >= of_group {
        return Some(Limit::Group(Share {
            amount: policy.max_unavailable,
            comes_to: of_group,
            of: counts.group,
        }));
    }
    if let Some(amount) = policy.max_unavailable_component {
        let comes_to = amount.of_rounded_down(counts.component).max(1);
        if counts.component_down >= comes_to {
            return Some(Limit::Component(Share {
                amount,
                comes_to,
                of: counts.component,
            }));
        }
    }
    let amount = policy.min_healthy.filter(|_| counts.takes_down)?;
    let comes_to = amount.of_rounded_up(counts.group);
    let down = counts.group_down.saturating_add(1);
    let left = counts.group.saturating_sub(down);
    (left < comes_to).then_some(Limit::Healthy {
        left,
        least: Share {
            amount,
            comes_to,
            of: counts.group,
        },
    })
}

/// Whether something in `own` failure domain may not go down while others are in `down`.
#[must_use]
pub fn too_many_domains(policy: &Policy, own: Option<&str>, down: &BTreeSet<Option<&str>>) -> bool {
    let others = down.iter().filter(|domain| **domain != own).count();
    u32::try_from(others).map_or(true, |others| others >= policy.failure_domains_at_once)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
        let mut policy = Policy::default();
        change(&mut policy);
        policy
    }

    fn counts(group_down: u32, component_down: u32) -> Counts {
        Counts {
            group: 5,
            group_down,
            component: 20,
            component_down,
            takes_down: true,
        }
    }

    fn told(policy: &Policy, counts: &Counts) -> Option<String> {
        broken(policy, counts).map(|limit| limit.to_string())
    }

    #[test]
    fn each_limit_has_room_up_to_its_number_and_none_past_it() {
        let by_share = policy(|p| p.max_unavailable = Amount::Percent(40));
        assert_eq!(broken(&by_share, &counts(1, 1)), None);
        assert_eq!(
            told(&by_share, &counts(2, 2)),
            Some("max_unavailable is 40% (2 of 5)".to_owned())
        );
        let of_all = policy(|p| {
            p.max_unavailable = Amount::Count(3);
            p.max_unavailable_component = Some(Amount::Percent(10));
        });
        assert_eq!(broken(&of_all, &counts(0, 1)), None);
        assert_eq!(
            told(&of_all, &counts(0, 2)),
            Some("max_unavailable_component is 10% (2 of 20)".to_owned())
        );
    }

    #[test]
    fn as_many_stay_healthy_as_the_policy_says_unless_nothing_is_taken_down() {
        let kept = policy(|p| {
            p.max_unavailable = Amount::Count(4);
            p.min_healthy = Some(Amount::Percent(50));
        });
        assert_eq!(broken(&kept, &counts(1, 1)), None, "three of five are left");
        assert_eq!(
            told(&kept, &counts(2, 2)),
            Some("only 2 would be left where min_healthy is 50% (3 of 5)".to_owned())
        );
        let down = Counts {
            takes_down: false,
            ..counts(2, 2)
        };
        assert_eq!(broken(&kept, &down), None);
    }

    #[test]
    fn as_many_failure_domains_are_down_as_the_policy_says() {
        let two = policy(|p| p.failure_domains_at_once = 2);
        let down = BTreeSet::from([Some("z1"), Some("z2")]);
        assert!(!too_many_domains(&two, Some("z1"), &down));
        assert!(too_many_domains(&two, Some("z3"), &down));
        let one = policy(|_| ());
        assert!(too_many_domains(&one, Some("z1"), &down));
        assert!(too_many_domains(&one, Some("z1"), &BTreeSet::from([None])));
        assert!(!too_many_domains(&one, None, &BTreeSet::from([None])));
    }
}
