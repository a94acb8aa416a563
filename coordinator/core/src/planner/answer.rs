//! The answer: the stages one after the other, and all that is to be known of each before it is begun.

use std::{collections::BTreeMap, fmt};

use evenkeel_compat::{Level, Method, Undo};
use evenkeel_words::names::ComponentName;
use semver::Version;

use super::{
    cost::Cost,
    ruled_out::RuledOut,
    search::Move,
    space::{Hop, Mover, Place, Space},
    words::counted,
};

/// The most versions that a step tells of the way before and behind it. Nobody reads more, and each of thousands of
/// steps has its own.
pub const VERSIONS_TOLD_MAX: usize = 100;

/// One component's instances from one version to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The component.
    pub component: ComponentName,
    /// What the instances run.
    pub from: Version,
    /// What they are going to run.
    pub to: Version,
    /// What the matrix says of the two.
    pub level: Level,
    /// It says so of the way back.
    pub reversed: bool,
    /// How they are brought there.
    pub method: Method,
    /// How that is undone before it is final.
    pub undo: Undo,
    /// How it is undone afterwards.
    pub undo_when_final: Undo,
    /// It is final as soon as the last instance is there, without anybody saying so.
    pub finalizes_itself: bool,
    /// The note of the rule that allows it.
    pub note: Option<String>,
    /// How many instances it moves.
    pub instances: u64,
    /// Another component that ought to be at its target first is not: the matrix leaves no way that keeps the order.
    pub out_of_order: bool,
    /// The versions at which the instances that it moves stop on their whole way, in that order, the first
    /// [`VERSIONS_TOLD_MAX`] of them; none if this is the whole way.
    pub through: Vec<Version>,
    /// The component's versions that taking back stages, the last first, still leads to once this one is done and the
    /// plan is not finalized, the nearest first, at most [`VERSIONS_TOLD_MAX`].
    pub reachable_back: Vec<Version>,
}

impl Step {
    /// Whether it is the whole way of the instances that it moves.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.through.is_empty()
    }
}

/// The cheapest path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its stages, in order.
    pub steps: Vec<Step>,
    /// What it costs.
    pub cost: Cost,
    /// What was not chosen, and why, at most [`super::RULED_OUT_MAX`].
    pub ruled_out: Vec<RuledOut>,
}

/// Where a cohort has been, in order, and how many instances it has.
pub(super) struct Journey {
    pub(super) mover: usize,
    pub(super) instances: u64,
    pub(super) stops: Vec<Place>,
}

impl Journey {
    fn at(&self) -> Option<Place> {
        self.stops.last().copied()
    }
}

/// The steps of a way, what it costs, and the journeys of the cohorts.
pub(super) fn steps(space: &Space<'_>, way: &[Move]) -> (Vec<Step>, Cost, Vec<Journey>) {
    let mut journeys: Vec<Journey> = Vec::new();
    for (number, mover) in space.movers.iter().enumerate() {
        journeys.extend(mover.cohorts.iter().map(|(place, instances)| Journey {
            mover: number,
            instances: *instances,
            stops: vec![*place],
        }));
    }
    let mut cost = Cost::default();
    let mut steps = Vec::with_capacity(way.len());
    let mut moved = Vec::with_capacity(way.len());
    for step in way {
        let mover = &space.movers[step.mover];
        let hops = &mover.hops[usize::from(step.from)];
        let Some(hop) = hops.iter().find(|hop| hop.to == step.to) else {
            continue;
        };
        let waits_for = |journey: &Journey| mover.after.contains(&journey.mover);
        let target = |journey: &Journey| Some(space.movers[journey.mover].target);
        let mut first = journeys.iter().filter(|journey| waits_for(journey));
        let out_of_order = first.any(|journey| journey.at() != target(journey));
        let mut instances = 0_u64;
        let mut who = Vec::new();
        for (number, journey) in journeys.iter_mut().enumerate() {
            if journey.mover == step.mover && journey.at() == Some(step.from) {
                journey.stops.push(step.to);
                instances = instances.saturating_add(journey.instances);
                who.push(number);
            }
        }
        cost = cost + hop.cost(instances, out_of_order);
        steps.push(new(space, mover, step, hop, instances, out_of_order));
        moved.push(who);
    }
    let mut known = BTreeMap::<Vec<usize>, Vec<Version>>::new();
    for (step, who) in steps.iter_mut().zip(moved) {
        let known = known.entry(who);
        let known = known.or_insert_with_key(|who| through(space, &journeys, who));
        step.through.clone_from(known);
    }
    for last in 0..steps.len() {
        steps[last].reachable_back = reachable_back(&steps[..=last]);
    }
    (steps, cost, journeys)
}

