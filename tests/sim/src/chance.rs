//! What goes wrong by itself, at random.

use crate::{
    agent::Fault,
    coordinator::Crash,
    coverage::Sight,
    network::{KEEPALIVE_MS, Session},
    node::Death,
    queue::Ms,
    world::{Event, NodeIndex, World, note},
};

/// What may go wrong.
#[derive(Debug, Clone, Copy)]
enum Ill {
    LinkLost,
    StreamBreaks,
    SlowLink,
    AgentCrash,
    AgentDoom,
    Reboot,
    Vanish,
    CoordinatorCrash,
    CoordinatorDoom,
    Backup,
    ProcessEnds,
    ProcessSick,
    ProcessShaky,
    VersionBad,
    VersionBadEverywhere,
    DiskFull,
    ReleaseLost,
    Unfetchable,
    StuckMoves,
    Hangs,
    DriverRefuses,
    /// Not an ill: somebody changes an agent's configuration, and starts it anew.
    Reconfigured,
    Mend,
}

const ILLS: &[(u64, Ill)] = &[
    (6, Ill::LinkLost),
    (4, Ill::StreamBreaks),
    (3, Ill::SlowLink),
    (4, Ill::AgentCrash),
    (20, Ill::AgentDoom),
    (8, Ill::Reboot),
    (2, Ill::Vanish),
    (2, Ill::CoordinatorCrash),
    (8, Ill::CoordinatorDoom),
    (1, Ill::Backup),
    (6, Ill::ProcessEnds),
    (4, Ill::ProcessSick),
    (2, Ill::ProcessShaky),
    (6, Ill::VersionBad),
    (1, Ill::VersionBadEverywhere),
    (2, Ill::DiskFull),
    (3, Ill::ReleaseLost),
    (2, Ill::Unfetchable),
    (3, Ill::StuckMoves),
    (3, Ill::Hangs),
    (3, Ill::DriverRefuses),
    (4, Ill::Reconfigured),
    (20, Ill::Mend),
];

impl World {
    /// Something goes wrong, or is put right.
    pub(crate) fn chance(&mut self) {
        if !self.is_wild {
            return;
        }
        let mean = self.fleet.chaos_every_ms;
        let after = self.dice.between(mean / 8, 2 * mean);
        self.later(after, Event::Chance);
        let node = self.dice.index(self.hosts.len());
        // What is busy is hit more often than it would be by chance.
        let busy = self.instances.iter().find(|it| it.is_on_its_way());
        let node = match busy.map(|it| it.node) {
            Some(busy) if self.dice.chance(1, 2) => busy,
            _ => node,
        };
        let ill = self.dice.weighted(ILLS);
        self.falls_ill(node, ill);
    }

