//! Which orders count: (epoch, generation) only ever rises.

use evenkeel_words::planted::{self, Bug};
use thiserror::Error;

use crate::{Method, NotFinal, Now, Release};

/// What an instance has to run, as the coordinator said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Rises with each order for this instance.
    pub generation: u64,
    /// What to run.
    pub release: Release,
    /// How to come to it.
    pub method: Method,
    /// What to go back to when that will not do.
    pub fallback: Option<Fallback>,
    /// How long it may take from the beginning to its probes' good answer, in milliseconds. Time in which
    /// the process may not be stopped yet counts apart, and may be as long.
    pub ready_within_ms: u64,
    /// It puts back what would not do: nobody is asked before the process is stopped.
    pub way_back: bool,
}

/// A release to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// What to run then.
    pub release: Release,
    /// How to come to it from what the ordered release may have left.
    pub method: Method,
}

impl Order {
    /// Whether carrying it out, or undoing it, may need the data to be set aside.
    #[must_use]
    pub fn may_empty(&self) -> bool {
        let back = self.fallback.as_ref().map(|fallback| fallback.method);
        self.method == Method::Rebuild || back == Some(Method::Rebuild)
    }
}

/// An order as it came in, with what decides whether it may be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The order.
    pub order: Order,
    /// The boot clock in the message that the order answers, in milliseconds.
    pub answers_clock_ms: u64,
    /// How long after that it may still be begun, in milliseconds.
    pub begin_within_ms: u64,
    /// A release that the order names and that is not complete and verified on this host.
    pub missing: Option<Release>,
    /// Why the instance's data must not be set aside now, if the order may need that.
    pub obstacle: Option<String>,
}

/// What was accepted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// The highest epoch accepted.
    pub epoch: u64,
    /// The newest order accepted.
    pub order: Option<Order>,
}

/// What the fence says to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new and has to be carried out.
    Accepted,
    /// It is the one that was accepted last; nothing more to do.
    Known,
    /// It must not have any effect.
    Refused(Refusal),
}

/// Why an order has no effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A newer coordinator was heard before.
    #[error("the coordinator speaks for epoch {epoch}, and epoch {accepted} was accepted before")]
    Fenced {
        /// The epoch it speaks for.
        epoch: u64,
        /// The epoch accepted.
        accepted: u64,
    },
    /// A newer order was accepted before.
    #[error("order {generation} is older than order {accepted}, which was accepted before")]
    Outdated {
        /// The order's generation.
        generation: u64,
        /// The generation accepted.
        accepted: u64,
    },
    /// The same generation was accepted with other content.
    #[error("order {generation} says something else than when it was accepted")]
    Conflicting {
        /// The order's generation.
        generation: u64,
    },
    /// It came too late to be begun.
    #[error("order {generation} came too late: {late_ms} ms after it could still be begun")]
    Stale {
        /// The order's generation.
        generation: u64,
        /// How much too late, in milliseconds.
        late_ms: u64,
    },
    /// It answers a message that this host has not sent since it booted.
    #[error("order {generation} answers a message from before the last boot")]
    OfAnotherBoot {
        /// The order's generation.
        generation: u64,
    },
    /// A release that it names is not complete and verified on this host.
    #[error("order {generation} needs release {release}, which is not at hand")]
    NotAtHand {
        /// The order's generation.
        generation: u64,
        /// The release.
        release: Release,
    },
    /// It may need the instance's data to be set aside, and that must not be.
    #[error("order {generation} needs the instance to be rebuilt: {reason}")]
    NoRebuild {
        /// The order's generation.
        generation: u64,
        /// Why it must not be.
        reason: String,
    },
    /// The data is on its way from or to its place.
    #[error(
        "order {generation} has to wait: order {under_way} has set the data aside and has not ended"
    )]
    DataAside {
        /// The order's generation.
        generation: u64,
        /// The generation of the order that is being carried out.
        under_way: u64,
    },
    /// The storage system is not told that its version is final.
    #[error("{id} is not made final: {reason}")]
    NotFinal {
        /// Under which id that was asked for.
        id: String,
        /// Why not.
        reason: NotFinal,
    },
}

impl Fence {
    /// The highest generation accepted; 0 if there was none.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.order.as_ref().map_or(0, |order| order.generation)
    }

    /// Whether a coordinator of this epoch may say anything at all.
    ///
    /// # Errors
    /// [`Refusal::Fenced`] if a higher epoch was accepted before.
    pub fn admit(&self, epoch: u64) -> Result<(), Refusal> {
        if epoch < self.epoch && !planted::is(Bug::EpochNotChecked) {
            return Err(Refusal::Fenced {
                epoch,
                accepted: self.epoch,
            });
        }
        Ok(())
    }

    /// What to do about an order from a coordinator that was admitted.
    #[must_use]
    pub fn judge(&self, incoming: &Incoming, now: Now) -> Verdict {
        let order = &incoming.order;
        let generation = order.generation;
        if let Some(accepted) = &self.order {
            if generation < accepted.generation && !planted::is(Bug::OldOrderAccepted) {
                let accepted = accepted.generation;
                return Verdict::Refused(Refusal::Outdated {
                    generation,
                    accepted,
                });
            }
            if generation == accepted.generation {
                return if order == accepted {
                    Verdict::Known
                } else {
                    Verdict::Refused(Refusal::Conflicting { generation })
                };
            }
        }
        if incoming.answers_clock_ms > now && !planted::is(Bug::BootNotCompared) {
            return Verdict::Refused(Refusal::OfAnotherBoot { generation });
        }
        let begin_until_ms = incoming
            .answers_clock_ms
            .saturating_add(incoming.begin_within_ms);
        if now > begin_until_ms && !planted::is(Bug::StaleOrderAccepted) {
            let late_ms = now - begin_until_ms;
            return Verdict::Refused(Refusal::Stale {
                generation,
                late_ms,
            });
        }
        if let Some(release) = incoming.missing.clone() {
            return Verdict::Refused(Refusal::NotAtHand {
                generation,
                release,
            });
        }
        match incoming.obstacle.clone() {
            Some(reason) => Verdict::Refused(Refusal::NoRebuild { generation, reason }),
            None => Verdict::Accepted,
        }
    }
}