fn new(
    space: &Space<'_>,
    mover: &Mover<'_>,
    step: &Move,
    hop: &Hop,
    instances: u64,
    out_of_order: bool,
) -> Step {
    let matrix = space.index.matrix();
    let (from, to) = (mover.version(step.from), mover.version(step.to));
    let asked = matrix.hop(mover.component, from, to).ok();
    let known = matrix.components().get(mover.component);
    Step {
        component: mover.component.clone(),
        from: from.clone(),
        to: to.clone(),
        level: hop.way.level,
        reversed: hop.way.reversed,
        method: hop.way.method,
        undo: hop.way.undo,
        undo_when_final: hop.way.undo_when_final,
        finalizes_itself: known.is_some_and(|known| known.finalizes_itself),
        note: asked.and_then(|hop| hop.note).map(ToOwned::to_owned),
        instances,
        out_of_order,
        through: Vec::new(),
        reachable_back: Vec::new(),
    }
}

/// Where these cohorts stop between start and end. Cohorts that come from both sides are told in the order of versions.
fn through(space: &Space<'_>, journeys: &[Journey], who: &[usize]) -> Vec<Version> {
    let mut stops = BTreeMap::new();
    let mut down = false;
    for journey in who.iter().map(|number| &journeys[*number]) {
        let [first, between @ .., last] = journey.stops.as_slice() else {
            continue;
        };
        down |= last < first;
        let mover = &space.movers[journey.mover];
        stops.extend(between.iter().map(|place| (*place, mover.version(*place))));
    }
    let mut stops: Vec<&Version> = stops.into_values().collect();
    if down {
        stops.reverse();
    }
    let first = stops.into_iter().take(VERSIONS_TOLD_MAX);
    first.cloned().collect()
}

/// What taking back these steps, the last first, leads to, for the component of the last.
fn reachable_back(steps: &[Step]) -> Vec<Version> {
    let Some(last) = steps.last() else {
        return Vec::new();
    };
    let mut versions: Vec<Version> = Vec::new();
    for step in steps.iter().rev() {
        let undo = match step.finalizes_itself {
            true => step.undo_when_final,
            false => step.undo,
        };
        if undo == Undo::NotAtAll || versions.len() >= VERSIONS_TOLD_MAX {
            break;
        }
        if step.component == last.component && !versions.contains(&step.from) {
            versions.push(step.from.clone());
        }
    }
    versions
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            component,
            from,
            to,
            level,
            ..
        } = self;
        write!(f, "{component} {from} -> {to} ({level}")?;
        if self.reversed {
            write!(f, " from {to} to {from}")?;
        }
        let instances = counted(self.instances, "instance", "instances");
        write!(f, "), {instances} {}", self.method)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = counted(self.steps.len() as u64, "stage", "stages");
        let restarts = counted(self.cost.restarts, "restart", "restarts");
        write!(f, "{stages}, {restarts}")?;
        if self.cost.rebuilds > 0 {
            let rebuilds = counted(self.cost.rebuilds, "rebuild", "rebuilds");
            write!(f, ", {rebuilds} among them")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            write!(f, "\n{:>3}. {step}", number + 1)?;
            for line in particulars(step) {
                write!(f, "\n     {line}")?;
            }
        }
        if !self.ruled_out.is_empty() {
            f.write_str("\nruled out:")?;
        }
        for ruled_out in &self.ruled_out {
            write!(f, "\n  {ruled_out}")?;
        }
        Ok(())
    }
}

fn particulars(step: &Step) -> Vec<String> {
    let versions = |versions: &[Version]| {
        let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
        versions.join(", ")
    };
    let mut lines = Vec::new();
    if !step.is_direct() {
        lines.push(format!("on a way through {}", versions(&step.through)));
    }
    if step.out_of_order {
        lines.push("out of the declared order, which no way keeps".to_owned());
    }
    lines.push(match (step.undo, step.undo_when_final) {
        (before, after) if before == after => format!("undone {before}"),
        (before, after) if step.finalizes_itself => format!(
            "undone {} until its last instance is there, which makes it final; {} from then on",
            before, after
        ),
        (before, after) => format!(
            "undone {} until the plan is finalized, {} from then on",
            before, after
        ),
    });
    lines.push(match step.reachable_back.as_slice() {
        [] => "no version can be gone back to after it".to_owned(),
        back => format!("after it there is a way back to {}", versions(back)),
    });
    lines.extend(step.note.clone());
    lines
}
