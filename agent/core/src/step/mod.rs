//! The moves of an instance.
//!
//! Here is what follows from which event; `moves` has the moves themselves, `recovery` how a new agent takes up
//! what a former one left.

mod moves;
mod recovery;

use crate::{
    Action, DataMove, Event, Fence, IllegalMove, Incoming, Journey, Method, Now, Phase, Purpose,
    Record, Refusal, Run, Service, State, Transition, Verdict,
};

/// What follows from an event.
///
/// The record has to be durable before the first action begins. After every step the shell tells the
/// coordinator what is; that is not an action, because nothing depends on it.
///
/// # Errors
/// [`IllegalMove`] if the event cannot happen in this state: a defect of the shell. The state stands.
pub fn step(state: &State, event: Event, now: Now) -> Result<Transition, IllegalMove> {
    let illegal = IllegalMove {
        phase: state.phase.name(),
        event: event.name(),
    };
    let mut next = Step {
        state: state.clone(),
        actions: Vec::new(),
        now,
    };
    next.take(event).ok_or(illegal)?;
    Ok(next.into_transition(state))
}

/// What a journey that will not do leaves behind.
enum Left {
    /// A process runs, or may; its end is an end like any other.
    Process,
    /// No process runs.
    Nothing,
}

/// A step being made: the state as far as it is, and what was decided to do.
struct Step {
    state: State,
    actions: Vec<Action>,
    now: Now,
}

impl Step {
    fn into_transition(self, before: &State) -> Transition {
        let record = Record::of(&self.state);
        let record = (record != Record::of(before)).then_some(record);
        Transition {
            state: self.state,
            record,
            actions: self.actions,
        }
    }

    /// Takes an event in; none if it cannot happen now.
    fn take(&mut self, event: Event) -> Option<()> {
        match event {
            Event::Recovered {
                boot,
                process,
                current,
            } => self.recovered(boot, process, current),
            Event::Desired { epoch, incoming } => self.desired(epoch, incoming),
            Event::Tick { trouble } => self.tick(&trouble),
            Event::Exited { reason } => return self.exited(&reason),
            Event::Started { running } => match self.state.phase.clone() {
                Phase::Starting(journey) => self.started(journey, &running),
                Phase::Serving(service) => self.state.phase = Phase::Serving(service.with(Run::Up)),
                Phase::Failed(reason, service) => {
                    self.state.phase = Phase::Failed(reason, service.with(Run::Up));
                }
                Phase::Draining(_)
                | Phase::Stopping(_)
                | Phase::Emptying(_)
                | Phase::Swapping(_)
                | Phase::Rejoining(_)
                | Phase::Verifying(_) => return None,
            },
            Event::StartFailed { reason } => match self.state.phase.clone() {
                Phase::Starting(journey) => self.turn_back(journey, &reason, Left::Nothing),
                Phase::Serving(service) => self.ended(None, &service, &reason),
                Phase::Failed(failure, service) => self.ended(Some(failure), &service, &reason),
                Phase::Draining(_)
                | Phase::Stopping(_)
                | Phase::Emptying(_)
                | Phase::Swapping(_)
                | Phase::Rejoining(_)
                | Phase::Verifying(_) => return None,
            },
            Event::Ready {
                running,
                stop_to_ready_us,
            } => match self.state.phase.clone() {
                Phase::Verifying(journey) => self.ready(journey, &running, stop_to_ready_us),
                Phase::Failed(_, service) => {
                    self.state.phase = Phase::Serving(service.with(Run::Up))
                }
                Phase::Serving(_) => {}
                Phase::Draining(_)
                | Phase::Stopping(_)
                | Phase::Emptying(_)
                | Phase::Swapping(_)
                | Phase::Starting(_)
                | Phase::Rejoining(_) => return None,
            },
            Event::Drained => {
                let journey = self.only_while(StepIs::Draining)?;
                self.stop(journey);
            }
            Event::Stopped => {
                let journey = self.only_while(StepIs::Stopping)?;
                self.after_stop(journey);
            }
            Event::StopFailed { reason } => {
                let journey = self.only_while(StepIs::Stopping)?;
                self.turn_back(journey, &reason, Left::Process);
            }
            Event::DataMoved => {
                let journey = self.only_while(StepIs::Emptying)?;
                self.after_data(journey);
            }
            Event::DataNotMoved { reason } => {
                let journey = self.only_while(StepIs::Emptying)?;
                self.turn_back_or_insist(journey, reason);
            }
            Event::Swapped => {
                let journey = self.only_while(StepIs::Swapping)?;
                self.state.current = Some(journey.target.clone());
                self.start(journey);
            }
            Event::SwapFailed { reason } => {
                let journey = self.only_while(StepIs::Swapping)?;
                self.turn_back_or_insist(journey, reason);
            }
            Event::Rejoined => {
                let journey = self.only_while(StepIs::Rejoining)?;
                // What joins without its data may have to go again, before it is done.
                self.state.drained &= journey.data == Some(DataMove::SetAside);
                self.verify(journey);
            }
        }
        Some(())
    }

