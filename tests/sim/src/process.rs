//! Storage processes and their data, as they really are.

use std::collections::BTreeSet;

use evenkeel_agent_core::Release;
use evenkeel_coordinator_core::instance::Health;
use semver::Version;

use crate::{
    agent::Fault,
    coverage::Sight,
    fleet,
    world::{Event, InstanceIndex, World, note},
};

/// A storage process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// What it was started as.
    pub(crate) release: Release,
    /// The release whose executable it runs.
    pub(crate) running: Release,
    /// Which version it calls itself.
    pub(crate) says: Version,
    /// The newest order when it was started.
    pub(crate) started_by: u64,
    /// The configuration that it was started with.
    pub(crate) configuration: u32,
    pub(crate) is_ready: bool,
    pub(crate) is_sick: bool,
    /// A probe failed lately.
    pub(crate) is_shaky: bool,
    pub(crate) is_stopping: bool,
}

impl Process {
    /// Whether its probes are good.
    pub(crate) fn serves(&self) -> bool {
        self.is_ready && !self.is_sick && !self.is_stopping
    }

    pub(crate) fn health(&self) -> (Health, &'static str) {
        match (self.is_ready, self.is_sick, self.is_shaky) {
            (false, _, _) => (Health::Error, "its probes have not answered yet"),
            (true, true, _) => (Health::Error, "its probes fail"),
            (true, false, true) => (Health::Warning, "a probe failed lately"),
            (true, false, false) => (Health::Healthy, ""),
        }
    }
}

/// What is in a data folder: whatever began there with the order of this generation, or ever (0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) begun_by: u64,
    /// The versions that an order said may run on it; none: it is empty, and any may.
    pub(crate) allowed: BTreeSet<Version>,
}

impl Data {
    pub(crate) fn of(version: &Version) -> Self {
        Self {
            begun_by: 0,
            allowed: BTreeSet::from([version.clone()]),
        }
    }

    pub(crate) fn begun_by(generation: u64) -> Self {
        Self {
            begun_by: generation,
            allowed: BTreeSet::new(),
        }
    }
}

impl World {
    /// A process comes to be; what it says that it is.
    pub(crate) fn spawn(
        &mut self,
        index: InstanceIndex,
        release: &Release,
        fault: Option<Fault>,
    ) -> Release {
        self.truth.pids += 1;
        let pid = self.truth.pids;
        let component = &self.fleet.components[self.instances[index].component];
        let others = self.fleet.versions.iter();
        let other = others
            .filter(|version| **version != release.version)
            .map(|version| fleet::release(component, version))
            .next();
        let mut says = release.version.clone();
        let running = match fault {
            Some(Fault::RunsAnother) => {
                self.coverage.see(Sight::WrongRelease);
                other.unwrap_or_else(|| release.clone())
            }
            Some(Fault::Lies) => {
                self.coverage.see(Sight::Lies);
                says = other.map_or(says, |other| other.version);
                release.clone()
            }
            Some(Fault::DoesNotStart | Fault::NeverReady | Fault::SickInSoak) | None => {
                release.clone()
            }
        };
        note!(
            self,
            "{}: process {pid} runs {running}",
            self.instances[index].id
        );
        let instance = &mut self.instances[index];
        instance.is_unproven |= instance.is_on_its_way();
        self.instances[index].process = Some(Process {
            pid,
            release: release.clone(),
            running: running.clone(),
            says,
            started_by: self.instances[index].journal.fence.generation(),
            configuration: self.instances[index].configuration,
            is_ready: false,
            is_sick: false,
            is_shaky: false,
            is_stopping: false,
        });
        if fault == Some(Fault::NeverReady) {
            self.see(Sight::NeverReady);
        } else {
            let after = self.dice.between(10, 6_000);
            self.later(after, Event::Ready(index, pid));
            if fault == Some(Fault::SickInSoak) {
                let sickens = after + self.dice.between(1_000, 60_000);
                self.later(sickens, Event::Sickens(index, pid));
            }
        }
        running
    }

    fn process(&mut self, index: InstanceIndex, pid: u32) -> Option<&mut Process> {
        let process = self.instances[index].process.as_mut();
        process.filter(|process| process.pid == pid)
    }

    pub(crate) fn process_ready(&mut self, index: InstanceIndex, pid: u32) {
        if let Some(process) = self.process(index, pid) {
            process.is_ready = true;
            self.look_at_service(index);
            self.agent_sees_probes(index);
        }
    }

    pub(crate) fn process_sickens(&mut self, index: InstanceIndex, pid: u32) {
        if !self.is_wild {
            return;
        }
        if let Some(process) = self.process(index, pid) {
            process.is_sick = true;
            note!(
                self,
                "{}: process {pid} gets sick",
                self.instances[index].id
            );
            self.look_at_service(index);
            self.agent_sees_probes(index);
        }
    }

    pub(crate) fn process_exits(&mut self, index: InstanceIndex, pid: u32, how: &str) {
        if self.process(index, pid).is_none() {
            return;
        }
        note!(
            self,
            "{}: process {pid} ends: {how}",
            self.instances[index].id
        );
        self.instances[index].process = None;
        self.look_at_service(index);
        self.agent_sees_exit(index, how);
    }
}
