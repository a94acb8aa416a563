//! From a hop that the caller names to a draft: which instances take part, in which waves.
//!
//! Finding the hops is another matter, for which this is the last step: it lays out one stage.

use evenkeel_words::{
    names::{ComponentName, InstanceId},
    timestamp::Timestamp,
};
use semver::Version;

use crate::{
    instance::Instance,
    plan::{Plan, PlanState, Policy, Stage, Task, TaskState},
    refusal::{Refusal, RefusalKind},
    release::{Release, ReleaseRef},
    state::State,
};

/// The most instances that one plan may touch.
pub const TASKS_MAX: usize = 10_000;

/// How many examples a refusal lists.
const EXAMPLES_MAX: usize = 5;

/// One component from one version to the next, as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The component.
    pub component: ComponentName,
    /// What its instances run.
    pub from: Version,
    /// What they are to run.
    pub to: Version,
}

/// Lays out a plan for the fleet as it is. Nothing is touched by it.
///
/// # Errors
/// `NotFound` for an unknown component or a version never published; `BadArgument` for a hop or a policy
/// that makes no sense; `NotAllowedNow` where the fleet is not what the hop says.
pub fn draft(
    state: &State,
    hop: &Hop,
    policy: &Policy,
    created_by: &str,
    now: Timestamp,
) -> Result<(Plan, Vec<Task>), Refusal> {
    policy.check()?;
    let Hop {
        component,
        from,
        to,
    } = hop;
    if from == to {
        return Err(Refusal::new(
            RefusalKind::BadArgument,
            format!("from and to are both {to}; name two different versions"),
        ));
    }
    let members: Vec<&Instance> = state.instances_of(component).map(AsRef::as_ref).collect();
    if members.is_empty() {
        return Err(unknown_component(state, component));
    }
    let release = state
        .release(component, to)
        .ok_or_else(|| unknown_version(state, component, to))?;

    let mut tasks = Vec::new();
    let mut strangers = Vec::new();
    for instance in &members {
        match &instance.report.current {
            Some(current) if current.version == *from => {
                tasks.push((instance, target(state, release, instance)?, current.clone()));
            }
            Some(current) if current.version == *to => {
                let target = target(state, release, instance)?;
                if target.digest != current.digest {
                    strangers.push(format!("{} runs other bytes as {to}", instance.id));
                }
            }
            Some(current) => strangers.push(format!("{} runs {}", instance.id, current.version)),
            None => strangers.push(format!("{} has no release", instance.id)),
        }
    }
    if !strangers.is_empty() {
        return Err(Refusal::new(
            RefusalKind::NotAllowedNow,
            format!(
                "every instance of {component} has to run {from} or {to} already, but {}",
                listed(strangers)
            ),
        ));
    }
    if tasks.is_empty() {
        return Err(Refusal::new(
            RefusalKind::NotAllowedNow,
            format!("every instance of {component} runs {to} already"),
        ));
    }
    if tasks.len() > TASKS_MAX {
        return Err(Refusal::new(
            RefusalKind::TooMuch,
            format!(
                "{} instances are more than the {TASKS_MAX} that one plan may touch",
                tasks.len()
            ),
        ));
    }
    check_groups(&members, policy)?;
    check_domains(&members, policy)?;

    let domain = |instance: &Instance| {
        let label = policy.failure_domain.as_deref();
        label.and_then(|label| instance.labels.get(label).cloned())
    };
    tasks.sort_by(|(a, ..), (b, ..)| (domain(a), &a.id).cmp(&(domain(b), &b.id)));

    let id = state.next_plan_id();
    let canary = usize::try_from(policy.canary).unwrap_or(usize::MAX);
    let tasks: Vec<Task> = tasks
        .into_iter()
        .enumerate()
        .map(|(index, (instance, to, from))| Task {
            plan: id,
            instance: instance.id.clone(),
            stage: 0,
            wave: u32::from(canary > 0 && index >= canary),
            state: TaskState::Pending,
            from,
            to,
            generation: 0,
            admitted_at: None,
            stop_to_ready_us: 0,
            changed_at: now,
            revision: 0,
        })
        .collect();
    let plan = Plan {
        id,
        state: PlanState::Draft,
        stages: vec![Stage {
            component: component.clone(),
            from: from.clone(),
            to: to.clone(),
        }],
        policy: policy.clone(),
        tasks_total: u32::try_from(tasks.len()).unwrap_or(u32::MAX),
        tasks_done: 0,
        created_by: created_by.to_owned(),
        created_at: now,
        started_at: None,
        ended_at: None,
        progressed_at: now,
        changed_at: now,
        revision: 0,
    };
    Ok((plan, tasks))
}

