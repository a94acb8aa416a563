//! The gates of a journey: what the storage system is asked before its process is stopped, and before the
//! journey counts as ended well. [`Settings::driver`](crate::Settings::driver) says whether there is anybody to ask.

use evenkeel_words::planted::{self, Bug};
use semver::Version;

use crate::{
    Action, Finality, Finalized, Finalizing, Journey, OrderResult, Outcome, Phase, Purpose,
    Refusal, Run, Service, StepName, Ticket, step::Step,
};

use super::{Left, StepIs};

impl Step {
    /// What the process serves may go: may the process? Nobody is asked on a way back, which mends what is
    /// broken already.
    pub(super) fn ask_or_stop(&mut self, journey: Journey) {
        if !self.state.settings.driver || self.mends() || planted::is(Bug::LeaveNotAsked) {
            return self.stop(journey);
        }
        self.ask(journey);
    }

    /// Whether the newest order puts back what would not do.
    pub(super) fn mends(&self) -> bool {
        let order = self.state.fence.order.as_ref();
        order.is_some_and(|order| order.way_back)
    }

    pub(super) fn ask(&mut self, journey: Journey) {
        self.state.phase = Phase::Asking(journey.at(StepName::Asking));
        self.actions.push(Action::AskToStop(self.state.ticket()));
    }

    /// It may be stopped. The order has its time from here on: however long that took, nothing was done.
    pub(super) fn ok_to_stop(&mut self) -> Option<()> {
        if let Some(journey) = self.only_while(StepIs::Quiescing) {
            self.stop(journey);
            return Some(());
        }
        let mut journey = self.only_while(StepIs::Asking)?;
        journey.deadline_ms = self.deadline_ms();
        match journey.is_back() {
            // What is sick may be unable to make itself ready.
            true => self.stop(journey),
            false => self.quiesce(journey),
        }
        Some(())
    }

    /// It is ready to be stopped. However long that took: another may have gone since the yes, which is
    /// asked for once more. The way itself has its time from here on.
    pub(super) fn ask_once(&mut self, mut journey: Journey) {
        if planted::is(Bug::OldYesTaken) {
            return self.stop(journey);
        }
        journey.deadline_ms = self.deadline_ms();
        self.state.phase = Phase::Quiescing(journey);
        self.actions.push(Action::AskOnce(self.state.ticket()));
    }

    pub(super) fn quiesce(&mut self, journey: Journey) {
        self.state.quiesced = true;
        self.state.phase = Phase::Quiescing(journey.at(StepName::Quiescing));
        self.actions.push(Action::Quiesce(self.state.ticket()));
    }

    /// The order ends before its process was touched. What was drained for it has to be told that it
    /// stays, which is a way back like any other, to what is there.
    pub(super) fn decline(&mut self, journey: Journey, reason: &str) {
        if let Purpose::Back { reason: back } = &journey.purpose {
            return self.fail_running(format!("{back}; and it was not stopped: {reason}"));
        }
        if journey.data.is_some() || self.state.drained {
            return self.turn_back(journey, reason, Left::Process);
        }
        if !self.state.runs || !self.state.quiesced {
            return self.declined(reason.to_owned());
        }
        let deadline_ms = self.deadline_ms();
        let purpose = Purpose::Back {
            reason: reason.to_owned(),
        };
        self.undo_quiesce(Journey {
            purpose,
            deadline_ms,
            ..journey
        });
    }

    pub(super) fn undo_quiesce(&mut self, journey: Journey) {
        self.state.phase = Phase::Declining(journey);
        self.actions.push(Action::Unquiesce(self.state.ticket()));
    }

    /// The order has ended with its process untouched. What could not be undone in time is tried on.
    /// A process that had not passed the gates of an order before has still not, and does not count as whole.
    pub(super) fn declined(&mut self, reason: String) {
        if self.state.unproven && !planted::is(Bug::DeclinedProves) {
            if self.state.runs {
                return self.fail_running(reason);
            }
            self.note_failed(reason.clone());
            return self.ended(Some(reason.clone()), &Service::new(Run::Starting), &reason);
        }
        self.note_declined(reason.clone());
        if !self.state.runs {
            return self.ended(None, &Service::new(Run::Starting), &reason);
        }
        self.state.phase = Phase::Serving(Service::new(Run::Up));
        self.undo_what_is_left();
    }

    pub(super) fn note_declined(&mut self, reason: String) {
        self.state.outcome = Some(Outcome {
            result: OrderResult::Declined,
            reason,
            stop_to_ready_us: 0,
        });
    }

    fn has_to_undo(&self) -> bool {
        self.state.quiesced && !planted::is(Bug::LeftQuiesced)
    }

    /// A process runs: what was done to stop one, by this order or a former one, is undone.
    pub(super) fn undo_what_is_left(&mut self) {
        if self.has_to_undo() {
            self.actions.push(Action::Unquiesce(self.state.ticket()));
        }
    }

    /// The probes are good. A way forward has to run what was ordered, by its own word as well.
    pub(super) fn recover(&mut self, journey: Journey, stop_to_ready_us: u64) {
        let is_back = journey.is_back();
        self.state.phase = Phase::Recovering {
            journey,
            stop_to_ready_us,
        };
        match is_back {
            true => self.undo_then_ask(),
            false => self.actions.push(Action::AskVersion(self.state.ticket())),
        }
    }

