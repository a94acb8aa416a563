//! One instance: what is on its disk, what runs, and what its agent knows of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evenkeel_agent_core::{Event as Happened, Record, Release, Settings, State};
use evenkeel_coordinator_core::{
    instance::{Report, StageState},
    node::Labels,
};
use evenkeel_words::names::InstanceId;
use semver::Version;

use super::{driver::Asked, effects::Stop};
use crate::{
    fleet,
    process::{Data, Process},
    queue::Ms,
    world::NodeIndex,
};

/// What does not work with a version, on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    DoesNotStart,
    NeverReady,
    SickInSoak,
    RunsAnother,
    Lies,
}

/// One instance: what is on its disk, what runs, and what its agent knows of it.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) node: NodeIndex,
    pub(crate) component: usize,
    pub(crate) labels: Labels,
    pub(super) may_rebuild: bool,
    /// Its driver knows how to make an upgrade final.
    pub(super) can_finalize: bool,
    pub(crate) settings: Settings,
    /// Counts what its agent's configuration has been.
    pub(crate) configuration: u32,
    /// The storage system was told that its process is about to be stopped, and not that it is back.
    pub(crate) is_quiesced: bool,
    /// The newest order for which the storage system gave leave to stop the process, and has not been overtaken by what
    /// was done since.
    pub(crate) leave_for: Option<u64>,
    /// The last process that answered its probes while an order was waiting for that.
    pub(crate) answered: Option<u32>,
    /// What runs came of an order, and has not passed what that asks for.
    pub(crate) is_unproven: bool,
    /// On disk: the last record of its journal.
    pub(crate) journal: Record,
    /// On disk: what `current` names.
    pub(crate) current: Release,
    /// On disk: the releases that are complete and verified, by version.
    pub(crate) complete: BTreeSet<usize>,
    /// On disk: its data, in two folders.
    pub(crate) folders: [Data; 2],
    /// On disk: what is set aside of each folder, by generation.
    pub(crate) aside: [BTreeMap<u64, Data>; 2],
    pub(crate) process: Option<Process>,
    pub(crate) faults: BTreeMap<Version, Fault>,
    /// The next moves of its data fail half way, as often.
    pub(crate) stuck_moves: u32,
    /// Its process does not react to being asked to stop.
    pub(crate) hangs: bool,
    /// What its agent knows, while there is one.
    pub(crate) agent: Option<Memory>,
    /// Since when it does not serve.
    pub(crate) down_since: Option<Ms>,
    /// It was taken down by this order and has not served since.
    pub(crate) held_by: Option<u64>,
}

/// What an agent knows of an instance.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) state: State,
    /// The question that the driver is being asked.
    pub(super) asking: Option<(Asked, u64)>,
    pub(super) stopping: Option<Stop>,
    pub(super) wanted: BTreeMap<usize, StageState>,
    pub(super) facts: Report,
    pub(crate) is_unheard: bool,
    pub(super) wakes_at: Option<Ms>,
    /// The effect that is being had, by number, and what happens meanwhile.
    pub(super) effect: Option<u64>,
    pub(super) waiting: VecDeque<Happened>,
}

impl Instance {
    pub(crate) fn new(
        id: InstanceId,
        node: NodeIndex,
        plan: &fleet::InstancePlan,
        current: Release,
        complete: usize,
    ) -> Self {
        let data = Data::of(&current.version);
        Self {
            id,
            node,
            component: plan.component,
            labels: plan.labels.clone(),
            may_rebuild: plan.may_rebuild,
            can_finalize: plan.can_finalize,
            settings: plan.settings,
            configuration: 0,
            is_quiesced: false,
            leave_for: None,
            answered: None,
            is_unproven: false,
            journal: Record::default(),
            current,
            complete: BTreeSet::from([complete]),
            folders: [data.clone(), data],
            aside: [BTreeMap::new(), BTreeMap::new()],
            process: None,
            faults: BTreeMap::new(),
            stuck_moves: 0,
            hangs: false,
            agent: None,
            down_since: Some(0),
            held_by: None,
        }
    }

    pub(crate) fn phase_name(&self) -> &'static str {
        self.agent
            .as_ref()
            .map_or("", |agent| agent.state.phase.name())
    }

    /// Whether it is down because the coordinator wants it to be.
    pub(crate) fn is_held(&self) -> bool {
        let memory = self.agent.as_ref();
        self.process.is_none() && memory.is_some_and(|memory| memory.state.is_held())
    }

    /// Whether an order is being carried out, as far as is durable.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.journal.standing.journey().is_some()
    }

    pub(super) fn obstacle(&self, generation: Option<u64>) -> Option<String> {
        if !self.may_rebuild {
            return Some("its configuration does not allow that".to_owned());
        }
        let other = self
            .aside
            .iter()
            .flat_map(BTreeMap::keys)
            .find(|kept| generation != Some(**kept));
        other.map(|kept| format!("what order {kept} set aside is still there"))
    }
}
