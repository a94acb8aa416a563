//! How carefully a plan goes about it.

use std::time::Duration;

use evenkeel_words::{amount::Amount, limits::POLICY_DURATION_MAX, names};

use super::{Comparison, Window};
use crate::refusal::{Refusal, RefusalKind};

/// The most waves of one plan: more than anyone tells apart.
const WAVES_MAX: usize = 32;

/// The most windows of one plan.
const WINDOWS_MAX: usize = 32;

/// What is done when more tasks fail than the policy tolerates. A new release that does not come up is put back by its
/// agent in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The plan pauses. One that got sick while it soaked is left as it is.
    Pause,
    /// The plan pauses. One that got sick while it soaked is put back.
    Revert,
    /// The whole plan is rolled back.
    Rollback,
}

/// How carefully a plan goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How many instances of a group may be down at once, whoever took them down; a share is rounded down.
    pub max_unavailable: Amount,
    /// How many of the whole component may be; a share is rounded down. `None`: no such limit.
    pub max_unavailable_component: Option<Amount>,
    /// How many of a group have to stay healthy when one more goes down; a share is rounded up. `None`: no such limit.
    pub min_healthy: Option<Amount>,
    /// The label that names an instance's failure domain; `None` where there are none.
    pub failure_domain: Option<String>,
    /// In how many failure domains instances may be down at once.
    pub failure_domains_at_once: u32,
    /// How many instances of a stage go first, alone.
    pub canary: u32,
    /// How many go together after that, wave by wave; a share is of the stage's instances and rounded up. The last takes
    /// what is left.
    pub waves: Vec<Amount>,
    /// How long an instance has to stay good before it counts as done.
    pub soak: Duration,
    /// How long one instance may take from its order to its probes' good answer.
    pub instance_deadline: Duration,
    /// The plan pauses when no task moved for this long.
    pub progress_deadline: Duration,
    /// How long the whole plan may take from its start on; past it `on_failure` says what is done. `None`: as long as
    /// it takes.
    pub plan_deadline: Option<Duration>,
    /// What is done when more tasks fail than are tolerated, or the plan takes too long.
    pub on_failure: OnFailure,
    /// After how many failed tasks the plan still goes on with the others.
    pub failures_tolerated: u32,
    /// A person finalizes the plan, also where nothing is lost by it.
    pub pause_before_finalize: bool,
    /// When the plan may begin anything; empty: always.
    pub windows: Vec<Window>,
    /// How those that were changed are compared with those that were not; `None`: they are not.
    pub compare: Option<Comparison>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_unavailable: Amount::Count(1),
            max_unavailable_component: None,
            min_healthy: None,
            failure_domain: None,
            failure_domains_at_once: 1,
            canary: 1,
            waves: vec![Amount::Percent(10), Amount::Percent(50), Amount::ALL],
            soak: Duration::from_secs(120),
            instance_deadline: Duration::from_secs(300),
            progress_deadline: Duration::from_secs(600),
            plan_deadline: None,
            on_failure: OnFailure::Revert,
            failures_tolerated: 0,
            pause_before_finalize: false,
            windows: Vec::new(),
            compare: None,
        }
    }
}

