//! The gates of a journey: what the storage system is asked before its process is stopped, and before the
//! journey counts as ended well. [`Settings::driver`](crate::Settings::driver) says whether there is anybody to ask.

use evenkeel_words::planted::{self, Bug};
use semver::Version;

use crate::{
    Action, Finality, Finalized, Finalizing, Journey, OrderResult, Outcome, Phase, Purpose,
    Refusal, Run, Service, StepName, step::Step,
};

use super::Left;

impl Step {
    /// What the process serves may go: may the process? Nobody is asked on a way back, which mends what is
    /// broken already.
    pub(super) fn ask_or_stop(&mut self, journey: Journey) {
        let order = self.state.fence.order.as_ref();
        let goes_back = order.is_some_and(|order| order.way_back);
        if !self.state.settings.driver || goes_back || planted::is(Bug::LeaveNotAsked) {
            return self.stop(journey);
        }
        self.ask(journey);
    }

    pub(super) fn ask(&mut self, journey: Journey) {
        self.state.phase = Phase::Asking(journey.at(StepName::Asking));
        self.actions.push(Action::AskToStop(self.state.ticket()));
    }

    /// It may be stopped. The order has its time from here on: however long that took, nothing was done.
    pub(super) fn may_stop(&mut self, mut journey: Journey) {
        journey.deadline_ms = self.deadline_ms();
        self.quiesce(journey);
    }

    pub(super) fn quiesce(&mut self, journey: Journey) {
        self.state.quiesced = true;
        self.state.phase = Phase::Quiescing(journey.at(StepName::Quiescing));
        self.actions.push(Action::Quiesce(self.state.ticket()));
    }

    /// The order ends before its process was touched. What was drained for it has to be told that it
    /// stays, which is a way back like any other, to what is there.
    pub(super) fn decline(&mut self, journey: Journey, reason: &str) {
        if journey.data.is_some() {
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
    pub(super) fn declined(&mut self, reason: String) {
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

    /// A process runs and no order is being carried out: what a former one left quiesced is undone.
    pub(super) fn undo_what_is_left(&mut self) {
        if self.state.quiesced {
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
                self.turn_back(journey, &reason, Left::Process);
            }
            None => self.undo_then_ask(),
        }
        Some(())
    }

    /// What was done to stop the process is undone first: many a system does not recover before.
    pub(super) fn undo_then_ask(&mut self) {
        let ticket = self.state.ticket();
        self.actions.push(
            match self.state.quiesced && !planted::is(Bug::LeftQuiesced) {
                true => Action::Unquiesce(ticket),
                false => Action::AskRecovered(ticket),
            },
        );
    }

    pub(super) fn unquiesced(&mut self) -> Option<()> {
        match self.state.phase.clone() {
            Phase::Declining(journey) => {
                self.state.quiesced = false;
                self.declined(journey.purpose.reason());
            }
            Phase::Recovering { .. } | Phase::Failed(_, _) => {
                self.state.quiesced = false;
                self.undo_then_ask();
            }
            Phase::Serving(_) => self.state.quiesced = false,
            Phase::Draining(_)
            | Phase::Asking(_)
            | Phase::Quiescing(_)
            | Phase::Stopping(_)
            | Phase::Emptying(_)
            | Phase::Swapping(_)
            | Phase::Starting(_)
            | Phase::Rejoining(_)
            | Phase::Verifying(_) => return None,
        }
        Some(())
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

    pub(super) fn caught_up(&mut self) -> Option<()> {
        match self.state.phase.clone() {
            Phase::Recovering {
                journey,
                stop_to_ready_us,
            } => self.end_well(journey, stop_to_ready_us),
            Phase::Failed(_, service) => self.state.phase = Phase::Serving(service.with(Run::Up)),
            Phase::Draining(_)
            | Phase::Asking(_)
            | Phase::Quiescing(_)
            | Phase::Declining(_)
            | Phase::Stopping(_)
            | Phase::Emptying(_)
            | Phase::Swapping(_)
            | Phase::Starting(_)
            | Phase::Rejoining(_)
            | Phase::Verifying(_)
            | Phase::Serving(_) => return None,
        }
        Some(())
    }
}
