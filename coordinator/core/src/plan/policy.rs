//! How carefully a plan goes about it.

use std::time::Duration;

use evenkeel_words::{limits::POLICY_DURATION_MAX, names};

use crate::refusal::{Refusal, RefusalKind};

/// How carefully a plan goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How many instances of a group may be down at once, whoever took them down.
    pub max_unavailable: u32,
    /// The label that names an instance's failure domain; `None` where there are none.
    pub failure_domain: Option<String>,
    /// How many instances go first, alone.
    pub canary: u32,
    /// How long an instance has to stay good before it counts as done.
    pub soak: Duration,
    /// How long one instance may take from its order to its probes' good answer.
    pub instance_deadline: Duration,
    /// The plan pauses when no task moved for this long.
    pub progress_deadline: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_unavailable: 1,
            failure_domain: None,
            canary: 1,
            soak: Duration::from_secs(120),
            instance_deadline: Duration::from_secs(300),
            progress_deadline: Duration::from_secs(600),
        }
    }
}

impl Policy {
    /// Checks that the policy makes sense by itself.
    ///
    /// # Errors
    /// Names the field and what is allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        let bad = |message: String| Err(Refusal::new(RefusalKind::BadArgument, message));
        if self.max_unavailable == 0 {
            return bad(
                "max_unavailable is 0, so that nothing could ever be stopped; the least is 1"
                    .to_owned(),
            );
        }
        if let Some(label) = &self.failure_domain
            && let Err(error) = names::check("label", label)
        {
            return bad(format!("the failure domain is no label: {error}"));
        }
        if self.soak >= self.instance_deadline {
            return bad(format!(
                "the soak ({:?}) has to be shorter than the instance deadline ({:?})",
                self.soak, self.instance_deadline
            ));
        }
        if self.instance_deadline >= self.progress_deadline {
            return bad(format!(
                "the instance deadline ({:?}) has to be shorter than the progress deadline ({:?})",
                self.instance_deadline, self.progress_deadline
            ));
        }
        if self.progress_deadline > POLICY_DURATION_MAX {
            return bad(format!(
                "the progress deadline ({:?}) is longer than the {POLICY_DURATION_MAX:?} allowed",
                self.progress_deadline
            ));
        }
        Ok(())
    }
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
        assert_eq!(check(|_| ()), Ok(()));
        assert!(check(|p| p.max_unavailable = 0).is_err());
        assert!(check(|p| p.soak = p.instance_deadline).is_err());
        assert!(check(|p| p.instance_deadline = p.progress_deadline).is_err());
        assert!(check(|p| p.progress_deadline = Duration::MAX).is_err());
    }
}
