//! What there is to know of a plan's tasks without looking at each: how far its stages and waves are, what is in
//! flight, and, for the stage under way, which hosts hold the artifact.

use std::sync::Arc;

use evenkeel_words::{names::InstanceId, timestamp::Timestamp};
use imbl::{OrdMap, OrdSet};

use super::outages::remove_from;
use crate::{
    instance::Instance,
    plan::{Task, TaskState},
};

/// The tasks of one plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    stages: OrdMap<u32, StageTally>,
    under_way: OrdMap<u32, ()>,
}

/// The tasks of one stage, by what they are at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageTally {
    not_over: OrdMap<u32, OrdSet<InstanceId>>,
    awaited: OrdMap<u32, OrdSet<InstanceId>>,
    failed: OrdSet<InstanceId>,
    in_flight: OrdSet<InstanceId>,
    ordered: OrdSet<(Timestamp, InstanceId)>,
    to_go_back: OrdSet<InstanceId>,
    to_begin: OrdSet<InstanceId>,
    untouched: OrdSet<InstanceId>,
    begun: OrdSet<InstanceId>,
}

impl Tally {
    /// The first stage that is not wholly over.
    #[must_use]
    pub fn stage_under_way(&self) -> Option<u32> {
        self.under_way.get_min().map(|(stage, ())| *stage)
    }

    /// One stage, if it has tasks.
    #[must_use]
    pub fn stage(&self, stage: u32) -> Option<&StageTally> {
        self.stages.get(&stage)
    }

    /// All stages that have tasks.
    pub fn stages(&self) -> impl Iterator<Item = (u32, &StageTally)> {
        self.stages.iter().map(|(number, stage)| (*number, stage))
    }

    /// Whether anything of the plan has to be seen to its end even if the plan is given up.
    #[must_use]
    pub fn any_in_flight(&self) -> bool {
        self.stages().any(|(_, stage)| !stage.in_flight.is_empty())
    }

    pub(super) fn replace(&mut self, old: Option<&Task>, new: &Task) {
        let stage = self.stages.entry(new.stage).or_default();
        if let Some(old) = old {
            stage.remove(old);
        }
        stage.add(new);
        match stage.not_over.is_empty() {
            true => self.under_way.remove(&new.stage),
            false => self.under_way.insert(new.stage, ()),
        };
    }
}

impl StageTally {
    /// Those of each wave that are not over, of waves that have any.
    #[must_use]
    pub fn not_over(&self) -> &OrdMap<u32, OrdSet<InstanceId>> {
        &self.not_over
    }

    /// Those of each wave that the waves after it wait for, of waves that have any: neither over nor failed.
    #[must_use]
    pub fn awaited(&self) -> &OrdMap<u32, OrdSet<InstanceId>> {
        &self.awaited
    }

    /// Those that were put back or serve neither release, or are being put back.
    #[must_use]
    pub fn failed(&self) -> &OrdSet<InstanceId> {
        &self.failed
    }

    /// Those that have to be seen to their end even if the plan is given up.
    #[must_use]
    pub fn in_flight(&self) -> &OrdSet<InstanceId> {
        &self.in_flight
    }

    /// Those that were given an order whose end is not known, by when that was.
    #[must_use]
    pub fn ordered(&self) -> &OrdSet<(Timestamp, InstanceId)> {
        &self.ordered
    }

    /// Those that are to go back and have no order for it yet.
    #[must_use]
    pub fn to_go_back(&self) -> &OrdSet<InstanceId> {
        &self.to_go_back
    }

    /// Those that have still to begin, or to begin again.
    #[must_use]
    pub fn to_begin(&self) -> &OrdSet<InstanceId> {
        &self.to_begin
    }

    /// Those of which nothing was ordered yet.
    #[must_use]
    pub fn untouched(&self) -> &OrdSet<InstanceId> {
        &self.untouched
    }

    /// Those of which anything was ever ordered, or that are done.
    #[must_use]
    pub fn begun(&self) -> &OrdSet<InstanceId> {
        &self.begun
    }

    fn add(&mut self, task: &Task) {
        let id = &task.instance;
        let is = Traits::of(task);
        if is.not_over {
            self.not_over
                .entry(task.wave)
                .or_default()
                .insert(id.clone());
        }
        if is.awaited {
            self.awaited
                .entry(task.wave)
                .or_default()
                .insert(id.clone());
        }
        if let Some(at) = is.ordered_at {
            self.ordered.insert((at, id.clone()));
        }
        for (is, set) in self.sets(&is) {
            if is {
                set.insert(id.clone());
            }
        }
    }

    fn remove(&mut self, task: &Task) {
        let id = &task.instance;
        let is = Traits::of(task);
        if is.not_over {
            remove_from(&mut self.not_over, &task.wave, id);
        }
        if is.awaited {
            remove_from(&mut self.awaited, &task.wave, id);
        }
        if let Some(at) = is.ordered_at {
            self.ordered.remove(&(at, id.clone()));
        }
        for (is, set) in self.sets(&is) {
            if is {
                set.remove(id);
            }
        }
    }

