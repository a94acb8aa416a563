//! Which orders count: (epoch, generation) only ever rises.

use thiserror::Error;

use crate::{Now, Release};

/// What an instance has to run, as the coordinator said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Rises with each order for this instance.
    pub generation: u64,
    /// What to run.
    pub release: Release,
    /// What to go back to when that will not do.
    pub fallback: Option<Release>,
    /// How long it may take from the beginning to its probes' good answer, in milliseconds.
    pub ready_within_ms: u64,
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
        if epoch < self.epoch {
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
            if generation < accepted.generation {
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
        if incoming.answers_clock_ms > now {
            return Verdict::Refused(Refusal::OfAnotherBoot { generation });
        }
        let begin_until_ms = incoming
            .answers_clock_ms
            .saturating_add(incoming.begin_within_ms);
        if now > begin_until_ms {
            let late_ms = now - begin_until_ms;
            return Verdict::Refused(Refusal::Stale {
                generation,
                late_ms,
            });
        }
        match &incoming.missing {
            Some(release) => Verdict::Refused(Refusal::NotAtHand {
                generation,
                release: release.clone(),
            }),
            None => Verdict::Accepted,
        }
    }
}
