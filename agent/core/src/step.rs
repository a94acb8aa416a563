//! The moves of an instance.

use crate::{
    Action, BootId, Event, Fence, IllegalMove, Incoming, Journey, Now, OrderResult, Outcome, Phase,
    Purpose, Record, Release, Run, Service, State, Transition, Verdict,
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
    match event {
        Event::Recovered {
            boot,
            process,
            current,
        } => next.recovered(boot, process, current),
        Event::Desired { epoch, incoming } => next.desired(epoch, incoming),
        Event::Tick { trouble } => next.tick(&trouble),
        Event::Stopped => match state.phase.clone() {
            Phase::Stopping(journey) => next.after_stop(journey),
            Phase::Serving(_)
            | Phase::Swapping(_)
            | Phase::Starting(_)
            | Phase::Verifying(_)
            | Phase::Failed(_, _) => return Err(illegal),
        },
        Event::StopFailed { reason } => match state.phase.clone() {
            Phase::Stopping(journey) => next.turn_back(journey, &reason, Left::Process),
            Phase::Serving(_)
            | Phase::Swapping(_)
            | Phase::Starting(_)
            | Phase::Verifying(_)
            | Phase::Failed(_, _) => return Err(illegal),
        },
        Event::Swapped => match state.phase.clone() {
            Phase::Swapping(journey) => {
                next.state.current = Some(journey.target.clone());
                next.start(journey);
            }
            Phase::Serving(_)
            | Phase::Stopping(_)
            | Phase::Starting(_)
            | Phase::Verifying(_)
            | Phase::Failed(_, _) => return Err(illegal),
        },
        Event::SwapFailed { reason } => match state.phase.clone() {
            Phase::Swapping(journey) => next.turn_back(journey, &reason, Left::Nothing),
            Phase::Serving(_)
            | Phase::Stopping(_)
            | Phase::Starting(_)
            | Phase::Verifying(_)
            | Phase::Failed(_, _) => return Err(illegal),
        },
        Event::Started { running } => match state.phase.clone() {
            Phase::Starting(journey) => next.verify(journey, &running),
            Phase::Serving(service) => next.state.phase = Phase::Serving(service.with(Run::Up)),
            Phase::Failed(reason, service) => {
                next.state.phase = Phase::Failed(reason, service.with(Run::Up))
            }
            Phase::Stopping(_) | Phase::Swapping(_) | Phase::Verifying(_) => return Err(illegal),
        },
        Event::StartFailed { reason } => match state.phase.clone() {
            Phase::Starting(journey) => next.turn_back(journey, &reason, Left::Nothing),
            Phase::Serving(service) => next.ended(None, &service, &reason),
            Phase::Failed(failure, service) => next.ended(Some(failure), &service, &reason),
            Phase::Stopping(_) | Phase::Swapping(_) | Phase::Verifying(_) => return Err(illegal),
        },
        Event::Ready {
            running,
            stop_to_ready_us,
        } => match state.phase.clone() {
            Phase::Verifying(journey) => next.ready(journey, &running, stop_to_ready_us),
            Phase::Failed(_, service) => next.state.phase = Phase::Serving(service.with(Run::Up)),
            Phase::Serving(_) => {}
            Phase::Stopping(_) | Phase::Swapping(_) | Phase::Starting(_) => return Err(illegal),
        },
        Event::Exited { reason } => match state.phase.clone() {
            Phase::Stopping(journey) => next.after_stop(journey),
            Phase::Verifying(journey) => {
                let reason = format!("the process ended before it was ready: {reason}");
                next.turn_back(journey, &reason, Left::Nothing);
            }
            Phase::Serving(service) => next.ended(None, &service, &reason),
            Phase::Failed(failure, service) => next.ended(Some(failure), &service, &reason),
            Phase::Swapping(_) | Phase::Starting(_) => return Err(illegal),
        },
    }
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

    /// Takes up the phase where a former agent left it.
    fn recovered(&mut self, boot: BootId, process: Option<Release>, current: Option<Release>) {
        let rebooted = self.state.boot != boot;
        self.state.boot = boot;
        self.state.current.clone_from(&current);
        match self.state.phase.clone() {
            Phase::Serving(service) => {
                let run = self.revived(process, current);
                self.state.phase = Phase::Serving(service.with(run));
            }
            Phase::Failed(reason, service) => {
                let run = self.revived(process, current);
                self.state.phase = Phase::Failed(reason, service.with(run));
            }
            Phase::Stopping(journey) => self.resume(journey, rebooted, process, Self::stop),
            Phase::Swapping(journey) | Phase::Starting(journey) | Phase::Verifying(journey) => {
                let target = Some(&journey.target);
                match process {
                    // Its probes may long have been good while nobody asked: it gets its full time.
                    Some(running) if target == Some(&running) && target == current.as_ref() => {
                        let verify = |step: &mut Self, journey| step.verify(journey, &running);
                        self.resume(journey, true, None, verify);
                    }
                    Some(_) => self.resume(journey, rebooted, process, Self::stop),
                    None => self.resume(journey, rebooted, None, Self::after_stop),
                }
            }
        }
    }

    /// Goes on with a journey where a former agent left it. It gets its full time again if the clock
    /// that its deadline counts on started anew, and on the way back in any case: there is nowhere
    /// else to go. A way forward whose time ran out meanwhile ends here.
    fn resume(
        &mut self,
        mut journey: Journey,
        anew: bool,
        process: Option<Release>,
        go_on: impl FnOnce(&mut Self, Journey),
    ) {
        let back = matches!(journey.purpose, Purpose::Back { .. });
        if anew || back {
            journey.deadline_ms = self.deadline_ms();
        }
        if self.now >= journey.deadline_ms && !back {
            let left = match process {
                Some(_) => Left::Process,
                None => Left::Nothing,
            };
            return self.turn_back(journey, "its time ran out while the agent was away", left);
        }
        go_on(self, journey);
    }

    /// How a service stands after an agent's start; starts what does not run.
    fn revived(&mut self, process: Option<Release>, current: Option<Release>) -> Run {
        match (process, current) {
            (Some(_), _) => Run::Up,
            (None, Some(release)) => {
                self.actions
                    .push(Action::Start(self.state.ticket(), release));
                Run::Starting
            }
            (None, None) => Run::Nothing,
        }
    }

    fn deadline_ms(&self) -> Now {
        let ready_within_ms = self
            .state
            .fence
            .order
            .as_ref()
            .map_or(0, |order| order.ready_within_ms);
        self.now.saturating_add(ready_within_ms)
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
                let order = incoming.order;
                let target = order.release.clone();
                let purpose = Purpose::Forward {
                    fallback: order.fallback.clone(),
                };
                self.state.fence = Fence {
                    epoch,
                    order: Some(order),
                };
                self.state.outcome = None;
                let deadline_ms = self.deadline_ms();
                self.stop(Journey {
                    target,
                    purpose,
                    deadline_ms,
                });
            }
        }
    }

    fn tick(&mut self, trouble: &str) {
        match self.state.phase.clone() {
            Phase::Stopping(journey) | Phase::Verifying(journey) => {
                self.watch(journey, trouble, Left::Process)
            }
            Phase::Swapping(journey) | Phase::Starting(journey) => {
                self.watch(journey, trouble, Left::Nothing)
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

    /// Turns back when the journey's time is up.
    fn watch(&mut self, journey: Journey, trouble: &str, left: Left) {
        if self.now < journey.deadline_ms {
            return;
        }
        let seconds = self
            .state
            .fence
            .order
            .as_ref()
            .map_or(0, |order| order.ready_within_ms)
            / 1000;
        let mut reason = format!(
            "not ready within {seconds} s, still {}",
            self.state.phase.name()
        );
        if !trouble.is_empty() {
            reason.push_str(": ");
            reason.push_str(trouble);
        }
        self.turn_back(journey, &reason, left);
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

    fn stop(&mut self, journey: Journey) {
        self.state.phase = Phase::Stopping(journey);
        self.actions
            .push(Action::EnsureStopped(self.state.ticket()));
    }

    /// Nothing runs: `current` is next, unless it is right already.
    fn after_stop(&mut self, journey: Journey) {
        if self.state.current.as_ref() == Some(&journey.target) {
            return self.start(journey);
        }
        let action = Action::SwapCurrent(self.state.ticket(), journey.target.clone());
        self.state.phase = Phase::Swapping(journey);
        self.actions.push(action);
    }

    fn start(&mut self, journey: Journey) {
        let action = Action::Start(self.state.ticket(), journey.target.clone());
        self.state.phase = Phase::Starting(journey);
        self.actions.push(action);
    }

    fn verify(&mut self, journey: Journey, running: &Release) {
        if *running != journey.target {
            // A process of another release was faster, such as one that a former agent had begun to start.
            return self.stop(journey);
        }
        self.state.phase = Phase::Verifying(journey);
        self.actions.push(Action::Verify);
    }

    fn ready(&mut self, journey: Journey, running: &Release, stop_to_ready_us: u64) {
        if *running != journey.target {
            let reason = format!("release {running} runs instead of {}", journey.target);
            return self.turn_back(journey, &reason, Left::Process);
        }
        let (result, reason) = match journey.purpose {
            Purpose::Forward { .. } => (OrderResult::Done, String::new()),
            Purpose::Back { reason } => (OrderResult::Reverted, reason),
        };
        self.state.outcome = Some(Outcome {
            result,
            reason,
            stop_to_ready_us,
        });
        self.state.phase = Phase::Serving(Service::new(Run::Up));
    }

    /// The journey will not do: back to the release before, or, if this was the way back or there is
    /// none, an end with what `current` names tried again by the restart policy.
    fn turn_back(&mut self, journey: Journey, problem: &str, left: Left) {
        let reason = match journey.purpose {
            Purpose::Forward {
                fallback: Some(target),
            } => {
                let purpose = Purpose::Back {
                    reason: problem.to_owned(),
                };
                let deadline_ms = self.deadline_ms();
                return self.stop(Journey {
                    target,
                    purpose,
                    deadline_ms,
                });
            }
            Purpose::Forward { fallback: None } => {
                format!("{problem}; there is no release to go back to")
            }
            Purpose::Back { reason } => format!("{reason}; then going back failed: {problem}"),
        };
        self.state.outcome = Some(Outcome {
            result: OrderResult::Failed,
            reason: reason.clone(),
            stop_to_ready_us: 0,
        });
        match left {
            Left::Process => self.state.phase = Phase::Failed(reason, Service::new(Run::Up)),
            Left::Nothing => self.ended(Some(reason), &Service::new(Run::Starting), problem),
        }
    }

    fn ended(&mut self, failure: Option<String>, service: &Service, reason: &str) {
        let service = service.ended(reason, &self.state.policy, self.now);
        self.state.phase = match failure {
            Some(failure) => Phase::Failed(failure, service),
            None => Phase::Serving(service),
        };
    }
}