    pub(super) fn version_told(&mut self, version: Option<Version>) -> Option<()> {
        let Phase::Recovering { journey, .. } = self.state.phase.clone() else {
            return None;
        };
        let ordered = &journey.target.version;
        let is_other = |version: &Version| version.cmp_precedence(ordered).is_ne();
        match version.filter(|it| is_other(it) && !planted::is(Bug::VersionNotCompared)) {
            Some(other) => {
                let reason = format!("the process says that it is {other}, not {ordered}");
                self.ask_to_turn_back(journey, &reason);
            }
            None => self.undo_then_ask(),
        }
        Some(())
    }

    /// A process that answers its probes will not do all the same. It may be one that the others cannot do
    /// without by now: it is stopped only once it may be.
    pub(super) fn ask_to_turn_back(&mut self, journey: Journey, problem: &str) {
        let way_back = journey.way_back(self.state.current.as_ref());
        let asks = self.state.settings.driver && !planted::is(Bug::TurnedBackUnasked);
        match way_back.filter(|_| asks) {
            Some((target, data)) => {
                let purpose = Purpose::Back {
                    reason: problem.to_owned(),
                };
                let back = self.journey(target, purpose);
                self.ask(Journey { data, ..back });
            }
            None => self.turn_back(journey, problem, Left::Process),
        }
    }

    /// What was done to stop the process is undone first: many a system does not recover before.
    pub(super) fn undo_then_ask(&mut self) {
        self.undo_then(Action::AskRecovered);
    }

    pub(super) fn undo_then(&mut self, action: impl FnOnce(Ticket) -> Action) {
        let ticket = self.state.ticket();
        self.actions.push(match self.has_to_undo() {
            true => Action::Unquiesce(ticket),
            false => action(ticket),
        });
    }

    pub(super) fn unquiesced(&mut self) -> Option<()> {
        match self.state.phase.clone() {
            Phase::Declining(journey) => {
                self.state.quiesced = false;
                self.declined(journey.purpose.reason());
            }
            Phase::Recovering { .. } => {
                self.state.quiesced = false;
                self.undo_then_ask();
            }
            Phase::Rejoining(journey) => {
                self.state.quiesced = false;
                let rejoin = self.state.rejoin(&journey)?;
                self.undo_then(|ticket| Action::Rejoin(ticket, rejoin));
            }
            // What comes next is asked once the probes are good.
            Phase::Serving(_) | Phase::Verifying(_) | Phase::Failed(_, _) => {
                self.state.quiesced = false;
            }
            Phase::Draining(_)
            | Phase::Asking(_)
            | Phase::Quiescing(_)
            | Phase::Stopping(_)
            | Phase::Emptying(_)
            | Phase::Swapping(_)
            | Phase::Starting(_) => return None,
        }
        Some(())
    }

    /// The process that runs has passed its gates, though its order ended badly.
    pub(super) fn proven(&mut self, service: Service) {
        self.state.unproven = false;
        self.state.phase = Phase::Serving(service.with(Run::Up));
        self.undo_what_is_left();
    }

    /// An upgrade has to be made final, once for each id.
    pub(super) fn finalize(&mut self, word: &Finality) {
        let ended = self.state.finalized.as_ref();
        let under_way = self.state.finalizing.as_ref().filter(|it| it.is_begun);
        if ended.is_some_and(|it| it.id == word.id) || under_way.is_some_and(|it| it.id == word.id)
        {
            return;
        }
        if let Err(reason) = word.judge(&self.state, self.now) {
            let id = word.id.clone();
            // What was said of an order in the same breath is told before.
            let refusal = Refusal::NotFinal { id, reason };
            self.state.refusal.get_or_insert(refusal);
            return;
        }
        let finalize = Action::Finalize(self.state.ticket(), word.id.clone());
        self.actions.push(finalize);
        self.state.finalizing = Some(Finalizing {
            id: word.id.clone(),
            is_begun: true,
        });
    }

    /// What came of it; of an id that is not asked for any more nothing is kept.
    pub(super) fn finalize_ended(&mut self, id: String, outcome: Result<(), String>) {
        let is_it = |finalizing: &Finalizing| finalizing.id == id && finalizing.is_begun;
        if self.state.finalizing.as_ref().is_some_and(is_it) {
            self.state.finalizing = None;
            self.state.finalized = Some(Finalized { id, outcome });
        }
    }

    /// Good probes are no news of what serves; what has failed may have more to pass.
    pub(super) fn ready_in_service(&mut self) -> Option<()> {
        let service = self.state.phase.service()?.clone();
        if let Phase::Failed(_, _) = self.state.phase {
            match self.state.settings.driver {
                true => self.undo_then_ask(),
                false => self.proven(service),
            }
        }
        Some(())
    }

    pub(super) fn caught_up(&mut self) -> Option<()> {
        if let Phase::Recovering {
            journey,
            stop_to_ready_us,
        } = self.state.phase.clone()
        {
            self.end_well(journey, stop_to_ready_us);
            return Some(());
        }
        let Phase::Failed(_, service) = self.state.phase.clone() else {
            return None;
        };
        self.proven(service);
        Some(())
    }
}
