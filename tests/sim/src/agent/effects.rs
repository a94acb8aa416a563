//! The effects: what the core decided, done to the host.

use std::collections::BTreeMap;

use evenkeel_agent_core::{
    Action, DataMove, Event as Happened, OrderResult, Release, Standing, Ticket,
};

use super::{driver::Asked, instance::Fault};
use crate::{
    coverage::Sight,
    process::Data,
    queue::Ms,
    world::{Event, InstanceIndex, World},
};

/// How long a process may take to stop before it is killed.
const STOP_TIMEOUT_MS: Ms = 10_000;

#[derive(Debug)]
pub(super) struct Stop {
    pid: u32,
    ticket: Ticket,
}

impl World {
    fn is_backed(&self, index: InstanceIndex, ticket: Ticket) -> bool {
        ticket.is_backed_by(&self.instances[index].journal)
    }

    /// Does what was decided; what came of it, unless that shows later.
    pub(super) fn perform(&mut self, index: InstanceIndex, action: &Action) -> Option<Happened> {
        match action {
            Action::EnsureStopped(ticket) if self.is_backed(index, *ticket) => {
                self.ensure_stopped(index, *ticket)
            }
            Action::SwapCurrent(ticket, release) if self.is_backed(index, *ticket) => {
                let result = self.swap(index, *ticket, release);
                self.takes_time(index, result)
            }
            Action::Start(ticket, release) if self.is_backed(index, *ticket) => {
                let result = self.start(index, *ticket, release);
                self.takes_time(index, result)
            }
            Action::MoveData(ticket, data) if self.is_backed(index, *ticket) => {
                let result = self.move_data(index, *ticket, *data);
                self.takes_time(index, result)
            }
            Action::Drain(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Drain)
            }
            Action::Rejoin(ticket, _) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Rejoin)
            }
            Action::AskToStop(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::OkToStop)
            }
            Action::AskOnce(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Once)
            }
            Action::Quiesce(ticket) if self.is_backed(index, *ticket) => {
                self.instances[index].is_quiesced = true;
                // Whatever that moves, the leave was given before.
                self.instances[index].leave_for = None;
                self.ask_driver(index, Asked::Quiesce)
            }
            Action::Unquiesce(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Unquiesce)
            }
            Action::AskVersion(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Version)
            }
            Action::AskRecovered(ticket) if self.is_backed(index, *ticket) => {
                self.ask_driver(index, Asked::Recovered)
            }
            Action::Finalize(ticket, id)
                if ticket.is_final_by(&self.instances[index].journal, id) =>
            {
                self.finality_stands(index, id);
                let agent = self.hosts[self.instances[index].node].agent?;
                let after = self.dice.between(10, 10_000);
                self.later(after, Event::Finalized(index, agent, id.clone()));
                None
            }
            Action::Verify => None,
            Action::Drain(_)
            | Action::EnsureStopped(_)
            | Action::MoveData(_, _)
            | Action::SwapCurrent(_, _)
            | Action::Start(_, _)
            | Action::AskToStop(_)
            | Action::AskOnce(_)
            | Action::Quiesce(_)
            | Action::Unquiesce(_)
            | Action::AskVersion(_)
            | Action::AskRecovered(_)
            | Action::Rejoin(_, _)
            | Action::Finalize(_, _) => {
                self.wrong(format!(
                    "{}: what is durable does not stand behind {action:?}",
                    self.instances[index].id
                ));
                None
            }
        }
    }

    /// What came of an effect is heard at once, or after a while in which the agent does nothing else.
    fn takes_time(&mut self, index: InstanceIndex, result: Happened) -> Option<Happened> {
        let node = self.instances[index].node;
        let agent = self.hosts[node].agent?;
        if self.dice.chance(1, 2) {
            return Some(result);
        }
        self.truth.questions += 1;
        let effect = self.truth.questions;
        self.instances[index].agent.as_mut()?.effect = Some(effect);
        let after = self.dice.between(1, 4_000);
        let done = Event::Effect(index, agent, effect, Box::new(result));
        self.later(after, done);
        None
    }

    /// An effect has been had.
    pub(crate) fn effect_had(
        &mut self,
        index: InstanceIndex,
        agent: u64,
        effect: u64,
        result: Happened,
    ) {
        if !self.is_there(index, agent) {
            return;
        }
        if let Some(memory) = &mut self.instances[index].agent
            && memory.effect == Some(effect)
        {
            memory.effect = None;
            self.handle(index, result);
        }
    }

    fn ensure_stopped(&mut self, index: InstanceIndex, ticket: Ticket) -> Option<Happened> {
        self.effect_is_lawful(index, ticket, "stops");
        let node = self.instances[index].node;
        let agent = self.hosts[node].agent?;
        let Some(process) = &self.instances[index].process else {
            return Some(Happened::Stopped);
        };
        let pid = process.pid;
        let is_stopping = process.is_stopping;
        self.taken_down(index, ticket.generation);
        let memory = self.instances[index].agent.as_mut()?;
        if let Some(stop) = memory.stopping.as_mut().filter(|stop| stop.pid == pid) {
            stop.ticket = ticket;
            return None;
        }
        memory.stopping = Some(Stop { pid, ticket });
        self.later(STOP_TIMEOUT_MS, Event::Kill(index, agent, pid));
        if let Some(process) = &mut self.instances[index].process {
            process.is_stopping = true;
        }
        if !is_stopping && !self.instances[index].hangs {
            let after = self.dice.between(1, 9_000);
            self.later(after, Event::Exits(index, pid, "it was asked to stop"));
        }
        self.look_at_service(index);
        None
    }

    pub(crate) fn kill(&mut self, index: InstanceIndex, agent: u64, pid: u32) {
        if !self.is_there(index, agent) {
            return;
        }
        let lives = self.instances[index]
            .process
            .as_ref()
            .is_some_and(|process| process.pid == pid);
        let memory = self.instances[index].agent.as_ref();
        let stop = memory.and_then(|memory| memory.stopping.as_ref());
        let Some(ticket) = stop.filter(|stop| stop.pid == pid).map(|stop| stop.ticket) else {
            return;
        };
        if !lives {
            return;
        }
        if !self.is_backed(index, ticket) {
            // An order came between. One that stops the process may kill it as well.
            return self.later(STOP_TIMEOUT_MS, Event::Kill(index, agent, pid));
        }
        self.effect_is_lawful(index, ticket, "kills");
        self.see(Sight::Killed);
        self.process_exits(index, pid, "it was killed");
    }

    fn swap(&mut self, index: InstanceIndex, ticket: Ticket, release: &Release) -> Happened {
        self.effect_is_lawful(index, ticket, "swaps");
        let node = self.instances[index].node;
        let reason = match self.is_complete(index, release) {
            false => Some("the release is not complete"),
            true => (self.hosts[node].disk_is_full && self.dice.chance(1, 2))
                .then_some("there is no space for the link"),
        };
        if let Some(reason) = reason {
            let reason = reason.to_owned();
            return Happened::SwapFailed { reason };
        }
        if self.instances[index].process.is_some() {
            self.wrong(format!(
                "{}: current changed under a process",
                self.instances[index].id
            ));
        }
        self.instances[index].current = release.clone();
        Happened::Swapped
    }

    fn move_data(&mut self, index: InstanceIndex, ticket: Ticket, data: DataMove) -> Happened {
        self.effect_is_lawful(index, ticket, "moves the data of");
        let generation = ticket.generation;
        let instance = &mut self.instances[index];
        if instance.process.is_some() {
            let wrong = format!("{}: data moved under a process", instance.id);
            self.wrong(wrong);
            return Happened::DataMoved;
        }
        let fails = instance.stuck_moves > 0;
        instance.stuck_moves = instance.stuck_moves.saturating_sub(1);
        let moved = if fails { 1 } else { 2 };
        let folders = instance.folders.iter_mut().zip(&mut instance.aside);
        let mut sight = None;
        for (folder, aside) in folders.take(moved) {
            match data {
                DataMove::SetAside if aside.contains_key(&generation) => {}
                DataMove::SetAside => {
                    let new = Data::begun_by(generation);
                    aside.insert(generation, std::mem::replace(folder, new));
                }
                DataMove::PutBack => {
                    if let Some(before) = aside.remove(&generation) {
                        *folder = before;
                        sight = Some(Sight::PutBack);
                    }
                }
            }
        }
        if let Some(sight) = sight {
            self.see(sight);
        }
        if fails {
            let reason = "a folder could not be moved".to_owned();
            return Happened::DataNotMoved { reason };
        }
        Happened::DataMoved
    }

    fn start(&mut self, index: InstanceIndex, ticket: Ticket, release: &Release) -> Happened {
        self.start_is_lawful(index, ticket, release);
        let instance = &self.instances[index];
        if let Some(process) = &instance.process {
            let running = process.running.clone();
            return Happened::Started { running };
        }
        match instance.faults.get(&release.version) {
            Some(Fault::DoesNotStart) => {
                self.see(Sight::StartFailed);
                let reason = format!("{release} ends at once");
                Happened::StartFailed { reason }
            }
            fault => {
                let fault = fault.copied();
                let running = self.spawn(index, release, fault);
                Happened::Started { running }
            }
        }
    }

    pub(crate) fn kept_long_enough(&mut self, index: InstanceIndex) {
        let instance = &mut self.instances[index];
        let Standing::Settled { outcome } = &instance.journal.standing else {
            return;
        };
        let has_failed = outcome
            .as_ref()
            .is_some_and(|outcome| outcome.result == OrderResult::Failed);
        if has_failed || instance.agent.is_none() {
            return;
        }
        instance.aside.iter_mut().for_each(BTreeMap::clear);
        self.publish(index);
    }
}