/// Checks that the fleet is still the one that the plan was computed for, and that its policy still suits it.
///
/// # Errors
/// `FleetChanged`, with the differences; or as [`draft`] where the policy does not suit groups and failure
/// domains as they are now.
pub fn check_unchanged(state: &State, plan: &Plan) -> Result<(), Refusal> {
    let mut differences = Vec::new();
    for task in state.tasks_of(plan.id) {
        match state.instance(&task.instance) {
            None => differences.push(format!("{} is gone", task.instance)),
            Some(instance) if instance.report.current.as_ref() != Some(&task.from) => {
                let now = instance.report.current.as_ref();
                let now = now.map_or_else(|| "nothing".to_owned(), |c| c.version.to_string());
                differences.push(format!(
                    "{} runs {now}, not {}",
                    task.instance, task.from.version
                ));
            }
            Some(_) => {}
        }
    }
    for stage in &plan.stages {
        for instance in state.instances_of(&stage.component) {
            let planned = state.task(plan.id, &instance.id).is_some();
            let there = instance
                .report
                .current
                .iter()
                .any(|c| c.version == stage.to);
            if !planned && !there {
                differences.push(format!("{} is not part of the plan", instance.id));
            }
        }
    }
    if !differences.is_empty() {
        return Err(Refusal::new(
            RefusalKind::FleetChanged,
            format!(
                "the fleet is not the one that {} was computed for: {}; create a new plan",
                plan.id,
                listed(differences)
            ),
        ));
    }
    for stage in &plan.stages {
        let members: Vec<&Instance> = state
            .instances_of(&stage.component)
            .map(AsRef::as_ref)
            .collect();
        check_groups(&members, &plan.policy)?;
        check_domains(&members, &plan.policy)?;
    }
    Ok(())
}

fn target(state: &State, release: &Release, instance: &Instance) -> Result<ReleaseRef, Refusal> {
    let platform = state
        .node(&instance.id.node)
        .map_or("", |node| &node.platform);
    let artifact = release.artifacts.get(platform).ok_or_else(|| {
        let published: Vec<_> = release.artifacts.keys().map(String::as_str).collect();
        Refusal::new(
            RefusalKind::NotAllowedNow,
            format!(
                "{} needs {} {} for {platform}, which is published for {} only",
                instance.id,
                release.component,
                release.version,
                published.join(", ")
            ),
        )
    })?;
    Ok(ReleaseRef {
        version: release.version.clone(),
        digest: artifact.digest,
    })
}

fn unknown_component(state: &State, component: &ComponentName) -> Refusal {
    let known: Vec<_> = state.components().map(ToString::to_string).collect();
    let known = match known.is_empty() {
        true => "no agent has reported any instance yet".to_owned(),
        false => format!("known are {}", listed(known)),
    };
    Refusal::new(
        RefusalKind::NotFound,
        format!("there is no instance of a component {component}; {known}"),
    )
}

fn unknown_version(state: &State, component: &ComponentName, version: &Version) -> Refusal {
    let published: Vec<_> = state
        .releases_of(component)
        .map(|release| release.version.to_string())
        .collect();
    let published = match published.is_empty() {
        true => "no version of it is".to_owned(),
        false => format!("published are {}", listed(published)),
    };
    Refusal::new(
        RefusalKind::NotFound,
        format!("{component} {version} is not published; {published}"),
    )
}

/// A budget as large as a group would let all copies of the same data go down together.
fn check_groups(members: &[&Instance], policy: &Policy) -> Result<(), Refusal> {
    let mut sizes = std::collections::BTreeMap::<&str, u32>::new();
    for instance in members {
        *sizes.entry(instance.group()).or_default() += 1;
    }
    let all = sizes
        .iter()
        .find(|(_, size)| **size > 1 && policy.max_unavailable >= **size);
    match all {
        None => Ok(()),
        Some((group, size)) => {
            let group = match group.is_empty() {
                true => String::new(),
                false => format!(" of the group {group:?}"),
            };
            Err(Refusal::new(
                RefusalKind::BadArgument,
                format!(
                    "max_unavailable {} would let all {size} instances{group} be down at once; the most is {}",
                    policy.max_unavailable,
                    size - 1
                ),
            ))
        }
    }
}

fn check_domains(members: &[&Instance], policy: &Policy) -> Result<(), Refusal> {
    let Some(label) = &policy.failure_domain else {
        return Ok(());
    };
    let without: Vec<InstanceId> = members
        .iter()
        .filter(|instance| !instance.labels.contains_key(label))
        .map(|instance| instance.id.clone())
        .collect();
    if without.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::NotAllowedNow,
        format!(
            "the failure domain is the label {label:?}, which is missing on {}",
            listed(without.iter().map(ToString::to_string).collect())
        ),
    ))
}

/// The first few of `things`, and how many more there are.
fn listed(mut things: Vec<String>) -> String {
    let more = things.len().saturating_sub(EXAMPLES_MAX);
    things.truncate(EXAMPLES_MAX);
    let list = things.join(", ");
    match more {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}