impl Policy {
    /// Checks that the policy makes sense by itself.
    ///
    /// # Errors
    /// Names the field and what is allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        self.check_amounts()?;
        self.check_durations()?;
        if let Some(label) = &self.failure_domain
            && let Err(error) = names::check("label", label)
        {
            return Err(bad(format!("the failure domain is no label: {error}")));
        }
        if self.windows.len() > WINDOWS_MAX {
            return Err(bad(format!(
                "there are {} windows, the most is {WINDOWS_MAX}",
                self.windows.len()
            )));
        }
        if let Some(comparison) = &self.compare {
            comparison.check()?;
        }
        Ok(())
    }

    fn check_amounts(&self) -> Result<(), Refusal> {
        let waves = self.waves.iter().map(|wave| ("a wave", wave));
        let others = [
            ("max_unavailable", Some(&self.max_unavailable)),
            (
                "max_unavailable_component",
                self.max_unavailable_component.as_ref(),
            ),
            ("min_healthy", self.min_healthy.as_ref()),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, amount)| Some((name, amount?)));
        for (name, amount) in others.chain(waves) {
            if !amount.is_valid() {
                return Err(bad(format!("{name} is {amount}; a share is 1% to 100%")));
            }
            if *amount == Amount::Count(0) {
                let why = match name {
                    "a wave" => "so that nothing would go in it",
                    "min_healthy" => "which is no limit; leave it out",
                    _ => "so that nothing could ever be stopped",
                };
                return Err(bad(format!("{name} is 0, {why}; the least is 1")));
            }
        }
        if self.failure_domains_at_once == 0 {
            return Err(bad(
                "failure_domains_at_once is 0, so that nothing could ever be stopped; the least is 1"
                    .to_owned(),
            ));
        }
        if self.waves.is_empty() || self.waves.len() > WAVES_MAX {
            return Err(bad(format!(
                "there are {} waves; allowed are 1 to {WAVES_MAX}",
                self.waves.len()
            )));
        }
        Ok(())
    }

    fn check_durations(&self) -> Result<(), Refusal> {
        let named = [
            ("the soak", Some(self.soak)),
            ("the instance deadline", Some(self.instance_deadline)),
            ("the progress deadline", Some(self.progress_deadline)),
            ("the plan deadline", self.plan_deadline),
        ];
        let mut shorter: Option<(&str, Duration)> = None;
        let named = named
            .into_iter()
            .filter_map(|(name, duration)| Some((name, duration?)));
        for (name, duration) in named {
            if let Some((least, than)) = shorter.filter(|(_, than)| *than >= duration) {
                return Err(bad(format!(
                    "{least} ({than:?}) has to be shorter than {name} ({duration:?})"
                )));
            }
            if duration > POLICY_DURATION_MAX {
                return Err(bad(format!(
                    "{name} ({duration:?}) is longer than the {POLICY_DURATION_MAX:?} allowed"
                )));
            }
            shorter = Some((name, duration));
        }
        Ok(())
    }
}

fn bad(message: String) -> Refusal {
    Refusal::new(RefusalKind::BadArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_cannot_work_is_refused() {
        let check = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            policy.check().map_err(|refusal| refusal.message)
        };
        let refused = |said: &str, change: fn(&mut Policy)| {
            let message = check(change).unwrap_err();
            assert!(message.contains(said), "{message}");
        };
        assert_eq!(check(|_| ()), Ok(()));
        refused("max_unavailable is 0", |p| {
            p.max_unavailable = Amount::Count(0);
        });
        refused("max_unavailable is 101%", |p| {
            p.max_unavailable = Amount::Percent(101);
        });
        refused("max_unavailable_component is 0", |p| {
            p.max_unavailable_component = Some(Amount::Count(0));
        });
        refused("min_healthy is 0%", |p| {
            p.min_healthy = Some(Amount::Percent(0));
        });
        refused("failure_domains_at_once is 0", |p| {
            p.failure_domains_at_once = 0;
        });
        refused("a wave is 0", |p| p.waves = vec![Amount::Count(0)]);
        refused("0 waves", |p| p.waves = Vec::new());
        refused("33 waves", |p| p.waves = vec![Amount::ALL; 33]);
        refused("the soak (300s) has to be shorter", |p| {
            p.soak = p.instance_deadline;
        });
        refused("the instance deadline (600s) has to be shorter", |p| {
            p.instance_deadline = p.progress_deadline;
        });
        refused("the progress deadline (600s) has to be shorter", |p| {
            p.plan_deadline = Some(p.progress_deadline);
        });
        refused("is longer than", |p| p.progress_deadline = Duration::MAX);
        refused("is longer than", |p| p.plan_deadline = Some(Duration::MAX));
        refused("no label", |p| p.failure_domain = Some("Zone!".to_owned()));
    }
}
