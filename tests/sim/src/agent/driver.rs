//! The driver being asked, beside all else that happens to the instance.

use evenkeel_agent_core::Event as Happened;

use crate::{
    coverage::Sight,
    process::Process,
    queue::Ms,
    world::{Event, InstanceIndex, World},
};

/// How long a driver that said no is left alone.
const ASK_AGAIN_MS: Ms = 5_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Drain,
    Rejoin,
    OkToStop,
    Once,
    Quiesce,
    Unquiesce,
    Version,
    Recovered,
}

impl World {
    pub(super) fn ask_driver(&mut self, index: InstanceIndex, asked: Asked) -> Option<Happened> {
        let node = self.instances[index].node;
        self.truth.questions += 1;
        let question = self.truth.questions;
        let agent = self.hosts[node].agent?;
        let memory = self.instances[index].agent.as_mut()?;
        memory.asking = Some((asked, question));
        let after = self.dice.between(10, 5_000);
        self.later(after, Event::Answered(index, agent, question));
        None
    }

    pub(crate) fn answered(&mut self, index: InstanceIndex, agent: u64, question: u64) {
        if !self.is_there(index, agent) {
            return;
        }
        let instance = &mut self.instances[index];
        let host = &self.hosts[instance.node];
        let serves = instance.process.as_ref().is_some_and(Process::serves);
        let refuses = host.driver_refuses && instance.settings.driver;
        let Some(memory) = &mut instance.agent else {
            return;
        };
        let Some((asked, _)) = memory.asking.filter(|(_, number)| *number == question) else {
            return;
        };
        let generation = memory.state.fence.generation();
        // How the process says which version it is has nothing to do with what the system allows.
        let waits = asked == Asked::Recovered && !serves && instance.settings.driver;
        let answers_once = matches!(asked, Asked::Version | Asked::Quiesce | Asked::Once);
        if waits || refuses && !answers_once {
            match asked {
                Asked::OkToStop => self.see(Sight::NotSpared),
                Asked::Recovered => self.see(Sight::NotRecovered),
                _ => {}
            }
            return self.later(ASK_AGAIN_MS, Event::Answered(index, agent, question));
        }
        memory.asking = None;
        let answer = match asked {
            Asked::Drain => Happened::Drained,
            Asked::Rejoin => Happened::Rejoined,
            Asked::Once if refuses => {
                let reason = "the storage system says no by now".to_owned();
                Happened::NotOkToStop { reason }
            }
            Asked::OkToStop | Asked::Once => {
                instance.leave_for = Some(generation);
                Happened::OkToStop
            }
            Asked::Quiesce if refuses => {
                let reason = "the storage system says no".to_owned();
                Happened::QuiesceFailed { reason }
            }
            Asked::Quiesce => Happened::Quiesced,
            Asked::Unquiesce => {
                instance.is_quiesced = false;
                Happened::Unquiesced
            }
            Asked::Version => {
                let process = instance
                    .process
                    .as_ref()
                    .filter(|_| instance.settings.driver);
                let version = process.map(|process| process.says.clone());
                Happened::VersionTold { version }
            }
            Asked::Recovered => Happened::CaughtUp,
        };
        self.handle(index, answer);
    }

    pub(crate) fn finalized(&mut self, index: InstanceIndex, agent: u64, id: String) {
        if !self.is_there(index, agent) {
            return;
        }
        let refuses = self.hosts[self.instances[index].node].driver_refuses;
        if refuses {
            self.see(Sight::FinalizeRefused);
        }
        let outcome = match refuses {
            true => Err("the driver says no".to_owned()),
            false => Ok(()),
        };
        self.handle(index, Happened::FinalizeEnded { id, outcome });
    }
}
