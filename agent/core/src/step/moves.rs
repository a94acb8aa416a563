//! The moves of a journey, in the order in which it makes them, and where it turns back.

use crate::{
    Action, DataMove, Hitch, Journey, Method, Now, OrderResult, Outcome, Phase, Purpose, Release,
    Run, Service, StepName, step::Step,
};
use evenkeel_words::planted::{self, Bug};

use super::Left;

/// How long after a hitch the same is tried again, in milliseconds: short beside what a person needs to
/// mend it, long beside what trying costs.
const AGAIN_AFTER_MS: u64 = 5_000;

impl Step {
    /// The journey that carries out the newest order.
    pub(super) fn journey(&self, target: Release, purpose: Purpose) -> Journey {
        let order = self.state.fence.order.as_ref();
        let method = order.map(|order| order.method);
        Journey {
            target,
            purpose,
            data: (method == Some(Method::Rebuild)).then_some(DataMove::SetAside),
            furthest: StepName::Draining,
            deadline_ms: self.deadline_ms(),
        }
    }

    pub(super) fn deadline_ms(&self) -> Now {
        self.now.saturating_add(self.ready_within_ms())
    }

    fn ready_within_ms(&self) -> u64 {
        let order = self.state.fence.order.as_ref();
        order.map_or(0, |order| order.ready_within_ms)
    }

    pub(super) fn drain(&mut self, journey: Journey) {
        self.state.drained = true;
        self.state.phase = Phase::Draining(journey);
        self.actions.push(Action::Drain(self.state.ticket()));
    }

    pub(super) fn stop(&mut self, journey: Journey) {
        self.state.phase = Phase::Stopping(journey.at(StepName::Stopping));
        self.actions
            .push(Action::EnsureStopped(self.state.ticket()));
    }

    /// Nothing runs: the data is next, unless it stays or was moved already.
    pub(super) fn after_stop(&mut self, journey: Journey) {
        if journey.data.is_some() && journey.furthest < StepName::Swapping {
            return self.move_data(journey);
        }
        self.swap_unless_current(journey);
    }

    pub(super) fn move_data(&mut self, journey: Journey) {
        let action = journey
            .data
            .map(|data| Action::MoveData(self.state.ticket(), data));
        self.state.phase = Phase::Emptying(journey.at(StepName::Emptying));
        self.actions.extend(action);
    }

    /// The data is where it belongs. A way back has its time from here on: however long that took, there
    /// was nowhere else to go.
    pub(super) fn after_data(&mut self, mut journey: Journey) {
        self.state.hitch = None;
        if journey.is_back() {
            journey.deadline_ms = self.deadline_ms();
        }
        self.swap_unless_current(journey);
    }

    fn swap_unless_current(&mut self, journey: Journey) {
        if self.state.current.as_ref() == Some(&journey.target) {
            return self.start(journey);
        }
        self.swap(journey);
    }

    pub(super) fn swap(&mut self, journey: Journey) {
        let action = Action::SwapCurrent(self.state.ticket(), journey.target.clone());
        self.state.phase = Phase::Swapping(journey.at(StepName::Swapping));
        self.actions.push(action);
    }

    pub(super) fn start(&mut self, journey: Journey) {
        self.state.hitch = None;
        self.state.unproven = true;
        let action = Action::Start(self.state.ticket(), journey.target.clone());
        self.state.phase = Phase::Starting(journey.at(StepName::Starting));
        self.actions.push(action);
    }

    /// A process runs: the storage system is told, if it has to be.
    pub(super) fn started(&mut self, journey: Journey, running: &Release) {
        if *running != journey.target && !planted::is(Bug::AnyReleaseWillDo) {
            // A process of another release was faster, such as one that a former agent had begun to start.
            return self.stop(journey);
        }
        match self.state.rejoin(&journey) {
            Some(rejoin) => {
                self.state.phase = Phase::Rejoining(journey);
                self.undo_then(|ticket| Action::Rejoin(ticket, rejoin));
            }
            None => self.verify(journey),
        }
    }

    pub(super) fn verify(&mut self, journey: Journey) {
        if planted::is(Bug::DoneBeforeReady) {
            return self.end_well(journey, 0);
        }
        self.state.phase = Phase::Verifying(journey);
        self.actions.push(Action::Verify);
        self.undo_what_is_left();
    }

