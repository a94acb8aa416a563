//! The moves of an instance.
//!
//! Here is what follows from which event; `moves` has the moves themselves, `gates` what is asked
//! before and after them, `recovery` how a new agent takes up
//! what a former one left.

mod gates;
mod moves;
mod recovery;

use crate::{
    Action, DataMove, Event, Fence, Hold, IllegalMove, Incoming, Journey, Method, Now, Phase,
    Purpose, Record, Refusal, Run, Service, State, Transition, Verdict,
};
use evenkeel_words::planted::{self, Bug};

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
        self.state.runs = match &event {
            Event::Recovered { process, .. } => process.is_some(),
            Event::Started { .. } => true,
            Event::Stopped | Event::StartFailed { .. } | Event::Exited { .. } => false,
            Event::Desired { .. }
            | Event::Drained
            | Event::OkToStop
            | Event::NotOkToStop { .. }
            | Event::Quiesced
            | Event::QuiesceFailed { .. }
            | Event::Unquiesced
            | Event::VersionTold { .. }
            | Event::CaughtUp
            | Event::FinalizeEnded { .. }
            | Event::StopFailed { .. }
            | Event::DataMoved
            | Event::DataNotMoved { .. }
            | Event::Swapped
            | Event::SwapFailed { .. }
            | Event::Rejoined
            | Event::Ready { .. }
            | Event::Tick { .. } => self.state.runs,
        };
        match event {
            Event::Recovered {
                boot,
                process,
                current,
            } => self.recovered(boot, process, current),
            Event::Desired {
                epoch,
                incoming,
                hold,
                finalize,
            } => {
                let heard = self.desired(epoch, incoming, hold);
                if let Some(word) = finalize.filter(|_| heard) {
                    self.finalize(&word);
                }
            }
            Event::Tick { trouble } => self.tick(&trouble),
            Event::Exited { reason } => return self.exited(&reason),
            Event::Started { running } => match self.only_while(StepIs::Starting) {
                Some(journey) => self.started(journey, &running),
                None => {
                    self.restand(|_, service| service.with(Run::Up))?;
                    self.undo_what_is_left();
                }
            },
            Event::StartFailed { reason } => match self.only_while(StepIs::Starting) {
                Some(journey) => self.turn_back(journey, &reason, Left::Nothing),
                None => self.restand(|step, service| step.after_end(&service, &reason))?,
            },
            Event::Ready {
                running,
                stop_to_ready_us,
            } => match self.only_while(StepIs::Verifying) {
                Some(journey) => self.ready(journey, &running, stop_to_ready_us),
                None => return self.ready_in_service(),
            },
            Event::Drained => {
                let journey = self.only_while(StepIs::Draining)?;
                self.ask_or_stop(journey);
            }
            Event::OkToStop => return self.ok_to_stop(),
            Event::Quiesced => {
                let journey = self.only_while(StepIs::Quiescing)?;
                self.ask_once(journey);
            }
            Event::NotOkToStop { reason } | Event::QuiesceFailed { reason } => {
                let journey = self.only_while(StepIs::Quiescing)?;
                self.decline(journey, &reason);
            }
            Event::Unquiesced => return self.unquiesced(),
            Event::VersionTold { version } => return self.version_told(version),
            Event::CaughtUp => return self.caught_up(),
            Event::FinalizeEnded { id, outcome } => self.finalize_ended(id, outcome),
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
            Phase::Asking(journey) => (StepIs::Asking, journey),
            Phase::Quiescing(journey) => (StepIs::Quiescing, journey),
            Phase::Stopping(journey) => (StepIs::Stopping, journey),
            Phase::Emptying(journey) => (StepIs::Emptying, journey),
            Phase::Swapping(journey) => (StepIs::Swapping, journey),
            Phase::Starting(journey) => (StepIs::Starting, journey),
            Phase::Rejoining(journey) => (StepIs::Rejoining, journey),
            Phase::Verifying(journey) => (StepIs::Verifying, journey),
            Phase::Declining(_)
            | Phase::Recovering { .. }
            | Phase::Serving(_)
            | Phase::Failed(_, _) => return None,
        };
        (is == step).then(|| journey.clone())
    }

    /// Takes in what a coordinator says; whether it may say anything.
    fn desired(&mut self, epoch: u64, incoming: Option<Incoming>, hold: Hold) -> bool {
        let is_new_epoch = epoch > self.state.fence.epoch;
        if let Err(refusal) = self.state.fence.admit(epoch) {
            self.state.refusal = Some(refusal);
            return false;
        }
        self.state.fence.epoch = epoch;
        self.state.refusal = None;
        // A coordinator of a later epoch may count anew.
        if is_new_epoch || hold.word >= self.state.hold.word {
            self.state.hold = hold;
        }
        if let Some(incoming) = incoming {
            self.ordered(incoming);
        }
        // What is down does what the coordinator says: it stays down, also where it would be started again, or is
        // started if it waited for that word.
        self.restand(Self::held_or_started);
        true
    }

    fn ordered(&mut self, incoming: Incoming) {
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
        let serves = self.serves();
        let journey = self.journey(target, purpose);
        match method {
            Method::InPlace if planted::is(Bug::SwapUnderProcess) => self.swap(journey),
            Method::InPlace if serves => self.ask_or_stop(journey),
            Method::InPlace => self.stop(journey),
            Method::Rebuild => self.drain(journey),
        }
    }

    /// Whether a process runs that others may count on.
    fn serves(&self) -> bool {
        self.state.runs && !matches!(self.state.phase, Phase::Stopping(_))
    }

    /// Changes how the process stands that should run; none if an order is being carried out.
    fn restand(&mut self, change: impl FnOnce(&mut Self, Service) -> Service) -> Option<()> {
        let service = self.state.phase.service()?.clone();
        let service = change(self, service);
        self.state.phase.stand(service);
        Some(())
    }

    fn held_or_started(&mut self, service: Service) -> Service {
        let waits_for_word = match service.run {
            Run::Awaiting { .. } | Run::Held { .. } => true,
            Run::Waiting { .. } | Run::GivenUp { .. } => false,
            Run::Unknown | Run::Nothing | Run::Starting | Run::Up => return service,
        };
        match self.state.hold.reason.clone() {
            Some(reason) => service.with(Run::Held { reason }),
            None if waits_for_word => self.start_current(&service),
            None => service,
        }
    }

    fn start_current(&mut self, service: &Service) -> Service {
        let Some(current) = self.state.current.clone() else {
            return service.with(Run::Nothing);
        };
        self.actions
            .push(Action::Start(self.state.ticket(), current));
        service.with(Run::Starting)
    }

    fn tick(&mut self, trouble: &str) {
        match self.state.phase.clone() {
            Phase::Draining(journey)
            | Phase::Stopping(journey)
            | Phase::Rejoining(journey)
            | Phase::Verifying(journey) => self.watch(journey, trouble, Left::Process),
            Phase::Recovering { journey, .. } => {
                if let Some(reason) = self.overdue(&journey, trouble) {
                    self.ask_to_turn_back(journey, &reason);
                }
            }
            Phase::Asking(journey) | Phase::Quiescing(journey) => {
                if let Some(reason) = self.overdue(&journey, trouble) {
                    self.decline(journey, &reason);
                }
            }
            Phase::Declining(journey) => {
                if self.now >= journey.deadline_ms {
                    self.declined(journey.purpose.reason());
                }
            }
            Phase::Emptying(journey) if journey.must_go_on() => {
                self.insist(journey, Self::move_data);
            }
            Phase::Swapping(journey) if journey.must_go_on() => self.insist(journey, Self::swap),
            Phase::Emptying(journey) | Phase::Swapping(journey) | Phase::Starting(journey) => {
                self.watch(journey, trouble, Left::Nothing);
            }
            Phase::Serving(_) | Phase::Failed(_, _) => {
                self.restand(Self::start_again);
            }
        }
    }

    fn exited(&mut self, reason: &str) -> Option<()> {
        match self.state.phase.clone() {
            Phase::Draining(journey) => {
                let reason = format!("the process ended while it was being drained: {reason}");
                self.turn_back(journey, &reason, Left::Nothing);
            }
            // Nobody has to be asked any more.
            Phase::Asking(journey) if journey.is_back() => self.after_stop(journey),
            Phase::Asking(journey) | Phase::Quiescing(journey) => {
                let reason = format!("the process ended before it was stopped: {reason}");
                self.decline(journey, &reason);
            }
            Phase::Declining(journey) => {
                let declined = journey.purpose.reason();
                let reason = format!("{declined}; then the process ended: {reason}");
                self.declined(reason);
            }
            Phase::Stopping(journey) => self.after_stop(journey),
            Phase::Rejoining(journey)
            | Phase::Verifying(journey)
            | Phase::Recovering { journey, .. } => {
                let reason = format!("the process ended before it was ready: {reason}");
                self.turn_back(journey, &reason, Left::Nothing);
            }
            Phase::Serving(_) | Phase::Failed(_, _) => {
                self.restand(|step, service| step.after_end(&service, reason))?;
            }
            Phase::Emptying(_) | Phase::Swapping(_) | Phase::Starting(_) => return None,
        }
        Some(())
    }

    /// Starts what waits for its restart, if its time has come.
    /// What is to stay down does not wait for that.
    fn start_again(&mut self, service: Service) -> Service {
        let (Run::Waiting { until_ms, .. } | Run::Awaiting { until_ms }) = service.run else {
            return service;
        };
        if self.now < until_ms {
            return service;
        }
        self.start_current(&service)
    }

    fn ended(&mut self, failure: Option<String>, service: &Service, reason: &str) {
        let service = self.after_end(service, reason);
        self.state.phase = match failure {
            Some(failure) => Phase::Failed(failure, service),
            None => Phase::Serving(service),
        };
    }

    /// How the process stands that has ended, or would not start.
    fn after_end(&self, service: &Service, reason: &str) -> Service {
        let service = service.ended(reason, &self.state.settings.restart, self.now);
        match self.state.hold.reason.clone() {
            Some(reason) => service.with(Run::Held { reason }),
            None => service,
        }
    }
}

/// The steps whose action has an answer of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StepIs {
    Draining,
    Asking,
    Quiescing,
    Stopping,
    Emptying,
    Swapping,
    Starting,
    Rejoining,
    Verifying,
}
