//! Plans that bring nothing to another version: processes are restarted on the release that they run, all of a component
//! or single ones, or only those that were started with another configuration than their agents have now.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::{Level, Method, Undo, Way};
use evenkeel_words::{
    names::{ComponentName, InstanceId},
    timestamp::Timestamp,
};
use semver::Version;

use super::{
    layout::{self, Outline, TASKS_MAX},
    suits,
    words::listed,
};
use crate::{
    instance::Instance,
    plan::{Plan, PlanKind, Policy, Stage, Task},
    refusal::{Refusal, RefusalKind},
    state::State,
};

/// What is to be restarted: at least one thing has to be named, for none never means all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Components, of which every instance takes part; for a plan that reconfigures, every one that differs.
    pub components: Vec<ComponentName>,
    /// Single instances.
    pub instances: Vec<InstanceId>,
}

/// Lays out a plan that restarts, or reconfigures. Nothing is touched by it.
///
/// # Errors
/// `BadArgument` where nothing is selected, something is twice, or the policy makes no sense; `NotFound` for what does
/// not exist; `NotAllowedNow` where nothing differs or an instance cannot take part; `TooMuch` for more than
/// [`TASKS_MAX`] instances.
pub fn draft_restart(
    state: &State,
    kind: PlanKind,
    selection: &Selection,
    policy: &Policy,
    created_by: &str,
    now: Timestamp,
) -> Result<(Plan, Vec<Task>), Refusal> {
    policy.check()?;
    let instances = selected(state, kind, selection)?;
    if instances.len() > TASKS_MAX {
        return Err(Refusal::new(
            RefusalKind::TooMuch,
            format!(
                "{} instances are more than the {TASKS_MAX} that one plan may have tasks for; name single ones",
                instances.len()
            ),
        ));
    }
    let mut stages = BTreeMap::<(usize, &ComponentName, &Version), Vec<&Instance>>::new();
    let order = in_order(
        state,
        instances.iter().map(|x| &x.report.component).collect(),
    );
    for instance in instances {
        let component = &instance.report.component;
        let place = order.iter().position(|other| *other == component);
        let current = instance.report.current.as_ref().ok_or_else(|| {
            let message = format!("{} has no release to be restarted on", instance.id);
            Refusal::new(RefusalKind::NotAllowedNow, message)
        })?;
        let key = (place.unwrap_or_default(), component, &current.version);
        stages.entry(key).or_default().push(instance);
    }
    let outline = Outline {
        targets: &[],
        stages: stages
            .iter()
            .map(|((_, component, version), members)| stage(component, version, members.len()))
            .collect(),
        ruled_out: Vec::new(),
        policy,
        created_by,
        now,
    };
    let mut plan = layout::plan(state, outline);
    plan.kind = kind;
    let mut tasks = Vec::new();
    for (number, members) in (0_u32..).zip(stages.into_values()) {
        let movers = members.into_iter().filter_map(|instance| {
            let current = instance.report.current.clone()?;
            Some((instance, current.clone(), current))
        });
        tasks.extend(layout::in_waves(&plan, number, movers.collect()));
    }
    plan.tasks_total = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
    suits::check(state, &plan)?;
    Ok((plan, tasks))
}

/// A stage that leaves the version as it is.
fn stage(component: &ComponentName, version: &Version, instances: usize) -> Stage {
    Stage {
        component: component.clone(),
        from: version.clone(),
        to: version.clone(),
        way: Way {
            method: Method::InPlace,
            level: Level::Full,
            reversed: false,
            undo: Undo::InPlace,
            undo_when_final: Undo::InPlace,
        },
        finalizes_itself: false,
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
        through: Vec::new(),
        out_of_order: false,
        note: String::new(),
        reachable_back: Vec::new(),
        confirmed_by: None,
        confirmed_at: None,
        undoes: None,
    }
}

/// The components in the order in which they are declared to be upgraded, as far as there is one.
fn in_order<'a>(
    state: &State,
    mut components: BTreeSet<&'a ComponentName>,
) -> Vec<&'a ComponentName> {
    let declared = state.matrix().matrix.components();
    let mut order = Vec::with_capacity(components.len());
    while let Some(any) = components.first().copied() {
        let waits = |component: &&&ComponentName| {
            let after = declared
                .get(**component)
                .map(|component| &component.upgrade_after);
            after.is_some_and(|after| components.iter().any(|other| after.contains(*other)))
        };
        let next = components.iter().find(|component| !waits(component));
        let next = next.copied().unwrap_or(any);
        components.remove(next);
        order.push(next);
    }
    order
}

fn selected<'a>(
    state: &'a State,
    kind: PlanKind,
    selection: &Selection,
) -> Result<Vec<&'a Instance>, Refusal> {
    let bad = |message: String| Err(Refusal::new(RefusalKind::BadArgument, message));
    let Selection {
        components,
        instances,
    } = selection;
    if components.is_empty() && instances.is_empty() {
        return bad("no component and no instance is named, and none does not mean all".to_owned());
    }
    let mut all = BTreeMap::new();
    for component in components {
        let mut members = state.instances_of(component).peekable();
        if members.peek().is_none() {
            let message = format!("{component} has no instance");
            return Err(Refusal::new(RefusalKind::NotFound, message));
        }
        for instance in members {
            let takes_part = kind != PlanKind::Reconfigure || differs(instance)?;
            if takes_part && all.insert(&instance.id, instance.as_ref()).is_some() {
                return bad(format!("{component} is named twice"));
            }
        }
    }
    for id in instances {
        let instance = state.instance(id).ok_or_else(|| {
            Refusal::new(RefusalKind::NotFound, format!("there is no instance {id}"))
        })?;
        if kind == PlanKind::Reconfigure && !differs(instance)? {
            return Err(nothing_differs(&format!("the process of {id}")));
        }
        if all.insert(&instance.id, instance.as_ref()).is_some() {
            return bad(format!(
                "{id} is named twice, by itself or with its component"
            ));
        }
    }
    if all.is_empty() {
        let names: Vec<_> = components.iter().map(ToString::to_string).collect();
        return Err(nothing_differs(&format!(
            "every process of {}",
            listed(&names)
        )));
    }
    Ok(all.into_values().collect())
}

fn nothing_differs(which: &str) -> Refusal {
    Refusal::new(
        RefusalKind::TargetUnfit,
        format!(
            "there is nothing to do: {which} was started with the configuration that its agent has"
        ),
    )
}

/// Whether a process was started with another configuration than its agent has now.
fn differs(instance: &Instance) -> Result<bool, Refusal> {
    let now = &instance.report.configuration;
    let Some(process) = instance.report.process.as_ref().filter(|_| !now.is_empty()) else {
        return Err(Refusal::new(
            RefusalKind::NotAllowedNow,
            format!(
                "it is not known which configuration {} has, or it has no process",
                instance.id
            ),
        ));
    };
    Ok(process.configuration != *now)
}
