//! How a new agent takes up what a former one left.

use crate::{Action, BootId, Journey, Phase, Release, Run, Service, StepName, step::Step};

use super::Left;

impl Step {
    /// Takes up the phase where a former agent left it.
    pub(super) fn recovered(
        &mut self,
        boot: BootId,
        process: Option<Release>,
        current: Option<Release>,
    ) {
        let rebooted = self.state.boot != boot;
        self.state.boot = boot;
        self.state.current.clone_from(&current);
        match self.state.phase.clone() {
            Phase::Serving(_) | Phase::Failed(_, _) => {
                let run = self.revived(process, current);
                let is_up = run == Run::Up;
                self.restand(|_, service| service.with(run));
                if is_up {
                    self.undo_what_is_left();
                }
            }
            Phase::Draining(journey) => match process {
                Some(_) => self.resume(journey, rebooted, process, Self::drain),
                None => {
                    let gone = "its process was gone when the agent came back to draining it";
                    self.turn_back(journey, gone, Left::Nothing);
                }
            },
            // However lately there was a yes, it may be an old one by now.
            Phase::Asking(journey) | Phase::Quiescing(journey) => {
                self.untouched(journey, rebooted, process, Self::ask);
            }
            Phase::Declining(journey) => match process {
                Some(_) => self.resume(journey, true, process, Self::undo_quiesce),
                None => self.gone(journey.purpose.reason()),
            },
            Phase::Stopping(journey) if process.is_some() && self.is_untouched(&journey) => {
                self.state.phase = Phase::Asking(journey.clone());
                self.untouched(journey, rebooted, process, Self::ask_or_stop);
            }
            Phase::Stopping(journey) => self.resume(journey, rebooted, process, Self::stop),
            Phase::Emptying(journey) => {
                let go_on = match process {
                    // Nobody started one; but nothing is moved under one either.
                    Some(_) => Self::stop,
                    None => Self::after_stop,
                };
                self.resume(journey, rebooted, process, go_on);
            }
            Phase::Swapping(journey)
            | Phase::Starting(journey)
            | Phase::Rejoining(journey)
            | Phase::Verifying(journey)
            | Phase::Recovering { journey, .. } => {
                let target = Some(&journey.target);
                match process {
                    // Its probes may long have been good while nobody asked: it gets its full time.
                    Some(running) if target == Some(&running) && target == current.as_ref() => {
                        let started = |step: &mut Self, journey| step.started(journey, &running);
                        self.resume(journey, true, None, started);
                    }
                    Some(_) => self.resume(journey, rebooted, process, Self::stop),
                    None => self.resume(journey, rebooted, None, Self::after_stop),
                }
            }
        }
    }

    /// Whether a journey that was to stop its process has done nothing else to the instance.
    fn is_untouched(&self, journey: &Journey) -> bool {
        !journey.is_back() && !self.mends() && journey.furthest <= StepName::Stopping
    }

    /// Goes on with a journey that has not touched its process yet, if there is still time and a process.
    fn untouched(
        &mut self,
        mut journey: Journey,
        rebooted: bool,
        process: Option<Release>,
        go_on: impl FnOnce(&mut Self, Journey),
    ) {
        if process.is_none() {
            let gone = "its process was gone when the agent came back to stopping it";
            if journey.is_back() {
                return self.resume(journey, rebooted, None, Self::after_stop);
            }
            return match journey.data.is_some() || self.state.drained {
                true => self.decline(journey, gone),
                false => self.gone(gone.to_owned()),
            };
        }
        if rebooted {
            journey.deadline_ms = self.deadline_ms();
        }
        if self.now >= journey.deadline_ms {
            let late = "its time ran out while the agent was away";
            return self.decline(journey, late);
        }
        go_on(self, journey);
    }

    /// The order ends without its process having been touched, and that is gone all the same.
    fn gone(&mut self, reason: String) {
        let unproven = self.state.unproven;
        match unproven {
            true => self.note_failed(reason.clone()),
            false => self.note_declined(reason.clone()),
        }
        let service = Service::new(self.revived(None, self.state.current.clone()));
        self.state.phase = match unproven {
            true => Phase::Failed(reason, service),
            false => Phase::Serving(service),
        };
    }

    /// Goes on with a journey where a former agent left it. It gets its full time again if the clock
    /// that its deadline counts on started anew, and on the way back in any case, which may be what was ordered: there
    /// is nowhere else to go. A way forward whose time ran out meanwhile ends here.
    fn resume(
        &mut self,
        mut journey: Journey,
        anew: bool,
        process: Option<Release>,
        go_on: impl FnOnce(&mut Self, Journey),
    ) {
        let back = journey.is_back() || self.mends();
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

    /// How a service stands after an agent's start; starts what does not run, or
    /// waits for the coordinator's word on it.
    fn revived(&mut self, process: Option<Release>, current: Option<Release>) -> Run {
        match (process, current) {
            (Some(_), _) => Run::Up,
            (None, Some(_)) if let Some(reason) = self.state.hold.reason.clone() => {
                Run::Held { reason }
            }
            (None, Some(_)) if self.state.settings.start_alone_after_ms > 0 => Run::Awaiting {
                until_ms: self
                    .now
                    .saturating_add(self.state.settings.start_alone_after_ms),
            },
            (None, Some(release)) => {
                self.actions
                    .push(Action::Start(self.state.ticket(), release));
                Run::Starting
            }
            (None, None) => Run::Nothing,
        }
    }
}