    pub(super) fn ready(&mut self, journey: Journey, running: &Release, stop_to_ready_us: u64) {
        if *running != journey.target && !planted::is(Bug::AnyReleaseWillDo) {
            let reason = format!("release {running} runs instead of {}", journey.target);
            return self.turn_back(journey, &reason, Left::Process);
        }
        match self.state.settings.driver || self.state.quiesced {
            true => self.recover(journey, stop_to_ready_us),
            false => self.end_well(journey, stop_to_ready_us),
        }
    }

    pub(super) fn end_well(&mut self, journey: Journey, stop_to_ready_us: u64) {
        let (result, reason) = match journey.purpose {
            Purpose::Forward { .. } => (OrderResult::Done, String::new()),
            Purpose::Back { reason } => (OrderResult::Reverted, reason),
        };
        self.state.drained = false;
        self.state.unproven = false;
        self.state.outcome = Some(Outcome {
            result,
            reason,
            stop_to_ready_us,
        });
        self.state.phase = Phase::Serving(Service::new(Run::Up));
    }

    /// Turns back when the journey's time is up.
    pub(super) fn watch(&mut self, journey: Journey, trouble: &str, left: Left) {
        if let Some(reason) = self.overdue(&journey, trouble) {
            self.turn_back(journey, &reason, left);
        }
    }

    /// Why the journey must not go on, once its time is up.
    pub(super) fn overdue(&self, journey: &Journey, trouble: &str) -> Option<String> {
        if self.now < journey.deadline_ms || planted::is(Bug::DeadlineIgnored) {
            return None;
        }
        let mut reason = format!(
            "not ready within {} s, still {}",
            self.ready_within_ms() / 1000,
            self.state.phase.name()
        );
        if !trouble.is_empty() {
            reason.push_str(": ");
            reason.push_str(trouble);
        }
        Some(reason)
    }

    /// A step failed while nothing runs. A way back that has moved data stays at it: what `current` names
    /// must not be started on data that was left to another release.
    pub(super) fn turn_back_or_insist(&mut self, journey: Journey, reason: String) {
        if journey.must_go_on() {
            self.state.hitch = Some(Hitch {
                reason,
                again_at_ms: self.now.saturating_add(AGAIN_AFTER_MS),
            });
            return;
        }
        self.turn_back(journey, &reason, Left::Nothing);
    }

    /// Tries a step of such a way back again, when it is time.
    pub(super) fn insist(&mut self, mut journey: Journey, again: impl FnOnce(&mut Self, Journey)) {
        let hitch = self.state.hitch.as_ref();
        if self.now < hitch.map_or(journey.deadline_ms, |hitch| hitch.again_at_ms) {
            return;
        }
        match &mut self.state.hitch {
            Some(hitch) => hitch.again_at_ms = self.now.saturating_add(AGAIN_AFTER_MS),
            None => journey.deadline_ms = self.deadline_ms(),
        }
        again(self, journey);
    }

    /// The journey will not do: back to the release before, or, if this was the way back or there is
    /// none, an end with what `current` names tried again by the restart policy.
    pub(super) fn turn_back(&mut self, journey: Journey, problem: &str, left: Left) {
        let purpose = Purpose::Back {
            reason: problem.to_owned(),
        };
        if self.state.phase.is_before_stop()
            && let Some(current) = self.state.current.clone()
        {
            // Nothing was touched yet: what is there stays, and is told so.
            return self.start(Journey {
                data: None,
                ..self.journey(current, purpose)
            });
        }
        if let Some((target, data)) = journey.way_back(self.state.current.as_ref()) {
            return self.stop(Journey {
                data,
                ..self.journey(target, purpose)
            });
        }
        let reason = match journey.purpose {
            Purpose::Forward { .. } => format!("{problem}; there is no release to go back to"),
            Purpose::Back { reason } => format!("{reason}; then going back failed: {problem}"),
        };
        match left {
            Left::Process => self.fail_running(reason),
            Left::Nothing => {
                self.note_failed(reason.clone());
                self.ended(Some(reason), &Service::new(Run::Starting), problem);
            }
        }
    }

    /// The order ends badly, and what runs is left to run until its gates are good or somebody says more.
    pub(super) fn fail_running(&mut self, reason: String) {
        self.note_failed(reason.clone());
        self.state.phase = Phase::Failed(reason, Service::new(Run::Up));
        self.undo_what_is_left();
    }

    pub(super) fn note_failed(&mut self, reason: String) {
        self.state.unproven = true;
        self.state.outcome = Some(Outcome {
            result: OrderResult::Failed,
            reason,
            stop_to_ready_us: 0,
        });
    }
}