    /// The journey, if this is its step; an answer to an action belongs to one step alone.
    fn only_while(&self, step: StepIs) -> Option<Journey> {
        let (is, journey) = match &self.state.phase {
            Phase::Draining(journey) => (StepIs::Draining, journey),
            Phase::Stopping(journey) => (StepIs::Stopping, journey),
            Phase::Emptying(journey) => (StepIs::Emptying, journey),
            Phase::Swapping(journey) => (StepIs::Swapping, journey),
            Phase::Rejoining(journey) => (StepIs::Rejoining, journey),
            Phase::Starting(_) | Phase::Verifying(_) | Phase::Serving(_) | Phase::Failed(_, _) => {
                return None;
            }
        };
        (is == step).then(|| journey.clone())
    }

    fn desired(&mut self, epoch: u64, incoming: Option<Incoming>) {
        if let Err(refusal) = self.state.fence.admit(epoch) {
            self.state.refusal = Some(refusal);
            return;
        }
        self.state.fence.epoch = epoch;
        self.state.refusal = None;
        let Some(incoming) = incoming else { return };
        match self.state.fence.judge(&incoming, self.now) {
            Verdict::Known => {}
            Verdict::Refused(refusal) => self.state.refusal = Some(refusal),
            Verdict::Accepted => {
                let under_way = self.state.phase.journey();
                if under_way.is_some_and(Journey::holds_data) {
                    self.state.refusal = Some(Refusal::DataAside {
                        generation: incoming.order.generation,
                        under_way: self.state.fence.generation(),
                    });
                    return;
                }
                self.begin(incoming);
            }
        }
    }

    /// Sets out to carry out an order.
    fn begin(&mut self, incoming: Incoming) {
        let order = incoming.order;
        let (target, method) = (order.release.clone(), order.method);
        let purpose = Purpose::Forward {
            fallback: order.fallback.clone(),
        };
        self.state.fence = Fence {
            epoch: self.state.fence.epoch,
            order: Some(order),
        };
        self.state.outcome = None;
        let journey = self.journey(target, purpose);
        match method {
            Method::InPlace => self.stop(journey),
            Method::Rebuild => self.drain(journey),
        }
    }

    fn tick(&mut self, trouble: &str) {
        match self.state.phase.clone() {
            Phase::Draining(journey)
            | Phase::Stopping(journey)
            | Phase::Rejoining(journey)
            | Phase::Verifying(journey) => self.watch(journey, trouble, Left::Process),
            Phase::Emptying(journey) if journey.must_go_on() => {
                self.insist(journey, Self::move_data);
            }
            Phase::Swapping(journey) if journey.must_go_on() => self.insist(journey, Self::swap),
            Phase::Emptying(journey) | Phase::Swapping(journey) | Phase::Starting(journey) => {
                self.watch(journey, trouble, Left::Nothing);
            }
            Phase::Serving(service) => {
                let service = self.start_again(service);
                self.state.phase = Phase::Serving(service);
            }
            Phase::Failed(reason, service) => {
                let service = self.start_again(service);
                self.state.phase = Phase::Failed(reason, service);
            }
        }
    }

    fn exited(&mut self, reason: &str) -> Option<()> {
        match self.state.phase.clone() {
            Phase::Draining(journey) => {
                let reason = format!("the process ended while it was being drained: {reason}");
                self.turn_back(journey, &reason, Left::Nothing);
            }
            Phase::Stopping(journey) => self.after_stop(journey),
            Phase::Rejoining(journey) | Phase::Verifying(journey) => {
                let reason = format!("the process ended before it was ready: {reason}");
                self.turn_back(journey, &reason, Left::Nothing);
            }
            Phase::Serving(service) => self.ended(None, &service, reason),
            Phase::Failed(failure, service) => self.ended(Some(failure), &service, reason),
            Phase::Emptying(_) | Phase::Swapping(_) | Phase::Starting(_) => return None,
        }
        Some(())
    }

    /// Starts what waits for its restart, if its time has come.
    fn start_again(&mut self, service: Service) -> Service {
        let Run::Waiting { until_ms, .. } = service.run else {
            return service;
        };
        let Some(current) = self.state.current.clone() else {
            return service.with(Run::Nothing);
        };
        if self.now < until_ms {
            return service;
        }
        self.actions
            .push(Action::Start(self.state.ticket(), current));
        service.with(Run::Starting)
    }

    fn ended(&mut self, failure: Option<String>, service: &Service, reason: &str) {
        let service = service.ended(reason, &self.state.policy, self.now);
        self.state.phase = match failure {
            Some(failure) => Phase::Failed(failure, service),
            None => Phase::Serving(service),
        };
    }
}

/// The steps whose action has an answer of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StepIs {
    Draining,
    Stopping,
    Emptying,
    Swapping,
    Rejoining,
}
