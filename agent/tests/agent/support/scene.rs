//! An instance at one release, and another release at hand.

use evenkeel_proto::v1::{InstanceReport, Order, OrderResult};

use super::{Agent, Coordinator, Place, Program, desired, order, outcome};

/// An instance at 1.0.0, the program of that, and another one at hand.
pub(crate) struct Scene {
    pub(crate) place: Place,
    pub(crate) coordinator: Coordinator,
    pub(crate) old: Program,
    pub(crate) new: Program,
}

impl Scene {
    pub(crate) fn new(mode: &str, extra: &str) -> Self {
        Self::at(Place::new(), mode, extra)
    }

    pub(crate) fn at(place: Place, mode: &str, extra: &str) -> Self {
        let coordinator = Coordinator::start(&place, 5);
        place.configure(coordinator.address, extra);
        let (old, new) = (place.program("1.0.0", "good"), place.program("1.1.0", mode));
        Self {
            place,
            coordinator,
            old,
            new,
        }
    }

    pub(crate) fn agent(&self) -> Agent<'_> {
        let agent = Agent::start(&self.place);
        self.coordinator.wait_until_healthy("1.0.0");
        self.coordinator.stage(&[&self.new]);
        agent
    }

    /// Orders the new release, and waits until that has ended like this.
    #[track_caller]
    pub(crate) fn upgrade(&self, generation: u64, result: OrderResult) -> InstanceReport {
        self.carry_out(order(generation, &self.new, Some(&self.old)), result)
    }

    /// Gives an order, and waits until it has ended like this.
    #[track_caller]
    pub(crate) fn carry_out(&self, order: Order, result: OrderResult) -> InstanceReport {
        let generation = order.generation;
        self.coordinator.desire(desired(&[&self.new], Some(order)));
        self.coordinator.wait_for("the end of the order", |report| {
            outcome(report, generation) == Some(result)
        })
    }
}
