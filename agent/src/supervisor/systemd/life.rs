//! One life of a unit: from its start until nothing of it runs any more.

use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::{sync::watch, time::timeout};

use super::{
    SystemdSupervisor,
    facts::{Active, UnitState},
};
use crate::supervisor::output;

/// How often a unit is looked at whose end is being waited for, in case a signal was lost.
const LOOK: Duration = Duration::from_millis(500);

/// What is known of the process of a unit besides what is known of any process.
#[derive(Debug)]
pub struct UnitProcess {
    supervisor: SystemdSupervisor,
    invocation: Vec<u8>,
    changes: watch::Receiver<u64>,
    main_ended_at: Option<Instant>,
    /// What was left of it has been killed.
    killed: bool,
    /// How the unit was when nothing of this life ran any more.
    last: Option<UnitState>,
}

impl UnitProcess {
    pub(super) fn new(supervisor: SystemdSupervisor, invocation: Vec<u8>) -> Self {
        let changes = supervisor.changes();
        Self {
            supervisor,
            invocation,
            changes,
            main_ended_at: None,
            killed: false,
            last: None,
        }
    }

    /// What systemd calls this life.
    pub(super) fn invocation(&self) -> &[u8] {
        &self.invocation
    }

    pub(in crate::supervisor) fn main_has_ended(&self) -> bool {
        self.main_ended_at.is_some()
    }

    pub(in crate::supervisor) fn note_main_ended(&mut self) {
        self.main_ended_at = Some(Instant::now());
    }

    /// Waits until nothing of this life runs any more. What is left of it once its main process has been gone for as
    /// long as a stop may take is killed. While systemd does not answer that is not known, and so waited for.
    pub(in crate::supervisor) async fn settled(&mut self, main: Pid) {
        while self.last.is_none() {
            self.changes.mark_unchanged();
            if let Ok(state) = self.supervisor.state().await {
                if self.is_over(&state, main) {
                    self.last = Some(state);
                    return;
                }
                let since = self.main_ended_at.map(|ended_at| ended_at.elapsed());
                if !self.killed && since > Some(self.supervisor.stop_timeout()) {
                    let unit = self.supervisor.unit();
                    tracing::warn!(%unit, "what the process has left behind is killed");
                    self.killed = self.supervisor.kill_all().await.is_ok();
                }
            }
            // The bus goes only with the program.
            let _ = timeout(LOOK, self.changes.changed()).await;
        }
    }

    fn is_over(&self, state: &UnitState, main: Pid) -> bool {
        let is_another = state.invocation != self.invocation && !state.invocation.is_empty();
        let main = main.as_raw_pid().unsigned_abs();
        let has_another_main =
            state.active == Active::Yes && state.main_pid != 0 && state.main_pid != main;
        state.active == Active::No || is_another || has_another_main
    }

    /// How it ended, with the last lines that it wrote where the agent can read them.
    pub(in crate::supervisor) fn how_it_ended(self) -> String {
        let how = match self.last {
            Some(state) if state.invocation == self.invocation => state.how_it_ended(),
            Some(_) | None => {
                "its unit was started anew by somebody else, so how it ended is not known"
                    .to_owned()
            }
        };
        output::with_last_lines(how, self.supervisor.folder())
    }
}
