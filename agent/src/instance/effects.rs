//! The effects: what the core decided, done to the host. Each is checked against the durable record at the
//! moment at which it happens.

use std::sync::{Arc, PoisonError};

use evenkeel_agent_core::{Action, DataMove, Event, Phase, Release, Ticket};
use evenkeel_common::{
    failpoint,
    limits::{REASON_BYTES_MAX, cut},
};
use tokio::{task::spawn_blocking, time::Instant};

use super::{Instance, Stopping, asking::Asking};
use crate::{failpoints, probes::Prober, releases::current, report::sentence};

impl Instance {
    /// Does what was decided; what came of it, unless that shows later.
    pub(super) async fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::EnsureStopped(ticket) if self.is_backed(ticket) => {
                self.ensure_stopped(ticket).await
            }
            Action::SwapCurrent(ticket, release) if self.is_backed(ticket) => {
                Some(self.swap(release).await)
            }
            Action::Start(ticket, release) if self.is_backed(ticket) => {
                self.start(ticket, release).await
            }
            Action::MoveData(ticket, data) if self.is_backed(ticket) => {
                Some(self.move_data(ticket.generation, data).await)
            }
            Action::Drain(ticket) if self.is_backed(ticket) => {
                self.stop_signalled = None;
                self.asking = Some(Asking::drain(self.driver.clone(), &self.state));
                None
            }
            Action::Rejoin(ticket, rejoin) if self.is_backed(ticket) => {
                self.asking = Some(Asking::rejoin(self.driver.clone(), &self.state, rejoin));
                None
            }
            Action::AskToStop(ticket) if self.is_backed(ticket) => {
                self.asking = Some(Asking::ok_to_stop(self.driver.clone(), &self.state));
                None
            }
            Action::AskOnce(ticket) if self.is_backed(ticket) => {
                self.asking = Some(Asking::once(self.driver.clone(), &self.state));
                None
            }
            Action::Quiesce(ticket) if self.is_backed(ticket) => {
                self.asking = Some(Asking::quiesce(self.driver.clone(), &self.state));
                None
            }
            Action::Unquiesce(ticket) if self.is_backed(ticket) => {
                self.asking = Some(Asking::unquiesce(self.driver.clone(), &self.state));
                None
            }
            Action::AskVersion(ticket) if self.is_backed(ticket) => {
                self.asking = Some(Asking::version(self.driver.clone(), &self.state));
                None
            }
            Action::AskRecovered(ticket) if self.is_backed(ticket) => {
                self.asking = Some(Asking::recovered(self.driver.clone(), &self.state));
                None
            }
            Action::Finalize(ticket, id) if self.is_final(ticket, &id) => {
                self.finalizing = Some(Asking::finalize(self.driver.clone(), &self.state, id));
                None
            }
            Action::Verify => {
                if self.process.is_some() && self.prober.is_none() {
                    self.prober = Some(Prober::start(&self.probes));
                }
                None
            }
            Action::Drain(_)
            | Action::EnsureStopped(_)
            | Action::MoveData(_, _)
            | Action::SwapCurrent(_, _)
            | Action::Start(_, _)
            | Action::Rejoin(_, _)
            | Action::AskToStop(_)
            | Action::AskOnce(_)
            | Action::Quiesce(_)
            | Action::Unquiesce(_)
            | Action::AskVersion(_)
            | Action::AskRecovered(_)
            | Action::Finalize(_, _) => {
                tracing::error!(
                    instance = %self.settings.name,
                    ?action,
                    "what is durable does not stand behind this; it is not done"
                );
                None
            }
        }
    }

    fn is_backed(&self, ticket: Ticket) -> bool {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        ticket.is_backed_by(journal.last())
    }

    fn is_final(&self, ticket: Ticket, id: &str) -> bool {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        ticket.is_final_by(journal.last(), id)
    }

    async fn ensure_stopped(&mut self, ticket: Ticket) -> Option<Event> {
        self.prober = None;
        if self.process.is_none() {
            match self.supervisor.find_started().await {
                Ok(process) => self.process = process,
                Err(error) if error.is_doubt() => {
                    self.doubt(Action::EnsureStopped(ticket), &error);
                    return None;
                }
                Err(error) => {
                    let reason = format!("what runs is not known: {}", sentence(&error));
                    return Some(Event::StopFailed { reason });
                }
            }
        }
        let Some(process) = &self.process else {
            self.stop_signalled = Some(Instant::now());
            return Some(Event::Stopped);
        };
        if let Some(stopping) = &mut self.stopping {
            // Asked already, on an older word; it has its time from then, and where that is up and it could not be
            // killed, it has it again.
            stopping.ticket = ticket;
            if stopping.killed {
                stopping.killed = false;
                stopping.kill_at = Instant::now() + self.settings.stop_timeout;
            }
            return None;
        }
        failpoint::hit(failpoints::STOP[0]);
        let now = Instant::now();
        if let Err(error) = self.supervisor.ask_to_stop(process).await {
            if error.is_doubt() {
                self.doubt(Action::EnsureStopped(ticket), &error);
                return None;
            }
            let reason = format!("the process cannot be asked to stop: {}", sentence(&error));
            return Some(Event::StopFailed { reason });
        }
        failpoint::hit(failpoints::STOP[1]);
        self.stop_signalled = Some(now);
        self.stopping = Some(Stopping {
            ticket,
            kill_at: now + self.settings.stop_timeout,
            killed: false,
        });
        None
    }

    /// The process has had its time to stop. What follows if it cannot be killed either.
    pub(super) async fn kill(&mut self) -> Option<Event> {
        let is_backed = self.is_backed(self.stopping.as_ref()?.ticket);
        let stopping = self.stopping.as_mut()?;
        if !is_backed {
            // An order came between. One that stops the process may kill it as well.
            stopping.kill_at = Instant::now() + self.settings.stop_timeout;
            return None;
        }
        // Once, whatever comes of it.
        stopping.killed = true;
        let process = self.process.as_ref()?;
        tracing::warn!(
            instance = %self.settings.name,
            pid = process.pid(),
            timeout = ?self.settings.stop_timeout,
            "the process did not stop in its time and is killed"
        );
        let killed = self.supervisor.kill(process).await;
        let error = killed.err()?;
        let reason = format!("the process cannot be killed: {}", sentence(&error));
        tracing::error!(instance = %self.settings.name, %reason);
        matches!(self.state.phase, Phase::Stopping(_)).then_some(Event::StopFailed { reason })
    }

    /// Moves the data while no process of the instance can come to be.
    async fn move_data(&mut self, generation: u64, data: DataMove) -> Event {
        let reason = match self.move_data_of_none(generation, data).await {
            Ok(()) => {
                tracing::info!(instance = %self.settings.name, generation, ?data, "moved the data");
                return Event::DataMoved;
            }
            Err(reason) => reason,
        };
        let reason = match data {
            DataMove::SetAside => format!("the data cannot be set aside: {reason}"),
            DataMove::PutBack => format!("the data cannot be put back: {reason}"),
        };
        let reason = cut(reason, REASON_BYTES_MAX);
        tracing::error!(instance = %self.settings.name, generation, %reason);
        Event::DataNotMoved { reason }
    }

    async fn move_data_of_none(&mut self, generation: u64, data: DataMove) -> Result<(), String> {
        let kept_down = self.supervisor.keep_down().await;
        let kept_down = kept_down.map_err(|error| sentence(&error))?;
        let rebuilds = self.rebuilds.clone();
        let moved = spawn_blocking(move || {
            let _kept_down = kept_down;
            match data {
                DataMove::SetAside => rebuilds.set_aside(generation),
                DataMove::PutBack => rebuilds.put_back(generation),
            }
        });
        let moved = moved.await.map_err(|error| sentence(&error))?;
        moved.map_err(|error| sentence(&error))
    }

    async fn swap(&mut self, release: Release) -> Event {
        let (folder, store) = (self.folder.clone(), Arc::clone(&self.store));
        let component = self.settings.component.clone();
        match spawn_blocking(move || current::swap(&folder, &store, &component, &release)).await {
            Ok(Ok(())) => Event::Swapped,
            Ok(Err(error)) => Event::SwapFailed {
                reason: sentence(&error),
            },
            Err(error) => Event::SwapFailed {
                reason: sentence(&error),
            },
        }
    }

    async fn start(&mut self, ticket: Ticket, release: Release) -> Option<Event> {
        if let Some(process) = &self.process {
            return Some(Event::Started {
                running: process.release().clone(),
            });
        }
        let reason = match self.supervisor.start(&release).await {
            Ok(process) => {
                let running = process.release().clone();
                tracing::info!(instance = %self.settings.name, pid = process.pid(), %running, "the process runs");
                self.take_up(process);
                return Some(Event::Started { running });
            }
            Err(error) if error.is_doubt() => {
                self.doubt(Action::Start(ticket, release), &error);
                return None;
            }
            Err(error) => sentence(&error),
        };
        let reason = cut(
            format!("release {release} does not start: {reason}"),
            REASON_BYTES_MAX,
        );
        tracing::warn!(instance = %self.settings.name, %reason);
        Some(Event::StartFailed { reason })
    }
}