    fn sets(&mut self, is: &Traits) -> [(bool, &mut OrdSet<InstanceId>); 6] {
        [
            (is.in_flight, &mut self.in_flight),
            (is.to_go_back, &mut self.to_go_back),
            (is.not_over && !is.in_flight, &mut self.to_begin),
            (is.untouched, &mut self.untouched),
            (is.begun, &mut self.begun),
            (is.failed, &mut self.failed),
        ]
    }
}

/// What a task is, as far as it is counted.
struct Traits {
    not_over: bool,
    awaited: bool,
    failed: bool,
    in_flight: bool,
    to_go_back: bool,
    untouched: bool,
    begun: bool,
    ordered_at: Option<Timestamp>,
}

impl Traits {
    fn of(task: &Task) -> Self {
        Self {
            not_over: !task.state.is_over(),
            awaited: !task.state.is_over() && !task.state.has_failed(),
            failed: task.state.has_failed() || matches!(task.state, TaskState::Reverting(_)),
            in_flight: task.state.in_flight(),
            to_go_back: task.waits_to_go_back(),
            untouched: matches!(task.state, TaskState::Pending | TaskState::Prefetched),
            begun: task.generation > 0 || task.state == TaskState::Done,
            ordered_at: task.admitted_at.filter(|_| task.state.ordered()),
        }
    }
}

/// The prefetch barrier of the stage under way: which hosts hold the verified artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Barrier {
    stage: u32,
    places: OrdMap<InstanceId, Place>,
    missing: OrdSet<InstanceId>,
    arrived: OrdSet<InstanceId>,
    ready: OrdMap<u32, OrdMap<Arc<str>, OrdSet<InstanceId>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Missing,
    Arrived,
    Ready { wave: u32, group: Arc<str> },
}

impl Barrier {
    pub(super) fn new(stage: u32) -> Self {
        Self {
            stage,
            ..Self::default()
        }
    }

    /// The stage that it is for.
    #[must_use]
    pub fn stage(&self) -> u32 {
        self.stage
    }

    /// Those whose host does not hold it, or does no longer.
    #[must_use]
    pub fn missing(&self) -> &OrdSet<InstanceId> {
        &self.missing
    }

    /// Those whose host has come to hold it, which their task does not say yet.
    #[must_use]
    pub fn arrived(&self) -> &OrdSet<InstanceId> {
        &self.arrived
    }

    /// Those that are ready to be ordered, by wave and group.
    #[must_use]
    pub fn ready(&self) -> &OrdMap<u32, OrdMap<Arc<str>, OrdSet<InstanceId>>> {
        &self.ready
    }

    /// Puts a task of the stage where it belongs.
    pub(super) fn place(&mut self, task: &Task, instance: Option<&Instance>) {
        let id = &task.instance;
        match self.places.remove(id) {
            Some(Place::Missing) => {
                self.missing.remove(id);
            }
            Some(Place::Arrived) => {
                self.arrived.remove(id);
            }
            Some(Place::Ready { wave, group }) => {
                if let Some(ready) = self.ready.get_mut(&wave) {
                    remove_from(ready, &group, id);
                    if ready.is_empty() {
                        self.ready.remove(&wave);
                    }
                }
            }
            None => {}
        }
        let Some(place) = place_of(task, instance) else {
            return;
        };
        match &place {
            Place::Missing => {
                self.missing.insert(id.clone());
            }
            Place::Arrived => {
                self.arrived.insert(id.clone());
            }
            Place::Ready { wave, group } => {
                let ready = self.ready.entry(*wave).or_default();
                ready.entry(group.clone()).or_default().insert(id.clone());
            }
        }
        self.places.insert(id.clone(), place);
    }
}

fn place_of(task: &Task, instance: Option<&Instance>) -> Option<Place> {
    let holder = instance.filter(|instance| instance.holds(&task.to.digest));
    match (&task.state, holder) {
        (TaskState::Pending | TaskState::Prefetched, None) => Some(Place::Missing),
        (TaskState::Pending, Some(_)) => Some(Place::Arrived),
        (TaskState::Prefetched, Some(holder)) => Some(Place::Ready {
            wave: task.wave,
            group: Arc::from(holder.group()),
        }),
        (
            TaskState::Admitted
            | TaskState::Quiesced
            | TaskState::Stopped
            | TaskState::Swapped
            | TaskState::Started
            | TaskState::Verified
            | TaskState::Rejoined
            | TaskState::Done
            | TaskState::Reverting(_)
            | TaskState::Reverted(_)
            | TaskState::Parked(_)
            | TaskState::Skipped(_),
            _,
        ) => None,
    }
}