    fn falls_ill(&mut self, node: NodeIndex, ill: Ill) {
        if !matches!(ill, Ill::Mend) {
            note!(self, "ill: {ill:?} {}", self.hosts[node].name);
        }
        let instances = self.instances_of(node);
        let instance = match instances.is_empty() {
            true => return,
            false => *self.dice.pick(&instances),
        };
        match ill {
            Ill::LinkLost => {
                let (up, down) = *self
                    .dice
                    .pick(&[(false, false), (true, false), (false, true)]);
                let for_ms = self.some_time();
                let link = &mut self.links[node];
                (link.up, link.down) = (up, down);
                link.number += 1;
                let number = link.number;
                self.later(for_ms, Event::LinkMends(node, number));
            }
            Ill::StreamBreaks => {
                if let Session::Dialed(session) | Session::Open(session) = self.links[node].session
                {
                    self.stream_breaks(node, session, KEEPALIVE_MS);
                }
            }
            Ill::SlowLink => {
                let for_ms = self.some_time();
                let slow = *self.dice.pick(&[500, 5_000, 30_000]);
                let link = &mut self.links[node];
                link.delay_max = slow;
                link.number += 1;
                let number = link.number;
                self.later(for_ms, Event::LinkMends(node, number));
            }
            Ill::AgentCrash => {
                let away = self.some_time();
                self.agent_crashes(node, away);
            }
            Ill::AgentDoom => {
                let death = *self.dice.pick(&[
                    Death::BeforeRecord,
                    Death::TornRecord,
                    Death::AfterRecord,
                    Death::AfterEffect,
                ]);
                let more = u32::try_from(self.dice.below(4)).unwrap_or(0);
                if self.hosts[node].agent.is_some() {
                    self.hosts[node].doom = Some((death, more));
                }
            }
            Ill::Reboot => {
                let away = self.dice.between(5_000, 90_000);
                self.host_stops(node, away);
            }
            Ill::Vanish => {
                let away = self.dice.between(600_000, 3_600_000);
                self.host_stops(node, away);
            }
            Ill::CoordinatorCrash => self.coordinator_crashes(),
            Ill::CoordinatorDoom => {
                let crash = *self.dice.pick(&[
                    Crash::BeforeAppend,
                    Crash::TornAppend,
                    Crash::AfterAppend,
                    Crash::AfterTurn,
                ]);
                let more = u32::try_from(self.dice.below(6)).unwrap_or(0);
                if self.coordinator.running.is_some() {
                    self.coordinator.doom = Some((crash, more));
                }
            }
            Ill::Backup => {
                // The restored copy is of a coordinator that runs.
                if self.coordinator.running.is_some() && self.dice.chance(1, 4) {
                    self.restore_backup();
                }
            }
            Ill::ProcessEnds => {
                if let Some(pid) = self.instances[instance].process.as_ref().map(|it| it.pid) {
                    self.process_exits(instance, pid, "it crashed");
                }
            }
            Ill::ProcessSick => {
                if let Some(process) = &mut self.instances[instance].process {
                    process.is_sick = true;
                    self.look_at_service(instance);
                    self.agent_sees_probes(instance);
                }
            }
            Ill::ProcessShaky => {
                if let Some(process) = &mut self.instances[instance].process {
                    process.is_shaky = true;
                    self.agent_sees_probes(instance);
                }
            }
            Ill::VersionBad | Ill::VersionBadEverywhere => {
                let version = self.dice.pick(&self.fleet.versions).clone();
                let fault = *self.dice.pick(&[
                    Fault::DoesNotStart,
                    Fault::NeverReady,
                    Fault::SickInSoak,
                    Fault::SickInSoak,
                    Fault::RunsAnother,
                    Fault::Lies,
                ]);
                match ill {
                    Ill::VersionBad => {
                        self.instances[instance].faults.insert(version, fault);
                    }
                    _ => {
                        for instance in &mut self.instances {
                            instance.faults.insert(version.clone(), fault);
                        }
                    }
                }
            }
            Ill::DiskFull => {
                self.hosts[node].disk_is_full = true;
                self.see(Sight::DiskFull);
            }
            Ill::ReleaseLost => self.lose_release(instance),
            Ill::Unfetchable => self.hosts[node].is_unfetchable = true,
            Ill::StuckMoves => {
                self.instances[instance].stuck_moves =
                    u32::try_from(self.dice.between(1, 6)).unwrap_or(1);
            }
            Ill::Hangs => self.instances[instance].hangs = true,
            Ill::DriverRefuses => self.hosts[node].driver_refuses = true,
            Ill::Reconfigured => {
                self.instances[instance].configuration += 1;
                self.agent_crashes(node, 2_000);
            }
            Ill::Mend => self.mend_host(node),
        }
    }

    fn some_time(&mut self) -> Ms {
        let most = *self.dice.pick(&[5_000, 40_000, 90_000, 400_000, 1_500_000]);
        self.dice.between(100, most)
    }

    /// Nothing is wrong with a host any more, but that what is down is down.
    pub(crate) fn mend_host(&mut self, node: NodeIndex) {
        let host = &mut self.hosts[node];
        host.disk_is_full = false;
        host.is_unfetchable = false;
        host.driver_refuses = false;
        host.doom = None;
        for index in self.instances_of(node) {
            let instance = &mut self.instances[index];
            instance.faults.clear();
            instance.stuck_moves = 0;
            instance.hangs = false;
            let Some(process) = &mut instance.process else {
                continue;
            };
            let pid = process.pid;
            if process.running != process.release || process.says != process.release.version {
                self.process_exits(
                    index,
                    pid,
                    "somebody ended it, because it is not what it should be",
                );
                continue;
            }
            let is_ill = process.is_sick || process.is_shaky;
            (process.is_sick, process.is_shaky) = (false, false);
            if !process.is_ready {
                self.later(1_000, Event::Ready(index, pid));
            }
            if is_ill {
                self.look_at_service(index);
                self.agent_sees_probes(index);
            }
        }
    }
}
